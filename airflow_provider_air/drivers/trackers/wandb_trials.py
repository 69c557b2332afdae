"""
The Weights & Biases runs of Tune's trials: one for each, in one group, fed in the driver's process from its records.

Ray's own callback has an actor for each trial, whose environment, with the API key, any listing of actors shows
(2.60); and it begins a trial's run anew where the experiment is restored. Source: wandb 0.31.
"""

from __future__ import annotations

import concurrent.futures
import importlib
import os
import sys
from typing import Any, Callable, Dict, Optional, Tuple

from ..frame.running import Run
from ..wire.names import WANDB_ENABLED, WANDB_TRIALS
from ..wire.problems import ConfigurationProblem
from .wandb_log import WandbLog
from .wandb_sync.server import trusted

# The first that has several runs in one process: reinit="create_new".
OLDEST = (0, 19, 10)
ENDED = {"finished": 0, "failed": 1}


class _TrialRun:
    """
    One trial's run; what is done with it waits for its own thread, so a server that is slow holds up no trial.

    :param after: what must be over before it is opened: the same trial's run of before
    """

    def __init__(self, open_run: Callable[[], Any], after: Optional[concurrent.futures.Future[Any]]) -> None:
        self._pool = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="air-wandb")
        self._run: Any = None
        self._log: Optional[WandbLog] = None
        self._is_broken = False
        self._after = after
        self._do(lambda: self._open(open_run))

    def _open(self, open_run: Callable[[], Any]) -> None:
        if self._after is not None:
            concurrent.futures.wait([self._after])
        self._run = open_run()
        self._log = WandbLog(self._run)

    def _do(self, call: Callable[[], None]) -> concurrent.futures.Future[Any]:
        def done() -> None:
            if self._is_broken:
                return
            try:
                call()
            except Exception as error:
                self._is_broken = True
                print("W&B gets no more of a trial: %s" % error, file=sys.stderr, flush=True)

        return self._pool.submit(done)

    def log(self, values: Dict[str, Any], step: Optional[int]) -> None:
        """Log one report."""

        def log() -> None:
            assert self._log is not None
            self._log.log(values, step)

        self._do(log)

    def end(self, exit_code: int) -> concurrent.futures.Future[Any]:
        """Set its end state once all is sent; gives what is done then."""
        ended = self._do(lambda: self._run.finish(exit_code=exit_code))
        self._pool.shutdown(wait=False)
        return ended


class WandbTrials:
    """
    The runs of an experiment's trials; progress and metric records go into them.

    :param prefix: of their ids: a trial that is restored goes on in its run
    """

    def __init__(self, wandb: Any, prefix: str) -> None:
        self._wandb = wandb
        self._prefix = prefix
        self._open: Dict[str, _TrialRun] = {}
        self._ended: Dict[str, concurrent.futures.Future[Any]] = {}

    def take(self, record: Dict[str, Any]) -> None:
        """Take one record, right after it was written; returns at once."""
        trial, state = record.get("trial"), record.get("trial_state")
        if trial is None:
            return
        if state == "running" and trial not in self._open:
            self._open[trial] = self._opened(trial, dict(record.get("config") or {}))
        run = self._open.get(trial)
        if run is None:
            return
        if record["kind"] == "metric":
            run.log(record["values"], record.get("step"))
        elif state in ENDED:
            self._ended[trial] = self._open.pop(trial).end(ENDED[state])

    def _opened(self, trial: str, config: Dict[str, Any]) -> _TrialRun:
        named = {"id": "%s-%s" % (self._prefix, trial), "name": "trial %s" % trial}

        def open_run() -> Any:
            # Each of them would take in all that the driver prints.
            settings = self._wandb.Settings(console="off")
            return self._wandb.init(
                settings=settings,
                config=config,
                resume="allow",
                reinit="create_new",
                allow_val_change=True,
                **named,
            )

        return _TrialRun(open_run, self._ended.get(trial))

    def finish(self, exit_code: int) -> None:
        """End what has not ended, and wait until all is sent."""
        left = [run.end(exit_code) for run in self._open.values()]
        concurrent.futures.wait([*left, *self._ended.values()])


def begin(run: Run) -> Optional[WandbTrials]:
    """
    Let runs of trials follow the records, where the environment asks for them.

    :raises ConfigurationProblem: wandb on the cluster is too old
    """
    if os.environ.get(WANDB_ENABLED) != "trials":
        return None
    wandb = importlib.import_module("wandb")  # which wandb_run.begin has seen to
    if _version_of(wandb) < OLDEST:
        raise ConfigurationProblem(
            "tracker: trials in W&B need wandb %s or newer on the cluster, which has %s"
            % (".".join(map(str, OLDEST)), wandb.__version__)
        )
    with trusted():
        wandb.setup()  # starts the process that all runs share
    trials = WandbTrials(wandb, os.environ[WANDB_TRIALS])
    run.records.followers.append(trials.take)
    return trials


def _version_of(wandb: Any) -> Tuple[int, ...]:
    parts = str(wandb.__version__).split(".")[:3]
    return tuple(int(part) if part.isdecimal() else 0 for part in parts)

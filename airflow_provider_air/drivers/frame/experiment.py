"""
A Tune experiment as records while its trials run, and its restoration by a later attempt.

Tune's controller runs in the driver's own process, so callbacks write records directly. They are
pickled into the experiment's folder and come back from there on a restore, hence the module-level
:data:`OBSERVER` instead of a field.
"""

from __future__ import annotations

import collections
import sys
from typing import Any, Callable, Dict, List, Optional

import ray.tune
from ray.tune import Callback

from ..data import files
from ..wire.failures import text_of
from ..wire.texts import shortened
from .metrics import TUNE_FIELDS, fitted, plain, tell_metrics
from .missing import MissingMetric
from .running import Run

# What trackers read of the records' messages.
TRIAL_STATES = {"starts": "running", "finished": "finished", "failed": "failed"}
# The result holds one for each trial; the log has them whole.
MAX_TRIAL_ERROR_CHARACTERS = 2000


class Observer:
    """
    Writes what happens to trials as records.

    :param metric: what trials are compared by, by its flat name, or None
    :param pick: what of a report is told; by default everything that the author's code reported
    :param config_of: gives a trial's whole config, which is told as it starts, where anybody wants to know it
    """

    def __init__(
        self,
        run: Run,
        metric: Optional[str],
        pick: Optional[Callable[[Dict[str, Any]], Dict[str, Any]]] = None,
        config_of: Optional[Callable[[Any], Dict[str, Any]]] = None,
    ) -> None:
        self._run = run
        self._config_of = config_of
        self._metric = metric
        self._pick = pick or reported_of
        self._told: Dict[str, Any] = {}
        self.total: Optional[int] = None
        self.ended = 0  # grows with every trial that ends; the scheduler saves the experiment's state then
        self.failed: List[str] = []  # ids of trials, in the order in which they failed
        self.missing = MissingMetric(metric)

    def reported(self, trial: Any, result: Dict[str, Any], last: bool = False) -> None:
        """
        Take one report of a trial.

        :param last: Tune may say it once more, when the trial ends
        """
        values, step = self._pick(result), result.get("training_iteration")
        if last and (not values or self._told.get(trial.trial_id) == step):
            return
        self._told[trial.trial_id] = step
        self.missing.note(values)
        tell_metrics(self._run.records, values, step=step, trial=trial.trial_id)

    def changed(self, trials: List[Any], trial: Any, what: str) -> None:
        """Say that a trial started or ended, with the state of all: what trackers make its own run of."""
        states = collections.Counter(t.status.lower() for t in trials)
        done = states["terminated"] + states["error"]
        if what != "starts" and trial.status not in ("TERMINATED", "ERROR"):
            done += 1  # Tune tells us just before it sets the trial's state
        self._run.records.tell(
            "progress",
            message="trial %s %s" % (trial.trial_id, what),
            phase="trials",
            trial=trial.trial_id,
            states=dict(states),
            done=done,
            total=max(self.total or 0, len(trials)),
            trial_state=TRIAL_STATES[what],
            **self._about(trial, what),
        )

    def _about(self, trial: Any, what: str) -> Dict[str, Any]:
        if what == "starts":
            compared = {"metric": self._metric, "mode": self._run.config.get("mode")} if self._metric else {}
            config = {} if self._config_of is None else fitted({"config": plain(self._config_of(trial))})
            return {**compared, **config}
        return {"error": _error_of(trial)} if what == "failed" else {}


OBSERVER: Optional[Observer] = None


class TrialProgress(Callback):  # type: ignore[misc, unused-ignore]
    """Hands Tune's events to :data:`OBSERVER`; has no state of its own, so that it can be pickled."""

    def setup(self, stop: Any = None, num_samples: Any = None, total_num_samples: Any = None, **info: Any) -> None:
        """Learn how many trials there will be."""
        # Of an experiment that draws for ever, Tune says the largest integer.
        if OBSERVER and total_num_samples and total_num_samples < sys.maxsize:
            OBSERVER.total = int(total_num_samples)

    def on_trial_start(self, iteration: int, trials: List[Any], trial: Any, **info: Any) -> None:
        """Say that a trial starts."""
        if OBSERVER:
            OBSERVER.changed(trials, trial, "starts")

    def on_trial_result(
        self, iteration: int, trials: List[Any], trial: Any, result: Dict[str, Any], **info: Any
    ) -> None:
        """Pass on a report."""
        if OBSERVER:
            OBSERVER.reported(trial, result)

    def on_trial_complete(self, iteration: int, trials: List[Any], trial: Any, **info: Any) -> None:
        """Say that a trial finished or was stopped early."""
        if OBSERVER:
            OBSERVER.ended += 1
            OBSERVER.reported(trial, trial.last_result or {}, last=True)
            OBSERVER.changed(trials, trial, "finished")

    def on_trial_error(self, iteration: int, trials: List[Any], trial: Any, **info: Any) -> None:
        """Say that a trial failed."""
        if OBSERVER:
            OBSERVER.ended += 1
            OBSERVER.failed.append(trial.trial_id)
            OBSERVER.changed(trials, trial, "failed")


def _error_of(trial: Any) -> Optional[str]:
    try:
        error = trial.get_pickled_error() or trial.get_error()
        return shortened(text_of(error), MAX_TRIAL_ERROR_CHARACTERS) if error else None
    except Exception:  # the storage is away, or the exception's class is not here
        return None


def reported_of(result: Dict[str, Any]) -> Dict[str, Any]:
    """Leave out what Tune adds to a report, but for ``training_iteration``."""
    return {key: value for key, value in result.items() if key not in TUNE_FIELDS}


def user_metrics(result: Dict[str, Any]) -> Dict[str, Any]:
    """Give a report as a result's row holds it."""
    values: Dict[str, Any] = plain(reported_of(result))
    return values


def restored(experiment_uri: str, trainable: Any, space: Any) -> Any:
    """Go on with an earlier attempt's experiment: finished trials are kept, failed ones resume."""
    path, filesystem = files.for_ray(experiment_uri)
    return ray.tune.Tuner.restore(
        path, trainable=trainable, resume_errored=True, param_space=space, storage_filesystem=filesystem
    )

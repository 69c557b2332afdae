"""
The Weights & Biases run of a job: opened, fed and finished in the driver's process, from the driver's own records.

What run it is says the environment that W&B itself reads (``WANDB_RUN_ID`` and others). Source: wandb 0.31.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from typing import Any, Dict, Optional

from ..frame.running import Run
from ..wire import outages
from ..wire.names import WANDB_CONFIG, WANDB_ENABLED, WANDB_OPTIONAL
from ..wire.problems import ConfigurationProblem, Unavailable
from .wandb_log import WandbLog
from .wandb_sync.server import Server, trusted


class WandbRun:
    """One open run; metric and checkpoint records go into it."""

    def __init__(self, run: Any) -> None:
        self._run = run
        self._log = WandbLog(run)
        self._is_broken = False

    def take(self, record: Dict[str, Any]) -> None:
        """Take one record, right after it was written; what W&B cannot take does not stop the work."""
        if self._is_broken:
            return
        try:
            self._take(record)
        except Exception as error:
            self._is_broken = True
            print("W&B gets no more of this run: %s" % error, file=sys.stderr, flush=True)

    def _take(self, record: Dict[str, Any]) -> None:
        if record["kind"] == "metric":
            # The record's own step: attempts of one run go on where the last one stopped.
            self._log.log(record["values"], record.get("step"))
        elif record["kind"] == "checkpoint":
            self._run.summary["checkpoint"] = record["uri"]
        elif record.get("features"):
            self._run.config.update({"features": record["features"]}, allow_val_change=True)

    def finish(self, exit_code: int) -> None:
        """Send what is left, and set the run's end state: finished, or failed."""
        self._run.finish(exit_code=exit_code)


def begin(run: Run) -> Optional[WandbRun]:
    """
    Open the run where the environment asks for one, and let it follow the records.

    Where trials have runs of their own, W&B is only asked whether it is there; what goes on without it, opens none.

    :raises ConfigurationProblem: wandb is not on the cluster, or W&B refuses
    :raises Unavailable: W&B is away, and the author wants no work without it
    """
    if not os.environ.get(WANDB_ENABLED):
        return None
    wandb = _wandb()
    try:
        if os.environ[WANDB_ENABLED] != "run":
            outages.asked(_look, "tracker: W&B cannot be asked")
            return None
        config = json.loads(os.environ.get(WANDB_CONFIG) or "{}")
        # It has asked for as long as its own settings say.
        with trusted():
            opened = WandbRun(outages.asked(lambda: wandb.init(config=config), "tracker: W&B does not open the run", 0))
    except Unavailable as error:
        if not os.environ.get(WANDB_OPTIONAL):
            raise
        run.records.tell("progress", message="going on without W&B: %s" % error, phase="tracker")
        del os.environ[WANDB_ENABLED]
        return None
    run.records.followers.append(opened.take)
    return opened


def _look() -> None:
    if os.environ.get("WANDB_MODE") == "online":
        Server(os.environ["WANDB_BASE_URL"], os.environ["WANDB_API_KEY"]).check_key()


def _wandb() -> Any:
    try:
        return importlib.import_module("wandb")
    except ImportError as error:
        raise ConfigurationProblem(
            "tracker: wandb is not installed on the cluster; add it to the image, or to runtime_env: {'pip': ['wandb']}"
        ) from error

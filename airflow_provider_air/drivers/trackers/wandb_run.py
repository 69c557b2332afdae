"""
The Weights & Biases run of a job: opened, fed and finished in the driver's process, from the driver's own records.

What run it is says the environment that W&B itself reads (``WANDB_RUN_ID`` and others). Source: wandb 0.31.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from typing import Any, Dict, List, Optional

from ..frame.running import Run
from ..wire.names import WANDB_CONFIG, WANDB_ENABLED
from ..wire.problems import ConfigurationProblem


class WandbRun:
    """One open run; metric and checkpoint records go into it."""

    def __init__(self, run: Any) -> None:
        self._run = run
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
            self._run.log(record["values"], step=record.get("step"))
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

    :raises ConfigurationProblem: wandb is not on the cluster, or refuses
    """
    if os.environ.get(WANDB_ENABLED) != "run":
        return None
    wandb = _wandb()
    try:
        opened = WandbRun(wandb.init(config=json.loads(os.environ.get(WANDB_CONFIG) or "{}")))
    except wandb.Error as error:
        raise ConfigurationProblem("tracker: W&B does not open the run: %s" % error) from error
    run.records.followers.append(opened.take)
    return opened


def tune_callbacks() -> List[Any]:
    """
    Give Tune's own callback where the environment asks for it: a run for each trial, in one group.

    :raises ConfigurationProblem: wandb is not on the cluster
    """
    if os.environ.get(WANDB_ENABLED) != "trials":
        return []
    _wandb()
    callback = importlib.import_module("ray.air.integrations.wandb").WandbLoggerCallback
    names = {"project": "WANDB_PROJECT", "group": "WANDB_RUN_GROUP"}
    given = {field: os.environ[name] for field, name in names.items() if os.environ.get(name)}
    return [callback(job_type="tune", **given)]


def _wandb() -> Any:
    try:
        return importlib.import_module("wandb")
    except ImportError as error:
        raise ConfigurationProblem(
            "tracker: wandb is not installed on the cluster; add it to the image, or to runtime_env: {'pip': ['wandb']}"
        ) from error

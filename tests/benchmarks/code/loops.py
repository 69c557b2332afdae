"""What the benchmarks train and tune: runs on the Ray cluster, by the operators and by plain scripts alike."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import Any


def epochs(config: dict[str, Any]) -> None:
    """Report one epoch after the other, each with a checkpoint; go on after the last one."""
    import ray.train

    start = 0
    checkpoint = ray.train.get_checkpoint()
    if checkpoint:
        with checkpoint.as_directory() as folder:
            start = json.loads(Path(folder, "state.json").read_text())["epoch"] + 1
    for epoch in range(start, config["epochs"]):
        time.sleep(config.get("seconds_per_epoch", 0.0))
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "state.json").write_text(json.dumps({"epoch": epoch}))
            metrics = {"epoch": epoch, "loss": config.get("base", 0.0) + 1.0 / (epoch + 1)}
            ray.train.report(metrics, checkpoint=ray.train.Checkpoint.from_directory(folder))


def objective(config: dict[str, Any]) -> None:
    """A trial that is over at once."""
    from ray import tune

    for step in range(3):
        tune.report({"loss": (config["x"] - 1) ** 2 + 1.0 / (step + 1)})


def steps(config: dict[str, Any]) -> None:
    """Do the same small work in each step, on one core, and report it."""
    import numpy
    import ray.train

    matrix = numpy.random.default_rng(0).random((config["size"], config["size"]))
    for step in range(config["steps"]):
        total = float((matrix @ matrix).sum())
        ray.train.report({"loss": total / (step + 1)})

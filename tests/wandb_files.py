"""What the tests look at in the runs that wandb writes offline."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wandb.proto import wandb_internal_pb2

from airflow_provider_air.drivers.trackers.wandb_sync.offline_files import records


@dataclass
class OfflineRun:
    """One run as its file tells it."""

    run_id: str = ""
    group: str = ""
    job_type: str = ""
    project: str = ""
    tags: list[str] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    x_axes: dict[str, str] = field(default_factory=dict)
    exit_code: int | None = None


def read_runs(folder: Path) -> list[OfflineRun]:
    """Give the runs below a folder, the oldest first."""
    return [_read(path) for path in sorted(folder.glob("wandb/offline-run-*/run-*.wandb"))]


def _read(path: Path) -> OfflineRun:
    found = OfflineRun()
    for data in records(str(path)):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        if record.HasField("run"):
            run = record.run
            found.run_id, found.group, found.job_type = run.run_id, run.run_group, run.job_type
            found.project, found.tags = run.project, list(run.tags)
            found.config |= {item.key: json.loads(item.value_json) for item in run.config.update}
        elif record.HasField("history"):
            items = record.history.item
            row = {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}
            found.history.append(
                {key: value for key, value in row.items() if not key.startswith("_") or key == "_step"}
            )
        elif record.HasField("metric"):
            found.x_axes[record.metric.name] = record.metric.step_metric
        elif record.HasField("exit"):
            found.exit_code = record.exit.exit_code
    return found

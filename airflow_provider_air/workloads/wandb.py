"""The upload of offline W&B runs as a job: what an author says, and what the driver is told."""

from __future__ import annotations

import json
from typing import Any

from airflow_provider_air.errors import ConfigurationError
from airflow_provider_air.workloads import fields

ENTRYPOINT = "python -m air_drivers.trackers.wandb_sync"


def sync_payload(*, offline_dir: Any, project: Any, entity: Any, clean: Any, settle_seconds: Any) -> dict[str, bytes]:
    """
    Tell the driver what to upload, and where to; in the worker.

    :raises ConfigurationError: a field is wrong, by its name
    """
    # What is relative would be looked for in the job's own working directory.
    if not isinstance(offline_dir, str) or not offline_dir.startswith("/"):
        raise ConfigurationError(
            f"'offline_dir' must be an absolute path on the cluster, not {offline_dir!r}",
            hint="Give the folder that WandbTracker(mode='offline') got",
        )
    for name, value in (("project", project), ("entity", entity)):
        if value is not None and (not isinstance(value, str) or not value.strip() or "/" in value):
            raise ConfigurationError(f"'{name}' must be a name without slashes, not {value!r}")
    if not isinstance(clean, bool):
        raise ConfigurationError(f"'clean' must be True or False, not {clean!r}")
    fields.number(settle_seconds, "settle_seconds", minimum=0)
    config = {"offline_dir": offline_dir, "clean": clean, "settle_seconds": settle_seconds}
    config |= {name: value for name, value in (("project", project), ("entity", entity)) if value is not None}
    return {"config.json": json.dumps(config).encode()}

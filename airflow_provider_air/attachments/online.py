"""What replicas read online features by, whichever store they come from."""

from __future__ import annotations

import importlib.resources
from pathlib import Path


def online_module() -> dict[str, Path]:
    """Give the folder that travels with an application: ``from air_features import OnlineFeatures``."""
    return {"air_features": Path(str(importlib.resources.files("airflow_provider_air.drivers") / "online"))}

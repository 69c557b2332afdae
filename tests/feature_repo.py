"""A small Feast repository for tests: mean delays of two carriers over days of January 2026, with a future row."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas
import pytest

DEFINITIONS = """
from datetime import timedelta
from feast import Entity, FeatureService, FeatureView, Field, FileSource
from feast.types import Float64

carrier = Entity(name="carrier", join_keys=["carrier"])
delays = FeatureView(
    name="delays", entities=[carrier], ttl=timedelta(days=2), schema=[Field(name="mean_delay", dtype=Float64)],
    source=FileSource(path="{data}", timestamp_field="event_timestamp"),
)
delay_v1 = FeatureService(name="delay_v1", features=[delays])
"""
CONFIG = """
project: flights
provider: local
registry: {registry}
online_store: {online}
offline_store: {{type: file}}
entity_key_serialization_version: 3
"""


def day(number: int, hour: int = 0) -> datetime:
    """Give a time in January 2026."""
    return datetime(2026, 1, number, hour, tzinfo=UTC)


def write_repo(root: Path, name: str = "repo", *, registry: str | None = None, online: str | None = None) -> Path:
    """Write the repository's folder, and its feature rows beside it; AA's 99 of day 5 is the future of most tests."""
    repo = root / name
    repo.mkdir(parents=True, exist_ok=True)
    rows = [("AA", 1, 1.0), ("AA", 3, 3.0), ("UA", 1, 10.0), ("AA", 5, 99.0)]
    frame = pandas.DataFrame({"carrier": [r[0] for r in rows], "event_timestamp": [day(r[1]) for r in rows]})
    frame["mean_delay"] = [r[2] for r in rows]
    frame.to_parquet(root / "features.parquet")
    (repo / "definitions.py").write_text(DEFINITIONS.format(data=root / "features.parquet"))
    config = CONFIG.format(
        registry=registry or f"{root}/registry.db", online=online or f"{{type: sqlite, path: {root}/online.db}}"
    )
    (repo / "feature_store.yaml").write_text(config)
    return repo


def write_entities(path: Path, rows: list[tuple[str, datetime]], **columns: list[Any]) -> str:
    """Write entity rows as parquet, and give the path."""
    frame = pandas.DataFrame({"carrier": [r[0] for r in rows], "event_timestamp": [r[1] for r in rows], **columns})
    frame.to_parquet(path)
    return str(path)


def apply_repo(repo: Path) -> Any:
    """Register the repository in this process, and give its store; the first import of Feast takes ten seconds."""
    import feast.repo_operations

    store = feast.FeatureStore(repo_path=str(repo))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(repo))
        feast.repo_operations.apply_total(store.config, repo, False)
    sys.modules.pop("definitions", None)
    return store

"""What one driver does to a Serve in memory."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_air.drivers.frame.running import Run
from airflow_provider_air.drivers.serve import watch
from airflow_provider_air.drivers.serve.rollout import Rollout
from airflow_provider_air.drivers.wire.names import RECORDS_DIR
from tests.fakes.serve import FakeServe

Make = Callable[..., Rollout]


def application(version: int, name: str = "flights", **args: Any) -> dict[str, Any]:
    return {
        "name": name,
        "route_prefix": f"/{name}",
        "import_path": "flights:app",
        "args": {"version": version, "good": True, **args},
    }


@pytest.fixture
def serve() -> Iterator[FakeServe]:
    with FakeServe() as fake:
        yield fake


@pytest.fixture
def make(serve: FakeServe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Make what one driver does, with its configuration."""
    monkeypatch.setenv(RECORDS_DIR, str(tmp_path))
    monkeypatch.setattr(watch, "POLL_SECONDS", 0.01)
    numbers = itertools.count(1)

    def rollout(other: FakeServe | None = None, **config: Any) -> Rollout:
        run = Run(f"air-test-{next(numbers)}", None, None)
        run.config = {"healthy_timeout_seconds": 5.0, "drain_seconds": 0.0, **config}
        return Rollout(run, other or serve)  # type: ignore[arg-type]  # what a driver needs of its cluster

    return rollout

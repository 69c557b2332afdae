"""Where a job's records go whose output does not say it, as behind a pipe; shown with a stand-in for ray."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_air.drivers.frame import own_records
from airflow_provider_air.drivers.wire.names import RECORDS_DIR, records_name


@pytest.mark.parametrize("was_connected", [False, True])
def test_asking_ray_for_the_folder_leaves_the_connection_to_the_author(
    was_connected: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray: Any = SimpleNamespace(connected=was_connected)
    ray.is_initialized = lambda: ray.connected
    ray.init = lambda **_: setattr(ray, "connected", True)
    ray.shutdown = lambda: setattr(ray, "connected", False)
    node = SimpleNamespace(get_logs_dir_path=lambda: tmp_path)
    ray._private = SimpleNamespace(worker=SimpleNamespace(_global_node=node))
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.delenv(RECORDS_DIR, raising=False)

    assert own_records.path_of("air-1") == str(tmp_path / records_name("air-1"))
    assert ray.connected is was_connected

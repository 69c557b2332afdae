"""A result that is too large for an XCom, made by code that is too large for Ray, on a real cluster."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_air import RaySubmitJobOperator, SharedFolder, load_result
from airflow_provider_air.connections.airflow import AirflowConnections
from airflow_provider_air.contracts.clusters import ClusterRef
from airflow_provider_air.ray_api import packages
from airflow_provider_air.workloads.function import ENTRYPOINT, function_payload
from tests.fakes.task_context import Store, Supervisor, supervised, task_context
from tests.integration.drivers.conftest import Submit

pytestmark = pytest.mark.integration

SCRIPT = """
from pathlib import Path

import numpy
from air_drivers import report

assert Path("model.bin").stat().st_size == 2_000_000
report.result({"table": numpy.arange(300_000, dtype="float64")})
"""


def total(found: dict[str, Any]) -> float:
    """Add up what an earlier job returned; travels as a pickle."""
    return float(found["table"].sum())


def test_it_goes_through_the_storage_to_the_worker_and_to_the_next_job(
    cluster: ClusterRef, submit: Submit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "MAX_PACKAGE_BYTES", 1_000_000)
    code, storage = tmp_path / "code", SharedFolder(str(tmp_path / "storage"))
    Path(storage.folder).mkdir()
    code.mkdir()
    (code / "model.bin").write_bytes(os.urandom(2_000_000))
    (code / "make.py").write_text(SCRIPT)
    task = RaySubmitJobOperator(
        task_id="make",
        cluster=cluster.to_json(),
        deferrable=False,
        entrypoint="python make.py",
        working_dir=str(code),
        records=True,
        storage=storage,
    )

    with supervised(Supervisor()):
        made = task.execute(task_context(Store(), task_id="make"))

    # The code, the result and the report, with the marks that say whose they are.
    kept = [file.path.partition("/")[0] for file in storage.open(AirflowConnections()).list()]
    assert kept == ["air-marks", "air-marks", "code", "results", "results"]
    assert load_result(made, storage)["table"].shape == (300_000,)
    payload = function_payload(total, (made,), {}, code_folders=[str(Path(__file__).parent)])
    assert submit(ENTRYPOINT, payload).succeeded() == sum(range(300_000))

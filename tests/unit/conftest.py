from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_air.ray_api import packages
from airflow_provider_air.ray_api.transport import Transport
from tests.fakes.ray_dashboard import FakeRayDashboard
from tests.fakes.task_context import Supervisor

Connect = Callable[..., None]


@pytest.fixture
def head() -> Iterator[FakeRayDashboard]:
    """A Ray head of this test alone."""
    with FakeRayDashboard() as head:
        yield head


@pytest.fixture
def transport(head: FakeRayDashboard) -> Transport:
    """How to reach the head, with its token."""
    return Transport(head.url, token=head.token)


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Connect:
    """Set the connection ``ray_default``, or another one, to these fields."""

    def set_connection(conn_id: str = "ray_default", **fields: Any) -> None:
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps({"conn_type": "ray", **fields}))

    return set_connection


@pytest.fixture
def large_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of code that is larger than what this test lets Ray take."""
    monkeypatch.setattr(packages, "MAX_PACKAGE_BYTES", 1_000_000)
    folder = tmp_path / "large"
    folder.mkdir()
    (folder / "model.bin").write_bytes(os.urandom(2_000_000))
    return folder


@pytest.fixture(autouse=True)
def quick_deferrals(monkeypatch: pytest.MonkeyPatch) -> None:
    """No scheduler here: tasks defer at their first look, and come back as soon as there is something to say."""
    monkeypatch.setenv("AIRFLOW__AIR__DEFERRAL_GRACE_SECONDS", "0")
    monkeypatch.setenv("AIRFLOW__AIR__DEFERRAL_SETTLE_SECONDS", "0")


@pytest.fixture(autouse=True)
def named_deployment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has a name asks no Variable for one."""
    monkeypatch.setenv("AIRFLOW__AIR__DEPLOYMENT", "tests")


@pytest.fixture
def supervisor(monkeypatch: pytest.MonkeyPatch) -> Supervisor:
    """Airflow has no other seam for the line that XComs and task states travel on."""
    from airflow.sdk.execution_time import task_runner

    supervisor = Supervisor()
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", supervisor, raising=False)
    return supervisor


def openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=folder)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the certificate ``ca.pem`` of a CA that nobody knows, and what it has signed for 127.0.0.1."""
    folder = tmp_path_factory.mktemp("authority")
    new_key = ("-newkey", "rsa:2048", "-nodes")
    openssl(
        folder, "req", "-x509", *new_key, "-days", "2", "-subj", "/CN=Own CA", "-keyout", "ca.key", "-out", "ca.pem"
    )
    openssl(folder, "req", *new_key, "-subj", "/CN=127.0.0.1", "-keyout", "key.pem", "-out", "server.csr")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1")
    signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names")
    openssl(folder, "x509", "-req", "-in", "server.csr", *signed, "-out", "cert.pem")
    return folder

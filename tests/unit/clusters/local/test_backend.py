from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_air.clusters.local.backend import LocalBackend, judge
from airflow_provider_air.clusters.local.home import StateRecord
from airflow_provider_air.clusters.local.spec import LocalCluster
from airflow_provider_air.contracts.clusters import ClusterOwner, ClusterRef, ClusterState
from airflow_provider_air.contracts.names import TaskKey
from airflow_provider_air.errors import ClusterNotReadyError, ConfigurationError

KEY = TaskKey("tests", "flights", "manual__1", "train")
OWNER = ClusterOwner("tests", KEY)


def ensure(spec: LocalCluster) -> ClusterRef:
    return LocalBackend().ensure(spec, LocalBackend().find(LocalCluster(name="a")), owner=OWNER)


@pytest.mark.parametrize(
    ("state", "exists", "supervised", "judged"),
    [
        (None, False, False, ClusterState.ABSENT),
        (None, True, True, ClusterState.STARTING),
        (None, True, False, ClusterState.FAILED),
        ("starting", True, True, ClusterState.STARTING),
        ("ready", True, True, ClusterState.READY),
        ("ready", True, False, ClusterState.FAILED),
        ("stopping", True, True, ClusterState.DELETING),
        ("stopping", True, False, ClusterState.FAILED),
        ("failed", True, False, ClusterState.FAILED),
    ],
)
def test_what_files_and_supervisor_mean(
    state: str | None, exists: bool, supervised: bool, judged: ClusterState
) -> None:
    record = StateRecord(state=state, message="why") if state else None
    status = judge(record, exists=exists, supervised=supervised)
    assert status.state is judged
    assert state != "failed" or status.message == "why"


def test_a_cluster_that_was_never_made_is_absent_and_may_be_deleted(base: Path) -> None:
    ref = LocalBackend().find(LocalCluster(name="never"))
    assert LocalBackend().describe(ref).state is ClusterState.ABSENT
    LocalBackend().delete(ref)
    with pytest.raises(ClusterNotReadyError, match="never"):
        LocalBackend().open_transport(ref)
    LocalBackend().extend(ref, 10)
    assert LocalBackend().facts(ref) == {}
    assert os.listdir(base) == ["host"]


def test_a_cluster_that_somebody_wants_gone_is_being_deleted_before_its_supervisor_says_so() -> None:
    ready = StateRecord(state="ready")
    assert judge(ready, exists=True, supervised=True, is_to_go=True).state is ClusterState.DELETING


def test_another_host_is_told_so(base: Path) -> None:
    ref = ClusterRef("local", "a", {"host": "another-word", "hostname": "another-host"})
    backend = LocalBackend()
    for call in (backend.describe, backend.delete, backend.open_transport):
        with pytest.raises(ConfigurationError, match="lives on host 'another-host'"):
            call(ref)


def test_an_interpreter_without_ray_is_told_before_anything_starts(base: Path) -> None:
    python = base / "python"
    python.write_text("#!/bin/sh\nexit 1\n")
    python.chmod(0o700)
    with pytest.raises(ConfigurationError, match="Ray is not installed"):
        ensure(LocalCluster(python=str(python)))
    assert sorted(os.listdir(base)) == ["host", "python"]


@pytest.mark.parametrize("version", ["2.51.2", "2.9.0", "1.13"])
def test_a_ray_without_tokens_starts_nothing(base: Path, version: str) -> None:
    python = base / "python"
    python.write_text(f"#!/bin/sh\necho {version}\n")
    python.chmod(0o700)
    with pytest.raises(ConfigurationError, match=f"Ray {version} knows no tokens"):
        ensure(LocalCluster(python=str(python)))
    assert sorted(os.listdir(base)) == ["host", "python"]


def test_neither_does_the_workers_own(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.version", lambda name: "2.51.0")
    with pytest.raises(ConfigurationError, match=r"Ray 2\.51\.0 knows no tokens"):
        ensure(LocalCluster())
    assert os.listdir(base) == ["host"]


def test_a_wrong_spec_starts_nothing(base: Path) -> None:
    for spec, field in ((LocalCluster(num_cpus=-1), "num_cpus"), (LocalCluster(name=" "), "name")):
        with pytest.raises(ConfigurationError, match=field):
            ensure(spec)
        with pytest.raises(ConfigurationError, match=field):
            LocalBackend().name_of(spec, KEY)
    assert os.listdir(base) == ["host"]


def test_a_host_is_known_by_its_word_whatever_it_is_called_now(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ref = LocalBackend().find(LocalCluster(name="a"))
    monkeypatch.setattr("socket.gethostname", lambda: "on-another-network")
    assert LocalBackend().describe(ref).state is ClusterState.ABSENT


def test_what_a_host_had_before_it_started_anew_is_gone(base: Path) -> None:
    ref = LocalBackend().find(LocalCluster(name="a"))
    (base / "host").unlink()
    assert LocalBackend().describe(ref).state is ClusterState.ABSENT
    assert LocalBackend().find(LocalCluster(name="a")) != ref


@pytest.mark.parametrize("details", [{}, {"host": None}, {"of": "another version"}], ids=str)
def test_a_ref_of_an_earlier_version_is_described(base: Path, details: dict[str, Any]) -> None:
    old = {"backend": "local", "name": "a", "ray_conn_id": None, "host": "h", "owned": True, "details": details}
    ref = ClusterRef.from_json(old)
    assert LocalBackend().describe(ref).state is ClusterState.ABSENT
    LocalBackend().delete(ref)


def test_a_task_without_a_named_cluster_has_its_own(base: Path) -> None:
    own, again = (LocalBackend().name_of(LocalCluster(), KEY) for _ in range(2))
    other = LocalBackend().name_of(LocalCluster(), dataclasses.replace(KEY, map_index=3))
    assert (own.owned, own) == (True, again)
    assert own.name.startswith("flights-train-")
    assert len(own.name) <= 40
    assert other.name != own.name
    assert LocalBackend().name_of(LocalCluster(name="serving"), KEY).owned is False
    with pytest.raises(ConfigurationError, match="XCom"):
        LocalBackend().find(LocalCluster())


def test_the_ref_of_a_cluster_survives_json() -> None:
    ref = ClusterRef("local", "a", {"host": "h"}, owned=True)
    assert ClusterRef.from_json(json.loads(json.dumps(ref.to_json()))) == ref

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from airflow_provider_air.clusters.contract import ClusterOwner, ClusterRef, ClusterState
from airflow_provider_air.clusters.local.backend import LocalBackend, judge
from airflow_provider_air.clusters.local.home import StateRecord
from airflow_provider_air.clusters.local.spec import LocalCluster
from airflow_provider_air.errors import ClusterNotReadyError, ConfigurationError

OWNER = ClusterOwner(deployment="tests")


@pytest.mark.parametrize(
    ("state", "exists", "supervised", "judged"),
    [
        (None, False, False, ClusterState.ABSENT),
        (None, True, True, ClusterState.STARTING),
        (None, True, False, ClusterState.FAILED),
        ("starting", True, True, ClusterState.STARTING),
        ("ready", True, True, ClusterState.READY),
        ("ready", True, False, ClusterState.FAILED),
        ("stopping", True, True, ClusterState.ABSENT),
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
    ref = ClusterRef(backend="local", name="never", host=os.uname().nodename)
    assert LocalBackend().describe(ref).state is ClusterState.ABSENT
    LocalBackend().delete(ref)
    with pytest.raises(ClusterNotReadyError, match="never"):
        LocalBackend().open_transport(ref)
    assert os.listdir(base) == []


def test_another_host_is_told_so(base: Path) -> None:
    ref = ClusterRef(backend="local", name="a", host="another-host")
    backend = LocalBackend()
    for call in (backend.describe, backend.delete, backend.open_transport):
        with pytest.raises(ConfigurationError, match="lives on host 'another-host'"):
            call(ref)


def test_an_interpreter_without_ray_is_told_before_anything_starts(base: Path) -> None:
    python = base / "python"
    python.write_text("#!/bin/sh\nexit 1\n")
    python.chmod(0o700)
    with pytest.raises(ConfigurationError, match="Ray is not installed"):
        LocalBackend().ensure(LocalCluster(python=str(python)), name="a", owner=OWNER)
    assert os.listdir(base) == ["python"]


def test_a_wrong_spec_or_name_starts_nothing(base: Path) -> None:
    with pytest.raises(ConfigurationError, match="num_cpus"):
        LocalBackend().create(LocalCluster(num_cpus=-1), name="a", owner=OWNER)
    with pytest.raises(ConfigurationError, match="needs a name"):
        LocalBackend().create(LocalCluster(python=sys.executable), name="", owner=OWNER)
    assert os.listdir(base) == []


def test_the_ref_of_a_cluster_survives_json() -> None:
    ref = ClusterRef(backend="local", name="a", host="h")
    assert ClusterRef.from_json(json.loads(json.dumps(ref.to_json()))) == ref

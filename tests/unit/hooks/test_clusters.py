"""What operators ask of a cluster: whose it is, whether it is ready, and how long that may take."""

from __future__ import annotations

import pytest

from airflow_provider_air.clusters.contract import ClusterRef, ClusterState, ClusterStatus
from airflow_provider_air.clusters.existing import ExistingBackend, ExistingCluster
from airflow_provider_air.clusters.local.spec import LocalCluster
from airflow_provider_air.errors import (
    ClusterFailedError,
    ClusterUnreachableError,
    ConfigurationError,
    DeadlineExceededError,
)
from airflow_provider_air.hooks import clusters
from airflow_provider_air.hooks.clusters import (
    ensure_cluster,
    find_cluster,
    look_at_cluster,
    task_key_of,
    wait_for_cluster,
)
from airflow_provider_air.identity import TaskKey
from tests.fakes.ray_dashboard import FakeRayDashboard
from tests.fakes.task_context import Store, task_context
from tests.unit.conftest import Connect

KEY = TaskKey("here", "flights", "manual__1", "train")
REF = ClusterRef("existing", "ray_default", ray_conn_id="ray_default")


@pytest.fixture(autouse=True)
def ray_default(head: FakeRayDashboard, connect: Connect) -> None:
    connect(host=head.url, password=head.token)


@pytest.mark.parametrize(("map_index", "expected"), [(-1, -1), (0, 0), (7, 7), (None, -1)])
def test_a_task_is_named_by_its_context(map_index: int | None, expected: int) -> None:
    key = task_key_of(task_context(Store(), map_index=map_index))

    assert (key.dag_id, key.run_id, key.task_id, key.map_index) == ("flights", "manual__1", "train", expected)
    assert key.deployment


def test_a_reference_is_taken_as_it_is() -> None:
    assert ensure_cluster(REF, KEY) is REF


def test_an_existing_cluster_is_never_the_tasks_own() -> None:
    assert ensure_cluster(ExistingCluster(), KEY) == REF
    assert find_cluster(ExistingCluster()) == REF


def test_a_spec_without_a_name_cannot_be_found() -> None:
    with pytest.raises(ConfigurationError, match="XCom"):
        find_cluster(LocalCluster())


def test_a_short_silence_is_sat_out(head: FakeRayDashboard) -> None:
    head.plan("GET", "^/api/version$", status=503, times=2)

    assert look_at_cluster(REF).state is ClusterState.READY


def test_a_long_silence_is_unreachable(head: FakeRayDashboard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "PATIENCE_SECONDS", 0.1)
    head.plan("GET", "^/api/version$", drop=True, times=None)

    with pytest.raises(ClusterUnreachableError):
        look_at_cluster(REF)


def test_a_cluster_is_waited_for_until_it_is_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = [ClusterState.STARTING, ClusterState.READY]
    monkeypatch.setattr(ExistingBackend, "describe", lambda self, ref: ClusterStatus(looks.pop(0)))

    wait_for_cluster(REF, 60)
    assert not looks


def test_waiting_ends_with_the_last_state(monkeypatch: pytest.MonkeyPatch) -> None:
    starting = ClusterStatus(ClusterState.STARTING, "pulling the image")
    monkeypatch.setattr(ExistingBackend, "describe", lambda self, ref: starting)

    with pytest.raises(DeadlineExceededError, match=r"pulling the image.*cluster_timeout_seconds"):
        wait_for_cluster(REF, 0.1)


@pytest.mark.parametrize(
    ("state", "says"), [(ClusterState.FAILED, "no such image"), (ClusterState.ABSENT, "Clear the task that creates")]
)
def test_a_cluster_that_will_not_come_is_told_at_once(
    state: ClusterState, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ExistingBackend, "describe", lambda self, ref: ClusterStatus(state, "no such image"))

    with pytest.raises(ClusterFailedError, match=says):
        wait_for_cluster(REF, 60)

"""Creating and deleting clusters as steps of a DAG, with a back end in memory."""

from __future__ import annotations

import json
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred

from airflow_provider_air.clusters.contract import ClusterOwner, ClusterRef, ClusterState, ClusterStatus
from airflow_provider_air.clusters.existing import ExistingCluster
from airflow_provider_air.clusters.local.backend import LocalBackend
from airflow_provider_air.clusters.local.spec import LocalCluster
from airflow_provider_air.errors import AirError, ClusterFailedError
from airflow_provider_air.operators.cluster import RayCreateClusterOperator, RayDeleteClusterOperator
from airflow_provider_air.operators.submit import RayStopJobOperator, RaySubmitJobOperator
from airflow_provider_air.ray_api.transport import Transport
from airflow_provider_air.triggers.cluster import RayClusterTrigger
from tests.fakes.ray_dashboard import FakeRayDashboard
from tests.fakes.task_context import Store, task_context


class Clusters:
    """What the back end of local clusters would have started, without starting it."""

    def __init__(self, head: FakeRayDashboard) -> None:
        self.states: dict[str, ClusterState] = {}
        self.owners: list[ClusterOwner] = []
        self.deleted: list[str] = []
        self.new = ClusterState.READY
        self._head = head

    def ensure(self, spec: Any, *, name: str, owner: ClusterOwner) -> ClusterRef:
        self.states.setdefault(name, self.new)
        self.owners.append(owner)
        return ClusterRef("local", name, host="here")

    def describe(self, ref: ClusterRef) -> ClusterStatus:
        return ClusterStatus(self.states.get(ref.name, ClusterState.ABSENT), "the log's reason")

    def delete(self, ref: ClusterRef) -> None:
        self.states.pop(ref.name, None)
        self.deleted.append(ref.name)

    def open_transport(self, ref: ClusterRef) -> Transport:
        return Transport(self._head.url, token=self._head.token)


@pytest.fixture
def clusters(head: FakeRayDashboard, monkeypatch: pytest.MonkeyPatch) -> Clusters:
    clusters = Clusters(head)
    for verb in ("ensure", "describe", "delete", "open_transport"):
        monkeypatch.setattr(LocalBackend, verb, _bound(clusters, verb))
    return clusters


def _bound(clusters: Clusters, verb: str) -> Any:
    return lambda self, *args, **kwargs: getattr(clusters, verb)(*args, **kwargs)


def test_a_ready_cluster_is_named_at_once_and_outlives_the_task(clusters: Clusters, head: FakeRayDashboard) -> None:
    context = task_context(Store())

    named = RayCreateClusterOperator(task_id="create", cluster=LocalCluster()).execute(context)

    assert ClusterRef.from_json(json.loads(json.dumps(named))).owned is False
    assert named["name"] in clusters.states
    assert context["ti"].xcoms == {"ray_dashboard_url": head.url}
    assert clusters.owners[0].run_id == "manual__1"


def test_a_retry_adopts_the_cluster(clusters: Clusters) -> None:
    create = RayCreateClusterOperator(task_id="create", cluster=LocalCluster())

    first = create.execute(task_context(Store()))
    second = create.execute(task_context(Store(), try_number=2))

    assert first == second
    assert len(clusters.states) == 1


def test_a_starting_cluster_is_waited_for_in_the_triggerer(clusters: Clusters) -> None:
    clusters.new = ClusterState.STARTING
    create = RayCreateClusterOperator(task_id="create", cluster=LocalCluster(name="mine"))
    context = task_context(Store())

    with pytest.raises(TaskDeferred) as raised:
        create.execute(context)
    pause = raised.value
    assert isinstance(pause.trigger, RayClusterTrigger)
    clusters.states["mine"] = ClusterState.READY
    event = {"cluster": pause.trigger.cluster, "state": "ready", "message": ""}

    assert create.resume_execution(pause.method_name, {"event": event}, context)["name"] == "mine"


@pytest.mark.parametrize("state", [ClusterState.FAILED, ClusterState.ABSENT])
def test_a_cluster_that_cannot_start_says_why(clusters: Clusters, state: ClusterState) -> None:
    clusters.new = state

    with pytest.raises(ClusterFailedError, match=r"reason|gone"):
        RayCreateClusterOperator(task_id="create", cluster=LocalCluster(name="mine")).execute(task_context(Store()))


@pytest.mark.parametrize("event", [None, {}, "ready", {"cluster": None}, {"cluster": {"rows": 1}}])
def test_a_malformed_event_is_never_a_cluster(event: Any) -> None:
    with pytest.raises(AirError):
        RayCreateClusterOperator(task_id="create", cluster=LocalCluster()).on_cluster_ready(
            task_context(Store()), event
        )


@pytest.mark.parametrize("cluster", [None, "mine", {"backend": "local", "name": "mine"}, LocalCluster(num_cpus=-1)])
def test_only_a_valid_spec_can_be_created(clusters: Clusters, cluster: Any, connect: Any) -> None:
    connect(host="")

    with pytest.raises((AirError, AirflowFailException)):
        RayCreateClusterOperator(task_id="create", cluster=cluster).execute(task_context(Store()))
    assert not clusters.states


def test_a_cluster_is_deleted_by_its_name_or_reference(clusters: Clusters) -> None:
    reference = ClusterRef("local", "other", host="here").to_json()
    for cluster in (LocalCluster(name="mine"), reference, None):
        RayDeleteClusterOperator(task_id="delete", cluster=cluster).execute(task_context(Store()))

    assert clusters.deleted == ["mine", "other"]


def test_a_cluster_without_a_name_cannot_be_deleted_by_its_spec(clusters: Clusters) -> None:
    with pytest.raises(AirflowFailException, match="XCom"):
        RayDeleteClusterOperator(task_id="delete", cluster=LocalCluster()).execute(task_context(Store()))
    assert not clusters.deleted


def test_an_existing_cluster_is_never_deleted(clusters: Clusters, head: FakeRayDashboard) -> None:
    RayDeleteClusterOperator(task_id="delete", cluster=ExistingCluster()).execute(task_context(Store()))

    assert not [request for request in head.requests_to("*", ".*") if request.method != "GET"]


# A cluster of the task's own


def submit(**fields: Any) -> RaySubmitJobOperator:
    return RaySubmitJobOperator(task_id="train", entrypoint="true", cluster=LocalCluster(), **fields)


def test_a_tasks_own_cluster_goes_with_the_job(clusters: Clusters, head: FakeRayDashboard) -> None:
    context = task_context(Store())
    with pytest.raises(TaskDeferred) as raised:
        submit().execute(context)
    name = next(iter(head.jobs))
    head.set_status(name, "SUCCEEDED")
    assert not clusters.deleted

    job = {"submission_id": name, "status": "SUCCEEDED"}
    event = {"version": 1, "submission_id": name, "outcome": "ended", "message": "", "job": job}
    assert submit().resume_execution(raised.value.method_name, {**(raised.value.kwargs or {}), "event": event}, context)
    assert len(clusters.deleted) == 1


def test_a_tasks_own_cluster_goes_when_nothing_could_be_submitted(clusters: Clusters, head: FakeRayDashboard) -> None:
    head.plan("POST", "^/api/jobs/$", status=400, body="no")

    with pytest.raises(AirflowFailException):
        submit().execute(task_context(Store()))
    assert len(clusters.deleted) == 1


def test_a_named_cluster_outlives_the_task(clusters: Clusters, head: FakeRayDashboard) -> None:
    head.plan("POST", "^/api/jobs/$", status=400, body="no")

    with pytest.raises(AirflowFailException):
        RaySubmitJobOperator(task_id="t", entrypoint="true", cluster=LocalCluster(name="mine")).execute(
            task_context(Store())
        )
    assert clusters.states
    assert not clusters.deleted


def test_a_cluster_that_is_starting_defers_before_anything_is_in_the_ledger(
    clusters: Clusters, head: FakeRayDashboard
) -> None:
    clusters.new = ClusterState.STARTING
    store = Store()

    with pytest.raises(TaskDeferred) as raised:
        submit().execute(task_context(store))

    assert isinstance(raised.value.trigger, RayClusterTrigger)
    assert store.get("air_ledger")["attempts"] == []
    assert not head.jobs


def test_stopping_a_job_starts_no_cluster(clusters: Clusters) -> None:
    clusters.states["mine"] = ClusterState.READY
    stop = RayStopJobOperator(task_id="stop", submission_id="nope", cluster=LocalCluster(name="mine"))

    assert stop.execute(task_context(Store())) == "UNKNOWN"
    assert not clusters.owners
    with pytest.raises(AirflowFailException, match="without a name"):
        RayStopJobOperator(task_id="stop", submission_id="x", cluster=LocalCluster()).execute(task_context(Store()))
    assert not clusters.owners

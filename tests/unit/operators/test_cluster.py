"""Creating and deleting clusters as steps of a DAG, with a back end in memory."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.bases.operator import TRIGGER_FAIL_REPR
from airflow.sdk.exceptions import AirflowFailException, AirflowTaskTimeout, TaskDeferralError, TaskDeferred

from airflow_provider_air.clusters.existing.spec import ExistingCluster
from airflow_provider_air.clusters.local.backend import LocalBackend
from airflow_provider_air.clusters.local.spec import LocalCluster
from airflow_provider_air.connections import ports
from airflow_provider_air.contracts.clusters import (
    ClusterBackend,
    ClusterOwner,
    ClusterRef,
    ClusterSpec,
    ClusterState,
    ClusterStatus,
    ListedCluster,
)
from airflow_provider_air.contracts.names import TaskKey
from airflow_provider_air.contracts.runs import AttemptInfo
from airflow_provider_air.errors import (
    AirError,
    ClusterFailedError,
    ConfigurationError,
    DeadlineExceededError,
    JobStoppedError,
)
from airflow_provider_air.operators import submit as submitting
from airflow_provider_air.operators.cluster import RayCreateClusterOperator, RayDeleteClusterOperator
from airflow_provider_air.operators.group import RayClusterTaskGroup
from airflow_provider_air.operators.submit import RayStopJobOperator, RaySubmitJobOperator
from airflow_provider_air.ray_api.transport import Transport
from airflow_provider_air.triggers.run import RayRunTrigger
from airflow_provider_air.waiting import wait_until
from tests.deferrals import deferred, event_of, resume, write_records
from tests.fakes.ray_dashboard import FakeRayDashboard
from tests.fakes.task_context import Store, Supervisor, task_context
from tests.unit.conftest import Connect

SPEC = LocalCluster(name="mine")


class Clusters(LocalBackend):
    """What the back end of local clusters would have started, without starting it; its deletion may take a while."""

    def __init__(self, head: FakeRayDashboard) -> None:
        super().__init__()
        self.states: dict[str, ClusterState] = {}
        self.owners: list[ClusterOwner] = []
        self.makers: dict[str, ClusterOwner] = {}
        self.deleted: list[str] = []
        self.new = ClusterState.READY
        self.goes_slowly = False
        self.before_deletion: Callable[[], None] = lambda: None
        self._head = head

    def ensure(
        self, spec: Any, ref: ClusterRef, *, owner: ClusterOwner, attempt: AttemptInfo | None = None
    ) -> ClusterRef:
        if ref.name not in self.states:
            self.states[ref.name] = self.new
            self.makers[ref.name] = owner
        self.owners.append(owner)
        return ref

    def list(
        self, owner: ClusterOwner | None = None, where: ClusterSpec | ClusterRef | None = None
    ) -> Sequence[ListedCluster]:
        made = [ListedCluster(ClusterRef("local", name), self.makers[name], 0.0, 0.0) for name in self.states]
        return [item for item in made if owner in (None, item.owner)]

    def describe(self, ref: ClusterRef) -> ClusterStatus:
        return ClusterStatus(self.states.get(ref.name, ClusterState.ABSENT), "the log's reason")

    def delete(self, ref: ClusterRef) -> None:
        self.before_deletion()
        if self.goes_slowly and ref.name in self.states:
            self.states[ref.name] = ClusterState.DELETING
        else:
            self.states.pop(ref.name, None)
        self.deleted.append(ref.name)

    def open_transport(self, ref: ClusterRef) -> Transport:
        return Transport(self._head.url, token=self._head.token)


@pytest.fixture
def clusters(head: FakeRayDashboard, monkeypatch: pytest.MonkeyPatch) -> Iterator[Clusters]:
    # Its path must be short.
    folder = tempfile.mkdtemp(prefix="air-", dir="/tmp")
    monkeypatch.setenv("AIR_LOCAL_HOME", folder)
    clusters = Clusters(head)
    real = ports.backend_of

    def backend_of(name: str) -> ClusterBackend:
        return clusters if name == "local" else real(name)

    for module in (ports, submitting):
        monkeypatch.setattr(module, "backend_of", backend_of)
    yield clusters
    shutil.rmtree(folder)


def create(**fields: Any) -> RayCreateClusterOperator:
    return RayCreateClusterOperator(**{"task_id": "create", "cluster": LocalCluster(name="mine"), **fields})


def starting(clusters: Clusters, task: RayCreateClusterOperator, context: Any) -> TaskDeferred:
    clusters.new = ClusterState.STARTING
    return deferred(task, context)


def named_ref(named: dict[str, Any]) -> dict[str, Any]:
    """Give the JSON form of the cluster that a create task's XCom names."""
    return {key: value for key, value in named.items() if key != "created"}


def test_a_ready_cluster_is_named_at_once_and_outlives_the_task(clusters: Clusters, head: FakeRayDashboard) -> None:
    context = task_context(Store())

    named = RayCreateClusterOperator(task_id="create", cluster=LocalCluster()).execute(context)

    assert ClusterRef.from_json(json.loads(json.dumps(named))).owned is False
    assert named["name"] in clusters.states
    made = {"version": 1, "cluster": named_ref(named), "created": True, "dashboard_url": head.url}
    assert context["ti"].xcoms == {"ray_dashboard_url": head.url, "air_cluster_made": made}
    assert clusters.owners[0].key.run_id == "manual__1"  # type: ignore[union-attr]


def test_what_is_for_the_pages_alone_fails_no_task(clusters: Clusters, monkeypatch: pytest.MonkeyPatch) -> None:
    context = task_context(Store())

    def refuse(key: str, value: Any) -> None:
        raise RuntimeError("500: the database is locked")

    monkeypatch.setattr(context["ti"], "xcom_push", refuse)
    named = create(cluster=LocalCluster(name="mine")).execute(context)
    assert named["created"] is True
    assert delete().execute(context) is None
    assert clusters.deleted == ["mine"]


def test_a_retry_adopts_the_cluster(clusters: Clusters) -> None:
    first = create(cluster=LocalCluster()).execute(task_context(Store()))
    second = create(cluster=LocalCluster()).execute(task_context(Store(), try_number=2))

    assert first == second
    assert len(clusters.states) == 1


def test_a_starting_cluster_is_waited_for_in_the_triggerer(clusters: Clusters) -> None:
    context = task_context(Store())

    pause = starting(clusters, create(), context)
    assert isinstance(pause.trigger, RayRunTrigger)
    clusters.states["mine"] = ClusterState.READY

    assert resume(create(), context, pause, event_of(pause.trigger))["name"] == "mine"


def test_a_cluster_that_is_soon_ready_is_waited_for_in_place(clusters: Clusters) -> None:
    clusters.new = ClusterState.STARTING

    def start() -> None:
        wait_until(lambda: clusters.states.get("mine"), what="the cluster", timeout_seconds=60)
        clusters.states["mine"] = ClusterState.READY

    ready = threading.Thread(target=start)
    ready.start()

    assert create(deferral_grace_seconds=60).execute(task_context(Store()))["name"] == "mine"
    ready.join()


def test_a_connection_says_what_to_create(clusters: Clusters, connect: Connect) -> None:
    connect("small", extra={"backend": "local", "cluster": {"name": "small"}})

    made = create(cluster=None, ray_conn_id="small").execute(task_context(Store()))

    assert made["name"] == "small"
    assert list(clusters.states) == ["small"]


@pytest.mark.parametrize("state", [ClusterState.FAILED, ClusterState.ABSENT])
def test_a_cluster_that_cannot_start_says_why(clusters: Clusters, state: ClusterState) -> None:
    clusters.new = state

    with pytest.raises(ClusterFailedError, match=r"reason|gone"):
        create().execute(task_context(Store()))


@pytest.mark.parametrize("spec", [LocalCluster(), LocalCluster(name="mine")], ids=["its own", "named"])
def test_a_setup_that_fails_takes_back_what_it_has_started(clusters: Clusters, spec: LocalCluster) -> None:
    """A failed setup has no teardown."""
    clusters.new = ClusterState.FAILED

    with pytest.raises(ClusterFailedError):
        create(cluster=spec).execute(task_context(Store()))

    assert len(clusters.deleted) == 1


def test_a_setup_that_fails_leaves_what_another_task_has_started(clusters: Clusters) -> None:
    others(clusters, "mine", ClusterState.FAILED)

    with pytest.raises(ClusterFailedError):
        create().execute(task_context(Store()))

    assert not clusters.deleted


def others(clusters: Clusters, name: str, state: ClusterState = ClusterState.READY) -> None:
    """Let a cluster be there that another task has started."""
    clusters.states[name] = state
    clusters.makers[name] = ClusterOwner("here", TaskKey("here", "other", "manual__1", "create"))


def test_a_cluster_of_its_name_that_is_going_is_waited_for_and_made_anew(clusters: Clusters) -> None:
    context = task_context(Store())
    clusters.new = ClusterState.DELETING
    pause = deferred(create(), context)
    clusters.states.clear()
    clusters.new = ClusterState.READY

    assert resume(create(), context, pause, event_of(pause.trigger))["name"] == "mine"
    assert clusters.states == {"mine": ClusterState.READY}


def test_a_setup_whose_time_is_up_takes_its_cluster_back(clusters: Clusters) -> None:
    clusters.new = ClusterState.STARTING
    task = create(cluster=LocalCluster(), cluster_timeout_seconds=0.3, deferrable=False)

    with pytest.raises(DeadlineExceededError, match="cluster_timeout_seconds"):
        task.execute(task_context(Store()))

    assert len(clusters.deleted) == 1


def test_a_setup_that_is_killed_takes_its_cluster_back(clusters: Clusters, supervisor: Supervisor) -> None:
    task = create(cluster=LocalCluster())
    starting(clusters, task, task_context(Store()))
    supervisor.state = "failed"

    task.on_kill()

    assert len(clusters.deleted) == 1
    assert not clusters.states


@pytest.mark.parametrize(("try_number", "deleted"), [(1, 0), (3, 1)])
def test_a_setup_whose_worker_is_lost_leaves_its_cluster_to_the_next_try_where_there_is_one(
    clusters: Clusters, supervisor: Supervisor, try_number: int, deleted: int
) -> None:
    task = create(cluster=LocalCluster())
    starting(clusters, task, task_context(Store(), try_number=try_number))
    supervisor.state = "running"

    task.on_kill()

    assert len(clusters.deleted) == deleted


@pytest.mark.parametrize("spec", [LocalCluster(), LocalCluster(name="mine")], ids=["its own", "named"])
@pytest.mark.parametrize(("try_number", "deleted"), [(1, 0), (3, 1)])
def test_a_setup_whose_trigger_is_lost_leaves_its_cluster_to_the_next_try_where_there_is_one(
    clusters: Clusters, spec: LocalCluster, try_number: int, deleted: int
) -> None:
    context = task_context(Store(), try_number=try_number)
    starting(clusters, create(cluster=spec), context)

    with pytest.raises(TaskDeferralError):
        create(cluster=spec).resume_execution(TRIGGER_FAIL_REPR, {"error": "Trigger failure"}, context)

    assert len(clusters.deleted) == deleted


def test_a_deletion_whose_trigger_is_lost_asks_for_nothing_more(clusters: Clusters) -> None:
    clusters.states["mine"] = ClusterState.READY
    clusters.goes_slowly = True
    context = task_context(Store(), try_number=3)
    deferred(delete(), context)

    with pytest.raises(TaskDeferralError):
        delete().resume_execution(TRIGGER_FAIL_REPR, {"error": "Trigger failure"}, context)

    assert clusters.deleted == ["mine"]


@pytest.mark.parametrize("is_others", [False, True], ids=["its own", "another's"])
def test_a_deferred_setup_that_is_killed_takes_back_what_it_has_started_also_by_a_name(
    clusters: Clusters, supervisor: Supervisor, is_others: bool
) -> None:
    if is_others:
        others(clusters, "mine", ClusterState.STARTING)
    pause = starting(clusters, create(), task_context(Store()))
    supervisor.state = "failed"

    asyncio.run(pause.trigger.on_kill())

    assert clusters.deleted == ([] if is_others else ["mine"])


def test_a_cluster_that_was_handed_over_is_not_taken_back(clusters: Clusters) -> None:
    task = create(cluster=LocalCluster())
    task.execute(task_context(Store()))

    task.on_kill()

    assert not clusters.deleted


def test_the_xcom_says_who_has_started_the_cluster(clusters: Clusters) -> None:
    others(clusters, "theirs")

    first = create().execute(task_context(Store()))
    again = create().execute(task_context(Store(), try_number=2))
    found = create(cluster=LocalCluster(name="theirs")).execute(task_context(Store()))

    assert [made["created"] for made in (first, again, found)] == [True, True, False]


def test_two_tasks_with_one_named_cluster_delete_it_once(clusters: Clusters) -> None:
    """The one that found it there must not take it from under the other."""
    first = create().execute(task_context(Store()))
    second = create().execute(task_context(Store(), task_id="other"))

    delete(cluster=second).execute(task_context(Store()))
    assert clusters.states
    delete(cluster=first).execute(task_context(Store()))
    assert clusters.deleted == ["mine"]


def test_what_a_deferred_setup_has_started_is_its_own_as_well(clusters: Clusters) -> None:
    context = task_context(Store())
    pause = starting(clusters, create(), context)
    clusters.states["mine"] = ClusterState.READY

    assert resume(create(), context, pause, event_of(pause.trigger))["created"] is True


@pytest.mark.parametrize(
    "event",
    [
        None,
        {},
        "ready",
        {"cluster": None},
        {"cluster": {"rows": 1}},
        {"what": "cluster"},
        {"what": "end", "cluster": {}},
    ],
    ids=str,
)
def test_a_malformed_event_is_never_a_cluster(event: Any) -> None:
    with pytest.raises(AirError):
        create().on_event(task_context(Store()), event)


@pytest.mark.parametrize("cluster", [None, "mine", {"backend": "local", "name": "mine"}, LocalCluster(num_cpus=-1)])
def test_only_a_valid_spec_can_be_created(clusters: Clusters, cluster: Any, connect: Any) -> None:
    connect(host="")

    with pytest.raises((AirError, AirflowFailException)):
        create(cluster=cluster).execute(task_context(Store()))
    assert not clusters.states


def test_a_cluster_is_deleted_by_its_name_or_reference(clusters: Clusters) -> None:
    reference = ClusterRef("local", "other").to_json()
    for cluster in (LocalCluster(name="mine"), reference, None):
        RayDeleteClusterOperator(task_id="delete", cluster=cluster).execute(task_context(Store()))

    assert clusters.deleted == ["mine", "other"]


def delete(**fields: Any) -> RayDeleteClusterOperator:
    return RayDeleteClusterOperator(**{"task_id": "delete", "cluster": LocalCluster(name="mine"), **fields})


def test_a_deletion_is_done_when_the_cluster_is_gone(clusters: Clusters) -> None:
    clusters.states["mine"] = ClusterState.READY
    clusters.goes_slowly = True
    context = task_context(Store())

    pause = deferred(delete(), context)
    assert isinstance(pause.trigger, RayRunTrigger)
    assert clusters.deleted == ["mine"]
    clusters.states.clear()

    assert "air_cluster_deleted" not in context["ti"].xcoms
    assert resume(delete(), context, pause, event_of(pause.trigger)) is None
    assert clusters.deleted == ["mine"]
    assert context["ti"].xcoms["air_cluster_deleted"]["cluster"]["name"] == "mine"


def test_a_deletion_that_does_not_end_fails_the_task(clusters: Clusters) -> None:
    clusters.states["mine"] = ClusterState.READY
    clusters.goes_slowly = True

    with pytest.raises(ClusterFailedError, match=r"not gone after 0\.3 s: deleting"):
        delete(cluster_timeout_seconds=0.3, deferrable=False).execute(task_context(Store()))


def test_a_deletion_that_is_killed_deletes_nothing_more(clusters: Clusters) -> None:
    clusters.states["mine"] = ClusterState.READY
    clusters.goes_slowly = True
    task = delete()
    deferred(task, task_context(Store()))

    task.on_kill()

    assert clusters.deleted == ["mine"]


def test_a_cluster_without_a_name_cannot_be_deleted_by_its_spec(clusters: Clusters) -> None:
    with pytest.raises(AirflowFailException, match="XCom"):
        RayDeleteClusterOperator(task_id="delete", cluster=LocalCluster()).execute(task_context(Store()))
    assert not clusters.deleted


def test_an_existing_cluster_is_never_deleted(clusters: Clusters, head: FakeRayDashboard) -> None:
    context = task_context(Store())
    RayDeleteClusterOperator(task_id="delete", cluster=ExistingCluster()).execute(context)

    assert context["ti"].xcoms == {}
    assert not [request for request in head.requests_to("*", ".*") if request.method != "GET"]


# A cluster of the task's own


def submit(**fields: Any) -> RaySubmitJobOperator:
    return RaySubmitJobOperator(task_id="train", entrypoint="true", cluster=LocalCluster(), **fields)


def test_a_tasks_own_cluster_goes_with_the_job(clusters: Clusters, head: FakeRayDashboard) -> None:
    context = task_context(Store())
    pause = deferred(submit(), context)
    name = next(iter(head.jobs))
    head.set_status(name, "SUCCEEDED")
    assert not clusters.deleted

    assert resume(submit(), context, pause, event_of(pause.trigger)) == name
    assert len(clusters.deleted) == 1


def test_the_result_of_a_job_is_safe_before_its_cluster_goes(clusters: Clusters, head: FakeRayDashboard) -> None:
    store = Store()
    context = task_context(store)
    pause = deferred(submit(records=True), context)
    name = next(iter(head.jobs))
    write_records(head, name, {"kind": "result", "value": 7}, {"kind": "end", "status": "succeeded"})
    head.set_status(name, "SUCCEEDED")
    kept: list[Any] = []
    clusters.before_deletion = lambda: kept.append(store.get("air_result"))

    assert resume(submit(records=True), context, pause, event_of(pause.trigger)) == 7
    assert kept[0] is not None
    # Its worker died before Airflow heard of it; the cluster is gone.
    head.jobs.clear()
    assert submit(records=True).execute(task_context(store, try_number=2)) == 7
    assert len(clusters.owners) == 1


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


def test_the_id_is_in_the_ledger_before_a_cluster_is_asked_for(clusters: Clusters, head: FakeRayDashboard) -> None:
    clusters.new = ClusterState.STARTING
    store = Store()

    pause = deferred(submit(), task_context(store))

    assert isinstance(pause.trigger, RayRunTrigger)
    (attempt,) = store.get("air_ledger")["attempts"]
    assert (attempt["phase"], attempt["cluster"]["name"]) == ("intended", next(iter(clusters.states)))
    assert attempt["submission_id"] == pause.trigger.step["attempt"]["submission_id"]
    assert not head.jobs


def test_stopping_a_job_starts_no_cluster(clusters: Clusters) -> None:
    clusters.states["mine"] = ClusterState.READY
    stop = RayStopJobOperator(task_id="stop", submission_id="nope", cluster=LocalCluster(name="mine"))

    assert stop.execute(task_context(Store())) == "UNKNOWN"
    assert not clusters.owners
    with pytest.raises(AirflowFailException, match="without a name"):
        RayStopJobOperator(task_id="stop", submission_id="x", cluster=LocalCluster()).execute(task_context(Store()))
    assert not clusters.owners


def test_packages_that_no_one_could_install_there_are_told_before_the_cluster_starts(
    clusters: Clusters, tmp_path: Path
) -> None:
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho \'{"is_virtual": true, "virtualenv": true, "pip": false, "uv": false}\'\n')
    python.chmod(0o700)
    spec = LocalCluster(python=str(python))
    task = RaySubmitJobOperator(task_id="score", entrypoint="true", runtime_env={"pip": ["polars"]}, cluster=spec)
    clusters.new = ClusterState.STARTING

    with pytest.raises((AirflowFailException, TaskDeferred)) as raised:
        task.execute(task_context(Store()))

    assert "'runtime_env' names 'pip'" in str(raised.value)
    assert "has no pip" in str(raised.value)
    assert clusters.states == {}


# A group


def group_of(**fields: Any) -> tuple[DAG, RaySubmitJobOperator]:
    with DAG("flights", schedule=None) as dag, RayClusterTaskGroup("ray", **fields):
        job = RaySubmitJobOperator(task_id="job", entrypoint="true")
    return dag, job


def execute(dag: DAG, task_id: str, **made: Any) -> Any:
    """Run a task of the group; its teardown gets what the setup has made."""
    task: Any = dag.get_task(task_id)
    for name, value in made.items():
        setattr(task, name, value)
    return task.execute({**task_context(Store(), task_id=task_id), "dag": dag})


def test_a_group_whose_setup_fails_leaves_no_cluster(clusters: Clusters) -> None:
    """Airflow runs no teardown then, so the setup itself cleans up, also what has a name."""
    clusters.new = ClusterState.FAILED

    for spec in (LocalCluster(), LocalCluster(name="mine")):
        with pytest.raises(ClusterFailedError):
            execute(group_of(cluster=spec)[0], "ray.create_cluster")

    assert len(clusters.deleted) == 2
    assert not clusters.states


def test_the_first_of_two_groups_to_end_leaves_the_cluster_that_it_has_found(clusters: Clusters) -> None:
    one, _ = group_of(cluster=LocalCluster(name="mine"))
    with DAG("others", schedule=None) as other, RayClusterTaskGroup("ray", cluster=LocalCluster(name="mine")):
        RaySubmitJobOperator(task_id="job", entrypoint="true")
    made = execute(one, "ray.create_cluster")
    task: Any = other.get_task("ray.create_cluster")
    found = task.execute({**task_context(Store(), dag_id="others"), "dag": other})

    execute(other, "ray.delete_cluster", cluster=found)
    assert clusters.states == {"mine": ClusterState.READY}
    execute(one, "ray.delete_cluster", cluster=made)
    assert not clusters.states


def test_a_group_takes_a_connection_that_says_what_to_have(clusters: Clusters, connect: Connect) -> None:
    connect("small", extra={"backend": "local", "cluster": {"name": "small"}})
    dag, _ = group_of(ray_conn_id="small")

    made = execute(dag, "ray.create_cluster")
    assert (made["name"], made["created"]) == ("small", True)
    execute(dag, "ray.delete_cluster", cluster=made)
    assert clusters.deleted == ["small"]


def test_a_group_on_an_existing_cluster_waits_for_it_and_leaves_it(clusters: Clusters, head: FakeRayDashboard) -> None:
    dag, job = group_of(ray_conn_id="ray_default")
    made = execute(dag, "ray.create_cluster")
    assert (made["backend"], made["created"]) == ("existing", False)

    context = {**task_context(Store()), "dag": dag}
    context["ti"].xcom_pull = lambda **_: made
    deferred(job, context)
    assert len(head.jobs) == 1
    execute(dag, "ray.delete_cluster", cluster=made)
    assert not clusters.deleted


def test_the_teardown_is_tried_again_whatever_the_tasks_say() -> None:
    with DAG("flights", schedule=None, default_args={"retries": 0}) as dag, RayClusterTaskGroup("r", cluster=SPEC):
        pass

    assert dag.get_task("r.delete_cluster").retries == 3
    assert dag.get_task("r.create_cluster").retries == 0


def test_a_group_has_its_own_cluster_whatever_connection_the_tasks_use() -> None:
    arguments = {"ray_conn_id": "elsewhere"}
    with DAG("flights", schedule=None, default_args=arguments) as dag, RayClusterTaskGroup("r", cluster=SPEC):
        pass

    create_cluster: Any = dag.get_task("r.create_cluster")
    assert (create_cluster.cluster, create_cluster.ray_conn_id) == (SPEC, None)


@pytest.mark.parametrize("fields", [{}, {"cluster": LocalCluster(), "ray_conn_id": "small"}], ids=["none", "both"])
def test_a_group_needs_one_thing_that_says_what_to_have(fields: dict[str, Any]) -> None:
    with DAG("flights", schedule=None), pytest.raises(ConfigurationError, match="needs a cluster or a connection"):
        RayClusterTaskGroup("ray", **fields)


def test_a_setup_whose_alarm_rings_takes_its_cluster_back_and_asks_nobody(
    clusters: Clusters, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def alarm(*args: Any) -> None:
        raise AirflowTaskTimeout("Timeout")

    clusters.new = ClusterState.STARTING
    supervisor.state = "running"
    monkeypatch.setattr("airflow_provider_air.runs.watch.Watch.event", alarm)

    with pytest.raises(AirflowTaskTimeout):
        create(cluster=LocalCluster(), deferrable=False).execute(task_context(Store()))

    assert len(clusters.deleted) == 1
    assert not supervisor.asked


def test_the_execution_timeout_of_a_setup_holds_while_it_is_deferred(clusters: Clusters) -> None:
    task = create(cluster=LocalCluster(), execution_timeout=timedelta(seconds=100), cluster_timeout_seconds=600)
    pause = starting(clusters, task, task_context(Store()))

    assert isinstance(pause.trigger, RayRunTrigger)
    assert 0 < pause.trigger.step["until"] - time.time() <= 100


@pytest.mark.parametrize("when", ["before it is asked for", "while it is made"])
def test_a_setup_that_is_killed_early_leaves_no_cluster(
    clusters: Clusters, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """Airflow goes on after its signal handler, for up to five seconds."""
    task = create(cluster=LocalCluster())
    supervisor.state = "failed"
    ask = {"before it is asked for": "name_of", "while it is made": "ensure"}[when]
    asked = getattr(Clusters, ask)

    def killed_meanwhile(self: Clusters, *args: Any, **fields: Any) -> Any:
        task.on_kill()
        return asked(self, *args, **fields)

    monkeypatch.setattr(Clusters, ask, killed_meanwhile)

    with pytest.raises(JobStoppedError):
        task.execute(task_context(Store()))

    assert not clusters.states


def test_a_kill_while_what_was_cleared_is_stopped_takes_its_cluster_along(
    clusters: Clusters, head: FakeRayDashboard, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store()
    deferred(submit(), task_context(store))
    task = submit()
    supervisor.state = "failed"

    def killed_meanwhile(*args: Any) -> None:
        task.on_kill()
        # What Airflow sends next.
        raise KeyboardInterrupt

    monkeypatch.setattr("airflow_provider_air.runs.attempts.Attempts.stop", killed_meanwhile)
    with pytest.raises(KeyboardInterrupt):
        task.execute(task_context(store, try_number=2, max_tries=4))

    assert len(clusters.deleted) == 1

"""Which cluster a task uses."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from airflow.sdk import DAG

from airflow_provider_air.clusters.existing.backend import ExistingBackend
from airflow_provider_air.clusters.existing.spec import ExistingCluster
from airflow_provider_air.clusters.kuberay.spec import KubeRayCluster
from airflow_provider_air.clusters.local.spec import LocalCluster
from airflow_provider_air.connections.ports import backend_of, chosen, found, found_target_of, group_of, target_of
from airflow_provider_air.contracts.clusters import ClusterRef
from airflow_provider_air.contracts.names import TaskKey
from airflow_provider_air.errors import AirError, ConfigurationError
from airflow_provider_air.operators.cluster import RayCreateClusterOperator, RayDeleteClusterOperator
from airflow_provider_air.operators.group import RayClusterTaskGroup
from airflow_provider_air.operators.jobs import RayDeleteJobOperator, RayListJobsOperator
from airflow_provider_air.operators.serve import RayServeDeployOperator
from airflow_provider_air.operators.submit import RayStopJobOperator, RaySubmitJobOperator
from airflow_provider_air.operators.train import RayTrainOperator
from airflow_provider_air.sensors.cluster import RayClusterSensor
from airflow_provider_air.sensors.job import RayJobSensor
from airflow_provider_air.sensors.serve import RayServeSensor
from tests.fakes.task_context import Store, task_context
from tests.unit.conftest import Connect

KEY = TaskKey("here", "flights", "manual__1", "train")
REF = ClusterRef("existing", "other", {"ray_conn_id": "other"})
MADE = ClusterRef("local", "made", {"host": "h"})


@pytest.fixture(autouse=True)
def connections(connect: Connect) -> None:
    connect(host="http://default:8265", password="token-1")
    connect("other", host="http://other:8265")
    connect("small", extra={"backend": "local", "cluster": {"name": "small", "num_cpus": 1}})


def test_the_argument_wins_over_the_connection() -> None:
    spec = LocalCluster(name="mine")

    assert chosen(spec, "other") is spec
    assert chosen(REF, "nowhere") is REF
    assert chosen(json.loads(json.dumps(REF.to_json())), "nowhere") == REF


def test_the_connection_is_an_address_by_default() -> None:
    assert chosen(None, "other") == ExistingCluster("other")
    assert chosen(None, None) == ExistingCluster("ray_default")


def test_a_connection_moves_a_dag_to_another_back_end() -> None:
    assert chosen(None, "small") == LocalCluster(name="small", num_cpus=1)


@pytest.mark.parametrize("cluster", ["name", 5, ["a"], object(), {"rows": 3}, {}])
def test_what_is_no_cluster_is_refused(cluster: Any) -> None:
    with pytest.raises(AirError):
        chosen(cluster, None)


def test_a_spec_is_checked_before_anything_starts() -> None:
    with pytest.raises(ConfigurationError):
        chosen(LocalCluster(num_cpus=-1), None)


def in_group(**fields: Any) -> tuple[RaySubmitJobOperator, Any]:
    """A task inside a group that has made its cluster, with its context."""
    with (
        DAG("flights", schedule=None) as dag,
        RayClusterTaskGroup("ray", cluster=LocalCluster(), max_concurrent_jobs=2),
    ):
        task = RaySubmitJobOperator(task_id="train", entrypoint="true", **fields)
    context = {**task_context(Store()), "dag": dag}
    context["ti"].xcom_pull = lambda **_: MADE.to_json()
    return task, context


@pytest.mark.parametrize(
    ("fields", "target"),
    [
        ({}, MADE),
        ({"ray_conn_id": "other"}, ExistingCluster("other")),
        ({"ray_conn_id": "small"}, LocalCluster(name="small", num_cpus=1)),
        ({"cluster": REF}, REF),
        ({"cluster": REF, "ray_conn_id": "small"}, REF),
    ],
    ids=["group", "connection", "connection to another back end", "argument", "argument and connection"],
)
def test_what_the_author_names_wins_over_the_group(fields: dict[str, Any], target: Any) -> None:
    task, context = in_group(**fields)

    assert target_of(task, context) == target
    # The group's limit is about the group's cluster alone.
    assert (group_of(task) is None) == bool(fields)


KINDS: dict[str, tuple[type[Any], dict[str, Any]]] = {
    "job": (RaySubmitJobOperator, {"entrypoint": "true"}),
    "train": (RayTrainOperator, {"train_loop": "code:train"}),
    "deploy": (RayServeDeployOperator, {"import_path": "code:app"}),
    "stop": (RayStopJobOperator, {"submission_id": "job-1"}),
    "list": (RayListJobsOperator, {}),
    "delete": (RayDeleteJobOperator, {"submission_id": "job-1"}),
    "cluster sensor": (RayClusterSensor, {}),
    "job sensor": (RayJobSensor, {"submission_id": "job-1"}),
    "serve sensor": (RayServeSensor, {"application": "flights"}),
}


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_task_in_a_group_keeps_to_the_connection_that_it_names(name: str) -> None:
    kind, needed = KINDS[name]
    with DAG("flights", schedule=None) as dag, RayClusterTaskGroup("ray", cluster=LocalCluster()):
        inside = kind(task_id="inside", **needed)
        elsewhere = kind(task_id="elsewhere", ray_conn_id="other", **needed)
    context: Any = {**task_context(Store()), "dag": dag}
    context["ti"].xcom_pull = lambda **_: MADE.to_json()

    assert found_target_of(inside, context) == MADE
    assert found_target_of(elsewhere, context) == REF


def test_a_cluster_that_has_a_name_is_found_and_none_is_started() -> None:
    task, context = in_group()

    assert found_target_of(task, context) == MADE
    assert found(ExistingCluster()) == ClusterRef("existing", "ray_default", {"ray_conn_id": "ray_default"})
    assert found(REF) is REF
    assert found(LocalCluster(name="mine")).name == "mine"


def test_a_spec_without_a_name_cannot_be_found() -> None:
    with pytest.raises(ConfigurationError, match="XCom"):
        found(LocalCluster())


def test_names_are_stable_and_tell_tasks_apart() -> None:
    other = TaskKey("here", "flights", "manual__1", "train", 3)
    name_of = backend_of("local").name_of

    assert name_of(LocalCluster(), KEY) == name_of(LocalCluster(), KEY)
    assert name_of(LocalCluster(), KEY) != name_of(LocalCluster(), other)
    assert name_of(LocalCluster(name="My Cluster"), KEY).name.startswith("my-cluster-")


def test_an_existing_cluster_is_never_the_tasks_own() -> None:
    assert not backend_of("existing").name_of(ExistingCluster(), KEY).owned


def test_a_back_end_reads_airflows_connections() -> None:
    backend = backend_of("existing")

    assert isinstance(backend, ExistingBackend)
    assert backend.open_transport(found(ExistingCluster())).token == "token-1"
    with pytest.raises(ConfigurationError, match="'nowhere'"):
        backend.open_transport(ClusterRef("existing", "nowhere"))


def test_a_manifests_path_starts_at_the_dags_file_then_at_its_bundle(tmp_path: Path) -> None:
    (tmp_path / "dags").mkdir()
    with DAG("flights") as dag:
        task = RaySubmitJobOperator(
            task_id="train", entrypoint="true", cluster=KubeRayCluster(manifest="ray.yaml", image="own:2.60.0")
        )
    dag.fileloc = str(tmp_path / "dags" / "flights.py")
    context = task_context(Store())
    context["ti"].bundle_instance = SimpleNamespace(path=tmp_path)

    with pytest.raises(ConfigurationError, match=r"no manifest 'ray.yaml'.*dags/ray.yaml"):
        target_of(task, context)
    (tmp_path / "ray.yaml").write_text("spec: {suspend: true}")
    target = target_of(task, context)
    assert isinstance(target, KubeRayCluster)
    assert target.manifest == {"metadata": {}, "spec": {"suspend": True}}
    (tmp_path / "dags" / "ray.yaml").write_text("spec: {suspend: false}")
    target = target_of(task, context)
    assert isinstance(target, KubeRayCluster)
    assert target.manifest == {"metadata": {}, "spec": {"suspend": False}}
    # What the author wrote stays: the next run reads the file as it is then.
    assert task.cluster.manifest == "ray.yaml"


def test_a_dry_run_prints_what_would_be_sent(capsys: pytest.CaptureFixture[str], connect: Connect) -> None:
    connect("kube", extra={"backend": "kuberay", "cluster": {"image": "own:2.60.0"}})
    spec = KubeRayCluster(image="own:2.60.0")
    with DAG("flights"):
        own = RaySubmitJobOperator(task_id="own", entrypoint="true", cluster=spec)
        by_connection = RaySubmitJobOperator(task_id="by_connection", entrypoint="true", ray_conn_id="kube")
        create = RayCreateClusterOperator(task_id="create", cluster=spec)
        nothing: list[Any] = [
            RaySubmitJobOperator(task_id="made", entrypoint="true", cluster=create.output),
            RaySubmitJobOperator(task_id="local", entrypoint="true", cluster=LocalCluster()),
            RaySubmitJobOperator(task_id="address", entrypoint="true"),
            RayDeleteClusterOperator(task_id="delete", cluster=create.output),
        ]
        with RayClusterTaskGroup("group", cluster=spec):
            nothing.append(RaySubmitJobOperator(task_id="in_group", entrypoint="true"))

    printing: list[tuple[Any, str]] = [(own, "RayJob"), (by_connection, "RayJob"), (create, "RayCluster")]
    for task, kind in printing:
        task.dry_run()
        printed = capsys.readouterr().out
        assert yaml.safe_load(printed[printed.index("apiVersion:") :])["kind"] == kind
    for task in nothing:
        task.dry_run()
        assert "kind:" not in capsys.readouterr().out, task.task_id

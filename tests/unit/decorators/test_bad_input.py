"""Whatever is wrong with a decorated function or a group is said once, clearly, before anything remote starts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from airflow.sdk import DAG, task
from airflow.sdk.exceptions import AirflowFailException
from airflow.sdk.log import mask_secret

from airflow_provider_air.clusters.local.spec import LocalCluster
from airflow_provider_air.contracts.clusters import ClusterRef
from airflow_provider_air.errors import ConfigurationError, ProtocolError
from airflow_provider_air.operators.cluster import RayCreateClusterOperator
from airflow_provider_air.operators.group import RayClusterTaskGroup
from airflow_provider_air.runs.ledger import LEDGER_KEY
from tests.fakes.ray_dashboard import FakeRayDashboard
from tests.fakes.task_context import Store, task_context

SECRET = "s3cret-of-a-connection"


@pytest.fixture(autouse=True)
def ray_default(head: FakeRayDashboard, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster is there, so that only the bad input can be what fails."""
    connection = f'{{"conn_type": "ray", "host": "{head.url}", "password": "{head.token}"}}'
    monkeypatch.setenv("AIRFLOW_CONN_RAY_DEFAULT", connection)


def plain(value: Any = None) -> Any:
    return value


def wants_task_instance(ti: Any) -> Any:
    return ti


def with_lock() -> Callable[..., Any]:
    lock = threading.Lock()
    return lambda: lock.locked()


def decorated(function: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """Give the operator of ``@task.ray(**options)`` called with ``args``."""
    with DAG("flights", schedule=None):
        called: Any = task.ray(task_id="train", **options)(function)(*args)
        return called.operator


def context_of(operator: Any, store: Store) -> Any:
    return {**task_context(store), "dag": operator.dag}


OPTIONS: list[tuple[dict[str, Any], str]] = [
    ({"num_cpus": -1}, "'entrypoint_num_cpus' must be a number of at least 0, not -1"),
    ({"num_gpus": "many"}, "'entrypoint_num_gpus' must be a number of at least 0, not 'many'"),
    ({"label_selector": {"zone": 3}}, "'entrypoint_label_selector' maps str to str"),
    ({"runtime_env": "pip"}, "'runtime_env' must be a dict, not str"),
    ({"runtime_env": {"env_vars": {"N": 3}}}, "'env_vars' maps str to str, but 'N' is of type int"),
    ({"runtime_env": {"env_vars": {"AIR_PAYLOAD": "x"}}}, "'AIR_PAYLOAD' is reserved for the provider"),
    ({"runtime_env": {"env_vars": {"KEY": SECRET}}}, "'runtime_env' holds a secret"),
    ({"working_dir": "/no/such/folder"}, "/no/such/folder"),
    ({"metadata": {"air_task": "x"}}, "The metadata key 'air_task' is reserved"),
    ({"cluster": "local"}, "'cluster' must be a cluster spec such as LocalCluster"),
    ({"cluster": LocalCluster(num_cpus=-2)}, r"LocalCluster\(num_cpus=-2\) is wrong"),
    ({"ray_conn_id": "nowhere"}, "There is no Airflow connection 'nowhere'"),
    ({"on_clear": "never"}, "'on_clear' must be auto, fresh or resume, not 'never'"),
    ({"max_concurrent_jobs": 0}, "'max_concurrent_jobs' must be a whole number of at least 1, not 0"),
    ({"log_limit_bytes": "1MB"}, "'log_limit_bytes' must be a number of at least 0, not '1MB'"),
]


@pytest.mark.parametrize(("options", "message"), OPTIONS, ids=[str(options) for options, _ in OPTIONS])
def test_wrong_option_of_the_decorator_fails_without_a_retry_and_starts_nothing(
    options: dict[str, Any], message: str, head: FakeRayDashboard
) -> None:
    mask_secret(SECRET)
    operator, store = decorated(plain, **options), Store()
    with pytest.raises(AirflowFailException, match=message) as failure:
        operator.execute(context_of(operator, store))
    assert SECRET not in str(failure.value)
    assert store.get(LEDGER_KEY)["attempts"] == []
    assert not head.requests_to("*", "/api/")


@pytest.mark.parametrize(
    ("function", "args", "message"),
    [
        (plain, (threading.Lock(),), r"The argument 'argument 1' of plain\(\) cannot be pickled"),
        (with_lock(), (), r"The function .*lambda.*\(\) cannot be pickled"),
        (wants_task_instance, (), "The context variable 'ti' does not travel to the Ray cluster"),
    ],
    ids=["an argument", "the function", "a context variable"],
)
def test_what_cannot_travel_is_named(
    function: Callable[..., Any], args: tuple[Any, ...], message: str, head: FakeRayDashboard
) -> None:
    operator = decorated(function, *args)
    with pytest.raises(AirflowFailException, match=message):
        operator.execute(context_of(operator, Store()))
    assert not head.requests_to("*", "/api/")


@pytest.mark.parametrize("name", ["entrypoint", "records"])
def test_the_function_is_the_entrypoint_so_none_can_be_given(name: str) -> None:
    with pytest.raises(TypeError, match=f"@task.ray takes no '{name}'"):
        decorated(plain, **{name: "python train.py"})


def test_arguments_that_do_not_fit_the_function_fail_when_the_dag_is_parsed() -> None:
    with pytest.raises(TypeError, match="too many positional arguments"):
        decorated(plain, 1, 2)


def test_group_without_a_cluster_fails_when_the_dag_is_parsed() -> None:
    with DAG("flights", schedule=None), pytest.raises(ConfigurationError, match="The group 'gpu' needs a cluster"):
        RayClusterTaskGroup("gpu", cluster=None)


@pytest.mark.parametrize("limit", [0, True, "2", 1.5])
def test_group_with_a_wrong_limit_fails_when_the_dag_is_parsed(limit: Any) -> None:
    """A limit of 0 would let all its jobs wait for ever."""
    wanted = "'max_concurrent_jobs' must be a whole number of at least 1"
    with DAG("flights", schedule=None), pytest.raises(ConfigurationError, match=wanted):
        RayClusterTaskGroup("gpu", cluster=LocalCluster(), max_concurrent_jobs=limit)


@pytest.mark.parametrize(
    ("cluster", "message"),
    [
        ("gpu", "'cluster' must be a cluster spec"),
        (LocalCluster(resources={"CPU": 2.0}), "CPU has its own field"),
        (ClusterRef("local", "mine"), "'cluster' must be a cluster spec, not a cluster that exists"),
        ({"backend": "local"}, "does not name a Ray cluster"),
    ],
    ids=["a word", "a wrong field", "a cluster that exists", "half a reference"],
)
def test_group_with_a_wrong_cluster_fails_in_its_setup(cluster: Any, message: str) -> None:
    with DAG("flights", schedule=None), RayClusterTaskGroup("gpu", cluster=cluster) as group:
        pass
    setup = group.children[group.create_task_id]
    assert isinstance(setup, RayCreateClusterOperator)
    with pytest.raises((AirflowFailException, ProtocolError), match=message):
        setup.execute(context_of(setup, Store()))


def test_task_whose_group_has_made_no_cluster_says_which_task_to_clear() -> None:
    with DAG("flights", schedule=None), RayClusterTaskGroup("gpu", cluster=LocalCluster()):
        called: Any = task.ray(task_id="train")(plain)()
    operator = called.operator
    context = context_of(operator, Store())
    context["ti"].xcom_pull = lambda **_: None
    with pytest.raises(AirflowFailException, match=r"'gpu.create_cluster' has made no cluster.*Clear it together"):
        operator.execute(context)

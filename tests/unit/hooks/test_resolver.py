"""Which cluster a task uses."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_air.clusters.contract import ClusterRef
from airflow_provider_air.clusters.existing import ExistingCluster
from airflow_provider_air.clusters.local.spec import LocalCluster
from airflow_provider_air.errors import AirError, ConfigurationError
from airflow_provider_air.hooks.resolver import aopen_transport, backend_of, cluster_name, deployment_id, resolve
from airflow_provider_air.identity import TaskKey
from tests.unit.conftest import Connect

KEY = TaskKey("here", "flights", "manual__1", "train")
REF = ClusterRef("existing", "other", ray_conn_id="other")


@pytest.fixture(autouse=True)
def connections(connect: Connect) -> None:
    connect(host="http://default:8265", password="token-1")
    connect("other", host="http://other:8265")
    connect("small", extra={"backend": "local", "cluster": {"name": "small", "num_cpus": 1}})


def test_the_argument_wins_over_the_connection() -> None:
    spec = LocalCluster(name="mine")

    assert resolve(spec, "other") is spec
    assert resolve(REF, "nowhere") is REF
    assert resolve(json.loads(json.dumps(REF.to_json())), "nowhere") == REF


def test_the_connection_is_an_address_by_default() -> None:
    assert resolve(None, "other") == ExistingCluster("other")
    assert resolve(None, None) == ExistingCluster("ray_default")


def test_a_connection_moves_a_dag_to_another_back_end() -> None:
    assert resolve(None, "small") == LocalCluster(name="small", num_cpus=1)


@pytest.mark.parametrize("cluster", ["name", 5, ["a"], object(), {"rows": 3}, {}])
def test_what_is_no_cluster_is_refused(cluster: Any) -> None:
    with pytest.raises(AirError):
        resolve(cluster, None)


def test_a_spec_is_checked_before_anything_starts() -> None:
    with pytest.raises(ConfigurationError):
        resolve(LocalCluster(num_cpus=-1), None)


def test_names_are_stable_and_tell_tasks_apart() -> None:
    spec = LocalCluster()
    other = TaskKey("here", "flights", "manual__1", "train", 3)

    assert cluster_name(spec, KEY) == cluster_name(spec, KEY)
    assert cluster_name(spec, KEY) != cluster_name(spec, other)
    assert cluster_name(LocalCluster(name="My Cluster"), KEY) == "my-cluster"


def test_a_deployment_has_a_name_that_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    unnamed = deployment_id()
    monkeypatch.setenv("AIRFLOW__AIR__DEPLOYMENT", "team-a")

    assert deployment_id() == "team-a"
    assert unnamed != "team-a"
    assert unnamed


async def test_both_ways_open_the_same_transport() -> None:
    ref = ClusterRef("existing", "ray_default", ray_conn_id="ray_default")

    assert await aopen_transport(ref) == backend_of("existing").open_transport(ref)
    assert (await aopen_transport(ref)).token == "token-1"


async def test_an_absent_connection_is_named_in_the_triggerer_too() -> None:
    with pytest.raises(ConfigurationError, match="'nowhere'"):
        await aopen_transport(ClusterRef("existing", "nowhere", ray_conn_id="nowhere"))

from __future__ import annotations

import sys
from typing import Any

import pytest

from airflow_provider_air.clusters.local.spec import LocalCluster
from airflow_provider_air.contracts.clusters import ClusterSpec
from airflow_provider_air.errors import ConfigurationError


def test_the_default_spec_is_valid_and_satisfies_the_contract() -> None:
    spec = LocalCluster()
    spec.validate()
    assert isinstance(spec, ClusterSpec)


def test_a_standing_cluster_has_no_time_outs() -> None:
    LocalCluster(name="serving", ttl_seconds=None, idle_timeout_seconds=None).validate()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", " "),
        ("num_cpus", -1),
        ("num_cpus", "2"),
        ("num_cpus", True),
        ("num_gpus", 0.5),
        ("object_store_memory_bytes", 1024),
        ("resources", {"CPU": 1}),
        ("resources", {"worker": "one"}),
        ("resources", {"worker": float("inf")}),
        ("resources", ["worker"]),
        ("env_vars", {"A": 1}),
        ("env_vars", {"A=B": "1"}),
        ("env_vars", {"RAY_AUTH_MODE": "disabled"}),
        ("pass_env", "AWS_*"),
        ("pass_env", [1]),
        ("pass_env", ["AIRFLOW_CONN_DB"]),
        ("pass_env", ["RAY_*"]),
        ("ttl_seconds", 0),
        ("ttl_seconds", float("nan")),
        ("idle_timeout_seconds", "30"),
        ("startup_timeout_seconds", None),
        ("python", "python3"),
        ("python", "/nowhere/bin/python"),
        ("python", "/tmp"),
    ],
)
def test_a_wrong_field_is_named(field: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=rf"LocalCluster\({field}="):
        LocalCluster(**{field: value}).validate()


def test_the_value_of_an_environment_variable_is_never_in_a_message() -> None:
    with pytest.raises(ConfigurationError) as caught:
        LocalCluster(env_vars={"RAY_AUTH_TOKEN": "s3cret", "A": "s3cret"}).validate()
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "other",
    [
        {"name": "another"},
        {"ttl_seconds": None},
        {"idle_timeout_seconds": 5},
        {"startup_timeout_seconds": 5},
        {"python": sys.executable},
    ],
)
def test_name_and_time_outs_do_not_make_another_cluster(other: dict[str, Any]) -> None:
    assert LocalCluster(**other).fingerprint() == LocalCluster().fingerprint()


@pytest.mark.parametrize(
    "other",
    [
        {"num_cpus": 3},
        {"num_gpus": 1},
        {"object_store_memory_bytes": None},
        {"resources": {"worker": 1}},
        {"env_vars": {"A": "1"}},
        {"pass_env": ["AWS_*"]},
        {"python": "/usr/bin/python3"},
    ],
)
def test_what_jobs_would_notice_makes_another_cluster(other: dict[str, Any]) -> None:
    assert LocalCluster(**other).fingerprint() != LocalCluster().fingerprint()

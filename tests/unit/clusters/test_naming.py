"""Names of clusters: readable, of bounded length, and never one for two."""

from __future__ import annotations

import pytest

from airflow_provider_air.clusters.naming import cluster_name, name_to_find
from airflow_provider_air.contracts.names import TaskKey, fitted, named
from airflow_provider_air.errors import ConfigurationError

KEY = TaskKey("here", "flights", "manual__1", "train")


@pytest.mark.parametrize("text", ["serving", "my-cluster", "a1", "x" * 40])
def test_what_is_a_name_stays_as_it_is(text: str) -> None:
    assert fitted(text, 40) == text == name_to_find(text, 40) == cluster_name(text, KEY, 40)


@pytest.mark.parametrize("text", ["My Cluster", "my_cluster", "-a", "x" * 41, "полёты", "a b"])
def test_what_loses_something_gets_a_digest_of_all_of_it(text: str) -> None:
    assert fitted(text, 40) == named(text, 40) != text
    assert len(fitted(text, 40)) <= 40


@pytest.mark.parametrize("limit", [20, 40, 47, 63])
def test_a_task_names_its_cluster_within_the_limit(limit: int) -> None:
    long = TaskKey("here", "d" * 250, "scheduled__2026-11-26T00:00:00+00:00", "group.t" * 40, 7)
    other = TaskKey("here", "d" * 250, "scheduled__2026-11-27T00:00:00+00:00", "group.t" * 40, 7)

    assert len(cluster_name(None, long, limit)) <= limit
    assert cluster_name(None, long, limit) != cluster_name(None, other, limit)


def test_what_has_no_name_cannot_be_found() -> None:
    with pytest.raises(ConfigurationError, match="XCom"):
        name_to_find(None, 40)

from __future__ import annotations

import copy
from typing import Any

import pytest

from airflow_provider_air.clusters.kuberay.checks import LABEL_VALUE, is_label_key
from airflow_provider_air.clusters.kuberay.marks import (
    EXPIRES_AT,
    LEASED_UNTIL,
    MANAGED_BY,
    OWNER,
    TASK,
    Marks,
    expiry,
    labels_of,
    selector_of,
)
from airflow_provider_air.contracts.clusters import ClusterOwner
from airflow_provider_air.contracts.names import TaskKey

ODD = TaskKey("dé ployment\n" * 20, "dag.ü", "scheduled__2026-11-29T00:00:00+00:00", "group.task/" * 30, 7)
OWNERS = [
    ClusterOwner("deployment"),
    ClusterOwner("deployment", TaskKey("deployment", "d", "r", "t")),
    ClusterOwner("x" * 900, ODD),
]


def resource(marks: Marks) -> dict[str, Any]:
    return {"metadata": {"name": "n", "labels": marks.labels(), "annotations": marks.annotations()}}


@pytest.mark.parametrize("owner", OWNERS)
@pytest.mark.parametrize(("expires_at", "submission_id", "scope"), [(None, None, None), (1.8e9, "air-1", "dag")])
def test_what_is_written_is_read(
    owner: ClusterOwner, expires_at: float | None, submission_id: str | None, scope: str | None
) -> None:
    marks = Marks.of(owner, "hash", expires_at, submission_id, scope)
    assert Marks.read(resource(marks)) == marks


@pytest.mark.parametrize("owner", OWNERS)
def test_kubernetes_takes_the_labels_whatever_the_names_are(owner: ClusterOwner) -> None:
    marks = Marks.of(owner, "hash", 1.0)
    for key, value in marks.labels().items():
        assert is_label_key(key)
        assert LABEL_VALUE.fullmatch(value)
    for key, value in marks.annotations().items():
        assert is_label_key(key)
        assert isinstance(value, str)


def test_two_tasks_have_two_labels_and_a_deployment_finds_both() -> None:
    first = ClusterOwner("d", TaskKey("d", "dag", "run", "task", 1))
    second = ClusterOwner("d", TaskKey("d", "dag", "run", "task", 11))
    assert labels_of(first)[TASK] != labels_of(second)[TASK]
    for owner in (first, second):
        assert labels_of(ClusterOwner("d")).items() <= labels_of(owner).items()
    assert labels_of(ClusterOwner("e")) != labels_of(ClusterOwner("d"))


def test_the_selector_asks_for_the_labels() -> None:
    assert selector_of(None) == f"{MANAGED_BY}=airflow-provider-air"
    owner = ClusterOwner("d", TaskKey("d", "dag", "run", "task"))
    assert set(selector_of(owner).split(",")) == {f"{key}={value}" for key, value in labels_of(owner).items()}


@pytest.mark.parametrize(
    "change",
    [
        lambda metadata: metadata["labels"].update({MANAGED_BY: "Helm"}),
        lambda metadata: metadata["labels"].clear(),
        lambda metadata: metadata.update(labels=None),
        lambda metadata: metadata.update(annotations=None),
        lambda metadata: metadata["annotations"].update({OWNER: "{"}),
        lambda metadata: metadata["annotations"].update({OWNER: "[]"}),
        lambda metadata: metadata["annotations"].update({OWNER: '{"key": {"dag_id": "d"}, "deployment": "d"}'}),
        lambda metadata: metadata.clear(),
    ],
)
def test_what_is_not_ours_or_cannot_be_read_has_no_marks(change: Any) -> None:
    found = resource(Marks.of(OWNERS[1], "hash", 1.0))
    change(found["metadata"])
    assert Marks.read(found) is None


def test_what_a_newer_version_has_written_is_read() -> None:
    found = resource(Marks.of(OWNERS[1], "hash"))
    found["metadata"]["annotations"][OWNER] = (
        '{"version": 2, "more": 1, "deployment": "deployment", '
        '"key": {"deployment": "deployment", "dag_id": "d", "run_id": "r", "task_id": "t", "more": 1}}'
    )
    assert Marks.read(found) == Marks.of(OWNERS[1], "hash")


@pytest.mark.parametrize("text", ["", "soon", "nan-", None])
def test_an_expiry_that_somebody_broke_is_none(text: Any) -> None:
    found = copy.deepcopy(resource(Marks.of(OWNERS[1], "hash", 5.0)))
    found["metadata"]["annotations"][EXPIRES_AT] = text
    marks = Marks.read(found)
    assert marks is not None
    assert marks.expires_at is None


def test_an_expiry_is_written_in_whole_seconds() -> None:
    assert expiry(1_800_000_000.9) == "1800000000"


def test_who_counts_on_it_is_read_too() -> None:
    told = resource(Marks.of(OWNERS[1], "hash", idle_timeout_seconds=90.5))
    told["metadata"]["annotations"][LEASED_UNTIL] = expiry(2_000_000_000.0)
    read = Marks.read(told)

    assert read is not None
    assert (read.leased_until, read.idle_timeout_seconds) == (2_000_000_000.0, 90.5)


def test_a_cluster_ends_by_its_expiry_or_by_idleness_and_never_while_somebody_counts_on_it() -> None:
    def ends(**fields: Any) -> float | None:
        return Marks(OWNERS[1], "hash", **fields).ends_at(1000.0)

    assert ends() is None
    assert ends(expires_at=5000.0) == 5000.0
    assert ends(idle_timeout_seconds=60.0) == 1060.0
    assert ends(idle_timeout_seconds=60.0, leased_until=3000.0) == 3060.0
    assert ends(expires_at=5000.0, idle_timeout_seconds=60.0, leased_until=3000.0) == 3060.0
    assert ends(expires_at=2000.0, leased_until=3000.0) == 3000.0
    assert ends(leased_until=3000.0) is None

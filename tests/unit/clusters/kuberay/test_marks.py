from __future__ import annotations

from typing import Any

from airflow_provider_air.clusters.kuberay.marks import LEASED_UNTIL, Marks, expiry
from airflow_provider_air.contracts.clusters import ClusterOwner
from airflow_provider_air.contracts.names import TaskKey

OWNER = ClusterOwner("tests", TaskKey("tests", "Flüge", "manual__1", "train", 3))


def resource(marks: Marks, **more: str) -> dict[str, Any]:
    return {"metadata": {"labels": marks.labels(), "annotations": {**marks.annotations(), **more}}}


def test_marks_are_read_as_they_were_written() -> None:
    marks = Marks.of(OWNER, "abc", 2_000_000_000.0, "air-1", "dag_run", 90.5)

    assert Marks.read(resource(marks)) == marks


def test_who_counts_on_it_is_read_too() -> None:
    read = Marks.read(resource(Marks.of(OWNER, "abc"), **{LEASED_UNTIL: expiry(2_000_000_000.0)}))

    assert read is not None
    assert read.leased_until == 2_000_000_000.0


def test_what_is_not_ours_has_none() -> None:
    assert Marks.read({"metadata": {}}) is None
    assert Marks.read({"metadata": {"labels": Marks.of(OWNER, "a").labels(), "annotations": None}}) is None


def test_a_cluster_ends_by_its_expiry_or_by_idleness_and_never_while_somebody_counts_on_it() -> None:
    def ends(**fields: Any) -> float | None:
        return Marks(OWNER, "abc", **fields).ends_at(1000.0)

    assert ends() is None
    assert ends(expires_at=5000.0) == 5000.0
    assert ends(idle_timeout_seconds=60.0) == 1060.0
    assert ends(idle_timeout_seconds=60.0, leased_until=3000.0) == 3060.0
    assert ends(expires_at=5000.0, idle_timeout_seconds=60.0, leased_until=3000.0) == 3060.0
    assert ends(expires_at=2000.0, leased_until=3000.0) == 3000.0
    assert ends(leased_until=3000.0) is None

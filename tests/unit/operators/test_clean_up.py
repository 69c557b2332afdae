"""The clean-up as a task: where it looks, what it gives, and when it fails."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_air import RayCleanUpOperator, SharedFolder
from airflow_provider_air.connections.deployment import deployment_id
from airflow_provider_air.contracts.names import TaskKey
from airflow_provider_air.errors import UnavailableError
from airflow_provider_air.runs.marks import Mark
from airflow_provider_air.runs.names import metadata_of
from airflow_provider_air.storage.shared_folder import Folder
from airflow_provider_air.waiting import wait_until
from tests.fakes.ray_dashboard import FakeRayDashboard
from tests.fakes.task_context import Store, Supervisor, task_context
from tests.unit.conftest import Connect

OVER, LIVE = "manual__0", "manual__1"


@pytest.fixture(autouse=True)
def short_home(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No local cluster of this host is anybody's here."""
    with tempfile.TemporaryDirectory(prefix="air-", dir="/tmp") as folder:
        monkeypatch.setenv("AIR_LOCAL_HOME", folder)
        yield


@pytest.fixture
def key(supervisor: Supervisor) -> TaskKey:
    supervisor.dag_runs = {OVER: "success", LIVE: "running"}
    return TaskKey(deployment_id(), "flights", OVER, "train")


def clean(**fields: Any) -> dict[str, Any]:
    operator = RayCleanUpOperator(task_id="clean_up", **fields)
    report: dict[str, Any] = operator.execute(task_context(Store()))
    return dict(json.loads(json.dumps(report)))


def left(head: FakeRayDashboard, key: TaskKey, name: str) -> None:
    head.add_job(name, "RUNNING", metadata=metadata_of(key, generation=1, attempt=1, try_number=1))


def test_jobs_of_ended_runs_are_stopped_and_told_of(head: FakeRayDashboard, key: TaskKey) -> None:
    left(head, key, "left")
    left(head, replace(key, run_id=LIVE), "live")
    left(head, replace(key, deployment="another"), "theirs")
    head.add_job("strange", "RUNNING")

    told = clean(ray_conn_ids=["ray_default"], only_tell="true")
    assert (told["taken"], told["would be taken"], told["spared"]) == (0, 1, 3)
    assert head.jobs["left"].status == "RUNNING"

    told = clean(ray_conn_ids=["ray_default"])
    assert (told["taken"], told["spared"], told["outages"]) == (1, 3, {})
    assert told["lines"] == ["job left (jobs on ray_default): taken: its DAG run is over; it was asked to stop"]
    wait_until(lambda: head.jobs["left"].status == "STOPPED" or None, what="The end of the job", timeout_seconds=10)
    assert {head.jobs[name].status for name in ("live", "theirs", "strange")} == {"RUNNING"}


def test_what_is_away_is_told_and_keeps_nobody_from_the_rest(
    head: FakeRayDashboard, key: TaskKey, connect: Connect
) -> None:
    left(head, key, "left")
    connect("ray_gone", host="http://127.0.0.1:1")
    fields = {"ray_conn_ids": ["ray_gone", "ray_never", "ray_default"], "tracker_conn_ids": ["mlflow_never"]}

    told = clean(**fields)
    assert told["taken"] == 1
    assert set(told["outages"]) == {"jobs on ray_gone", "clusters of 'ray_never'", "runs of mlflow_never"}

    with pytest.raises(UnavailableError, match="ray_gone"):
        clean(**fields, strict=True)


def test_a_clean_up_that_could_look_nowhere_fails(key: TaskKey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_provider_air.connections.cleaning.backend_names", list)
    with pytest.raises(UnavailableError, match="ray_never"):
        clean(ray_conn_ids=["ray_never"])


def test_files_in_a_storage_go_when_they_are_old_enough(key: TaskKey, tmp_path: Path) -> None:
    storage = Folder(tmp_path)
    for user in (key, replace(key, run_id=LIVE)):
        Mark("result", f"air-{user.run_id}", user).write(storage)
        storage.put(f"results/air-{user.run_id}.json", b"{}")

    assert clean(storages=[SharedFolder(str(tmp_path))])["taken"] == 0
    assert clean(storages=[str(tmp_path)], keep_results_days="0")["taken"] == 1
    assert [path.name for path in tmp_path.glob("results/*")] == [f"air-{LIVE}.json"]


def test_a_storage_that_only_the_cluster_reaches_is_told_of(key: TaskKey) -> None:
    assert "Only the cluster reaches it" in str(clean(storages=["s3://bucket/prefix"])["outages"])


def test_a_tracker_that_leaves_nothing_open_is_told_of(key: TaskKey) -> None:
    told = clean(tracker_conn_ids=["ray_default"])
    assert "no attachment of the kind 'ray'" in str(told["outages"])


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"ray_conn_ids": "ray_default"}, "ray_conn_ids"),
        ({"storages": SharedFolder("/mnt")}, "storages"),
        ({"keep_clusters_seconds": -1}, "keep_clusters_seconds"),
        ({"keep_files_days": "some"}, "keep_files_days"),
        ({"only_tell": "perhaps"}, "only_tell"),
    ],
)
def test_a_field_that_is_wrong_is_named(key: TaskKey, fields: dict[str, Any], named: str) -> None:
    with pytest.raises(AirflowFailException, match=named):
        clean(**fields)

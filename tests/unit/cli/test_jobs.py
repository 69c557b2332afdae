"""``airflow air jobs`` against a double of Ray's dashboard."""

from __future__ import annotations

import threading

import pytest

from airflow_provider_air.connections.deployment import deployment_id
from airflow_provider_air.contracts.names import TaskKey
from airflow_provider_air.runs.names import metadata_of
from tests.fakes.ray_dashboard import FakeRayDashboard
from tests.unit.cli.conftest import Cli

pytestmark = pytest.mark.usefixtures("dashboard")


def metadata(deployment: str, map_index: int = -1) -> dict[str, str]:
    key = TaskKey(deployment, "flights", "manual__2026-11-26T00:00:00+00:00", "group.train", map_index)
    return metadata_of(key, generation=1, attempt=1, try_number=2)


def test_list_tells_the_task_of_each_job_and_the_latest_comes_first(cli: Cli, dashboard: FakeRayDashboard) -> None:
    dashboard.add_job("old", "SUCCEEDED", start_time=1_000)
    dashboard.add_job("new", "RUNNING", metadata=metadata(deployment_id(), 3))
    new, old = cli.rows("jobs", "list")
    assert (new["submission_id"], old["submission_id"]) == ("new", "old")
    assert (new["dag_id"], new["run_id"]) == ("flights", "manual__2026-11-26T00:00:00+00:00")
    assert (new["task"], new["try"], new["deployment"]) == ("group.train[3]", "2", "this")
    assert (old["task"], old["deployment"], old["started"]) == ("", "", "1970-01-01T00:00:01Z")


def test_mine_and_live_leave_out_the_others(cli: Cli, dashboard: FakeRayDashboard) -> None:
    dashboard.add_job("mine-live", "RUNNING", metadata=metadata(deployment_id()))
    dashboard.add_job("mine-over", "FAILED", metadata=metadata(deployment_id()))
    dashboard.add_job("theirs", "RUNNING", metadata=metadata("another"))

    def ids(*words: str) -> set[str]:
        return {row["submission_id"] for row in cli.rows("jobs", "list", *words)}

    assert ids("--mine") == {"mine-live", "mine-over"}
    assert ids("--live") == {"mine-live", "theirs"}
    assert ids("--mine", "--live") == {"mine-live"}


def test_logs_prints_a_log_of_many_reads_whole(cli: Cli, dashboard: FakeRayDashboard) -> None:
    text = "".join(f"line {number}\n" for number in range(200_000))
    dashboard.add_job("big", "SUCCEEDED", log=text)
    assert cli.run("jobs", "logs", "big") == text


def test_logs_of_a_pending_job_are_empty(cli: Cli, dashboard: FakeRayDashboard) -> None:
    dashboard.add_job("waiting", "PENDING")
    assert cli.run("jobs", "logs", "waiting") == ""


def test_follow_prints_each_line_once_until_the_job_has_ended(cli: Cli, dashboard: FakeRayDashboard) -> None:
    dashboard.add_job("running", "RUNNING", log="one\ntw")

    def go_on() -> None:
        dashboard.append_log("running", "o\nthree\n")
        dashboard.set_status("running", "SUCCEEDED")

    timer = threading.Timer(1.5, go_on)
    timer.start()
    assert cli.run("jobs", "logs", "-f", "running") == "one\ntwo\nthree\n"
    timer.join()


def test_stop_waits_for_the_end(cli: Cli, dashboard: FakeRayDashboard) -> None:
    dashboard.add_job("running", "RUNNING")
    assert cli.run("jobs", "stop", "running") == "running STOPPED\n"


def test_stop_of_an_ended_job_tells_how_it_ended(cli: Cli, dashboard: FakeRayDashboard) -> None:
    dashboard.add_job("over", "FAILED")
    assert cli.run("jobs", "stop", "over") == "over FAILED\n"
    assert not dashboard.requests_to("POST", "/stop")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("logs", "nobody"), "The cluster does not know this job .nobody."),
        (("stop", "nobody"), "The cluster does not know this job .nobody."),
        (("list", "--cluster", "a", "--ray-conn-id", "b"), "There is no Airflow connection 'b'"),
        (("list", "--cluster", "nobody"), "There is no cluster 'nobody'"),
        (("list", "--ray-conn-id", "nobody"), "There is no Airflow connection 'nobody'"),
    ],
)
def test_what_is_wrong_ends_with_one_line(cli: Cli, words: tuple[str, ...], message: str) -> None:
    with pytest.raises(SystemExit, match=message):
        cli.run("jobs", *words)


def test_a_connection_that_starts_clusters_has_no_jobs_of_its_own(cli: Cli) -> None:
    cli.add_connection("ray_own", extra='{"backend": "local"}')
    with pytest.raises(SystemExit, match="each task starts for itself"):
        cli.run("jobs", "list", "--ray-conn-id", "ray_own")

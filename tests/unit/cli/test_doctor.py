"""``airflow air doctor`` says what is broken and what to do; exit code 1 tells scripts."""

from __future__ import annotations

import json
from typing import Any

import pytest
from airflow import settings
from sqlalchemy import create_engine
from sqlalchemy.orm import sessionmaker

from tests.fakes.ray_dashboard import FakeRayDashboard
from tests.unit.cli.conftest import Cli


def healthy(cli: Cli, *words: str) -> dict[str, dict[str, Any]]:
    return {row["check"]: row for row in cli.rows("doctor", *words)}


def broken(cli: Cli, *words: str) -> dict[str, dict[str, Any]]:
    """Run the doctor, who must find something broken; give that."""
    with pytest.raises(SystemExit) as ended:
        cli.run("doctor", "-o", "json", *words)
    assert ended.value.code == 1
    rows = json.loads(cli.capsys.readouterr().out)
    found = {row["check"]: row for row in rows if row["verdict"] == "broken"}
    assert all(row["what_to_do"] for row in found.values())
    return found


def test_all_is_well_with_a_triggerer_and_a_cluster(cli: Cli, dashboard: FakeRayDashboard) -> None:
    cli.add_triggerer()
    dashboard.add_job("one", "RUNNING")
    found = healthy(cli)
    assert {row["verdict"] for row in found.values()} <= {"ok", "note"}
    assert found["connection ray_default"]["finding"] == "answers with Ray 2.60.0"
    assert "1 jobs can be listed, 1 of them live" in found["connection ray_default: jobs"]["finding"]
    assert dashboard.agent_url in found["connection ray_default: logs"]["finding"]
    assert found["@task.ray"]["verdict"] == "ok"


def test_without_a_triggerer_deferred_tasks_would_wait_for_ever(cli: Cli, dashboard: FakeRayDashboard) -> None:
    cli.add_triggerer(beat_seconds_ago=3600)
    assert set(broken(cli)) == {"triggerer"}


def test_a_wrong_token_an_absent_cluster_and_no_address_are_told_apart(cli: Cli, dashboard: FakeRayDashboard) -> None:
    cli.add_triggerer()
    cli.add_connection("ray_token", host=dashboard.url, password="wrong")
    cli.add_connection("ray_gone", host="127.0.0.1", port=1)
    cli.add_connection("ray_empty")
    found = broken(cli)
    assert set(found) == {"connection ray_token", "connection ray_gone", "connection ray_empty"}
    assert "token" in found["connection ray_token"]["finding"]
    assert "dashboard-host" in found["connection ray_gone"]["what_to_do"]
    assert "no address" in found["connection ray_empty"]["finding"]


def test_one_connection_is_checked_alone_on_request(cli: Cli, dashboard: FakeRayDashboard) -> None:
    cli.add_triggerer()
    cli.add_connection("ray_gone", host="127.0.0.1", port=1)
    assert "connection ray_default" in healthy(cli, "--ray-conn-id", "ray_default")


def test_a_log_port_that_cannot_be_reached_is_a_note(cli: Cli) -> None:
    cli.add_triggerer()
    with FakeRayDashboard(agent=False) as fake:
        fake.add_job("one", "RUNNING")
        cli.add_connection("ray_default", host=fake.url, password=fake.token)
        logs = healthy(cli)["connection ray_default: logs"]
    assert logs["verdict"] == "note"
    assert "state API" in logs["finding"]


def test_a_cluster_whose_only_node_is_dead_is_broken(cli: Cli, dashboard: FakeRayDashboard) -> None:
    cli.add_triggerer()
    dashboard.kill_node()
    assert "connection ray_default: nodes" in broken(cli)


def test_an_empty_deployment_is_told_how_to_make_a_connection(cli: Cli) -> None:
    cli.add_triggerer()
    assert "airflow connections add" in healthy(cli)["connections"]["what_to_do"]


def test_a_database_that_was_never_made_is_said_in_one_line(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "Session", sessionmaker(create_engine("sqlite://")))
    found = broken(cli)
    assert set(found) == {"triggerer", "connections"}
    assert "airflow db migrate" in found["triggerer"]["what_to_do"]


@pytest.mark.parametrize(
    ("address", "extra", "says"),
    [
        ("http://127.0.0.2:{port}", {}, "is no address of a node"),
        ("http://127.0.0.1:{port}/x#", {}, "is no address of a node"),
        ("http://127.0.0.1:{port}", {"read_agents": False}, "'read_agents' is off"),
    ],
)
def test_an_address_that_only_a_job_tells_is_not_asked(
    cli: Cli, dashboard: FakeRayDashboard, address: str, extra: dict[str, Any], says: str
) -> None:
    cli.add_triggerer()
    cli.add_connection("ray_other", host=dashboard.url, password=dashboard.token, extra=json.dumps(extra))
    dashboard.add_job("one", "RUNNING")
    dashboard.agent_url = address.format(port=dashboard.agent_url.rpartition(":")[2])

    assert says in healthy(cli, "--ray-conn-id", "ray_other")["connection ray_other: logs"]["finding"]
    assert not dashboard.requests_to("GET", "local_raylet_healthz")

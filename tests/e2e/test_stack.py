"""The ground of the other end-to-end tests: does the stack itself hold."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
from airflow_stack import AirflowStack, StackError

from tests.e2e.conftest import DAGS

pytestmark = pytest.mark.e2e


def test_plain_task_runs_and_its_log_and_result_are_readable(airflow_stack: AirflowStack) -> None:
    api = airflow_stack.api
    api.wait_dag("stack_plain")
    run_id = api.trigger("stack_plain")

    assert api.wait_run("stack_plain", run_id) == "success"
    assert api.xcom("stack_plain", run_id, "add") == 5
    assert "adding on a worker" in api.log_text("stack_plain", run_id, "add")


def test_cleared_task_runs_again_under_the_next_try_number(airflow_stack: AirflowStack) -> None:
    api = airflow_stack.api
    api.wait_dag("stack_plain")
    run_id = api.trigger("stack_plain")
    api.wait_run("stack_plain", run_id)

    assert api.clear("stack_plain", run_id, ["add"]) == ["add"]
    again = api.wait_task_state("stack_plain", run_id, "add", {"success"}, min_try_number=2)
    assert again["try_number"] == 2


@pytest.mark.full  # test_parts_that_die.py does the like
def test_deferred_task_survives_a_killed_and_restarted_triggerer(airflow_stack: AirflowStack) -> None:
    api = airflow_stack.api
    api.wait_dag("stack_deferred")
    run_id = api.trigger("stack_deferred")
    api.wait_task_state("stack_deferred", run_id, "wait", {"deferred"})
    before = airflow_stack.components["triggerer"]

    airflow_stack.kill("triggerer", signal.SIGKILL)
    assert not [process for process in before.members() if process.status() != psutil.STATUS_ZOMBIE]
    airflow_stack.restart("triggerer")

    assert airflow_stack.pids()["triggerer"] != before.process.pid
    assert api.wait_run("stack_deferred", run_id) == "success"


@pytest.mark.full  # test_parts_that_die.py does the like
def test_two_triggerers_beat_side_by_side(airflow_stack: AirflowStack) -> None:
    name = airflow_stack.add_triggerer()
    assert {"triggerer", name} <= set(airflow_stack.pids())

    airflow_stack.kill(name, signal.SIGTERM)
    assert name not in airflow_stack.pids()
    airflow_stack.check_alive()


@pytest.mark.full  # the ground of the others, which seldom changes
def test_stopped_stack_leaves_no_process_no_port_and_no_folder(migrated_db: Path) -> None:
    """A task that runs at that moment ends too."""
    with AirflowStack(DAGS, template_db=migrated_db) as stack:
        stack.api.wait_dag("stack_busy")
        run_id = stack.api.trigger("stack_busy")
        stack.api.wait_task_state("stack_busy", run_id, "sleep", {"running"})
        sessions = set(stack.pids().values())
        address = urlsplit(stack.base_url)

    left = [process for process in psutil.process_iter() if _session(process.pid) in sessions]
    assert not left
    assert not stack.home.exists()
    with socket.socket() as probe:
        assert probe.connect_ex((address.hostname or "", address.port or 0)) != 0


@pytest.mark.full  # the ground of the others, which seldom changes
def test_component_that_cannot_start_is_reported_with_its_log(migrated_db: Path) -> None:
    broken = {"AIRFLOW__CORE__EXECUTOR": "no.such.Executor"}
    with pytest.raises(StackError, match=r"airflow scheduler ended[\s\S]*no\.such"):  # noqa: SIM117
        with AirflowStack(DAGS, env=broken, template_db=migrated_db):
            pytest.fail("the scheduler has no executor and yet all is healthy")


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None

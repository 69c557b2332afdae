"""Whether a DAG run is over, as a task hears it of Airflow."""

from __future__ import annotations

import pytest

from airflow_provider_air.connections.dag_runs import request_of, run_state_of, state_of
from airflow_provider_air.contracts.names import TaskKey
from airflow_provider_air.errors import UnavailableError
from airflow_provider_air.runs.cluster_requests import REQUEST_KEY
from tests.fakes.task_context import Supervisor

KEY = TaskKey("here", "flights", "manual__1", "train")


@pytest.mark.parametrize(
    ("said", "heard"),
    [("success", "over"), ("failed", "over"), ("running", "live"), ("queued", "live"), (404, "unknown")],
)
def test_what_airflow_says_of_a_run(supervisor: Supervisor, said: str | int, heard: str) -> None:
    supervisor.dag_runs["manual__1"] = said
    assert run_state_of(KEY) == heard


@pytest.mark.parametrize("status", [500, 503, 403, None])
def test_what_airflow_does_not_say_is_not_over(supervisor: Supervisor, status: int | None) -> None:
    supervisor.dag_runs["manual__1"] = status or 0
    with pytest.raises(UnavailableError, match="manual__1"):
        run_state_of(KEY)


def test_only_a_task_may_ask_so(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.sdk.execution_time import task_runner

    monkeypatch.delattr(task_runner, "SUPERVISOR_COMMS", raising=False)
    with pytest.raises(UnavailableError, match="task"):
        run_state_of(KEY)


def test_a_state_that_airflow_will_have_some_day_is_not_over() -> None:
    assert state_of("paused") == "live"
    assert state_of(None) == "unknown"


def test_what_a_person_asks_of_a_cluster_is_an_xcom_of_the_task_that_made_it(supervisor: Supervisor) -> None:
    assert request_of(KEY) is None
    supervisor.xcoms[REQUEST_KEY] = {"action": "end"}
    assert request_of(KEY) == {"action": "end"}

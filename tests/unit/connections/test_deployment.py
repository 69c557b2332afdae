"""Which Airflow this is: the same for all its processes and for good, and never another one's."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import ErrorResponse, GetVariable, PutVariable

from airflow_provider_air.connections import deployment
from airflow_provider_air.connections.deployment import VARIABLE, deployment_id, stored_id
from airflow_provider_air.errors import UnavailableError
from tests.fakes.task_context import Supervisor


@pytest.fixture(autouse=True)
def unnamed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("AIRFLOW__AIR__DEPLOYMENT")
    monkeypatch.setattr(deployment, "SETTLE_SECONDS", 0.0)
    deployment._unnamed.cache_clear()
    yield
    deployment._unnamed.cache_clear()


def asked_by_a_new_process() -> str:
    deployment._unnamed.cache_clear()
    return deployment_id()


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], Any]:
    def lay(supervisor: Any) -> Any:
        monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", supervisor, raising=False)
        return supervisor

    return lay


def test_a_deployment_has_a_name_that_can_be_set(supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    unnamed = deployment_id()
    monkeypatch.setenv("AIRFLOW__AIR__DEPLOYMENT", "team-a")

    assert deployment_id() == "team-a"
    assert unnamed != "team-a"
    assert unnamed


def test_all_processes_of_a_deployment_know_it_by_one_name(supervisor: Supervisor) -> None:
    first = deployment_id()

    assert supervisor.variables == {VARIABLE: first}
    assert {asked_by_a_new_process() for _ in range(3)} == {first}


def test_a_process_asks_once(line: Any) -> None:
    supervisor = line(Counting())
    supervisor.variables[VARIABLE] = "known"

    assert [deployment_id() for _ in range(5)] == ["known"] * 5
    assert supervisor.heard.count("GetVariable") == 1


def test_a_rotated_key_makes_no_other_deployment(supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", "one")
    first = deployment_id()
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", "two")
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://moved.example")

    assert asked_by_a_new_process() == first


def test_two_stacks_of_one_compose_file_are_two_deployments(line: Any) -> None:
    """All their settings are the same; their databases are not."""
    line(Supervisor())
    one = asked_by_a_new_process()
    line(Supervisor())
    other = asked_by_a_new_process()

    assert one != other


class Counting(Supervisor):
    """Notes what it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[str] = []

    def send(self, message: Any) -> Any:
        self.heard.append(type(message).__name__)
        return super().send(message)


class Together(Supervisor):
    """Lets two first tasks look before either writes, and write before either looks again."""

    def __init__(self) -> None:
        super().__init__()
        self.both_have_looked = threading.Barrier(2, timeout=60)
        self.both_have_written = threading.Barrier(2, timeout=60)
        self.mine = threading.local()

    def send(self, message: Any) -> Any:
        if not isinstance(message, PutVariable):
            return super().send(message)
        self.both_have_looked.wait()
        answer = super().send(message)
        self.both_have_written.wait()
        return answer


def test_two_first_tasks_at_once_make_one_name(line: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deployment, "SETTLE_SECONDS", 0.3)
    line(Together())
    found: list[str] = []
    # A process each, in life: what is remembered per process is passed by.
    tasks = [threading.Thread(target=lambda: found.append(deployment._unnamed.__wrapped__())) for _ in range(2)]
    for task in tasks:
        task.start()
    for task in tasks:
        task.join(120)

    assert len(found) == 2
    assert len(set(found)) == 1


class Refusing(Supervisor):
    """
    Answers nothing about Variables but an error.

    :param error: which one
    """

    def __init__(self, error: ErrorType) -> None:
        super().__init__()
        self.error = error

    def send(self, message: Any) -> Any:
        if isinstance(message, GetVariable):
            return ErrorResponse(error=ErrorType.VARIABLE_NOT_FOUND)
        raise AirflowRuntimeError(ErrorResponse(error=self.error))


def test_where_variables_cannot_be_written_addresses_tell_and_a_warning_says_so(
    line: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    line(Refusing(ErrorType.PERMISSION_DENIED))
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", "one")
    found = {deployment_id() for _ in range(3)}

    assert len(found) == 1
    assert [record.message for record in caplog.records if "[air] deployment" in record.message][1:] == []
    assert "[air] deployment" in caplog.text
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", "two")
    assert {asked_by_a_new_process()} == found
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://another.example")
    assert asked_by_a_new_process() not in found


def test_a_process_without_a_line_to_airflow_makes_none(caplog: pytest.LogCaptureFixture) -> None:
    assert stored_id() is None
    assert deployment_id()
    assert "[air] deployment" in caplog.text


@pytest.mark.parametrize("error", [ErrorType.API_SERVER_ERROR, ErrorType.GENERIC_ERROR])
def test_an_api_server_that_does_not_answer_is_no_reason_for_a_second_name(line: Any, error: ErrorType) -> None:
    class Away(Supervisor):
        """Has a name, and does not tell it now."""

        def send(self, message: Any) -> Any:
            if isinstance(message, GetVariable):
                raise AirflowRuntimeError(ErrorResponse(error=error))
            return super().send(message)

    supervisor = line(Away())
    supervisor.variables[VARIABLE] = "known"

    with pytest.raises(UnavailableError, match="names this deployment"):
        deployment_id()
    assert supervisor.variables == {VARIABLE: "known"}


def test_what_may_not_be_read_is_not_asked_again(line: Any) -> None:
    class Denying(Supervisor):
        """Lets this task read no Variable."""

        def send(self, message: Any) -> Any:
            if isinstance(message, GetVariable):
                return ErrorResponse(error=ErrorType.PERMISSION_DENIED)
            return super().send(message)

    line(Denying())

    assert deployment_id()


def test_a_first_task_waits_until_others_have_written(line: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deployment, "SETTLE_SECONDS", 0.1)
    line(Supervisor())
    began = time.monotonic()
    deployment_id()

    assert time.monotonic() - began >= 0.1

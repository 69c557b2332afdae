"""Names in any script reach Airflow's database, on the triggerer's line and on a worker's."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from airflow.sdk import Connection
from airflow.sdk.api.client import Client
from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import ConnectionResult, ErrorResponse, SetXCom
from airflow.sdk.execution_time.request_handlers import handle_set_xcom

from airflow_provider_air.connections.base import aget_connection, get_connection
from airflow_provider_air.connections.ports import XComBoard
from tests.fakes.in_process_api import InProcessSupervisor

NAMES = ["h3.flights", "h3.данные", "café", "航班_延误"]


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[InProcessSupervisor]:
    supervisor = InProcessSupervisor()
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", supervisor, raising=False)
    yield supervisor
    supervisor.close()


def task(name: str) -> dict[str, Any]:
    return {"dag_id": name, "run_id": f"manual__{name}+00:00", "task_id": f"{name}.train", "map_index": 3}


@pytest.mark.parametrize("name", NAMES)
def test_a_trigger_writes_and_reads_what_belongs_to_its_task(name: str, in_process: InProcessSupervisor) -> None:
    board = XComBoard(task(name))

    assert board.read("progress") is None
    board.write("progress", {"done": 1})
    board.write("progress", {"done": 2})

    assert in_process.xcoms == {(name, f"manual__{name}+00:00", f"{name}.train", 3, "progress"): {"done": 2}}
    assert XComBoard(task(name)).read("progress") == {"done": 2}


def test_a_name_is_misread_once_a_watch(in_process: InProcessSupervisor) -> None:
    """Each time costs Airflow's log a traceback."""
    board = XComBoard(task("h3.данные"))
    for done in range(5):
        board.write("progress", {"done": done})

    assert [type(error) for error in in_process.raised] == [UnicodeEncodeError]


class HttpSupervisor:
    """A worker's supervisor: Airflow's own client, up to the wire."""

    def __init__(self) -> None:
        self.paths: list[bytes] = []
        self._client = Client(base_url=None, token="", dry_run=True, transport=httpx.MockTransport(self._answer))
        self._client.base_url = "http://api-server/execution/"

    def send(self, message: SetXCom) -> None:
        handle_set_xcom(self._client, message)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.paths.append(request.url.raw_path)
        return httpx.Response(201, json={"message": "ok"})


def test_a_real_api_server_gets_the_true_name(monkeypatch: pytest.MonkeyPatch) -> None:
    supervisor = HttpSupervisor()
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", supervisor, raising=False)

    XComBoard({"dag_id": "é", "run_id": "r", "task_id": "t", "map_index": -1}).write("progress", {})

    assert supervisor.paths == [b"/execution/xcoms/%C3%A9/r/t/progress"]


class OtherTrouble:
    """A supervisor whose api-server is away."""

    def __init__(self) -> None:
        self.asked = 0

    def send(self, message: Any) -> None:
        self.asked += 1
        detail = {"message": "refused", "exception_type": "ConnectError"}
        raise AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail=detail))


def test_other_trouble_is_told_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    supervisor = OtherTrouble()
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", supervisor, raising=False)

    with pytest.raises(AirflowRuntimeError, match="ConnectError"):
        XComBoard(task("данные")).write("progress", {})
    assert supervisor.asked == 1


class ConnectionsByPath:
    """A triggerer's supervisor that has one connection; it reads paths as a2wsgi does."""

    def send(self, message: Any) -> Any:
        if not hasattr(message, "conn_id"):
            return None
        try:
            meant = message.conn_id.encode("latin-1").decode("utf-8")
        except UnicodeError as error:
            detail = {"message": str(error), "exception_type": type(error).__name__}
            raise AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail=detail)) from None
        fields = {"conn_id": meant, "conn_type": "ray", "host": "http://head", "extra": "{}"}
        return ConnectionResult.model_validate({**dict.fromkeys(("login", "password", "schema", "port")), **fields})

    async def asend(self, message: Any) -> Any:
        return self.send(message)


@pytest.mark.parametrize("way", ["sync", "async"])
@pytest.mark.parametrize("name", NAMES)
def test_a_connection_of_any_name_is_found(monkeypatch: pytest.MonkeyPatch, name: str, way: str) -> None:
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", ConnectionsByPath(), raising=False)

    found: Connection = get_connection(name, "") if way == "sync" else asyncio.run(aget_connection(name, ""))

    assert (found.conn_id, found.host) == (name, "http://head")

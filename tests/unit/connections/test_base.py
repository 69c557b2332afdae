"""How connections are found, and why they are not."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import ErrorResponse, GetConnection

from airflow_provider_air.connections.airflow import AirflowConnections
from airflow_provider_air.connections.base import address_of, aget_connection, extra_of, get_connection
from airflow_provider_air.errors import AirError, ConfigurationError, UnavailableError
from tests.unit.conftest import Connect


class Line:
    """
    The line to a supervisor that has no connection.

    :param error: what it says to who asks for one; ``raises``: as it says what goes wrong in itself
    """

    def __init__(self, error: ErrorType, *, raises: bool) -> None:
        self.answer, self.raises = ErrorResponse(error=error), raises

    def send(self, message: Any) -> Any:
        if not isinstance(message, GetConnection):
            return None
        if self.raises:
            raise AirflowRuntimeError(self.answer)
        return self.answer

    async def asend(self, message: Any) -> Any:
        return self.send(message)


@pytest.fixture(params=["sync", "async"])
def way(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def look_up(way: str, conn_id: str) -> None:
    if way == "sync":
        get_connection(conn_id, "Make one")
    else:
        asyncio.run(aget_connection(conn_id, "Make one"))


def failure(way: str, conn_id: str = "nowhere") -> AirError:
    with pytest.raises(AirError) as raised:
        look_up(way, conn_id)
    return raised.value


@pytest.mark.parametrize(
    ("error", "raises", "kind", "says"),
    [
        (
            ErrorType.CONNECTION_NOT_FOUND,
            False,
            ConfigurationError,
            "no Airflow connection 'nowhere'. Make one",
        ),
        (ErrorType.API_SERVER_ERROR, True, UnavailableError, "Airflow's api-server does not answer"),
        (ErrorType.GENERIC_ERROR, True, UnavailableError, "Airflow's api-server does not answer"),
        (ErrorType.PERMISSION_DENIED, False, ConfigurationError, "may not read the Airflow connection 'nowhere'"),
    ],
)
def test_absent_is_told_from_unanswered(
    monkeypatch: pytest.MonkeyPatch, way: str, error: ErrorType, raises: bool, kind: type[AirError], says: str
) -> None:
    """Airflow itself says in each case that the connection is not defined."""
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", Line(error, raises=raises), raising=False)

    found = failure(way)

    assert type(found) is kind
    assert says in str(found)


def test_a_process_without_a_supervisor_knows_absent_ones_too(way: str) -> None:
    assert type(failure(way)) is ConfigurationError


@pytest.mark.parametrize(
    ("extra", "says"), [("{", "no JSON"), ("[1]", "must be a JSON object, not list"), ('"a"', "not str")]
)
def test_an_extra_that_airflow_would_pass_over_is_refused(connect: Connect, extra: str, says: str) -> None:
    connect("odd", extra=extra)
    with pytest.raises(ConfigurationError, match=says):
        extra_of(get_connection("odd", ""))


@pytest.mark.parametrize(
    ("fields", "address"),
    [
        ({}, ""),
        ({"host": None, "port": 1}, ""),
        ({"host": "a"}, "https://a"),
        ({"host": " a/ ", "port": 1, "schema": "http"}, "http://a:1"),
        ({"host": "http://a:2/x/", "port": 1}, "http://a:2/x"),
    ],
)
def test_an_address_is_read_as_people_write_it(fields: dict[str, Any], address: str) -> None:
    connection: Any = SimpleNamespace(**{"conn_id": "a", "host": None, "port": None, "schema": None, **fields})

    assert address_of(connection, "https") == address


INSIDE = "http://me:sesame@host:1"


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("ray", {"host": INSIDE}),
        ("ray", {"extra": {"address": INSIDE}}),
        ("ray", {"host": "a", "extra": {"dashboard_url": INSIDE}}),
        ("mlflow", {"host": INSIDE}),
        ("mlflow", {"host": "me:sesame@host"}),
        ("mlflow", {"host": "a", "extra": {"ui_url": INSIDE}}),
        ("wandb", {"host": INSIDE, "password": "k"}),
        ("wandb", {"password": "k", "extra": {"app_url": INSIDE}}),
        ("tecton", {"host": INSIDE, "password": "k"}),
        ("aws", {"extra": {"endpoint_url": INSIDE}}),
        ("aws", {"extra": {"service_config": {"s3": {"endpoint_url": INSIDE}}}}),
    ],
    ids=str,
)
def test_credentials_inside_an_address_are_refused_everywhere(
    connect: Connect, kind: str, fields: dict[str, Any]
) -> None:
    connect("odd", conn_type=kind, **fields)

    with pytest.raises(ConfigurationError, match="user or a password") as raised:
        AirflowConnections().open(kind, "odd")
    assert "connection odd" in str(raised.value)
    assert "sesame" not in str(raised.value)


@pytest.mark.parametrize(("kind", "field"), [("mlflow", "ui_url"), ("wandb", "app_url"), ("ray", "dashboard_url")])
def test_an_address_for_people_is_one(connect: Connect, kind: str, field: str) -> None:
    connect("odd", conn_type=kind, host="a", password="k", extra={field: "pages.example.com"})

    with pytest.raises(ConfigurationError, match=f"'{field}' must be an http"):
        AirflowConnections().open(kind, "odd")

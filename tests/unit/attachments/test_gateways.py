"""A gateway in front of MLflow or Tecton that answers in their place: asked again, and then by Airflow's retries."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from airflow_provider_air.attachments.mlflow import server as mlflow_server
from airflow_provider_air.attachments.mlflow.server import MlflowServer
from airflow_provider_air.attachments.tecton.server import TectonServer
from airflow_provider_air.errors import ConfigurationError, UnavailableError

PAGE = "<html>404 page not found</html>"
STRANGE = [
    httpx.Response(404, text=PAGE),
    httpx.Response(404, json=["not", "there"]),
    httpx.Response(302, headers={"Location": "https://login.example.org/"}),
    httpx.Response(307, headers={"Location": "https://elsewhere.example.org/"}),
    httpx.Response(200, text=PAGE),
    httpx.Response(200, json=["all", "is", "well"]),
]
OWN = {"error_code": "ENDPOINT_NOT_FOUND", "error": "no such thing", "message": "no such thing"}


def of_mlflow(answers: Iterator[httpx.Response]) -> Any:
    server = MlflowServer("http://mlflow")
    server._http = httpx.Client(transport=httpx.MockTransport(lambda _: next(answers)))
    return server.call("GET", "runs/get", run_id="r")


def of_tecton(answers: Iterator[httpx.Response]) -> Any:
    server = TectonServer("http://tecton", "key")
    server._http = httpx.Client(transport=httpx.MockTransport(lambda _: next(answers)))
    return server._call("jobs/list-materialization-jobs", {}, pauses=(0, 0, 0))


@pytest.fixture(params=[of_mlflow, of_tecton])
def ask(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(mlflow_server, "PAUSES_SECONDS", (0, 0, 0))
    return request.param


@pytest.mark.parametrize("answer", STRANGE, ids=lambda answer: f"{answer.status_code} {answer.text[:8]}")
def test_a_gateways_answer_is_no_word_of_the_servers(ask: Any, answer: httpx.Response) -> None:
    answers = iter([answer] * 5)

    with pytest.raises(UnavailableError, match=r"does not answer like \w+ to .*correct the address"):
        ask(answers)

    assert len(list(answers)) == 1


def test_what_a_gateway_answers_while_it_starts_is_asked_again(ask: Any) -> None:
    assert ask(iter([*STRANGE[:3], httpx.Response(200, json={"it": "is"})])) == {"it": "is"}


def test_what_the_server_itself_refuses_is_refused_at_once(ask: Any) -> None:
    answers = iter([httpx.Response(404, json=OWN)] * 5)

    with pytest.raises(ConfigurationError, match="no such thing"):
        ask(answers)

    assert len(list(answers)) == 4

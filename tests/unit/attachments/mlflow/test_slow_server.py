"""A server that does what it is asked and answers too late: nothing is made twice."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from aiohttp import web

from airflow_provider_air.attachments.mlflow import server as mlflow_server
from airflow_provider_air.attachments.mlflow.models import ModelRegistry
from airflow_provider_air.attachments.mlflow.server import MlflowServer
from airflow_provider_air.attachments.mlflow.tracking import MlflowTracking
from airflow_provider_air.contracts.attachments import Outcome
from airflow_provider_air.contracts.names import TaskKey
from airflow_provider_air.contracts.runs import AttemptInfo
from airflow_provider_air.errors import UnavailableError
from tests.fakes.loopback import LoopbackServer

INFO = AttemptInfo(TaskKey("here", "flights", "manual__1", "train"), "air-1", "flights-train-g1", 1, 1, "train", "c")


class SlowMlflow(LoopbackServer):
    """
    Makes runs and model versions at once; the next ``late`` creations are not answered in time.

    :ivar lost: how many creations do not even arrive
    """

    def __init__(self) -> None:
        super().__init__()
        self.late = self.lost = 0
        self.runs: list[dict[str, Any]] = []
        self.versions: list[dict[str, Any]] = []
        self.updates: list[dict[str, Any]] = []
        self.url = ""

    async def _open(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/api/2.0/mlflow/{call:.*}", self._answer)
        _, port = await self._listen(app, 0)
        self.url = f"http://127.0.0.1:{port}"

    async def _answer(self, request: web.Request) -> web.Response:
        call = request.match_info["call"]
        body = await request.json() if request.method == "POST" else dict(request.query)
        if call in ("runs/create", "model-versions/create"):
            return self._create(call, body)
        return web.json_response(self._told(call, body))

    def _create(self, call: str, body: dict[str, Any]) -> web.Response:
        if self.lost:
            self.lost -= 1
            return web.Response(status=503)
        if call == "runs/create":
            made: dict[str, Any] = {"info": {"run_id": f"run-{len(self.runs)}"}, "data": {"tags": body["tags"]}}
            self.runs.append(made)
        else:
            made = {**body, "version": str(len(self.versions) + 1)}
            self.versions.append(made)
        if self.late:
            self.late -= 1
            # What a proxy says whose patience ends before the server's work.
            return web.Response(status=504)
        return web.json_response({"run" if call == "runs/create" else "model_version": made})

    def _told(self, call: str, body: dict[str, Any]) -> dict[str, Any]:
        if call == "experiments/get-by-name":
            return {"experiment": {"experiment_id": "7"}}
        if call == "runs/search":
            tag, value = re.findall(r"[`'](.*?)[`']", body["filter"])
            return {"runs": [run for run in self.runs if {"key": tag, "value": value} in run["data"]["tags"]]}
        if call == "runs/update":
            self.updates.append(body)
        if call == "model-versions/search":
            return {"model_versions": self.versions}
        return {}


@pytest.fixture
def mlflow(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowMlflow]:
    monkeypatch.setattr(mlflow_server, "PAUSES_SECONDS", (0.01, 0.01, 0.01))
    with SlowMlflow() as server:
        yield server


def tracking(mlflow: SlowMlflow) -> MlflowTracking:
    return MlflowTracking(MlflowServer(mlflow.url), "delays", tags={})


def test_a_run_whose_creation_was_answered_late_is_found_and_joined(mlflow: SlowMlflow) -> None:
    mlflow.late = 1

    added = tracking(mlflow).before_submit(INFO)

    assert [run["info"]["run_id"] for run in mlflow.runs] == [added.state["run_id"]]


def test_a_trial_whose_creation_was_answered_late_is_one_nested_run(mlflow: SlowMlflow) -> None:
    mlflow.late = 1
    result = {"trials": [{"trial_id": "t1", "metrics": {"loss": 1.0}}, {"trial_id": "t2"}]}

    tracking(mlflow).on_end(INFO, {"run_id": "parent", "experiment_id": "7"}, Outcome("SUCCEEDED", result=result))

    assert len(mlflow.runs) == 2


def test_a_model_version_whose_creation_was_answered_late_is_the_one(mlflow: SlowMlflow) -> None:
    mlflow.late = 1

    version = ModelRegistry(MlflowServer(mlflow.url)).register("delays", run_id="r", source="s3://b/c", tags={})

    assert [item["version"] for item in mlflow.versions] == [str(version.version)]


def test_a_creation_that_did_not_arrive_is_sent_again(mlflow: SlowMlflow) -> None:
    mlflow.lost = 2

    added = tracking(mlflow).before_submit(INFO)

    assert [run["info"]["run_id"] for run in mlflow.runs] == [added.state["run_id"]]


def test_one_that_never_arrives_is_unavailable(mlflow: SlowMlflow) -> None:
    mlflow.lost = 99

    with pytest.raises(UnavailableError, match="503"):
        tracking(mlflow).before_submit(INFO)
    assert mlflow.runs == []

"""An MLflow server that takes and refuses what MLflow does, by MLflow's own checks, and keeps what it took."""

from __future__ import annotations

import re
from typing import Any

from aiohttp import web
from mlflow.exceptions import MlflowException
from mlflow.utils import validation

from tests.fakes.loopback import LoopbackServer


class FakeMlflow(LoopbackServer):
    """
    Keeps runs in memory.

    :ivar runs: by id: ``{"tags": {...}, "params": {...}, "metrics": [(name, step, value)], "parent"}``
    :ivar batches: how many calls of ``log-batch`` there were
    :ivar refuses: names of metrics that it refuses for a reason of its own
    """

    def __init__(self) -> None:
        super().__init__()
        self.runs: dict[str, dict[str, Any]] = {}
        self.batches = 0
        self.refuses: set[str] = set()
        self.deleted: set[str] = set()
        self.url = ""

    async def _open(self) -> None:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/api/2.0/mlflow/{call:.*}", self._answer)
        _, port = await self._listen(app, 0)
        self.url = f"http://127.0.0.1:{port}"

    async def _answer(self, request: web.Request) -> web.Response:
        text = await request.text()
        body = await request.json() if request.method == "POST" else dict(request.query)
        try:
            return web.json_response(self._done(request.match_info["call"], body, text))
        except MlflowException as error:
            told = {"error_code": error.error_code, "message": error.message}
            return web.json_response(told, status=error.get_http_status_code())

    def _done(self, call: str, body: dict[str, Any], text: str) -> dict[str, Any]:
        if call == "experiments/get-by-name":
            return {"experiment": {"experiment_id": "7"}}
        if call == "runs/search":
            tag, value = re.findall(r"[`'](.*?)[`']", body["filter"])
            found = [run_id for run_id, run in self.runs.items() if run["tags"].get(tag) == value]
            return {"runs": [{"info": {"run_id": run_id}} for run_id in found]}
        if call == "runs/create":
            run_id = f"run{len(self.runs)}"
            self.runs[run_id] = {"tags": {}, "params": {}, "metrics": set()}
            self._tag(run_id, body["tags"])
            return {"run": {"info": {"run_id": run_id}}}
        if call == "runs/get":
            params = [{"key": key, "value": value} for key, value in self.runs[body["run_id"]]["params"].items()]
            return {"run": {"data": {"params": params}}}
        if call == "runs/log-batch":
            self._log(body, text)
        return {}

    def _tag(self, run_id: str, tags: list[dict[str, str]]) -> None:
        for tag in tags:
            validation._validate_tag(tag["key"], tag["value"])
        self.runs[run_id]["tags"] |= {tag["key"]: tag["value"] for tag in tags}

    def _log(self, body: dict[str, Any], text: str) -> None:
        self.batches += 1
        if body["run_id"] in self.deleted:
            raise MlflowException.invalid_parameter_value("The run must be in the 'active' state")
        run = self.runs[body["run_id"]]
        metrics, params, tags = (body.get(kind, []) for kind in ("metrics", "params", "tags"))
        if len(text.encode()) > validation.MAX_BATCH_LOG_REQUEST_SIZE:
            raise MlflowException.invalid_parameter_value("Batched logging API requests must be at most 1000000 bytes")
        validation._validate_batch_log_limits(metrics, params, tags)
        for point in metrics:
            number = float(point["value"])
            validation._validate_metric(point["key"], number, point["timestamp"], point["step"])
            if point["key"] in self.refuses:
                raise MlflowException.invalid_parameter_value(f"{point['key']} is not wanted here")
        for param in params:
            validation._validate_param(param["key"], param["value"])
            if len(param["value"]) > validation.MAX_PARAM_VAL_LENGTH:
                raise MlflowException.invalid_parameter_value("too long")
            if run["params"].get(param["key"], param["value"]) != param["value"]:
                raise MlflowException.invalid_parameter_value("Changing param values is not allowed")
        self._tag(body["run_id"], tags)
        run["params"] |= {param["key"]: param["value"] for param in params}
        run["metrics"] |= {(point["key"], point["step"], str(float(point["value"]))) for point in metrics}

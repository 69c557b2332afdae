"""An MLflow server that takes and refuses what MLflow does, by MLflow's own checks, and keeps what it took."""

from __future__ import annotations

import re
from typing import Any

from aiohttp import web

from tests.fakes.loopback import LoopbackServer


class FakeMlflow(LoopbackServer):
    """
    Keeps runs in memory.

    :ivar runs: by id: ``{"tags": {...}, "params": {...}, "metrics": {(name, step, value)}, "status", "start", "end"}``
    :ivar batches: how many calls of ``log-batch`` there were
    :ivar points: how many points of metrics came in all, also those that were there
    :ivar calls: the names of all calls
    :ivar away: whether it answers nobody
    :ivar refuses: names of metrics that it refuses for a reason of its own
    """

    def __init__(self) -> None:
        # It takes seconds, and each worker of a test run imports all files.
        from mlflow.exceptions import MlflowException
        from mlflow.utils import validation

        super().__init__()
        self._refusal: Any = MlflowException
        self._checks: Any = validation
        self.runs: dict[str, dict[str, Any]] = {}
        self.batches = self.points = 0
        self.calls: list[str] = []
        self.away = False
        self.refuses: set[str] = set()
        self.deleted: set[str] = set()
        self.url = ""

    async def _open(self) -> None:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/api/2.0/mlflow/{call:.*}", self._answer)
        _, port = await self._listen(app, 0)
        self.url = f"http://127.0.0.1:{port}"

    async def _answer(self, request: web.Request) -> web.Response:
        if self.away:
            return web.Response(status=503)
        self.calls.append(request.match_info["call"])
        text = await request.text()
        body = await request.json() if request.method == "POST" else dict(request.query)
        try:
            return web.json_response(self._done(request.match_info["call"], body, text))
        except self._refusal as error:
            told = {"error_code": error.error_code, "message": error.message}
            return web.json_response(told, status=error.get_http_status_code())

    def _done(self, call: str, body: dict[str, Any], text: str) -> dict[str, Any]:
        if call == "experiments/get-by-name":
            return {"experiment": {"experiment_id": "7"}}
        if call in ("runs/search", "runs/create", "runs/get"):
            return {"runs/search": self._search, "runs/create": self._create, "runs/get": self._get}[call](body)
        if call == "runs/log-batch":
            self._log(body, text)
        elif call == "runs/update":
            self.runs[body["run_id"]] |= {"status": body["status"], "end": body.get("end_time")}
        elif call == "runs/delete":
            self.deleted.add(body["run_id"])
        elif call == "runs/set-tag":
            self._tag(body["run_id"], [{"key": body["key"], "value": body["value"]}])
        return {}

    def _search(self, body: dict[str, Any]) -> dict[str, Any]:
        tag, value = re.findall(r"[`'](.*?)[`']", body["filter"])
        found = [run_id for run_id, run in self.runs.items() if run["tags"].get(tag) == value]
        found.sort(key=lambda run_id: self.runs[run_id]["start"] if "order_by" in body else 0)
        return {"runs": [self._seen(run_id) for run_id in found if run_id not in self.deleted]}

    def _create(self, body: dict[str, Any]) -> dict[str, Any]:
        run_id, start = f"run{len(self.runs)}", body["start_time"]
        self.runs[run_id] = {"tags": {}, "params": {}, "metrics": set(), "status": "RUNNING", "start": start}
        self._tag(run_id, body["tags"])
        return {"run": {"info": {"run_id": run_id}}}

    def _get(self, body: dict[str, Any]) -> dict[str, Any]:
        return {"run": self._seen(body["run_id"])}

    def _seen(self, run_id: str) -> dict[str, Any]:
        run = self.runs[run_id]
        data = {kind: [{"key": key, "value": value} for key, value in run[kind].items()] for kind in ("params", "tags")}
        return {"info": {"run_id": run_id, "status": run["status"]}, "data": data}

    def _tag(self, run_id: str, tags: list[dict[str, str]]) -> None:
        for tag in tags:
            self._checks._validate_tag(tag["key"], tag["value"])
        self.runs[run_id]["tags"] |= {tag["key"]: tag["value"] for tag in tags}

    def _log(self, body: dict[str, Any], text: str) -> None:
        self.batches += 1
        if body["run_id"] in self.deleted:
            raise self._refusal.invalid_parameter_value("The run must be in the 'active' state")
        run = self.runs[body["run_id"]]
        metrics, params, tags = (body.get(kind, []) for kind in ("metrics", "params", "tags"))
        if len(text.encode()) > self._checks.MAX_BATCH_LOG_REQUEST_SIZE:
            raise self._refusal.invalid_parameter_value("Batched logging API requests must be at most 1000000 bytes")
        self._checks._validate_batch_log_limits(metrics, params, tags)
        for point in metrics:
            number = float(point["value"])
            self._checks._validate_metric(point["key"], number, point["timestamp"], point["step"])
            if point["key"] in self.refuses:
                raise self._refusal.invalid_parameter_value(f"{point['key']} is not wanted here")
        for param in params:
            self._checks._validate_param(param["key"], param["value"])
            if len(param["value"]) > self._checks.MAX_PARAM_VAL_LENGTH:
                raise self._refusal.invalid_parameter_value("too long")
            if run["params"].get(param["key"], param["value"]) != param["value"]:
                raise self._refusal.invalid_parameter_value("Changing param values is not allowed")
        self._tag(body["run_id"], tags)
        run["params"] |= {param["key"]: param["value"] for param in params}
        self.points += len(metrics)
        run["metrics"] |= {(point["key"], point["step"], str(float(point["value"]))) for point in metrics}

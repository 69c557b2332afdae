"""A double of Tecton's documented routes for materialization jobs and feature services, over real HTTP."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from aiohttp import web

from tests.fakes.loopback import LoopbackServer, drop_connection

KEY = "tecton-canary-key"
NEEDED = {
    "submit-materialization-job": {"start_time", "end_time", "online", "offline", "overwrite"},
    "get-materialization-job": {"job_id"},
    "cancel-materialization-job": {"job_id"},
    "list-materialization-jobs": set(),
}
# Tecton spells a name and its type so, in metadata as in answers.
SERVICES: dict[str, dict[str, dict[str, Any]]] = {
    "delay_v1": {
        "inputJoinKeys": {"carrier": {"type": "string"}},
        "featureValues": {"delays.mean_delay": {"type": "float64"}, "delays.flights": {"type": "int64"}},
    },
    "route_v1": {
        "inputJoinKeys": {"route_id": {"type": "int64"}},
        "inputRequestContextKeys": {"distance": {"type": "float64"}},
        "featureValues": {
            "speed.is_short": {"type": "boolean"},
            "routes.last_delays": {"type": "array", "elementType": {"type": "int64"}},
        },
    },
}


class FakeTecton(LoopbackServer):
    """
    Keeps jobs and ready times of the workspace ``prod`` with the feature view ``delays``, and two feature services.

    :ivar jobs: by id, as Tecton tells them
    :ivar ready: what ``get-latest-ready-time`` answers
    :ivar lost_replies: how many submissions are taken without an answer
    :ivar statuses: HTTP statuses that the next calls get instead of an answer
    :ivar keys: the API keys that are valid
    :ivar vectors: by the values of a row's keys, the features as JSON has them: int64 as text
    :ivar asked: the parameters of each ``get-features``
    :ivar slow_seconds: how long each call waits
    """

    def __init__(self) -> None:
        super().__init__()
        self.url = ""
        self.jobs: dict[str, dict[str, Any]] = {}
        self.ready: dict[str, str] = {}
        self.lost_replies = 0
        self.statuses: list[int] = []
        self.cancelled: list[str] = []
        self.keys = {KEY}
        self.vectors: dict[tuple[Any, ...], list[Any]] = {}
        self.asked: list[dict[str, Any]] = []
        self.slow_seconds = 0.0

    async def _open(self) -> None:
        app = web.Application()
        app.router.add_post("/api/v1/jobs/{route}", self._answer)
        app.router.add_post("/api/v1/feature-service/{route}", self._serve)
        _, port = await self._listen(app)
        self.url = f"http://127.0.0.1:{port}"

    def set_state(self, job_id: str, state: str) -> None:
        """Let a job go on."""
        self.call(lambda: self.jobs[job_id].update(state=state))

    async def _answer(self, request: web.Request) -> web.Response:
        await asyncio.sleep(self.slow_seconds)
        if refused := self._refuse(request):
            return refused
        route, body = request.match_info["route"], json.loads(await request.text())
        if body.get("workspace") != "prod":
            return web.json_response({"error": f"workspace {body.get('workspace')} not found"}, status=404)
        if route == "get-latest-ready-time":
            asked = {"feature_view", "feature_service"} & body.keys()
            return web.json_response(self.ready if len(asked) == 1 else {"error": "name one"})
        if route not in NEEDED or body.get("feature_view") != "delays" or NEEDED[route] - body.keys():
            return web.json_response({"error": f"bad request to {route}"}, status=400)
        return self._act(request, route, body)

    def _refuse(self, request: web.Request) -> web.Response | None:
        if request.headers.get("Authorization") not in {f"Tecton-key {key}" for key in self.keys}:
            return web.json_response({"error": "invalid API key"}, status=401)
        if self.statuses:
            headers = {"Location": f"{self.url}/elsewhere"}
            return web.json_response({"error": "try later"}, status=self.statuses.pop(0), headers=headers)
        return None

    async def _serve(self, request: web.Request) -> web.Response:
        await asyncio.sleep(self.slow_seconds)
        if refused := self._refuse(request):
            return refused
        params = json.loads(await request.text())["params"]
        service = SERVICES.get(params["featureServiceName"]) if params["workspaceName"] == "prod" else None
        if service is None:
            said = f"Unknown feature service: {params['featureServiceName']}"
            return web.json_response({"error": said, "message": said, "code": 5}, status=404)
        if request.match_info["route"] == "metadata":
            told = {field: _described(names) for field, names in service.items()}
            return web.json_response({"featureServiceType": "DEFAULT", **told})
        return self._features(params, service)

    def _features(self, params: dict[str, Any], service: dict[str, dict[str, Any]]) -> web.Response:
        self.asked.append(params)
        given = {**params.get("joinKeyMap", {}), **params.get("requestContextMap", {})}
        for name, kind in {**service["inputJoinKeys"], **service.get("inputRequestContextKeys", {})}.items():
            wanted = float if kind["type"] == "float64" else str
            if not isinstance(given.get(name), wanted):
                return web.json_response({"error": f"bad or missing key {name}"}, status=400)
        names = service["featureValues"]
        vector = self.vectors.get(tuple(given.values()), [None] * len(names))
        answer: dict[str, Any] = {"result": {"features": vector}}
        if params["metadataOptions"] == {"includeNames": True, "includeDataTypes": True}:
            answer["metadata"] = {"features": _described(names)}
        return web.json_response(answer)

    def _act(self, request: web.Request, route: str, body: dict[str, Any]) -> web.Response:
        if route == "list-materialization-jobs":
            return web.json_response({"jobs": list(self.jobs.values())})
        if route == "submit-materialization-job":
            job_id = f"job-{len(self.jobs)}"
            kept = {key: body[key] for key in ("start_time", "end_time", "online", "offline")}
            created = f"2026-01-01T00:00:{len(self.jobs):02}Z"
            self.jobs[job_id] = {"id": job_id, "state": "RUNNING", "job_type": "BATCH", "created_at": created, **kept}
            if self.lost_replies:
                self.lost_replies -= 1
                return drop_connection(request)
            return web.json_response({"job": self.jobs[job_id]})
        if body["job_id"] not in self.jobs:
            return web.json_response({"error": "no such job"}, status=404)
        if route == "cancel-materialization-job":
            self.cancelled.append(body["job_id"])
            self.jobs[body["job_id"]]["state"] = "MANUALLY_CANCELLED"
        return web.json_response({"job": self.jobs[body["job_id"]]})


def _described(names: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"name": name, "dataType": kind} for name, kind in names.items()]

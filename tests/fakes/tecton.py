"""A double of Tecton's documented routes for materialization jobs, over real HTTP."""

from __future__ import annotations

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


class FakeTecton(LoopbackServer):
    """
    Keeps jobs and ready times of the workspace ``prod`` with the feature view ``delays``.

    :ivar jobs: by id, as Tecton tells them
    :ivar ready: what ``get-latest-ready-time`` answers
    :ivar lost_replies: how many submissions are taken without an answer
    :ivar statuses: HTTP statuses that the next calls get instead of an answer
    """

    def __init__(self) -> None:
        super().__init__()
        self.url = ""
        self.jobs: dict[str, dict[str, Any]] = {}
        self.ready: dict[str, str] = {}
        self.lost_replies = 0
        self.statuses: list[int] = []
        self.cancelled: list[str] = []

    async def _open(self) -> None:
        app = web.Application()
        app.router.add_post("/api/v1/jobs/{route}", self._answer)
        _, port = await self._listen(app)
        self.url = f"http://127.0.0.1:{port}"

    def set_state(self, job_id: str, state: str) -> None:
        """Let a job go on."""
        self.call(lambda: self.jobs[job_id].update(state=state))

    async def _answer(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Tecton-key {KEY}":
            return web.json_response({"error": "invalid API key"}, status=401)
        if self.statuses:
            return web.json_response({"error": "try later"}, status=self.statuses.pop(0))
        route, body = request.match_info["route"], json.loads(await request.text())
        if body.get("workspace") != "prod":
            return web.json_response({"error": f"workspace {body.get('workspace')} not found"}, status=404)
        if route == "get-latest-ready-time":
            asked = {"feature_view", "feature_service"} & body.keys()
            return web.json_response(self.ready if len(asked) == 1 else {"error": "name one"})
        if route not in NEEDED or body.get("feature_view") != "delays" or NEEDED[route] - body.keys():
            return web.json_response({"error": f"bad request to {route}"}, status=400)
        return self._act(request, route, body)

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

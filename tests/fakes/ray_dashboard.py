"""
A double of Ray 2.60's dashboard and node agent over real HTTP, scripted by the test or replaying many jobs.

What it answers was measured on a real head and is held to it by tests/contract/test_ray_dashboard.py.
As a process (for benchmarks): ``python -m tests.fakes.ray_dashboard --jobs 1000``; see ``--help``.
"""

from __future__ import annotations

import asyncio
import io
import re
import shutil
import tempfile
import uuid
import zipfile
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from aiohttp import web

from tests.fakes.loopback import (
    Handler,
    LoopbackServer,
    RecordedRequest,
    drop_connection,
    record_arrival,
    record_status,
)
from tests.fakes.ray_dashboard_routes import DashboardRoutes
from tests.fakes.ray_dashboard_state import TERMINAL, FakeJob, Fault, log_name

PUBLIC_PATHS = frozenset({"/api/authentication_mode", "/api/gcs_healthz", "/api/local_raylet_healthz"})
RECORDED_REQUESTS = 200_000
BODY_LIMIT_BYTES = 100 * 1024 * 1024


def _new_session() -> str:
    return f"session_2026-11-26_00-00-00_000000_{uuid.uuid4().hex[:6]}"


class FakeRayDashboard(LoopbackServer):
    """
    Answers as a Ray head's dashboard at ``url`` and as its node's agent at ``agent_url``; a context manager.

    :param token: what a request must carry; None switches authentication off.
    :param agent: False: JobDetails names an agent address nobody listens on, as behind a Kubernetes service.
    :param starts_after_seconds: from POST to RUNNING; None: jobs stay PENDING until :meth:`set_status`.
    :param stops_after_seconds: from an accepted stop to STOPPED; None: the job ignores it.
    """

    def __init__(
        self,
        *,
        token: str | None = "fake-ray-token",
        agent: bool = True,
        starts_after_seconds: float | None = 0.05,
        stops_after_seconds: float | None = 0.05,
        port: int = 0,
        agent_port: int = 0,
    ) -> None:
        super().__init__()
        self.token = token
        self.starts_after_seconds = starts_after_seconds
        self.stops_after_seconds = stops_after_seconds
        self.session_name = _new_session()
        self.node_id = uuid.uuid4().hex + uuid.uuid4().hex[:24]
        self.node_state: tuple[str, str | None] = ("ALIVE", None)
        self.jobs: dict[str, FakeJob] = {}
        self.packages: dict[str, bytes] = {}
        self.tasks: dict[str, dict[str, dict[str, int]]] = {}
        self.url = self.agent_url = ""
        self.requests: deque[RecordedRequest] = deque(maxlen=RECORDED_REQUESTS)
        self.request_count = self.reply_bytes = 0
        self._agent_wanted = agent
        self._ports = (port, agent_port)
        self._agent_runner: web.AppRunner | None = None
        self._faults: list[Fault] = []
        self.log_dir = Path()

    def start(self) -> Self:
        """Serve from now on, with an empty log folder."""
        self.log_dir = Path(tempfile.mkdtemp(prefix="fakeray-"))
        return super().start()

    def stop(self) -> None:
        """Close the ports and remove the log folder."""
        super().stop()
        shutil.rmtree(self.log_dir, ignore_errors=True)

    # -- programming ------------------------------------------------------------------------------------

    def add_job(self, submission_id: str, status: str = "RUNNING", *, log: str | bytes = "", **fields: Any) -> str:
        """Put a job there as if it had been submitted earlier; ``fields`` are those of :class:`FakeJob`."""
        job = FakeJob(submission_id, **fields)
        if status != "PENDING":
            job.move_to(status, fields.get("message"), job.error_type, job.driver_exit_code)
        self.call(lambda: self.jobs.__setitem__(submission_id, job))
        self.append_log(submission_id, log)
        return submission_id

    def shipped(self) -> str:
        """Give what all packages hold, which no listing shows and only a job of the cluster can read."""
        found = []
        for data in self.packages.values():
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                found += [archive.read(name).decode("utf-8", "replace") for name in archive.namelist()]
        return "\n".join(found)

    def set_status(
        self,
        submission_id: str,
        status: str,
        *,
        message: str | None = None,
        error_type: str | None = None,
        exit_code: int | None = None,
    ) -> None:
        """Move a job to ``status`` with Ray's own message, error type and exit code unless given."""
        self.call(lambda: self.jobs[submission_id].move_to(status, message, error_type, exit_code))

    def append_log(self, submission_id: str, data: str | bytes) -> None:
        """Let the driver write to its log; partial lines stay partial."""
        self.append_file(log_name(submission_id), data)

    def append_file(self, name: str, data: str | bytes) -> None:
        """Append to any file of the node's log folder, for example a job's records."""
        path = self.log_dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(data.encode() if isinstance(data, str) else data)

    def restart_head(self, *, keep_jobs: bool = False) -> None:
        """Be a restarted head: a new session, and no job unless its GCS was persistent."""

        def restart() -> None:
            if not keep_jobs:
                self.jobs.clear()
                self.packages.clear()
                self.session_name = _new_session()

        self.call(restart)

    def put_gateway_in_front(self, body: str = "404 page not found\n") -> Fault:
        """Let a gateway that has lost its way to the head answer 404 to everything, until the fault is cancelled."""
        return self.plan("*", "", times=None, status=404, body=body)

    def kill_node(self, message: str = "dashboard_agent failed and raylet fate-shares") -> None:
        """Let the only node die while the dashboard lives on: no agent, no logs, jobs unchanged."""
        self.call(lambda: setattr(self, "node_state", ("DEAD", message)))
        self.agent_off()

    def agent_off(self) -> None:
        """Close the agent's port; its address stays in the job records."""
        runner, self._agent_runner = self._agent_runner, None
        if runner is not None:
            self._runners.remove(runner)
            self.await_(runner.cleanup())

    def agent_on(self) -> None:
        """Open the agent again, on the port it had."""
        port = int(self.agent_url.rsplit(":", 1)[1])
        self._agent_runner, _ = self.await_(self._listen(self._agent_app(), port))

    def set_tasks(self, job_id: str, counts: dict[str, dict[str, int]]) -> None:
        """Say what ``tasks/summarize`` counts for a Ray job id: function -> state -> number."""
        self.call(lambda: self.tasks.__setitem__(job_id, counts))

    def plan(self, method: str, path: str, **what: Any) -> Fault:
        """Plan a :class:`Fault` for the next matching requests (dashboard and agent); ``*`` is any method."""
        fault = Fault(method, path, **what)
        self.call(lambda: self._faults.append(fault))
        return fault

    def requests_to(self, method: str, path: str) -> list[RecordedRequest]:
        """Every request so far of ``method`` (``*``: any) whose path matches ``path``, in order."""
        seen = self.call(lambda: list(self.requests))
        return [r for r in seen if method in ("*", r.method) and re.search(path, r.path)]

    # -- what handlers do -------------------------------------------------------------------------------

    def submit(self, job: FakeJob) -> None:
        """Accept a POSTed job and let it start after a while, in the server's thread."""
        self.jobs[job.submission_id] = job
        if self.starts_after_seconds is not None and not job.unschedulable:
            self._later(self.starts_after_seconds, lambda: self._begin(job))

    def request_stop(self, job: FakeJob) -> bool:
        """Accept a stop as Ray does: true for every job with a supervisor, whether or not it will end."""
        if job.status in TERMINAL:
            return False
        if self.stops_after_seconds is not None and not job.unschedulable:
            self._later(self.stops_after_seconds, lambda: self._end(job))
        return True

    def _begin(self, job: FakeJob) -> None:
        if job.status == "PENDING":
            job.move_to("RUNNING", None, None, None)
            self.append_log(job.submission_id, f"Running entrypoint for job {job.submission_id}: {job.entrypoint}\n")

    def _end(self, job: FakeJob) -> None:
        if job.status not in TERMINAL:
            job.move_to("STOPPED", None, None, None)

    def _later(self, seconds: float, action: Callable[[], None]) -> None:
        self._loop.call_later(seconds, action)

    # -- serving ----------------------------------------------------------------------------------------

    async def _open(self) -> None:
        app = web.Application(middlewares=[self._observe, self._guard], client_max_size=BODY_LIMIT_BYTES)
        app.on_response_prepare.append(record_status)
        app.add_routes(DashboardRoutes(self).table())
        _, port = await self._listen(app, self._ports[0])
        self._agent_runner, agent_port = await self._listen(self._agent_app(), self._ports[1])
        self.url, self.agent_url = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{agent_port}"
        if not self._agent_wanted:
            self._runners.remove(self._agent_runner)
            await self._agent_runner.cleanup()
            self._agent_runner = None

    def _agent_app(self) -> web.Application:
        app = web.Application(middlewares=[self._observe, self._guard])
        app.on_response_prepare.append(record_status)
        # Ray's agent serves its log folder with this very class, hence Range, ETag and 416 as the real ones.
        app.router.add_static("/logs", self.log_dir, show_index=True)
        app.router.add_get("/api/local_raylet_healthz", DashboardRoutes(self).healthy)
        return app

    @web.middleware
    async def _observe(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Record the request and apply the first planned fault that takes it."""
        record = record_arrival(request)
        self.requests.append(record)
        self.request_count += 1
        fault = next((f for f in self._faults if f.takes(request.method, request.path)), None)
        response = await (handler(request) if fault is None else self._fail(fault, request, handler))
        gone = request.transport is None or request.transport.is_closing()
        record.reply_bytes = 0 if gone else _length(response)
        self.reply_bytes += record.reply_bytes
        return response

    async def _fail(self, fault: Fault, request: web.Request, handler: Handler) -> web.StreamResponse:
        await asyncio.sleep(fault.delay_seconds)
        if fault.act_first or not (fault.drop or fault.status):
            response = await handler(request)
            if not (fault.drop or fault.status):
                return response
        if fault.drop:
            return drop_connection(request)
        return web.Response(status=fault.status or 500, text=fault.body)

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse what Ray refuses: a missing or wrong token, and browsers that would change something."""
        header = request.headers.get("Authorization") or request.headers.get("X-Ray-Authorization")
        if self.token is not None and request.path not in PUBLIC_PATHS:
            if not header:
                return web.Response(status=401, text="Unauthorized: Missing authentication token")
            if header != f"Bearer {self.token}":
                return web.Response(status=403, text="Forbidden: Invalid authentication token")
        if request.headers.get("User-Agent", "").startswith("Mozilla"):
            if request.path.startswith("/logs"):
                return web.Response(status=403, text="Browser requests not allowed.")
            if request.method not in ("GET", "HEAD", "OPTIONS"):
                return web.Response(status=405, text=f"'{request.method}' method not allowed for browser traffic.")
        return await handler(request)


def _length(response: web.StreamResponse) -> int:
    """Bytes of the reply's body: declared where it is, else written so far."""
    if isinstance(response, web.Response) and isinstance(response.body, bytes):
        return len(response.body)
    return response.content_length or response.body_length if response.prepared else 0


if __name__ == "__main__":
    from tests.fakes.ray_dashboard_replay import main

    main()

"""The dashboard's routes that the provider uses, with the replies measured on Ray 2.60."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import web

from tests.fakes.ray_dashboard_state import NO_RESOURCES, TERMINAL, FakeJob, log_name

if TYPE_CHECKING:
    from tests.fakes.ray_dashboard import FakeRayDashboard

CHUNK_BYTES = 64 * 1024
RAY_VERSION = "2.60.0"
CPUS = 2.0
JOB_KEYS = frozenset(
    {
        "entrypoint",
        "submission_id",
        "job_id",
        "runtime_env",
        "metadata",
        "entrypoint_num_cpus",
        "entrypoint_num_gpus",
        "entrypoint_memory",
        "entrypoint_resources",
        "entrypoint_label_selector",
    }
)
BROKEN = "500 Internal Server Error\n\nServer got itself in trouble"


def _trace(error: str) -> str:
    return f'Traceback (most recent call last):\n  File "job_agent.py", line 45, in submit_job\n{error}\n'


def _wrapped(status: int, error: str) -> web.Response:
    """An agent's refusal as the head passes it on: always a 500 with both tracebacks."""
    inner = _trace(error)
    return _text(500, _trace(f"RuntimeError: Request failed with status code {status}: {inner}."))


def _text(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=text)


def _envelope(data: dict[str, Any], msg: str = "") -> web.Response:
    return web.json_response({"result": True, "msg": msg, "data": data})


def _listing(rows: Any, total: int) -> web.Response:
    counted = {"total": total, "num_after_truncation": total, "num_filtered": total, "result": rows}
    return _envelope({"result": {**counted, "partial_failure_warning": "", "warnings": None}})


def _last_lines_offset(path: Path, lines: int) -> int:
    """Where the last ``lines`` lines begin; a partial last line counts as one."""
    content = path.read_bytes()
    return len(content) - len(b"".join(content.splitlines(keepends=True)[-lines:]))


class DashboardRoutes:
    """Handlers over one :class:`FakeRayDashboard`; they hold nothing of their own."""

    def __init__(self, head: FakeRayDashboard) -> None:
        self.head = head

    def table(self) -> list[web.RouteDef]:
        """Every route of the double."""
        return [
            web.get("/api/authentication_mode", self.authentication_mode),
            web.get("/api/gcs_healthz", self.healthy),
            web.get("/api/version", self.version),
            web.get("/api/jobs/", self.list_jobs),
            web.post("/api/jobs/", self.submit),
            web.get("/api/jobs/{id}", self.describe),
            web.delete("/api/jobs/{id}", self.delete),
            web.post("/api/jobs/{id}/stop", self.stop),
            web.get("/api/jobs/{id}/logs", self.logs),
            web.get("/api/packages/gcs/{name}", self.package_exists),
            web.put("/api/packages/gcs/{name}", self.upload_package),
            web.get("/api/v0/logs/{media_type}", self.log_file),
            web.get("/api/v0/nodes", self.nodes),
            web.get("/api/v0/tasks/summarize", self.summarize),
            web.get("/nodes", self.node_summary),
            web.get("/api/cluster_status", self.cluster_status),
        ]

    async def authentication_mode(self, request: web.Request) -> web.Response:
        """Say whether a token is needed; needs none itself."""
        return web.json_response({"authentication_mode": "token" if self.head.token else "disabled"})

    async def healthy(self, request: web.Request) -> web.Response:
        """Answer a health check; needs no token."""
        return _text(200, "success")

    async def version(self, request: web.Request) -> web.Response:
        """Name version and session."""
        session = self.head.session_name
        return web.json_response(
            {"version": "4", "ray_version": RAY_VERSION, "ray_commit": "0" * 40, "session_name": session}
        )

    async def list_jobs(self, request: web.Request) -> web.Response:
        """Every job ever, without paging, as Ray does it."""
        return web.json_response([self._details(job) for job in self.head.jobs.values()])

    async def submit(self, request: web.Request) -> web.Response:
        """Accept a job, or refuse it with Ray's status codes."""
        try:
            body = json.loads(await request.read())
        except ValueError:
            return _text(500, BROKEN)
        unknown = sorted(body.keys() - JOB_KEYS)
        if unknown:
            message = f"JobSubmitRequest.__init__() got an unexpected keyword argument '{unknown[0]}'"
            return _text(400, _trace(f"TypeError: {message}"))
        if "entrypoint" not in body:
            missing = "JobSubmitRequest.__init__() missing 1 required positional argument: 'entrypoint'"
            return _text(400, _trace(f"TypeError: {missing}"))
        if any(not isinstance(value, str) for value in (body.get("metadata") or {}).values()):
            return _text(400, _trace("TypeError: metadata values must be strings"))
        name = body.get("submission_id") or body.get("job_id") or f"raysubmit_{uuid.uuid4().hex[:16]}"
        if name in self.head.jobs:
            taken = f"Job with submission_id {name} already exists. Please use a different submission_id."
            return _wrapped(400, f"ValueError: {taken}")
        self.head.submit(_job_from(name, body))
        return web.json_response({"job_id": name, "submission_id": name})

    async def describe(self, request: web.Request) -> web.Response:
        """One job by submission id or by Ray's job id."""
        return self._with_job(request, lambda job: web.json_response(self._details(job)))

    async def stop(self, request: web.Request) -> web.Response:
        """Ask a job to stop; says whether a supervisor was there, not whether it ended."""
        return self._with_job(request, lambda job: web.json_response({"stopped": self.head.request_stop(job)}))

    async def delete(self, request: web.Request) -> web.Response:
        """Forget a finished job's record; its log stays."""

        def forget(job: FakeJob) -> web.Response:
            if job.status not in TERMINAL:
                state = f"it is in a non-terminal state {job.status}."
                return _wrapped(500, f"RuntimeError: Attempted to delete job '{job.submission_id}', but {state}")
            del self.head.jobs[job.submission_id]
            return web.json_response({"deleted": True})

        return self._with_job(request, forget)

    async def logs(self, request: web.Request) -> web.Response:
        """The whole log as one JSON string; 500 once the node is gone."""

        def read(job: FakeJob) -> web.Response:
            path = self.head.log_dir / log_name(job.submission_id)
            if job.status != "PENDING" and self.head.node_state[0] != "ALIVE":
                return _text(500, _trace("aiohttp.client_exceptions.ClientConnectorError: Cannot connect to host"))
            text = path.read_text(errors="replace") if job.status != "PENDING" and path.exists() else ""
            return web.json_response({"logs": text})

        return self._with_job(request, read)

    async def package_exists(self, request: web.Request) -> web.Response:
        """200 when the package is there."""
        name = request.match_info["name"]
        found = name in self.head.packages
        return web.Response() if found else _text(404, f"Package gcs://{name} does not exist")

    async def upload_package(self, request: web.Request) -> web.Response:
        """Keep the bytes."""
        self.head.packages[request.match_info["name"]] = await request.read()
        return web.Response()

    async def log_file(self, request: web.Request) -> web.StreamResponse:
        """A file's raw bytes up to now (``file``) or for ever (``stream``); every refusal is a 500."""
        query = request.query
        try:
            lines, interval = int(query.get("lines", 1000)) or 1000, float(query.get("interval", 1.0))
            follow = {"file": False, "stream": True}[request.match_info["media_type"]]
            name = query.get("filename") or log_name(query["submission_id"])
        except (ValueError, KeyError):
            return _text(500, BROKEN)
        if query.get("node_id") != self.head.node_id or self.head.node_state[0] != "ALIVE":
            return _text(500, f"Agent for node id: {query.get('node_id')} doesn't exist.")
        path = Path(self.head.log_dir, name)
        if not path.is_file() or self.head.log_dir not in path.resolve().parents:
            return _text(500, f"A file is not found at: {path}")
        offset = 0 if lines == -1 else _last_lines_offset(path, lines)
        return await self._send(request, path, offset, interval if follow else None)

    async def _send(self, request: web.Request, path: Path, offset: int, interval: float | None) -> web.StreamResponse:
        """Write a file from ``offset`` to its end now, or follow it; headers wait for the first byte."""
        response = web.StreamResponse(headers={"Content-Disposition": 'attachment; filename="file.txt"'})
        response.content_type = "text/plain"
        end = path.stat().st_size if interval is None else None
        with path.open("rb") as file:
            file.seek(offset)
            while end is None or file.tell() < end:
                data = file.read(CHUNK_BYTES if end is None else min(CHUNK_BYTES, end - file.tell()))
                if not data and interval is not None:
                    await asyncio.sleep(interval)
                    if request.transport is None:
                        return response
                    continue
                if not response.prepared:
                    await response.prepare(request)
                await response.write(data)
        if not response.prepared:
            await response.prepare(request)
        await response.write_eof()
        return response

    async def nodes(self, request: web.Request) -> web.Response:
        """The one node of the double, alive or dead."""
        state, message = self.head.node_state
        node = {"node_id": self.head.node_id, "node_ip": "127.0.0.1", "is_head_node": True, "state": state}
        resources = {
            "CPU": CPUS,
            "memory": 2.0**33,
            "object_store_memory": 2.0**30,
            "node:__internal_head__": 1.0,
        }
        extra = {
            "state_message": message,
            "node_name": "127.0.0.1",
            "resources_total": resources,
            "labels": {},
        }
        return _listing([{**node, **extra}], 1)

    async def node_summary(self, request: web.Request) -> web.Response:
        """The dashboard's own node list, in the fields a live panel reads."""
        raylet = {"nodeId": self.head.node_id, "state": self.head.node_state[0], "isHeadNode": True}
        node = {
            "hostname": "fake",
            "ip": "127.0.0.1",
            "cpu": 7.9,
            "cpus": [2, 2],
            "mem": [2**34, 2**33, 50.0, 2**33],
        }
        return _envelope({"summary": [{**node, "raylet": raylet}]}, "Node summary fetched.")

    async def cluster_status(self, request: web.Request) -> web.Response:
        """The autoscaler's view; a job that cannot be scheduled shows in ``resourceDemand``."""
        waiting = [job for job in self.head.jobs.values() if job.unschedulable and job.status == "PENDING"]
        demand = [[job.entrypoint_resources or {"CPU": 64.0}, 1] for job in waiting]
        usage = {"CPU": [0.0, CPUS], "memory": [0.0, 2.0**33], "objectStoreMemory": [0.0, 2.0**30]}
        load = {"usage": usage, "resourceDemand": demand, "pgDemand": [], "requestDemand": []}
        report: dict[str, Any] = {
            "activeNodes": {},
            "idleNodes": None,
            "pendingNodes": [],
            "pendingLaunches": {},
            "failedNodes": [],
        }
        status = {"loadMetricsReport": load, "autoscalerReport": report}
        text = f"Cluster status: 0 nodes\n - ResourceUsage: 0.0/{CPUS} CPU"
        return _envelope(
            {"autoscalingStatus": text, "autoscalingError": None, "clusterStatus": status},
            "Got cluster status.",
        )

    async def summarize(self, request: web.Request) -> web.Response:
        """Task counts by function, for one Ray job id or for all."""
        keys, values = request.query.getall("filter_keys", []), request.query.getall("filter_values", [])
        if any(key != "job_id" for key in keys) or len(keys) != len(values):
            return _text(500, BROKEN)
        wanted = [job_id for job_id in self.head.tasks if job_id in values or not keys]
        summary: dict[str, Any] = {}
        for name, counts in (item for job_id in wanted for item in self.head.tasks[job_id].items()):
            summary[name] = {"func_or_class_name": name, "type": "NORMAL_TASK", "state_counts": counts}
        total = sum(sum(entry["state_counts"].values()) for entry in summary.values())
        totals = {
            "total_tasks": total,
            "total_actor_tasks": 0,
            "total_actor_scheduled": 0,
            "summary_by": "func_name",
        }
        return _listing({"node_id_to_summary": {"cluster": {"summary": summary, **totals}}}, total)

    def _details(self, job: FakeJob) -> dict[str, Any]:
        return job.details(self.head.agent_url, self.head.node_id)

    def _with_job(self, request: web.Request, act: Callable[[FakeJob], web.Response]) -> web.Response:
        name = request.match_info["id"]
        jobs = self.head.jobs
        job = jobs.get(name) or next((j for j in jobs.values() if j.job_id == name), None)
        return act(job) if job else _text(404, f"Job {name} does not exist")


def _job_from(name: str, body: dict[str, Any]) -> FakeJob:
    """The record of a POSTed job; more CPUs than the node has can never be scheduled."""
    resources = {"CPU": body.get("entrypoint_num_cpus"), "GPU": body.get("entrypoint_num_gpus")}
    wanted = {key: float(value) for key, value in resources.items() if value} | (body.get("entrypoint_resources") or {})
    unschedulable = any(amount > (CPUS if key == "CPU" else 0.0) for key, amount in wanted.items())
    job = FakeJob(name, body["entrypoint"], entrypoint_resources=wanted, unschedulable=unschedulable)
    job.metadata, job.runtime_env = body.get("metadata"), body.get("runtime_env")
    if unschedulable:
        job.message = NO_RESOURCES
    return job

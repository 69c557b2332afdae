"""
A double of the W&B server as ``wandb sync`` of 0.31 speaks to it: GraphQL, the file stream and uploads, over real HTTP.

What it answers follows the queries inside ``wandb-core``; a real server may know more.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.fakes.loopback import LoopbackServer

KEY = "wandb-canary-key-of-at-least-forty-characters-0"
ENTITY = "team"
HISTORY, EVENTS, LOG, SUMMARY = "wandb-history.jsonl", "wandb-events.jsonl", "output.log", "wandb-summary.json"


@dataclass
class StoredRun:
    """
    One run as it arrived.

    :ivar lines: of each streamed file, by name
    :ivar uploads: whole files, by name
    :ivar ends: the exit codes with which a stream was completed, in order
    """

    run_id: str
    group: str = ""
    job_type: str = ""
    tags: list[str] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    lines: dict[str, list[str]] = field(default_factory=dict)
    uploads: dict[str, bytes] = field(default_factory=dict)
    ends: list[int] = field(default_factory=list)

    @property
    def history(self) -> list[dict[str, Any]]:
        """The rows, without what W&B adds to them."""
        rows = [json.loads(line) for line in self.lines.get(HISTORY, [])]
        return [{k: v for k, v in row.items() if not k.startswith("_") or k == "_step"} for row in rows]


class FakeWandb(LoopbackServer):
    """
    Keeps runs by ``entity/project/run``.

    :ivar statuses: by run id, the HTTP status that its file stream gets instead of an answer
    :ivar upload_statuses: by file name, the same for whole files
    :ivar breaks: by run id, at how many rows the next streams break: those are kept, and the request is refused
    :ivar requests: how many requests came
    """

    def __init__(self) -> None:
        super().__init__()
        self.url = ""
        self.runs: dict[str, StoredRun] = {}
        self.statuses: dict[str, int] = {}
        self.upload_statuses: dict[str, int] = {}
        self.breaks: dict[str, list[int]] = {}
        self.requests = 0

    async def _open(self) -> None:
        app = web.Application(client_max_size=2**26)
        app.router.add_post("/graphql", self._graphql)
        app.router.add_post("/files/{entity}/{project}/{run}/file_stream", self._stream)
        app.router.add_put("/upload/{entity}/{project}/{run}/{name:.+}", self._upload)
        # Where wandb reports on itself; nobody asks what.
        app.router.add_post("/sdk/otel/v1/metrics", self._ignore)
        _, port = await self._listen(app)
        self.url = f"http://127.0.0.1:{port}"

    async def _graphql(self, request: web.Request) -> web.Response:
        self.requests += 1
        if not _is_known(request):
            return web.json_response({"errors": [{"message": "invalid API key"}]}, status=401)
        body = json.loads(await request.text())
        given = body.get("variables") or {}
        query = str(body["query"])
        answers: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "viewer {": self._viewer,
            "upsertBucket": self._upsert,
            "createRunFiles": self._files,
            "bucket(": self._status,
            "serverInfo": lambda _: {"serverInfo": {"features": []}},
        }
        for word, answer in answers.items():
            if word in query:
                return web.json_response({"data": answer(given)})
        return web.json_response({"errors": [{"message": f"no such query: {query[:60]}"}]}, status=400)

    def _viewer(self, given: dict[str, Any]) -> dict[str, Any]:
        viewer = {"id": "u1", "entity": ENTITY, "username": "somebody", "email": "", "flags": "{}"}
        return {"viewer": {**viewer, "teams": {"edges": []}}}

    def _upsert(self, given: dict[str, Any]) -> dict[str, Any]:
        entity, project, name = given.get("entity") or ENTITY, given["project"], given["name"]
        path = f"{entity}/{project}/{name}"
        is_new = path not in self.runs
        run = self.runs.setdefault(path, StoredRun(name))
        run.group = given.get("groupName") or run.group
        run.job_type = given.get("jobType") or run.job_type
        run.tags = given.get("tags") or run.tags
        told = json.loads(given.get("config") or "{}")
        run.config |= {key: item["value"] for key, item in told.items()}
        owner = {"id": "p1", "name": project, "entity": {"id": "e1", "name": entity}}
        bucket = {"id": path, "name": name, "displayName": name, "description": "", "config": given.get("config")}
        more = {"sweepName": None, "project": owner, "historyLineCount": len(run.lines.get(HISTORY, []))}
        return {"upsertBucket": {"bucket": {**bucket, **more}, "inserted": is_new}}

    def _status(self, given: dict[str, Any]) -> dict[str, Any]:
        entity, project = given.get("entity") or ENTITY, given.get("project")
        if not any(path.startswith(f"{entity}/{project}/") for path in self.runs):
            return {"model": None}
        run = self.runs.get(f"{entity}/{project}/{given['name']}")
        model = {"id": "p1", "name": project, "entity": {"id": "e1", "name": entity}}
        return {"model": {**model, "bucket": None if run is None else _bucket(run)}}

    def _files(self, given: dict[str, Any]) -> dict[str, Any]:
        path = f"{given['entity']}/{given['project']}/{given['run']}"
        urls = [{"name": name, "uploadUrl": f"{self.url}/upload/{path}/{name}"} for name in given["files"]]
        return {"createRunFiles": {"runID": path, "uploadHeaders": [], "files": urls}}

    async def _stream(self, request: web.Request) -> web.Response:
        run = self.runs[_path(request)]
        if not _is_known(request) or run.run_id in self.statuses:
            return web.json_response({"error": "refused"}, status=self.statuses.get(run.run_id, 401))
        body = json.loads(await request.text())
        files = body.get("files") or {}
        for name, piece in files.items():
            lines, start, content = run.lines.setdefault(name, []), piece["offset"], piece["content"]
            if name == SUMMARY:
                continue
            if start > len(lines):
                return web.json_response({"error": f"{name} has a gap before line {start}"}, status=400)
            lines[start : start + len(content)] = content
        end = next(iter(self.breaks.get(run.run_id, [])), None)
        if end is not None and len(run.lines.get(HISTORY, [])) > end:
            del run.lines[HISTORY][end:]
            self.breaks[run.run_id].pop(0)
            return web.json_response({"error": "that was enough"}, status=404)
        if SUMMARY in files:
            run.summary = json.loads(files[SUMMARY]["content"][-1])
        if body.get("complete"):
            run.ends.append(body["exitcode"])
        return web.json_response({})

    async def _upload(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name in self.upload_statuses:
            return web.Response(status=self.upload_statuses[name])
        self.runs[_path(request)].uploads[name] = await request.read()
        return web.Response()

    async def _ignore(self, request: web.Request) -> web.Response:
        return web.json_response({})


def _path(request: web.Request) -> str:
    return "/".join(request.match_info[part] for part in ("entity", "project", "run"))


def _is_known(request: web.Request) -> bool:
    given = base64.b64encode(f"api:{KEY}".encode()).decode()
    return request.headers.get("Authorization") == f"Basic {given}"


def _bucket(run: StoredRun) -> dict[str, Any]:
    counts = {
        name: len(run.lines.get(file, [])) for name, file in (("history", HISTORY), ("events", EVENTS), ("log", LOG))
    }
    tails = {
        name: json.dumps(run.lines.get(file, [])[-1:]) for name, file in (("history", HISTORY), ("events", EVENTS))
    }
    return {
        "id": run.run_id,
        "name": run.run_id,
        "displayName": run.run_id,
        "summaryMetrics": json.dumps(run.summary),
        "config": json.dumps({key: {"value": value} for key, value in run.config.items()}),
        "tags": run.tags,
        "notes": None,
        # Where this is empty, a run counts as created and not begun.
        "wandbConfig": json.dumps({"t": run.config["_wandb"].get("t", {})}),
        **{f"{name}LineCount": count for name, count in counts.items()},
        **{f"{name}Tail": tail for name, tail in tails.items()},
    }

"""
A small kube-apiserver for what a real one does only in a cloud, or too rarely: 429, 504, half-open watches, a token
that ends, webhooks that are away. What it says is worded as Kubernetes 1.35 words it; the real one is the truth.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any

from aiohttp import web

from airflow_provider_air.contracts.connections import KubernetesServer
from tests.fakes.loopback import LoopbackServer, drop_connection

_PATH = re.compile(
    r"/apis?/(?:(?P<group>[^/]+)/)?v1/namespaces/(?P<namespace>[^/]+)/(?P<plural>[^/]+)(?:/(?P<name>[^/]+))?(?P<below>/.*)?"
)


def status(code: int, reason: str, message: str, **details: Any) -> dict[str, Any]:
    """Make the Status object of a failure."""
    told = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
    return {**told, "message": message, "reason": reason, "details": details, "code": code}


# Longer than anybody listens.
SILENT_SECONDS = 600.0


@dataclass
class Fault:
    """
    What is answered instead, ``times`` times.

    :param body: a Status object, or the text of somebody in front
    :param dropped: close the connection without a word
    :param silent: leave it open without a word
    """

    method: str
    path: str
    code: int = 500
    body: Mapping[str, Any] | str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    times: int = 1
    dropped: bool = False
    silent: bool = False
    is_watch: bool = False


class KubeApi(LoopbackServer):
    """
    Holds resources in memory; lists, watches, and fails as it is told.

    :param token: whoever shows another one is answered 401
    """

    def __init__(self, token: str = "t0") -> None:
        super().__init__()
        self.tokens = {token}
        self.requests: list[tuple[str, str]] = []
        self.faults: list[Fault] = []
        self.resources: dict[tuple[str, str, str], dict[str, Any]] = {}
        self.version = 1
        self.compacted = 0
        self.is_mute = False
        self.is_endless = False
        self.page_items = 100
        self.ahead_seconds = 0.0
        """By how much its clock is ahead of ours."""
        self._events: list[tuple[int, str, str, dict[str, Any]]] = []
        self._changed = asyncio.Condition()

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self._port}"

    def server(self, token: str = "t0", **more: Any) -> KubernetesServer:
        """Give what a connection to it says."""
        return KubernetesServer(self.url, {"Authorization": f"Bearer {token}"}, namespace="ns", **more)

    def put(self, plural: str, name: str, *, namespace: str = "ns", uid: str | None = None, **more: Any) -> None:
        """Create or change a resource; ``metadata`` is added to what every one has."""
        self.await_(self._put(plural, namespace, name, uid, more))

    def remove(self, plural: str, name: str, *, namespace: str = "ns") -> None:
        """Delete a resource."""
        self.await_(self._remove(plural, namespace, name))

    def fail(self, fault: Fault) -> None:
        """Answer otherwise from now on."""
        self.call(lambda: self.faults.append(fault))

    def compact(self) -> None:
        """Forget all events so far: who watches from before is told 410 within the watch."""
        self.await_(self._compact())

    def count(self, method: str, part: str) -> int:
        """Count the requests so far whose address has a part."""
        return sum(1 for asked, path in list(self.requests) if asked == method and part in path)

    async def _open(self) -> None:
        app = web.Application(client_max_size=256 * 1024 * 1024)
        app.router.add_route("*", "/{all:.*}", self._answer)
        app.on_response_prepare.append(self._tell_time)
        _, self._port = await self._listen(app)

    async def _tell_time(self, request: web.Request, response: web.StreamResponse) -> None:
        response.headers["Date"] = formatdate(time.time() + self.ahead_seconds, usegmt=True)

    async def _put(self, plural: str, namespace: str, name: str, uid: str | None, more: Mapping[str, Any]) -> None:
        async with self._changed:
            self.version += 1
            old = self.resources.get((plural, namespace, name))
            known = (old or {}).get("metadata", {}).get("uid", f"uid-{self.version}")
            metadata = {"name": name, "namespace": namespace, "uid": uid or known}
            metadata |= {"resourceVersion": str(self.version), "managedFields": [{"manager": "somebody"}]}
            found = {**more, "metadata": {**more.get("metadata", {}), **metadata}}
            self.resources[plural, namespace, name] = found
            self._events.append((self.version, "MODIFIED" if old else "ADDED", f"{namespace}/{plural}", found))
            self._changed.notify_all()

    async def _remove(self, plural: str, namespace: str, name: str) -> None:
        async with self._changed:
            self.version += 1
            old = self.resources.pop((plural, namespace, name))
            gone = {**old, "metadata": {**old["metadata"], "resourceVersion": str(self.version)}}
            self._events.append((self.version, "DELETED", f"{namespace}/{plural}", gone))
            self._changed.notify_all()

    async def _compact(self) -> None:
        async with self._changed:
            self.version += 1
            self.compacted = self.version
            self._events.clear()
            self._changed.notify_all()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((request.method, request.path_qs))
        is_watch = request.query.get("watch") == "true"
        fault = self._fault_for(request, is_watch)
        if fault is not None and fault.dropped:
            return drop_connection(request)
        if fault is not None and fault.silent:
            await asyncio.sleep(SILENT_SECONDS)
        if fault is not None:
            is_text = isinstance(fault.body, str)
            text = str(fault.body) if is_text else json.dumps(fault.body)
            kind = "text/plain" if is_text else "application/json"
            return web.Response(status=fault.code, text=text, content_type=kind, headers=fault.headers)
        if request.headers.get("Authorization", "").removeprefix("Bearer ") not in self.tokens:
            return _failure(401, "Unauthorized", "Unauthorized")
        if "/proxy/" in request.path:
            return self._proxied(request)
        found = _PATH.fullmatch(request.path)
        if found is None:
            return web.Response(status=404, text="404 page not found\n")
        if is_watch:
            return await self._watch(request, f"{found['namespace']}/{found['plural']}")
        return self._read(request, found) if request.method == "GET" else await self._write(request, found)

    def _proxied(self, request: web.Request) -> web.StreamResponse:
        """Answer as what is behind a proxy."""
        return _failure(503, "ServiceUnavailable", "no endpoints available for service")

    def _fault_for(self, request: web.Request, is_watch: bool) -> Fault | None:
        for fault in self.faults:
            hits = request.method == fault.method and fault.path in request.path and is_watch == fault.is_watch
            if hits and fault.times > 0:
                fault.times -= 1
                return fault
        return None

    def _read(self, request: web.Request, found: re.Match[str]) -> web.Response:
        plural, namespace, name = found["plural"], found["namespace"], found["name"]
        if name:
            one = self.resources.get((plural, namespace, name))
            return web.json_response(one) if one else _absent(plural, name)
        items = [one for key, one in sorted(self.resources.items()) if key[:2] == (plural, namespace)]
        items = [one for one in items if _is_selected(one, request.query.get("fieldSelector", ""))]
        begin = int(request.query.get("continue", 0))
        end = begin + self.page_items
        rest = {"continue": str(end)} if end < len(items) else {}
        is_metadata = "PartialObjectMetadataList" in request.headers.get("Accept", "")
        # Of metadata, the kube-apiserver (1.35) writes nothing as null.
        shown = items[begin:end] or (None if is_metadata else [])
        return web.json_response({"metadata": {"resourceVersion": str(self.version), **rest}, "items": shown})

    async def _write(self, request: web.Request, found: re.Match[str]) -> web.Response:
        plural, namespace, name = found["plural"], found["namespace"], found["name"]
        body = json.loads(await request.read() or b"{}")
        if request.method == "DELETE":
            return await self._delete(plural, namespace, name, body)
        name = name or body["metadata"]["name"]
        if request.method == "POST" and (plural, namespace, name) in self.resources:
            message = f'{plural}.ray.io "{name}" already exists'
            return _failure(409, "AlreadyExists", message, name=name, kind=plural)
        old = self.resources.get((plural, namespace, name), {}) if request.method == "PATCH" else {}
        await self._put(plural, namespace, name, None, _patched(old, body))
        return web.json_response(self.resources[plural, namespace, name], status=201)

    async def _delete(self, plural: str, namespace: str, name: str, body: Mapping[str, Any]) -> web.Response:
        one = self.resources.get((plural, namespace, name))
        if one is None:
            return _absent(plural, name)
        wanted, has = body.get("preconditions", {}).get("uid"), one["metadata"]["uid"]
        if wanted not in (None, has):
            message = f"the UID in the precondition ({wanted}) does not match the UID in record ({has})"
            return _failure(409, "Conflict", f'Operation cannot be fulfilled on {plural}.ray.io "{name}": {message}')
        await self._remove(plural, namespace, name)
        return web.json_response({"kind": "Status", "status": "Success"})

    async def _watch(self, request: web.Request, what: str) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        at, end = int(request.query["resourceVersion"]), asyncio.get_running_loop().time()
        end += 999.0 if self.is_endless else float(request.query["timeoutSeconds"])
        while (left := end - asyncio.get_running_loop().time()) > 0:
            if at < self.compacted:
                gone = status(410, "Expired", f"too old resource version: {at} ({self.compacted})")
                await response.write(json.dumps({"type": "ERROR", "object": gone}).encode() + b"\n")
                break
            for version, kind, of, resource in list(self._events):
                if version > at and of == what and not self.is_mute:
                    line = json.dumps({"type": kind, "object": resource}, ensure_ascii=False).encode()
                    await response.write(line + b"\n")
                    at = version
            async with self._changed:
                try:
                    await asyncio.wait_for(self._changed.wait(), left)
                except TimeoutError:
                    break
        return response


def _failure(code: int, reason: str, message: str, **details: Any) -> web.Response:
    return web.json_response(status(code, reason, message, **details), status=code)


def _patched(old: Any, patch: Any) -> Any:
    """Give what a merge patch (RFC 7396) makes of a resource."""
    if not isinstance(patch, Mapping):
        return patch
    known = old if isinstance(old, Mapping) else {}
    changed = {key: _patched(known.get(key), value) for key, value in patch.items() if value is not None}
    return {**{key: value for key, value in known.items() if key not in patch}, **changed}


def _is_selected(resource: Mapping[str, Any], selector: str) -> bool:
    for one in filter(None, selector.split(",")):
        path, operator, value = re.split("(!?=)", one, maxsplit=1)
        found: Any = resource
        for key in path.split("."):
            found = found.get(key, {})
        if (found == value) is (operator == "!="):
            return False
    return True


def _absent(plural: str, name: str) -> web.Response:
    return _failure(404, "NotFound", f'{plural}.ray.io "{name}" not found', name=name, group="ray.io", kind=plural)


@dataclass
class GivenAccess:
    """A kubernetes connection whose servers a test gives, one after the other; the last one stays."""

    servers: list[Any]
    conn_id: str = "kube"
    asked: int = 0

    def server(self) -> KubernetesServer:
        """Give the next one, or raise it."""
        self.asked += 1
        found = self.servers.pop(0) if len(self.servers) > 1 else self.servers[0]
        if isinstance(found, Exception):
            raise found
        assert isinstance(found, KubernetesServer)
        return found

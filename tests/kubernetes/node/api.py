"""A small client of the kube-apiserver for tests, so that the package's own is not tested by itself."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import httpx

from tests.kubernetes.node.credentials import Credentials

MANAGER = "air-tests"
# Parts that were killed come back together, on a machine that may be busy.
SOON_SECONDS = 180.0
Document = dict[str, Any]


class ApiError(Exception):
    """What the kube-apiserver refused: its HTTP status, reason and sentence."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status, self.reason, self.message = status, reason, message


class Api:
    """The kube-apiserver as one user sees it.

    Resources are addressed by plural and group version: ``api.get("rayclusters", "a", "ns", of="ray.io/v1")``.
    """

    def __init__(self, url: str, authority: Path, token: str) -> None:
        self.url, self.authority, self.token = url, authority, token
        headers = {"Authorization": f"Bearer {token}"}
        context = ssl.create_default_context(cafile=str(authority))
        self.http = httpx.Client(base_url=url, headers=headers, verify=context, timeout=30, trust_env=False)
        self._kinds: dict[tuple[str, str], tuple[str, bool]] = {}

    def close(self) -> None:
        """Close its connections."""
        self.http.close()

    def call(self, method: str, path: str, body: Any = None, *, kind: str = "json", **query: str) -> Any:
        """Send one request; give the document that came.

        :raises ApiError: when it is refused.
        :raises httpx.TransportError: when nobody answers.
        """
        content = None if body is None else json.dumps(body)
        headers = {"Content-Type": f"application/{kind}"} if content else {}
        answer = self.http.request(method, path, content=content, headers=headers, params=query)
        if answer.is_success:
            return answer.json() if "json" in answer.headers.get("content-type", "") else answer.text
        try:
            status = answer.json()
            raise ApiError(answer.status_code, status.get("reason", ""), status.get("message", ""))
        except ValueError:
            raise ApiError(answer.status_code, "", answer.text) from None

    def path(self, plural: str, name: str = "", namespace: str = "", of: str = "v1", sub: str = "") -> str:
        """Give the path of a collection, an object, or a part of one."""
        parts = [
            "/api/v1" if of == "v1" else f"/apis/{of}",
            f"namespaces/{namespace}" if namespace else "",
            plural,
            name,
        ]
        return "/".join(part for part in [*parts, sub] if part)

    def get(self, plural: str, name: str, namespace: str = "", of: str = "v1") -> Document:
        """Read one object."""
        found: Document = self.call("GET", self.path(plural, name, namespace, of))
        return found

    def items(self, plural: str, namespace: str = "", of: str = "v1", **query: str) -> list[Document]:
        """Read all objects of a kind; ``labelSelector=`` and others narrow it."""
        found: list[Document] = self.call("GET", self.path(plural, "", namespace, of), **query)["items"]
        return found

    def apply(self, *manifests: Document) -> list[Document]:
        """Apply each on the server's side, whoever owns its fields."""
        return [self._apply(manifest) for manifest in manifests]

    def patch(
        self, plural: str, name: str, namespace: str, change: Document, of: str = "v1", sub: str = ""
    ) -> Document:
        """Merge a change into an object (or its ``status``, ``scale``)."""
        path = self.path(plural, name, namespace, of, sub)
        changed: Document = self.call("PATCH", path, change, kind="merge-patch+json")
        return changed

    def delete(self, plural: str, name: str, namespace: str = "", of: str = "v1", **query: str) -> None:
        """Delete an object; one that is not there is no error."""
        try:
            self.call("DELETE", self.path(plural, name, namespace, of), **query)
        except ApiError as error:
            if error.status != 404:
                raise

    def wait(
        self, plural: str, name: str, namespace: str = "", *, until: Callable[[Document], Any], of: str = "v1",
        seconds: float = SOON_SECONDS,
    ) -> Document:  # fmt: skip
        """Read an object until it is there and ``until`` says something true of it.

        :raises AssertionError: when it does not come to that in time, with what was last seen.
        """
        return self._until(
            lambda: self.get(plural, name, namespace, of), until, f"{plural} {namespace}/{name}", seconds
        )

    def wait_gone(
        self, plural: str, name: str, namespace: str = "", *, of: str = "v1", seconds: float = SOON_SECONDS
    ) -> None:
        """Wait until an object is not there."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                seen = self.get(plural, name, namespace, of)
            except ApiError as error:
                if error.status == 404:
                    return
                raise
            assert time.monotonic() < deadline, f"{plural} {namespace}/{name} stays: {_shown(seen)}"
            time.sleep(0.2)

    def log(self, pod: str, namespace: str, container: str = "") -> str:
        """Read what a pod's container printed."""
        query = {"container": container} if container else {}
        return str(self.call("GET", self.path("pods", pod, namespace, sub="log"), **query))

    def events(self, namespace: str, name: str) -> list[str]:
        """Read the events of an object by its name: reason and sentence."""
        found = self.items("events", namespace, fieldSelector=f"involvedObject.name={name}")
        return [f"{event.get('reason')}: {event.get('message')}" for event in found]

    def token_for(self, account: str, namespace: str, seconds: int = 3600) -> str:
        """Ask for a token of a service account: it names its audience and ends (after 600 s at the earliest)."""
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": seconds},
        }
        given = self.call("POST", self.path("serviceaccounts", account, namespace, sub="token"), body)
        return str(given["status"]["token"])

    def _until(
        self, read: Callable[[], Document], until: Callable[[Document], Any], what: str, seconds: float
    ) -> Document:
        deadline = time.monotonic() + seconds
        seen: Document = {}
        while time.monotonic() < deadline:
            try:
                seen = read()
            except (ApiError, httpx.TransportError) as error:
                if isinstance(error, ApiError) and error.status not in (404, 429, 500, 503):
                    raise
            else:
                if until(seen):
                    return seen
            time.sleep(0.2)
        raise AssertionError(f"{what} did not come to it in {seconds:.0f} s: {_shown(seen)}")

    def _apply(self, manifest: Document) -> Document:
        of, meta = manifest["apiVersion"], manifest["metadata"]
        plural, namespaced = self._kind(of, manifest["kind"])
        namespace = meta.get("namespace", "default") if namespaced else ""
        path = self.path(plural, meta["name"], namespace, of)
        query = {"fieldManager": MANAGER, "force": "true"}
        applied: Document = self.call("PATCH", path, manifest, kind="apply-patch+yaml", **query)
        return applied

    def _kind(self, of: str, kind: str) -> tuple[str, bool]:
        """Find plural and whether it is namespaced; a definition that was just applied is there after a moment."""
        deadline = time.monotonic() + 10
        while (of, kind) not in self._kinds:
            try:
                self._discover(of)
            except ApiError as error:
                if error.status not in (404, 503):
                    raise
            if (of, kind) not in self._kinds:
                assert time.monotonic() < deadline, f"the server has no {kind} of {of}"
                time.sleep(0.1)
        return self._kinds[of, kind]

    def _discover(self, of: str) -> None:
        found: Iterable[Document] = self.call("GET", "/api/v1" if of == "v1" else f"/apis/{of}")["resources"]
        for each in found:
            if "/" not in each["name"]:
                self._kinds[of, each["kind"]] = each["name"], each["namespaced"]


def of_user(url: str, credentials: Credentials, user: str) -> Api:
    """Give the kube-apiserver as a user of the token file sees it."""
    return Api(url, credentials.authority, credentials.tokens[user])


def condition(document: Document, kind: str) -> str:
    """Give the status of one of an object's conditions: "True", "False", "Unknown", or "" where it has none."""
    for each in document.get("status", {}).get("conditions", []):
        if each["type"] == kind:
            return str(each["status"])
    return ""


def _shown(document: Document) -> str:
    return json.dumps(document.get("status", document))[:2000]

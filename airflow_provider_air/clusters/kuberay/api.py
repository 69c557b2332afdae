"""
Builds the calls of Kubernetes' API that we need, and reads their answers; sends nothing.

A write carries our field manager, and strict validation: a field that this cluster's CRDs do not have is refused by
name, where they would drop it otherwise.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from airflow_provider_air.clusters.kuberay.answers import (
    KubeUnavailableError,
    failure_of,
    is_absent,
    is_anothers,
    is_misfit,
    told_by,
)
from airflow_provider_air.clusters.kuberay.kinds import EVENT, POD, SECRET, Asked, Kind
from airflow_provider_air.errors import ProtocolError
from airflow_provider_air.ray_api.requests import Answer, Call

Resource = dict[str, Any]
"""A resource as Kubernetes writes it in JSON."""

FIELD_MANAGER = "airflow-provider-air"
SCALING_MANAGER = "airflow-provider-air-scaling"
# Some 10 KB each: a page is read in a moment.
PAGE_ITEMS = 100
# Those are ten times smaller, and more.
PAGE_EVENTS = 500
READ_SECONDS = 30.0
# The kube-apiserver ends a request after 60 s, and says so; who hangs up before knows less.
WRITE_SECONDS = 65.0
WATCH_MARGIN_SECONDS = 10.0
_JSON = "application/json"
_MERGE_PATCH = "application/merge-patch+json"
_JSON_PATCH = "application/json-patch+json"
_APPLY_PATCH = "application/apply-patch+yaml"
_METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1, application/json"


@dataclass(frozen=True)
class Page:
    """
    A piece of a list.

    :param version: the ``resourceVersion`` of the list, from which a watch goes on
    :param rest: where the next page begins, or empty
    """

    items: Sequence[Resource]
    version: str
    rest: str


@dataclass(frozen=True)
class Written:
    """
    What a write made.

    :param warnings: what the kube-apiserver wants people to know, such as fields that are deprecated
    """

    resource: Resource
    warnings: Sequence[str] = ()


def get(kind: Kind, namespace: str, name: str) -> Call[Resource | None]:
    """Ask for one resource; None where the kube-apiserver itself says that there is none."""
    asked = Asked("get", kind, namespace, name)

    def read(answer: Answer) -> Resource | None:
        return None if is_absent(answer, asked) else _object(answer, asked)

    return Call("GET", kind.path(namespace, name), read, timeout_seconds=READ_SECONDS)


def list_page(
    kind: Kind,
    namespace: str,
    *,
    labels: str = "",
    fields: str = "",
    rest: str = "",
    metadata_only: bool = False,
) -> Call[Page]:
    """
    Ask for some of a namespace's resources.

    :param labels, fields: selectors, as Kubernetes writes them
    :param rest: what the page before said
    :param metadata_only: leave out all but the metadata
    :raises VersionGoneError: the pages before are too old; begin anew
    """
    asked = Asked("list", kind, namespace)

    def read(answer: Answer) -> Page:
        found = _object(answer, asked)
        try:
            told = found["metadata"]
            version, rest = str(told["resourceVersion"]), str(told.get("continue") or "")
            # Of metadata alone, nothing is null (1.35).
            items = [{"apiVersion": kind.api_version, "kind": kind.name, **item} for item in found["items"] or ()]
        except (KeyError, TypeError, AttributeError):
            raise _no_answer(answer, asked, "list") from None
        return Page(items, version, rest)

    limit = PAGE_EVENTS if kind is EVENT else PAGE_ITEMS
    params = {"limit": str(limit), "labelSelector": labels, "fieldSelector": fields, "continue": rest}
    return Call(
        "GET",
        kind.path(namespace),
        read,
        params=_given(params),
        headers={"Accept": _METADATA_ONLY if metadata_only else _JSON},
        timeout_seconds=READ_SECONDS,
    )


def watch(kind: Kind, namespace: str, version: str, *, seconds: float) -> Call[None]:
    """
    Ask for what changes from a version on, one JSON object a line; to be streamed.

    :param seconds: after which the kube-apiserver ends it; it sends a bookmark about every minute
    """
    params = {
        "watch": "true",
        "allowWatchBookmarks": "true",
        "resourceVersion": version,
        "timeoutSeconds": str(round(seconds)),
    }

    def read(answer: Answer) -> None:
        raise failure_of(answer, Asked("watch", kind, namespace))

    # Half-open connections tell nothing: who hears nothing for longer than the server may be silent hangs up.
    call_seconds = seconds + WATCH_MARGIN_SECONDS
    return Call(
        "GET", kind.path(namespace), read, params=_given(params), timeout_seconds=call_seconds, repeatable=False
    )


def create(
    kind: Kind,
    namespace: str,
    manifest: Mapping[str, Any],
    *,
    dry_run: bool = False,
    timeout_seconds: float = WRITE_SECONDS,
) -> Call[Written]:
    """
    Create a resource by the name in its metadata.

    Repeatable: where a reply was lost, the next answer is AlreadyExistsError, and the marks tell whether it is ours.

    :raises AlreadyExistsError: there is one of this name
    :raises ConfigurationError: it is refused; the message names the fields
    """
    asked = Asked("create", kind, namespace, manifest["metadata"]["name"])
    return _write("POST", kind.path(namespace), asked, manifest, _JSON, {}, dry_run, timeout_seconds)


def apply(
    kind: Kind,
    namespace: str,
    manifest: Mapping[str, Any],
    *,
    manager: str = FIELD_MANAGER,
    force: bool = False,
    dry_run: bool = False,
) -> Call[Written | None]:
    """
    Have fields as a manifest says, by server-side apply; creates what is not there.

    What the manager set before and leaves out now, goes. None where the manifest has a ``metadata.uid`` and no living
    resource has it: a successor is never met.

    :param force: take fields over from other managers
    :raises FieldConflictError: another manager has set a field otherwise
    :raises ConfigurationError: it is refused; the message names the fields
    """
    name = manifest["metadata"]["name"]
    params = {"force": "true" if force else ""}
    path, asked = kind.path(namespace, name), Asked("patch", kind, namespace, name)
    return _unless_anothers(
        _write("PATCH", path, asked, manifest, _APPLY_PATCH, params, dry_run, manager=manager), asked
    )


def patch(
    kind: Kind, namespace: str, name: str, changes: Mapping[str, Any], *, uid: str | None = None, dry_run: bool = False
) -> Call[Written | None]:
    """
    Merge changes into a resource; None where there is none, or none of this UID.

    :param changes: a JSON merge patch: null deletes a field
    :param uid: whose it must be
    :raises ConfigurationError: it is refused; the message names the fields
    """
    asked = Asked("patch", kind, namespace, name)
    if uid:
        changes = {**changes, "metadata": {**changes.get("metadata", {}), "uid": uid}}
    call = _write("PATCH", kind.path(namespace, name), asked, changes, _MERGE_PATCH, {}, dry_run)
    return _unless_anothers(call, asked)


def scale(
    kind: Kind, namespace: str, name: str, operations: Sequence[Mapping[str, Any]], *, dry_run: bool = False
) -> Call[Written | None]:
    """
    Change the numbers of workers, as a field manager of their own; None where there is none, or the groups have moved.

    :param operations: a JSON patch, see :func:`~airflow_provider_air.clusters.kuberay.manifest.scaling_patch`
    :raises ConfigurationError: it is refused
    """
    asked = Asked("patch", kind, namespace, name)
    body, path = list(operations), kind.path(namespace, name)
    call: Call[Any] = _write("PATCH", path, asked, body, _JSON_PATCH, {}, dry_run, manager=SCALING_MANAGER)

    def read(answer: Answer) -> Written | None:
        return None if is_misfit(answer) or is_absent(answer, asked) else call.read(answer)

    return replace(call, read=read)


def delete(
    kind: Kind,
    namespace: str,
    name: str,
    uid: str | None,
    *,
    propagation: str = "Background",
    timeout_seconds: float = 30.0,
) -> Call[bool]:
    """
    Ask that a resource goes; True where it was there, False where it is gone or another one has its name.

    :param uid: whose it must be; None for whichever has the name
    :param propagation: ``Foreground`` keeps it until what it owns is gone
    """
    asked = Asked("delete", kind, namespace, name)
    body: dict[str, Any] = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation}
    if uid:
        body["preconditions"] = {"uid": uid}

    def read(answer: Answer) -> bool:
        if is_absent(answer, asked) or is_anothers(answer):
            return False
        if answer.status not in (200, 202):
            raise failure_of(answer, asked)
        return True

    headers = {"Content-Type": _JSON, "Accept": _JSON}
    return Call(
        "DELETE",
        kind.path(namespace, name),
        read,
        headers=headers,
        body=json.dumps(body).encode(),
        timeout_seconds=timeout_seconds,
    )


def list_events(namespace: str, uid: str, *, rest: str = "") -> Call[Page]:
    """Ask for the events about one resource, pods among them, by its UID."""
    return list_page(EVENT, namespace, fields=f"involvedObject.uid={uid}", rest=rest)


def list_pods(namespace: str, cluster: str, *, rest: str = "") -> Call[Page]:
    """Ask for the pods of one RayCluster (KubeRay's own label)."""
    return list_page(POD, namespace, labels=f"ray.io/cluster={cluster}", rest=rest)


def pod_log(
    namespace: str,
    pod: str,
    container: str = "",
    *,
    lines: int = 50,
    previous: bool = False,
    limit_bytes: int = 64 * 1024,
) -> Call[str]:
    """
    Ask for a container's last lines; empty where it has none (yet), or is gone.

    :param previous: of the container before it was started again
    """
    asked = Asked("get", POD, namespace, pod, "log")

    def read(answer: Answer) -> str:
        told = told_by(answer)
        if answer.status == 400 or (told is not None and told.reason == "NotFound"):
            # "waiting to start", "previous terminated container not found".
            return ""
        return _ok(answer, asked).body.decode("utf-8", "replace")

    params = {
        "container": container,
        "tailLines": str(lines),
        "limitBytes": str(limit_bytes),
        "previous": "true" if previous else "",
    }
    return Call("GET", POD.path(namespace, pod, "log"), read, params=_given(params), timeout_seconds=READ_SECONDS)


def get_secret(namespace: str, name: str, key: str) -> Call[str | None]:
    """Ask for one value of a Secret; None where there is no such Secret or key. In memory only."""
    call: Call[Any] = get(SECRET, namespace, name)

    def read(answer: Answer) -> str | None:
        value = ((call.read(answer) or {}).get("data") or {}).get(key)
        try:
            return None if value is None else base64.b64decode(value).decode().strip()
        except (binascii.Error, ValueError):
            raise ProtocolError(f"The key {key!r} of the Secret {namespace}/{name} is no text") from None

    return replace(call, read=read)


def _write(
    method: str,
    path: str,
    asked: Asked,
    body: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    content_type: str,
    params: Mapping[str, str],
    dry_run: bool,
    timeout_seconds: float = WRITE_SECONDS,
    manager: str = FIELD_MANAGER,
) -> Call[Written]:
    def read(answer: Answer) -> Written:
        return Written(_object(answer, asked), _warnings_of(answer))

    every = {"fieldManager": manager, "fieldValidation": "Strict", "dryRun": "All" if dry_run else "", **params}
    return Call(
        method,
        path,
        read,
        params=_given(every),
        headers={"Content-Type": content_type, "Accept": _JSON},
        body=json.dumps(body).encode(),
        timeout_seconds=timeout_seconds,
    )


def _unless_anothers(call: Call[Any], asked: Asked) -> Call[Written | None]:
    def read(answer: Answer) -> Written | None:
        return None if is_absent(answer, asked) or is_anothers(answer) else call.read(answer)

    return replace(call, read=read)


def _given(params: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in params.items() if value}


def _ok(answer: Answer, asked: Asked) -> Answer:
    if answer.status not in (200, 201, 202):
        raise failure_of(answer, asked)
    return answer


def _object(answer: Answer, asked: Asked) -> Resource:
    try:
        found = _ok(answer, asked).json()
    except ProtocolError:
        found = None
    if not isinstance(found, dict):
        raise _no_answer(answer, asked, "object")
    return found


def _no_answer(answer: Answer, asked: Asked, what: str) -> KubeUnavailableError:
    """Say that a success was cut off on its way, or comes from somebody in front: the next one may be whole."""
    return KubeUnavailableError(f"Kubernetes answered with no {what} when asked to {asked}: {answer.text[:200]!r}")


def _warnings_of(answer: Answer) -> Sequence[str]:
    """Read the headers ``Warning: 299 - "text"``; several stand in one, between commas."""
    told, found = answer.headers.get("warning", ""), []
    for piece in told.split('299 - "')[1:]:
        found.append(piece.rpartition('"')[0].replace('\\"', '"'))
    return found

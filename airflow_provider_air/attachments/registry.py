"""
Which attachments there are, and how a spec crosses processes: ``{"kind": "mlflow", "fields": {...}}``.

A kind is a built-in one, one that an installed distribution declares by an entry point of the group
:data:`ENTRY_POINTS`, or ``module:Class`` of any class that can be imported. Classes are loaded when they are used,
which blocks: for workers, and threads of the triggerer.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import importlib.metadata
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_air.contracts.leftovers import LeavesRuns
from airflow_provider_air.contracts.stored import fields_of
from airflow_provider_air.errors import ConfigurationError, ProtocolError

if TYPE_CHECKING:
    from airflow_provider_air.contracts.attachments import AttachmentSpec
    from airflow_provider_air.contracts.connections import Connections
    from airflow_provider_air.contracts.leftovers import Neighbour

ENTRY_POINTS = "airflow_provider_air.attachments"
_ROOT = "airflow_provider_air.attachments"
_BUILT_IN = {
    "feast": f"{_ROOT}.feast.features:FeastFeatures",
    "mlflow": f"{_ROOT}.mlflow.tracker:MlflowTracker",
    "tecton": f"{_ROOT}.tecton.features:TectonFeatures",
    "wandb": f"{_ROOT}.wandb.tracker:WandbTracker",
}


def to_json(spec: AttachmentSpec) -> dict[str, Any]:
    """
    Give the stored form of what an author wrote.

    :raises ConfigurationError: another process could not make it again: a field is no plain JSON, or its class cannot
        be imported
    """
    kind = type(spec)
    fields = {field.name: getattr(spec, field.name) for field in dataclasses.fields(spec)}  # type: ignore[arg-type]
    try:
        stored: dict[str, Any] = json.loads(json.dumps(fields))
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"The fields of {kind.__name__} must be plain JSON: {error}") from None
    return {"kind": _name_of(kind), "fields": stored}


def from_json(data: Any) -> AttachmentSpec:
    """
    Read the stored form, also that of a newer version: fields that this one does not know are left out.

    :raises ConfigurationError: there is no such kind here
    :raises ProtocolError: this is no stored form of an attachment
    """
    if not isinstance(data, Mapping) or not isinstance(data.get("kind"), str):
        raise ProtocolError(f"{str(data)[:200]!r} is not the JSON form of an attachment")
    made: AttachmentSpec = fields_of(_class_of(data["kind"]), data.get("fields"))
    return made


def runs_left_at(kind: str, conn_id: str, connections: Connections) -> Neighbour:
    """
    Give what keeps runs open that nobody has ended, of a kind of attachments.

    :param kind: of attachments, which is the type of the connections that they use
    :raises ConfigurationError: there is no such kind, it leaves nothing open, or the connection is wrong
    """
    found = _class_of(kind)
    if not isinstance(found, LeavesRuns):
        raise ConfigurationError(
            f"What {kind!r} keeps needs no clean-up: nothing stays open there for ever",
            where=f"connection {conn_id}",
            hint="Leave it out",
        )
    return found.left_at(conn_id, connections)


def leaves_runs(kind: str) -> bool:
    """Tell whether connections of a type are of a kind of attachments that may leave runs open; loads it."""
    try:
        return isinstance(_class_of(kind), LeavesRuns)
    except ConfigurationError:
        return False


def _name_of(kind: type[Any]) -> str:
    name = f"{kind.__module__}:{kind.__qualname__}"
    for known in (getattr(kind, "kind", ""), name):
        try:
            if _class_of(known) is kind:
                return str(known)
        except ConfigurationError:
            continue
    raise ConfigurationError(
        f"The attachment {name} cannot be imported where the job is watched",
        hint=f"Put it into a module, or register it as an entry point of the group {ENTRY_POINTS}",
    )


def _class_of(kind: str) -> type[Any]:
    place = _BUILT_IN.get(kind)
    try:
        found = _imported(place or kind) if place or ":" in kind else _registered(kind)
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(f"The attachment kind {kind!r} cannot be loaded: {error}") from error
    if not isinstance(found, type) or not dataclasses.is_dataclass(found) or not hasattr(found, "open"):
        raise ConfigurationError(f"The attachment kind {kind!r} is no dataclass of an attachment, but {found!r}")
    return found


def _imported(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


@functools.cache
def _declared() -> importlib.metadata.EntryPoints:
    # It reads a file of each installed distribution: tens of milliseconds.
    return importlib.metadata.entry_points(group=ENTRY_POINTS)


def _registered(kind: str) -> Any:
    declared = _declared()
    for point in declared.select(name=kind):
        return point.load()
    raise ConfigurationError(
        f"There is no attachment of the kind {kind!r}",
        hint=f"Known ones: {', '.join(sorted({*_BUILT_IN, *declared.names}))}. Is its distribution installed here?",
    )

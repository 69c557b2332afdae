"""
What is known of an attempt before it is sent, for people: what it reads and writes, its features, where it is tracked.

Kept in the task's state store beside the ledger (key :data:`ABOUT_KEY`) while the attempt runs, and joined to its
history for good. Plain JSON without secrets::

    {"version": 1, "submission_id", "workload", "inputs": [...], "outputs": [...], "features": [...], "trackers": [...]}

by the shapes of :class:`~airflow_provider_air.contracts.history.History`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from airflow_provider_air.runs.facts import MOST_DATA, MOST_FEATURES, data_of, text
from airflow_provider_air.runs.values import plain

if TYPE_CHECKING:
    from airflow_provider_air.contracts.jobs import JobRequest
    from airflow_provider_air.contracts.runs import DataRef
    from airflow_provider_air.runs.ledger import AttachmentEntry, Attempt

ABOUT_KEY = "air_about"
# One entry of the state store, of which a table's columns may take nearly all.
MOST_COLUMNS = 50
# The fields that are always there.
NAMES = 3
TRACKER_STATE = ("run_id", "experiment_id")


def about_of(attempt: Attempt, request: JobRequest, links: Mapping[str, str]) -> dict[str, Any]:
    """
    Say what is known of an attempt; only its names where nothing is.

    :param attempt: with its attachments, prepared
    :param request: with all that attachments have added
    :param links: pages that people open, by the XCom keys of their links, such as ``mlflow_url``
    """
    found = {
        "inputs": _data(request.inputs),
        "outputs": _data(request.outputs),
        "features": [told for entry in attempt.attachments if (told := _features(entry))],
        "trackers": [told for entry in attempt.attachments if (told := _tracker(entry, links))],
    }
    names = {"version": 1, "submission_id": attempt.submission_id, "workload": attempt.workload}
    about: dict[str, Any] = plain({**names, **{name: items for name, items in found.items() if items}})
    return about


def _data(refs: Sequence[DataRef]) -> list[dict[str, Any]]:
    found = []
    for ref in refs[:MOST_DATA]:
        told = data_of(asdict(ref))
        if "schema" in told:
            told["schema"] = dict([*told["schema"].items()][:MOST_COLUMNS])
        found.append({"name": text(ref.name), **told})
    return found


def _features(entry: AttachmentEntry) -> dict[str, Any]:
    fields = _fields(entry)
    names = [name for name in ("feature_service", "features") if fields.get(name)]
    if not names:
        return {}
    conn_id = next((value for name, value in fields.items() if name.endswith("_conn_id")), None)
    told = {name: _bounded(fields[name]) for name in names}
    return {"store": _kind(entry), **told, **({"conn_id": text(conn_id)} if conn_id else {})}


def _bounded(value: Any) -> Any:
    return [text(item) for item in value[:MOST_FEATURES]] if isinstance(value, list) else text(value)


def _tracker(entry: AttachmentEntry, links: Mapping[str, str]) -> dict[str, Any]:
    state = entry.state or {}
    if not state.get("run_id"):
        return {}
    url = links.get(f"{_kind(entry)}_url")
    told = {name: text(state[name]) for name in TRACKER_STATE if state.get(name)}
    return {"kind": _kind(entry), **told, **({"url": text(url)} if url else {})}


def _kind(entry: AttachmentEntry) -> str:
    return text(entry.spec.get("kind"))


def _fields(entry: AttachmentEntry) -> Mapping[str, Any]:
    fields = entry.spec.get("fields")
    return fields if isinstance(fields, Mapping) else {}

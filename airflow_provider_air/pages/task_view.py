"""
The view of one task instance: what is stored of it becomes sections, which the Ray tab and reports draw.

Each section may be missing; what its fields mean is written down once for both sides, in ``ui/src/types.ts``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_air.pages.attempts import (
    attempt_of,
    attempts_of,
    attempts_section,
    cluster_section,
    own,
    running_of,
    state_section,
    task_head,
    timeline_section,
)
from airflow_provider_air.pages.history import history_sections
from airflow_provider_air.pages.lenient import count, items, mapping, name, number, objects, plain, rounded, text, url
from airflow_provider_air.pages.serve_view import serve_section

if TYPE_CHECKING:
    from airflow_provider_air.pages.documents import TaskDocuments, TaskFacts

VERSION = 1
# What these sections need of a history.
HEAD = ("submission_id", "steps", "cluster", "tasks", "progress", "inputs", "outputs", "features", "trackers", "serve")
MOST_RESULT_BYTES = 20_000
ENDPOINT = "ray_serve_endpoint_url"
MOST_FUNCTIONS, MOST_LINKS, MOST_DATA, MOST_COLUMNS, MOST_TRACKERS = 200, 30, 20, 200, 20
# By the XComs' keys, in the order in which they are shown; others by their key.
LABELS = {
    "ray_dashboard_url": "Ray dashboard",
    "ray_job_url": "Ray job",
    "grafana_url": "Grafana",
    ENDPOINT: "Serve endpoint",
    "ray_serve_page_url": "Ray Serve",
    "mlflow_url": "MLflow run",
    "mlflow_model_url": "MLflow model",
    "wandb_url": "W&B run",
}
TRACKERS = {"mlflow": "mlflow_url", "wandb": "wandb_url"}
FEATURE_STORES = ("feast", "tecton")


def task_view(documents: TaskDocuments, metrics: Sequence[str] = ()) -> dict[str, Any]:
    """
    Give all sections of one task instance.

    :param metrics: the names of the curves that are wanted; the first six by default
    """
    history = history_of(documents)
    return {**live_sections(documents, history), **history_sections(history, metrics, before_of(documents))}


def history_of(documents: TaskDocuments) -> Mapping[str, Any]:
    """Give the history of the attempt that is shown: as it was kept for good, else as it was last seen; else empty."""
    attempt = attempt_of(documents.ledger, documents.facts)
    for document in (documents.kept, documents.earlier):
        kept = own(document, attempt)
        if kept and (attempt is None or kept.get("submission_id")):
            return kept
    # An XCom is of the newest try alone.
    is_newest = documents.facts.try_number >= documents.facts.last_try
    return own(documents.live, attempt) if is_newest else {}


def before_of(documents: TaskDocuments) -> Mapping[str, Any]:
    """Give what is left of the history of the attempt before the one that is shown; empty where nothing is."""
    attempt = attempt_of(documents.ledger, documents.facts)
    before: Mapping[str, Any] = {}
    for other in attempts_of(documents.ledger):
        if other is attempt:
            return before
        for told in (documents.earlier, documents.kept):
            if mapping(told).get("submission_id", attempt) == other.get("submission_id"):
                before = {**told, "try_number": other.get("try_number")}
    return {}


def live_sections(documents: TaskDocuments, history: Mapping[str, Any]) -> dict[str, Any]:
    """
    Give the sections that change with each look: all but the history's.

    :param history: as :func:`history_of` gives it, or no more of it than :data:`HEAD`
    """
    facts = documents.facts
    if facts.try_number < facts.last_try:
        # XComs are of the newest try alone.
        documents = replace(documents, progress=None, result=None, gate=None, links={})
    attempt = attempt_of(documents.ledger, facts)
    progress, links, result = own(documents.progress, attempt), documents.links, documents.result
    told = {**own(documents.about, attempt), **history}
    sections = {
        "task": task_section(documents, attempt),
        "state": state_section(facts, attempt, progress, mapping(history.get("progress"))),
        "cluster": cluster_section(attempt or _made(result), mapping(history.get("cluster")), links),
        "attempts": attempts_section(documents.ledger, facts),
        "timeline": timeline_section(attempt, {**mapping(history.get("steps")), **running_of(progress)}),
        # Seconds old, where the history's are up to ten more.
        "values": {name(key): rounded(value) for key, value in mapping(progress.get("values")).items()},
        "tasks": _tasks(progress) or _tasks(history),
        "data": data_section(told),
        "serve": serve_section(told.get("serve"), result, links.get(ENDPOINT)),
        "tracker": tracker_section(told, attempt, links, documents),
        "features": features_section(told, attempt),
        "links": links_section(links),
    }
    shown = {key: section for key, section in sections.items() if section}
    return shown if result is None else {**shown, "result": result_section(result)}


def task_section(documents: TaskDocuments, attempt: Mapping[str, Any] | None) -> dict[str, Any]:
    """Give the section ``task``; what the person may do is added by who knows that."""
    facts = documents.facts
    return {
        **task_head(facts, attempt),
        "tries": list(range(max(1, facts.last_try - 99), facts.last_try + 1)),
        "is_ours": is_ours(facts, documents.ledger, documents.progress),
        "notes": [text(note) for note in documents.notes],
    }


def is_ours(facts: TaskFacts, ledger: Any, progress: Any) -> bool:
    """Whether there is, or will be, something to show: its operator is ours, or it has left what only ours do."""
    return facts.is_ours or bool(mapping(ledger)) or "submission_id" in mapping(progress)


def _made(result: Any) -> dict[str, Any]:
    """Give what names the cluster that a task has made, or found there; empty where its result is none."""
    told = mapping(result)
    return {"cluster": told} if isinstance(told.get("created"), bool) and "backend" in told else {}


def _tasks(told: Mapping[str, Any]) -> dict[str, dict[str, int]] | None:
    functions = list(mapping(told.get("tasks")).items())[:MOST_FUNCTIONS]
    return {name(key): {name(s): count(n) for s, n in mapping(states).items()} for key, states in functions} or None


def data_section(told: Mapping[str, Any]) -> dict[str, Any] | None:
    """Give the section ``data``: what is read and written."""
    sides = {side: [_data_set(item) for item in objects(told.get(side))[:MOST_DATA]] for side in ("inputs", "outputs")}
    return sides if any(sides.values()) else None


def _data_set(item: Mapping[str, Any]) -> dict[str, Any]:
    columns = list(mapping(item.get("schema")).items())[:MOST_COLUMNS]
    return {
        "name": name(item.get("name")),
        "uri": text(item.get("uri"), 1000),
        "rows": number(item.get("rows")),
        "schema": [{"name": name(column), "type": name(kind)} for column, kind in columns],
    }


def tracker_section(
    told: Mapping[str, Any], attempt: Mapping[str, Any] | None, links: Mapping[str, Any], documents: TaskDocuments
) -> list[dict[str, Any]]:
    """Give the section ``tracker``: of what an attachment has stored, the ids that are for people."""
    known = objects(told.get("trackers"))
    if not known:
        entries = [(_kind(entry), mapping(entry.get("state"))) for entry in _attachments(attempt)]
        known = [{"kind": kind, **state} for kind, state in entries if kind in TRACKERS]
    if not known and mapping(documents.gate):
        # A task that only lets a model pass, or not, has no run of its own.
        known = [{"kind": "mlflow"}]
    return [_tracker(item, links, documents) for item in known[:MOST_TRACKERS]]


def _tracker(told: Mapping[str, Any], links: Mapping[str, Any], documents: TaskDocuments) -> dict[str, Any]:
    kind = name(told.get("kind"))
    gate = mapping(documents.gate) if kind == "mlflow" else {}
    result = mapping(documents.result) if kind == "mlflow" else {}
    model = mapping(told.get("model")) or mapping(result.get("model")) or gate
    passed = gate.get("passed")
    return {
        "kind": kind,
        "run_id": name(told.get("run_id")) or None,
        "url": url(links.get(TRACKERS.get(kind, f"{kind}_url"))) or url(told.get("url")),
        "model": _model(model, links) if model.get("name") else None,
        "gate": {"passed": passed, "why": text(gate.get("why"))} if isinstance(passed, bool) else None,
    }


def _attachments(attempt: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    return objects(mapping(attempt).get("attachments"))


def _kind(entry: Mapping[str, Any]) -> str:
    return name(mapping(entry.get("spec")).get("kind"))


def _model(model: Mapping[str, Any], links: Mapping[str, Any]) -> dict[str, Any]:
    version = text(model.get("version"), 40)
    return {
        "name": name(model.get("name")) or None,
        "version": version,
        "url": url(links.get("mlflow_model_url")) or url(model.get("url")),
    }


def features_section(told: Mapping[str, Any], attempt: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """Give the section ``features``."""
    known = objects(told.get("features"))
    if not known:
        fields = [(_kind(entry), mapping(mapping(entry.get("spec")).get("fields"))) for entry in _attachments(attempt)]
        known = [{"store": kind, **spec} for kind, spec in fields if kind in FEATURE_STORES]
    return [
        {
            "store": name(item.get("store")),
            "feature_service": name(item.get("feature_service")) or None,
            "features": [name(feature) for feature in items(item.get("features"))[:MOST_COLUMNS]],
        }
        for item in known[:MOST_TRACKERS]
    ]


def links_section(links: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Give the section ``links``: those that a browser may follow."""
    order = [*LABELS, *sorted(key for key in links if key not in LABELS)]
    known = [(key, address) for key in order if (address := url(links.get(key)))]
    return [{"label": LABELS.get(key) or _label(key), "url": address} for key, address in known][:MOST_LINKS]


def _label(key: str) -> str:
    return name(key.removesuffix("_url").replace("_", " "))


def result_section(result: Any) -> Any:
    """Give the section ``result``: cut where it is long."""
    shown = plain(result)
    told = json.dumps(shown, ensure_ascii=False)
    if len(told.encode()) <= MOST_RESULT_BYTES:
        return shown
    return {"cut": True, "text": told.encode()[:MOST_RESULT_BYTES].decode(errors="ignore")}

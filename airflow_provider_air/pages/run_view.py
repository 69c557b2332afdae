"""The view of a DAG run: its Ray tasks on one timeline, the clusters that they shared, and what these had."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_air.pages.attempts import (
    attempt_of,
    cluster_section,
    own,
    phase_of,
    running_of,
    state_section,
    task_head,
    timeline_section,
)
from airflow_provider_air.pages.lenient import epoch, mapping, name, number
from airflow_provider_air.pages.summary import HOURS, Span, hours_of
from airflow_provider_air.pages.task_view import is_ours

if TYPE_CHECKING:
    from airflow_provider_air.pages.documents import TaskDocuments

# Of a cluster, what one look may not tell, and holds as another one has told it.
STAYS = ("dashboard_url", "expires_at")
Told = tuple["TaskDocuments", Mapping[str, Any]]
"""A task instance, and the summary of its history."""


def run_view(run: Mapping[str, Any], told: Sequence[Told], cut: int, unread: int = 0) -> dict[str, Any]:
    """
    Give the view of a DAG run.

    :param run: ``dag_id``, ``run_id``, ``state``, ``started_at``, ``ended_at``
    :param cut: how many of its Ray tasks were left out
    :param unread: how many histories of tasks that have ended are not read yet: until they are, hours are too few
    """
    ours = [(each, summary) for each, summary in told if is_ours(each.facts, each.ledger, each.progress)]
    tasks = [task_row(each, summary) for each, summary in ours]
    clusters = _clusters(ours, tasks)
    return {
        **run,
        "dag_id": name(run.get("dag_id")),
        "run_id": name(run.get("run_id")),
        "tasks": tasks,
        "clusters": clusters,
        **{hours: total(cluster[hours] for cluster in clusters) for hours in HOURS},
        "cut": cut,
        "unread": unread,
    }


def task_row(documents: TaskDocuments, summary: Mapping[str, Any]) -> dict[str, Any]:
    """Give what lists show of a task instance and its newest attempt."""
    facts = documents.facts
    attempt = attempt_of(documents.ledger, facts)
    progress, known = own(documents.progress, attempt), own(summary, attempt)
    state = state_section(facts, attempt, progress, {})
    ref = mapping(mapping(attempt).get("cluster"))
    # Of a cluster that others use, too, nobody can say which task's time it was: counted by cluster alone.
    is_own = ref.get("owned") is True
    hours = {key: hours_of(_had(attempt, known, key)) if is_own else None for key in HOURS}
    return {
        **task_head(facts, attempt),
        "phase": state["phase"],
        "message": state["message"],
        "error": state["error"],
        "submission_id": name(mapping(attempt).get("submission_id")) or None,
        "cluster": name(ref.get("name")) or None,
        "timeline": timeline_section(attempt, {**mapping(known.get("steps")), **running_of(progress)}),
        **hours,
    }


def seen_cluster(documents: TaskDocuments, summary: Mapping[str, Any]) -> dict[str, Any] | None:
    """Give what is known of the cluster of a task instance's newest attempt, as it was seen last."""
    attempt = attempt_of(documents.ledger, documents.facts)
    live = mapping(own(documents.live, attempt).get("cluster"))
    return cluster_section(attempt, live or mapping(own(summary, attempt).get("cluster")), documents.links)


def phase(documents: TaskDocuments) -> str:
    """Say in one word how far a task instance is."""
    attempt = attempt_of(documents.ledger, documents.facts)
    return phase_of(documents.facts, attempt, own(documents.progress, attempt))


def total(values: Iterable[float | None]) -> float | None:
    """Add up what is known; None where nothing is."""
    known = [value for value in values if value is not None]
    return number(sum(known)) if known else None


def _clusters(told: Sequence[Told], rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    had: dict[tuple[str, str], list[Span]] = defaultdict(list)
    for (documents, summary), row in zip(told, rows, strict=True):
        seen = seen_cluster(documents, summary)
        if seen is not None:
            known = found.setdefault(seen["id"], {**seen, "tasks": []})
            known |= newer(known, seen)
            known["tasks"].append(f"{row['task_id']}[{row['map_index']}]" if row["map_index"] >= 0 else row["task_id"])
            attempt = attempt_of(documents.ledger, documents.facts)
            for hours in HOURS:
                had[seen["id"], hours] += _had(attempt, own(summary, attempt), hours)
    return [{**known, **{hours: hours_of(had[key, hours]) for hours in HOURS}} for key, known in found.items()]


def _had(attempt: Mapping[str, Any] | None, summary: Mapping[str, Any], hours: str) -> list[Span]:
    """Give what a cluster had for an attempt; of one that others use, too, not while the job waited for room there."""
    spans: list[Span] = mapping(summary.get("had")).get(hours, [])
    sent = epoch(mapping(mapping(attempt).get("steps")).get("sent"))
    is_own = mapping(mapping(attempt).get("cluster")).get("owned") is True
    if is_own or sent is None:
        return spans
    return [(max(since, sent), until, amount) for since, until, amount in spans if until > sent]


def newer(known: Mapping[str, Any], seen: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give the later of two looks at the same cluster, with what the earlier one alone has told of what stays."""
    is_newer = (seen.get("seen_at") or 0.0) > (known.get("seen_at") or 0.0)
    late, early = (seen, known) if is_newer else (known, seen)
    return {**late, **{part: late.get(part) or early.get(part) for part in STAYS}}

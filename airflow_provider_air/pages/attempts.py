"""What became of a run's attempts: the state of the one that is shown, its cluster, and where its time went."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_air.pages.lenient import count, epoch, mapping, name, number, objects, plain, text, url

if TYPE_CHECKING:
    from airflow_provider_air.pages.documents import TaskFacts

# Of a ledger's phases; the rest are open.
ENDED = {
    "SUCCEEDED": "succeeded",
    "SKIPPED": "skipped",
    "FAILED": "failed",
    "STOPPED": "stopped",
    "LOST": "lost",
    "RESULT_LOST": "lost",
    "ABANDONED": "abandoned",
    "DETACHED": "detached",
}
GOOD = ("succeeded", "skipped", "detached")
# Of Ray's words for a job.
BY_STATUS = {"PENDING": "queued", "RUNNING": "running"}
STATUS_ENDED = {"SUCCEEDED": "succeeded", "FAILED": "failed", "STOPPED": "stopped"}
# Of Airflow's words for a task: in these nobody watches the attempt, and nobody will.
OVER = ("success", "failed", "skipped", "upstream_failed", "removed")
NOT_BEGUN = (None, "scheduled", "queued")
# The rest are the phases of tasks that have no attempt, such as those that make or delete a cluster.
BY_STATE = {"success": "succeeded", **dict.fromkeys(("deferred", "restarting", "up_for_reschedule"), "running")}
LEFT_OPEN = "Airflow ended the task before the end of its job was written down"
NEXT_TRY = "The next try has not begun"
MOST_ATTEMPTS = 50
# Of a cluster's details, how it is reached: that makes it no other one.
WAYS = ("reach", "dashboard_url", "serve_url", "grafana_url")


def attempts_of(ledger: Any) -> list[Mapping[str, Any]]:
    """Give a stored ledger's attempts, oldest first."""
    return objects(mapping(ledger).get("attempts"))[-MOST_ATTEMPTS:]


def attempt_of(ledger: Any, facts: TaskFacts) -> Mapping[str, Any] | None:
    """Give the attempt that a try began or adopted: the last one that had begun by then. None where there was none."""
    begun = [item for item in attempts_of(ledger) if count(item.get("try_number"), 1) <= max(1, facts.try_number)]
    return begun[-1] if begun else None


def own(document: Any, attempt: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Give a document if it is about this attempt, else an empty one: those of earlier ones stay about for a while."""
    told = mapping(document)
    is_others = attempt is not None and told.get("submission_id") not in (None, attempt.get("submission_id"))
    return {} if is_others else told


def phase_of(facts: TaskFacts, attempt: Mapping[str, Any] | None, progress: Mapping[str, Any]) -> str:
    """Say in one word how far an attempt is."""
    if attempt is None:
        return _phase_before(facts, progress)
    ended = ENDED.get(str(attempt.get("phase")))
    if ended is not None:
        return ended
    status = str(progress.get("status"))
    if facts.state in OVER:
        return STATUS_ENDED.get(status, "stopped")
    steps = mapping(attempt.get("steps"))
    if attempt.get("phase") == "submitted" or status in BY_STATUS or status in STATUS_ENDED:
        return BY_STATUS.get(status, "collecting" if status in STATUS_ENDED else "queued")
    if "sent" in steps:
        return "queued"
    return "waiting_room" if "ready" in steps else "waiting_cluster"


def _phase_before(facts: TaskFacts, progress: Mapping[str, Any]) -> str:
    """Of a task without an attempt what a sensor says of its job counts, else Airflow's own word."""
    status = str(progress.get("status")) if facts.is_ours else ""
    known = STATUS_ENDED if facts.state in OVER else {**BY_STATUS, **STATUS_ENDED}
    if status in known:
        return known[status]
    return "none" if facts.state in NOT_BEGUN else BY_STATE.get(str(facts.state), name(facts.state))


def task_head(facts: TaskFacts, attempt: Mapping[str, Any] | None) -> dict[str, Any]:
    """Give what names a task instance, and Airflow's own word on it, wherever it is shown."""
    return {
        "dag_id": name(facts.dag_id),
        "run_id": name(facts.run_id),
        "task_id": name(facts.task_id),
        "map_index": facts.map_index,
        "operator": name(facts.operator) or None,
        "workload": name(mapping(attempt).get("workload")) or None,
        "state": facts.state,
        "try_number": facts.try_number,
        "started_at": facts.started_at,
        "ended_at": facts.ended_at,
    }


def state_section(
    facts: TaskFacts, attempt: Mapping[str, Any] | None, progress: Mapping[str, Any], kept: Mapping[str, Any]
) -> dict[str, Any]:
    """
    Give the section ``state``.

    :param kept: what the job said last, as its history has it: that stays when the progress is gone
    """
    said = progress if "message" in progress or "done" in progress else kept
    phase = phase_of(facts, attempt, progress)
    is_waiting = phase in ("waiting_cluster", "waiting_room", "queued")
    told = mapping(attempt)
    why = text(told.get("message")) or None
    left_open = attempt is not None and facts.state in OVER and str(told.get("phase")) not in ENDED
    is_next = attempt is not None and facts.state in NOT_BEGUN and phase in ENDED.values()
    return {
        "phase": phase,
        "waiting_for": text(progress.get("waiting_for")) if is_waiting else None,
        "waiting_since": epoch(progress.get("waiting_since")) if is_waiting else None,
        "message": NEXT_TRY if is_next else text(said.get("message"), 2000),
        "done": number(said.get("done")),
        "total": number(said.get("total")),
        "updated_at": epoch(progress.get("updated_at")) or epoch(kept.get("at")),
        "error": LEFT_OPEN if left_open else (why if phase not in GOOD else None),
    }


def attempts_section(ledger: Any, facts: TaskFacts) -> list[dict[str, Any]]:
    """Give the section ``attempts``, oldest first."""
    current = attempt_of(ledger, facts)
    return [_attempt_row(item, facts, is_current=item is current) for item in attempts_of(ledger)]


def _attempt_row(attempt: Mapping[str, Any], facts: TaskFacts, *, is_current: bool) -> dict[str, Any]:
    steps = mapping(attempt.get("steps"))
    known = [at for at in map(epoch, steps.values()) if at is not None]
    return {
        "submission_id": name(attempt.get("submission_id")),
        "generation": count(attempt.get("generation"), 1),
        "number": count(attempt.get("number"), 1),
        "try_number": count(attempt.get("try_number"), 1),
        "phase": ENDED.get(str(attempt.get("phase")), name(attempt.get("phase"))),
        "message": text(attempt.get("message")) or None,
        "begun_at": min(known, default=None),
        "ended_at": epoch(steps.get("ended")),
        "cluster": name(mapping(attempt.get("cluster")).get("name")) or None,
        "taken_over_by": facts.try_number if is_current and _is_taken_over(attempt, facts) else None,
        "is_current": is_current,
        "stop_pending": attempt.get("stop_pending") is True,
    }


def _is_taken_over(attempt: Mapping[str, Any], facts: TaskFacts) -> bool:
    """Whether a later try goes on with an attempt, or has brought it to its end: the ledger has who began it alone."""
    if facts.try_number <= count(attempt.get("try_number"), 1) or facts.state in NOT_BEGUN:
        return False
    phase, steps = ENDED.get(str(attempt.get("phase"))), mapping(attempt.get("steps"))
    if phase is None:
        return attempt.get("stop_pending") is not True
    if phase in GOOD and facts.state == "success":
        return True
    # A failure that was there before made this try: that is no adoption.
    noted = epoch(steps.get("collected")) or epoch(steps.get("ended"))
    return noted is not None and facts.started_at is not None and noted >= facts.started_at


def cluster_id(ref: Any) -> str:
    """
    Tell a cluster from others, such as those of its name elsewhere, as ``ClusterRef.key`` does.

    :param ref: the stored form of a ClusterRef
    """
    told = mapping(ref)
    details = {key: value for key, value in mapping(told.get("details")).items() if key not in WAYS}
    key = json.dumps([name(told.get("backend")), name(told.get("name")), plain(details)], sort_keys=True)
    return hashlib.sha256(key.encode()).hexdigest()[:16]


def cluster_section(
    attempt: Mapping[str, Any] | None, seen: Mapping[str, Any], links: Mapping[str, Any]
) -> dict[str, Any] | None:
    """
    Give the section ``cluster``; None where none was asked for.

    :param seen: what was written down of it while it lived
    """
    ref = mapping(mapping(attempt).get("cluster"))
    if not ref.get("name"):
        return None
    details = mapping(ref.get("details"))
    return {
        "id": cluster_id(ref),
        "name": name(ref.get("name")),
        "backend": name(ref.get("backend")) or None,
        # Ids of connections, and namespaces; nothing else of what finds it is for people.
        "conn_id": name(details.get("ray_conn_id") or details.get("kubernetes_conn_id")) or None,
        "namespace": name(details.get("namespace")) or None,
        "is_own": ref.get("owned") is True,
        "dashboard_url": url(links.get("ray_dashboard_url")) or url(seen.get("dashboard_url")),
        "resources": _resources(seen.get("resources")),
        "nodes": [_node(node) for node in objects(seen.get("nodes"))[:200]],
        "expires_at": epoch(seen.get("expires_at")),
        "nodes_total": number(seen.get("nodes_total")),
        "seen_at": epoch(seen.get("seen_at")),
    }


def _resources(value: Any) -> dict[str, dict[str, Any]]:
    known = [(name(key), mapping(item)) for key, item in list(mapping(value).items())[:30]]
    return {key: {"used": number(item.get("used")), "total": number(item.get("total"))} for key, item in known}


def _node(node: Mapping[str, Any]) -> dict[str, Any]:
    amounts = list(mapping(node.get("resources")).items())[:20]
    return {
        "id": name(node.get("id")),
        "ip": name(node.get("ip")) or None,
        "is_head": node.get("is_head") is True,
        "state": name(node.get("state")) or None,
        "message": text(node.get("message"), 200) or None,
        "resources": {name(key): number(amount) for key, amount in amounts},
    }


def running_of(progress: Mapping[str, Any]) -> dict[str, Any]:
    """Give the step that a running attempt's progress alone knows: when its job was first seen to run."""
    return {"running": progress["running_at"]} if "running_at" in progress else {}


def timeline_section(attempt: Mapping[str, Any] | None, steps: Mapping[str, Any]) -> list[dict[str, Any]]:
    """
    Give the section ``timeline``: where an attempt's time went, in order. A part that nobody timed is not there.

    :param steps: of the history, which knows some that the ledger does not, such as ``running``
    """
    own_steps = mapping(mapping(attempt).get("steps"))
    at = {key: moment for key, value in {**steps, **own_steps}.items() if (moment := epoch(value)) is not None}
    sent, ended = at.get("sent", at.get("submitted")), at.get("ended")
    # Of an attempt that nobody saw begin to run, the whole is shown as its run once it is over.
    running = at.get("running", sent if ended is not None else None)
    has_queued = "running" in at or ended is None
    has_room = mapping(attempt).get("limit") is not None
    spans = [
        ("cluster", at.get("cluster", at.get("intended")), at.get("ready", sent)),
        ("room", at.get("ready") if has_room else None, sent),
        ("queue", sent if has_queued else None, running),
        ("run", running, ended),
        ("collect", ended if "collected" in at else None, at.get("collected")),
    ]
    return _closed([(part, start, end) for part, start, end in spans if start is not None], ended)


def _closed(spans: list[tuple[str, Any, Any]], ended: float | None) -> list[dict[str, Any]]:
    """End what has no end of its own where the next part begins, or the attempt ended."""
    followings = [*[start for _, start, _ in spans][1:], ended]
    closed = []
    for (part, start, end), following in zip(spans, followings, strict=False):
        until = end if end is not None else following
        closed.append({"name": part, "from": start, "to": None if until is None else max(start, until)})
    return closed

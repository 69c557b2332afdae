"""The view of clusters and jobs over all DAGs that a person may read: as last seen, what is stuck, what may go."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_air.pages.attempts import ENDED, OVER, attempt_of, attempts_of
from airflow_provider_air.pages.lenient import epoch, mapping, name
from airflow_provider_air.pages.run_view import Told, newer, seen_cluster, task_row

if TYPE_CHECKING:
    from airflow_provider_air.pages.cluster_words import ClusterNote
    from airflow_provider_air.pages.documents import TaskDocuments

OPEN = ("waiting_cluster", "waiting_room", "queued", "running", "collecting")
# How long each may take before somebody should look.
PATIENCE_SECONDS = {"waiting_cluster": 900.0, "waiting_room": 3600.0, "queued": 900.0, "collecting": 900.0}
WORDS = {
    "waiting_cluster": "waits for its cluster",
    "waiting_room": "waits for room on its cluster",
    "queued": "waits for Ray to start its job",
    "collecting": "its job has ended, and nobody has collected its result",
}
MOST_JOBS, MOST_CLUSTERS, MOST_LEFT = 200, 100, 100
RUN_OVER = ("success", "failed")
OWN = "The cluster is this task's own and goes with it: stop the task instead"
GONE = "The cluster is gone, as far as is known"
EXPIRED = "The time of the cluster is over, as far as is known"
OTHERS = "The cluster never expires, as far as is known, and no task has started it: it is for others to end or to keep"


def clusters_view(
    told: Sequence[Told],
    runs: Mapping[tuple[str, str], str],
    now: float,
    cut: int,
    notes: Sequence[ClusterNote] = (),
    left: Collection[tuple[str, str]] = (),
    may_change: Callable[[str], bool] = lambda dag_id: False,
) -> dict[str, Any]:
    """
    Give the view of clusters and jobs.

    :param told: the task instances, newest first
    :param runs: the state of their DAG runs, by DAG and run
    :param now: epoch seconds
    :param cut: whether, and by how many, task instances were left out
    :param notes: of tasks that made or deleted clusters, newest first
    :param left: DAG runs in which a task that was to delete a cluster has failed, and none is to come
    :param may_change: whether the person may change a DAG's task instances, and so ask something of their clusters
    """
    rows = [(task_row(documents, summary), documents) for documents, summary in told]
    clusters = [_with_asks(cluster, may_change, now) for cluster in clusters_of(told, notes).values()]
    used = {cluster["id"] for cluster in clusters if cluster["used_by"]}
    return {
        "clusters": clusters[:MOST_CLUSTERS],
        "jobs": [row for row, _ in rows][:MOST_JOBS],
        "stuck": [stuck for row, documents in rows if (stuck := _stuck(row, documents.progress, now))][:MOST_LEFT],
        "cleanup": [*_leftovers(told, runs, now), *_not_deleted(notes, left, used)][:MOST_LEFT],
        "cut": cut,
    }


def clusters_of(told: Sequence[Told], notes: Sequence[ClusterNote]) -> dict[str, dict[str, Any]]:
    """
    Give those that are there, as far as is known: who has asked one to go, or deleted it, has written that down.

    :return: by their ids
    """
    found: dict[str, dict[str, Any]] = {}
    deleted = _deleted(notes)
    for documents, summary in told:
        seen = seen_cluster(documents, summary)
        row = task_row(documents, summary)
        is_used = row["phase"] in OPEN
        if seen is None or (not is_used and (_was_left(documents) or _is_before(row["started_at"], seen, deleted))):
            continue
        known = found.setdefault(seen["id"], {**seen, "used_by": [], "seen_by": []})
        known |= newer(known, seen)
        known["seen_by"].append(_key(row))
        if is_used:
            known["used_by"].append({**_key(row), "phase": row["phase"]})
    for note, cluster in _made(notes, deleted):
        known = found.setdefault(cluster["id"], {**cluster, "used_by": [], "seen_by": []})
        known["dashboard_url"] = known["dashboard_url"] or cluster["dashboard_url"]
        known.setdefault("made_by", {**_key(vars(note)), "at": note.at, "created": note.is_made})
        if note.is_made:
            known.setdefault("maker", _key(vars(note)))
    return found


def why_not_asked(cluster: Mapping[str, Any] | None, now: float) -> str | None:
    """
    Say why nothing can be asked of a cluster; None where something can.

    A task's own goes with the task. One that never expires, and that no task here has started, is somebody else's.

    :param cluster: of :func:`clusters_of`, perhaps with what was asked of it; None where it is not among them
    :param now: epoch seconds
    """
    if cluster is None or cluster.get("is_gone"):
        return GONE
    if cluster["is_own"]:
        return OWN
    if cluster["expires_at"] is None:
        return None if cluster.get("maker") else OTHERS
    return None if cluster["expires_at"] > now else EXPIRED


def _with_asks(cluster: dict[str, Any], may_change: Callable[[str], bool], now: float) -> dict[str, Any]:
    """Say by ``asks`` of which task instance a person may ask something of a cluster; None where of none."""
    shown = {part: value for part, value in cluster.items() if part not in ("maker", "seen_by")}
    maker, can_be_asked = cluster.get("maker"), why_not_asked(cluster, now) is None
    # Who made it first: there the next clean-up looks, also where nobody waits.
    keys = [*([maker] if maker else ()), *map(_key, cluster["used_by"]), *cluster["seen_by"]]
    return {**shown, "asks": next((key for key in keys if can_be_asked and may_change(key["dag_id"])), None)}


def _was_left(documents: TaskDocuments) -> bool:
    """Whether a cluster of the task's own was asked to go with its newest attempt."""
    return mapping(attempt_of(documents.ledger, documents.facts)).get("cluster_left") is True


def _deleted(notes: Sequence[ClusterNote]) -> dict[str, float]:
    """Give when clusters were deleted last, by their ids."""
    known = [(cluster, note.at) for note in reversed(notes) if note.is_deleted and (cluster := note.cluster)]
    return {cluster["id"]: at for cluster, at in known}


def _is_before(at: float | None, cluster: Mapping[str, Any], deleted: Mapping[str, float]) -> bool:
    return (at or 0.0) <= deleted.get(cluster["id"], -1.0)


def _made(notes: Sequence[ClusterNote], deleted: Mapping[str, float]) -> list[tuple[ClusterNote, dict[str, Any]]]:
    """Give the notes of clusters that were made or found for other tasks, and not deleted since."""
    known = [(note, cluster) for note in notes if not note.is_deleted and (cluster := note.cluster)]
    return [(note, cluster) for note, cluster in known if not _is_before(note.at, cluster, deleted)]


def _not_deleted(
    notes: Sequence[ClusterNote], left: Collection[tuple[str, str]], used: Collection[str]
) -> list[dict[str, Any]]:
    """Give the clusters that a DAG run has made, and failed to delete, and that nobody uses."""
    return [
        _left("cluster", cluster["name"], "the task that was to delete it has failed", cluster["name"], None)
        for note, cluster in _made(notes, _deleted(notes))
        if note.is_made and (note.dag_id, note.run_id) in left and cluster["id"] not in used
    ]


def _key(row: Mapping[str, Any]) -> dict[str, Any]:
    return {part: row[part] for part in ("dag_id", "run_id", "task_id", "map_index")}


def _stuck(row: Mapping[str, Any], progress: Any, now: float) -> dict[str, Any] | None:
    phase = str(row["phase"])
    since = epoch(mapping(progress).get("waiting_since")) or _since(row)
    if phase not in PATIENCE_SECONDS or since is None or now - since < PATIENCE_SECONDS[phase]:
        return None
    why = mapping(progress).get("waiting_for")
    told = name(why) if phase != "collecting" and why else None
    return {**_key(row), "what": WORDS[phase], "why": told or row["message"], "since": since, "cluster": row["cluster"]}


def _since(row: Mapping[str, Any]) -> float | None:
    begun = [part["from"] for part in row["timeline"] if part["to"] is None]
    return epoch(begun[-1] if begun else row["started_at"])


def _leftovers(told: Sequence[Told], runs: Mapping[tuple[str, str], str], now: float) -> list[dict[str, Any]]:
    """
    Say what is known here of what a clean-up would take; it asks each cluster itself, and may find more, or less.

    Jobs whose task is over, and clusters of their own for tasks whose DAG run is over, or whose time is.
    """
    found = []
    for documents, summary in told:
        facts = documents.facts
        is_over = runs.get((facts.dag_id, facts.run_id)) in RUN_OVER
        for attempt in attempts_of(documents.ledger):
            cluster = mapping(attempt.get("cluster"))
            label = name(cluster.get("name"))
            if _is_left_job(attempt, facts.state):
                why = "its task has ended, its own end is not written down"
                found.append(_left("job", attempt.get("submission_id"), why, label, None))
            if cluster.get("owned") is True and attempt.get("cluster_left") is not True:
                seen = mapping(mapping(summary).get("cluster"))
                expires_at = epoch(seen.get("expires_at")) if name(seen.get("name")) == label else None
                is_late = expires_at is not None and expires_at < now
                if is_over or is_late:
                    why = "its time is over" if is_late else "its DAG run is over"
                    found.append(_left("cluster", label, why, label, expires_at))
    return list({(item["kind"], item["name"], item["cluster"]): item for item in found}.values())


def _is_left_job(attempt: Mapping[str, Any], state: str | None) -> bool:
    is_open = str(attempt.get("phase")) not in ENDED and "sent" in mapping(attempt.get("steps"))
    return attempt.get("stop_pending") is True or (is_open and state in OVER)


def _left(kind: str, label: Any, why: str, cluster: str, expires_at: float | None) -> dict[str, Any]:
    return {"kind": kind, "name": name(label), "why": why, "cluster": cluster, "expires_at": expires_at}

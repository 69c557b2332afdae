"""What people have asked of a cluster, what came of it, and what tasks have noted of clusters that they share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_air.pages.attempts import cluster_id, cluster_section
from airflow_provider_air.pages.lenient import epoch, mapping, name, text

ACTIONS = ("extend", "end")


@dataclass(frozen=True)
class ClusterNote:
    """
    What a task instance has noted of a cluster, see :func:`airflow_provider_air.links.ray.push_made`.

    :param told: the stored form
    :param at: when, in epoch seconds
    :param is_deleted: that it is gone; else that it is there
    """

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    told: Any
    at: float
    is_deleted: bool = False

    @property
    def cluster(self) -> dict[str, Any] | None:
        """The cluster as pages show it; None where none is named."""
        told = mapping(self.told)
        pages = {"ray_dashboard_url": told.get("dashboard_url")}
        return cluster_section({"cluster": told.get("cluster")}, {}, pages)

    @property
    def is_made(self) -> bool:
        """Whether the task has started it, and not found it there."""
        return mapping(self.told).get("created") is True


@dataclass(frozen=True)
class ClusterWords:
    """
    What is known of a task's cluster beside what was seen of it; told from others by its values.

    :param request: what was asked of it last; None where nothing was
    :param answer: what who did it has said
    :param is_done: whether it is what was asked
    :param gone: the ids of those that a task of the same DAG run has deleted
    """

    request: tuple[tuple[str, Any], ...] | None = None
    answer: str | None = None
    is_done: bool = False
    gone: frozenset[str] = frozenset()


def words_of(stored: Any, answer: Any, gone: frozenset[str]) -> ClusterWords:
    """
    Read stored forms.

    :param stored: what was asked, as :mod:`airflow_provider_air.plugin.cluster_requests_api` has written it
    :param answer: ``{"asked_at": epoch, "said": text, "is_done": bool}``
    """
    request, told = mapping(stored), mapping(answer)
    if request.get("action") not in ACTIONS:
        return ClusterWords(gone=gone)
    asked = {
        "action": request["action"],
        "by": name(request.get("by")) or None,
        "asked_at": epoch(request.get("asked_at")),
        "until": epoch(request.get("until")) if request["action"] == "extend" else None,
        "of": cluster_id(request.get("cluster")),
    }
    said = text(told.get("said")) if told.get("asked_at") == request.get("asked_at") else None
    # Of an earlier version each answer is of what was done.
    is_done = said is not None and told.get("is_done") is not False
    return ClusterWords(tuple(asked.items()), said, is_done, gone)


def with_words(cluster: Mapping[str, Any], words: ClusterWords) -> dict[str, Any]:
    """Give the section ``cluster`` with what was asked of it, and whether it is gone."""
    request = dict(words.request or ())
    shown = {**cluster, "is_gone": cluster["id"] in words.gone}
    if request.pop("of", None) != cluster["id"]:
        return shown
    if words.is_done and request["until"] is not None:
        # Nobody has seen the cluster since then, perhaps.
        shown["expires_at"] = max(cluster.get("expires_at") or 0.0, request["until"])
    is_ended = words.is_done and request["action"] == "end"
    return {**shown, "is_gone": shown["is_gone"] or is_ended, "asked": {**request, "answer": words.answer}}

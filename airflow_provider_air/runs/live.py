"""
The history of a job that is watched, on its board: an XCom, since a trigger can write no other place.

Airflow wipes it at each try, so a watch builds it again from the first record. What no record tells (since when the job
runs, its cluster's resources, the tasks of a plain job) comes from what was watched, and goes home with the event.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_air.contracts.history import MOST_LIVE_BYTES
from airflow_provider_air.runs.history import HISTORY_KEY, RunHistory
from airflow_provider_air.waiting import backoff_seconds

if TYPE_CHECKING:
    from airflow_provider_air.contracts.clusters import ClusterRef
    from airflow_provider_air.contracts.jobs import Observation
    from airflow_provider_air.contracts.runs import Board, Clock
    from airflow_provider_air.ray_api.models import ClusterOverview
    from airflow_provider_air.runs.ledger import Attempt

HISTORY_SECONDS = 10.0
# What changes without the job's doing is written ever more seldom: a waiting job is to cost nothing.
LONGEST_SECONDS = 600.0
MOST_NODES, MOST_RESOURCES = 50, 20
# Which node a task asks for, and which kind of accelerator: no amounts that anybody watches.
HIDDEN_RESOURCES = ("node:", "accelerator_type:")


class LiveHistory:
    """
    Writes the history of a watched job, every ten seconds at most.

    :param expires_at: gives until when the job's cluster lives, in epoch seconds, where that is known
    """

    def __init__(
        self,
        board: Board,
        clock: Clock,
        attempt: Attempt,
        expires_at: Callable[[], float | None] = lambda: None,
    ) -> None:
        self._board = board
        self._clock = clock
        self._ref = attempt.ref
        self._expires_at = expires_at
        self._sent = attempt.steps.get("sent")
        self._history = RunHistory({"submission_id": attempt.submission_id, "workload": attempt.workload})
        for name, at in attempt.steps.items():
            self._history.note_step(name, at)
        self._seen_pauses = backoff_seconds(HISTORY_SECONDS, LONGEST_SECONDS, 4.0)
        self._next = clock.now() + HISTORY_SECONDS
        self._next_seen = clock.now() + next(self._seen_pauses)
        self._is_told = self._is_seen = False
        self._overview: ClusterOverview | None = None

    async def resume(self) -> None:
        """Go on where an earlier watch of the same job, in the same try, stopped."""
        old = await self._clock.in_thread(self._board.read, HISTORY_KEY)
        if isinstance(old, Mapping) and old.get("submission_id") == self._history.names["submission_id"]:
            self._history.take(old, since=self._sent)

    async def note(self, seen: Observation, running_at: float | None = None) -> None:
        """
        Take in what is new, and write it where that is due.

        :param running_at: since when the job runs, in epoch seconds; None where that is not known
        """
        self._history.note_records(seen.records)
        self._is_told = self._is_told or bool(seen.records)
        if running_at is not None:
            self._history.note_step("running", running_at)
        if seen.tasks:
            self._history.note_tasks(seen.tasks)
            self._is_seen = True
        if seen.cluster is not None and seen.cluster is not self._overview:
            self._overview = seen.cluster
            self._note_cluster(seen.cluster)
            self._is_seen = True
        now = self._clock.now()
        if (self._is_told and now >= self._next) or (self._is_seen and now >= self._next_seen):
            self._next = now + HISTORY_SECONDS
            self._next_seen = now + next(self._seen_pauses)
            self._is_told = self._is_seen = False
            # Nobody changes it meanwhile: whoever follows the job waits for this.
            await self._clock.in_thread(self._write)

    def _write(self) -> None:
        self._board.write(HISTORY_KEY, self._history.to_json(MOST_LIVE_BYTES))

    def _note_cluster(self, overview: ClusterOverview) -> None:
        usage = _amounts(overview)
        self._history.note_resources(
            overview.at,
            {
                f"{name} {what}": amount
                for name, (used, total) in usage.items()
                for what, amount in (("used", used), ("total", total))
            },
        )
        self._history.note_cluster(cluster_seen(self._ref, overview, self._expires_at()))

    def seen(self) -> dict[str, Any]:
        """Give what only the watch knows, for the event."""
        return self._history.seen()


def cluster_seen(ref: ClusterRef | None, overview: ClusterOverview, expires_at: float | None) -> dict[str, Any]:
    """Give a cluster as it was seen, by the shape of :class:`~airflow_provider_air.contracts.history.History`."""
    own = {} if ref is None else {"name": ref.name, "backend": ref.backend, "is_own": ref.owned}
    nodes = sorted(overview.nodes, key=lambda node: (node.state != "ALIVE", not node.is_head))
    return {
        **own,
        "conn_id": None if ref is None else next((ref.details[k] for k in CONNECTION_IDS if ref.details.get(k)), None),
        "seen_at": overview.at,
        "expires_at": expires_at,
        "resources": {name: {"used": used, "total": total} for name, (used, total) in _amounts(overview).items()},
        "nodes": [
            {
                "id": node.node_id,
                "ip": node.ip,
                "is_head": node.is_head,
                "state": node.state,
                "message": node.state_message[:200],
                "resources": _shown(node.resources_total),
            }
            for node in nodes[:MOST_NODES]
        ],
        "nodes_total": len(nodes),
    }


CONNECTION_IDS = ("ray_conn_id", "kubernetes_conn_id")


def _shown(resources: Mapping[str, Any]) -> dict[str, Any]:
    names = [name for name in resources if not name.startswith(HIDDEN_RESOURCES)]
    return {name: resources[name] for name in names[:MOST_RESOURCES]}


def _amounts(overview: ClusterOverview) -> dict[str, tuple[float, float]]:
    """Give used and total by resource; where Ray's report is not there yet, the nodes' totals alone say nothing."""
    return _shown(overview.usage)

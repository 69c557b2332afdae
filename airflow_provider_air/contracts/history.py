"""What is kept of an attempt for people: curves, trials, step times, resources; bounded, outlives the cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

MOST_POINTS = 2000
"""Points of one series; of more, those that its shape needs."""
MOST_LIVE_BYTES = 256 * 1024
"""JSON of an attempt's history while it lives."""
MOST_BYTES = 1024 * 1024
"""JSON of an attempt's history for good."""
CHUNK_BYTES = 48 * 1024
"""What one entry of Airflow's state store takes safely (soft limit 64 KB, 3.3)."""


class History(Protocol):
    """One attempt's history. For one thread or event loop."""

    def note_records(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Take in records, in order; those that were taken in before are passed over by their numbers."""

    def note_step(self, name: str, at: float) -> None:
        """
        Note when a step began, in epoch seconds.

        ``intended``, ``cluster`` (it is asked for), ``ready``, ``sent``, ``submitted``, ``running``, ``ended`` (as the
        job said) or ``collected``.
        """

    def note_resources(self, at: float, values: Mapping[str, float]) -> None:
        """Note what the cluster has and uses at a moment, as ``CPU used`` and ``CPU total``."""

    def note_cluster(self, seen: Mapping[str, Any]) -> None:
        """Note the cluster as it was seen last; for its shape see :meth:`to_json`."""

    def note_tasks(self, tasks: Mapping[str, Mapping[str, int]]) -> None:
        """Note how many Ray tasks are in which state, by function."""

    def to_json(self, most_bytes: int = MOST_BYTES) -> dict[str, Any]:
        """
        Give it as plain JSON without NaN, thinned out until it fits. Fields that nothing is known of may be missing::

            {"version": 1, "submission_id", "workload", "next_record": n, "steps": {name: epoch},
             "series": {metric: [[step, value], …]}, "metric", "mode",
             "trials": [{"trial", "status", "step", "config": {…}, "values": {…}, "error", "began_at", "ended_at"}],
             "curves": {trial: [[step, value], …]}, "trial_states": {state: n}, "trials_total": n,
             "checkpoints": [{"at", "step", "uri", "values": {…}}], "progress": {"at", "message", "done", "total"},
             "workers": {"count", "starts", "resumed_from"},
             "batch": {"rows", "total_rows", "blocks", "total_blocks", "rows_per_second", "rate": [[epoch, rows], …]},
             "serve": {"applications": [{"name", "application", "status", "route_prefix", "version", "message",
                                         "deployments": [{"name", "status", "replicas", "target"}]}],
                       "steps": [{"at", "name", "state", "application", "message"}]},
             "tasks": {function: {state: n}},
             "cluster": {"name", "backend", "conn_id", "is_own", "seen_at", "expires_at", "nodes_total",
                         "resources": {name: {"used", "total"}},
                         "nodes": [{"id", "ip", "is_head", "state", "message", "resources": {…}}]},
             "resources": [[epoch, {"CPU used": …, "CPU total": …}], …],
             "inputs": [{"name", "uri", "rows", "schema": {column: type}, "is_query"}], "outputs": [{…}],
             "features": [{"store", "conn_id", "feature_service", "features", "feature_views", "fingerprint"}],
             "trackers": [{"kind", "run_id", "url", "experiment_id", "model": {"name", "version", "url"}}],
             "cut": {"trials": n, "series": n, "points": n}}

        ``curves`` are of ``metric``. ``cut`` counts what was left out; ``points`` is by which factor curves have fewer
        points than are held. Times are epoch seconds, memory is bytes.
        """

"""
What stays of an ended attempt for people: its history, and a page in its storage. Conveniences: they end no run.

Runs in the worker that ends the attempt.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from airflow_provider_air.contracts.history import MOST_BYTES
from airflow_provider_air.runs.about import ABOUT_KEY
from airflow_provider_air.runs.history import EARLIER_KEY, HISTORY_KEY, RunHistory, shortened
from airflow_provider_air.runs.ledger import Attempt, keep, kept
from airflow_provider_air.runs.left_files import report_path
from airflow_provider_air.runs.marks import Mark
from airflow_provider_air.runs.series import is_finite

if TYPE_CHECKING:
    from airflow_provider_air.contracts.storage import Storage
    from airflow_provider_air.ray_api.models import JobDetails
    from airflow_provider_air.runs.attempts import Attempts
    from airflow_provider_air.runs.plan import Plan
    from airflow_provider_air.runs.ports import Ports

FACTS = ("inputs", "outputs", "trackers")


class Keeping:
    """What one try keeps of the attempts that it ends."""

    def __init__(self, plan: Plan, attempts: Attempts, ports: Ports) -> None:
        self._plan = plan
        self._attempts = attempts
        self._ports = ports
        self._seen: Any = None
        self._data: dict[str, Any] = {}

    def take(self, seen: Any) -> None:
        """
        Take what only the watch of the job has seen.

        :param seen: what its event holds of that; anything else is passed over
        """
        self._seen = seen

    def ended(self, attempt: Attempt, job: JobDetails, records: Sequence[Mapping[str, Any]]) -> Attempt:
        """Give an attempt whose job has ended with all its steps; nothing is written yet."""
        with self._ports.contained("When the job began and ended is not known"):
            steps = steps_at_end(attempt.steps, self._seen, job, records, self._ports.clock.now())
            return replace(attempt, steps=steps)
        return attempt

    def keep(self, attempt: Attempt, records: Sequence[Mapping[str, Any]]) -> None:
        """Keep an attempt's history for good."""
        with self._ports.contained("The attempt's history is not kept"):
            history = RunHistory({"submission_id": attempt.submission_id, "workload": attempt.workload})
            for name, at in attempt.steps.items():
                history.note_step(name, at)
            history.note_records(records)
            history.take(self._seen, since=attempt.steps.get("sent"))
            about = self._ports.store.get(ABOUT_KEY)
            if isinstance(about, Mapping) and about.get("submission_id") == attempt.submission_id:
                history.note_about(about)
            form = history.to_json(MOST_BYTES)
            self._data = {name: form[name] for name in FACTS if name in form}
            self._keep_earlier(attempt.submission_id)
            keep(self._ports.store, HISTORY_KEY, form)

    def _keep_earlier(self, submission_id: str) -> None:
        """Let the curves of the attempt before this one stay, for people who compare the two."""
        if len(self._attempts.ledger.attempts) < 2:
            return
        with self._ports.contained("The curves of the attempt before are not kept"):
            before = kept(self._ports.store, HISTORY_KEY)
            if isinstance(before, Mapping) and before.get("submission_id") != submission_id:
                keep(self._ports.store, EARLIER_KEY, shortened(before))

    def facts(self, attempt: Attempt) -> dict[str, Any]:
        """Give what is known of an ended attempt beside its result, see :class:`~contracts.runs.Done`."""
        with self._ports.contained("What else is known of the result is not told"):
            urls = {told.get("run_id"): told.get("url") for told in self._data.get("trackers") or ()}
            trackers = []
            for entry in attempt.attachments:
                state = entry.state or {}
                told = {"kind": entry.spec.get("kind"), "url": urls.get(state.get("run_id"))}
                told |= {name: state[name] for name in ("run_id", "model") if name in state}
                trackers += [told] if "run_id" in told else []
            return {"submission_id": attempt.submission_id, **self._data, "trackers": trackers}
        return {}

    def leave_report(self, attempt: Attempt, result: Any = None) -> None:
        """
        Leave a page about the attempt in its storage, ``results/<submission id>-report.html``, read without Airflow.

        The page is made by :attr:`~airflow_provider_air.runs.ports.Ports.report` of plain JSON::

            {"task": {"deployment", "dag_id", "run_id", "task_id", "map_index"}, "ledger": {…}, "history": {…},
             "earlier": {…}, "result": …}

        :param result: what the job gave, as it travelled; None where there is none
        """
        render = self._ports.report
        if render is None or attempt.storage is None:
            return
        with self._ports.contained("The attempt's report is not left in its storage"):
            storage = self._storage()
            if storage is None:
                return
            store, key = self._ports.store, self._attempts.key
            documents = {
                "task": asdict(key),
                "ledger": self._attempts.ledger.to_json(),
                "history": kept(store, HISTORY_KEY),
                "earlier": kept(store, EARLIER_KEY),
                "result": result,
            }
            page = render(documents)
            Mark("result", attempt.submission_id, key).write(storage)
            storage.put(report_path(attempt.submission_id), page.encode("utf-8", "backslashreplace"))

    def _storage(self) -> Storage | None:
        spec = self._plan.storage()
        return spec.open(self._ports.connections) if spec is not None and spec.worker_can_open else None


def steps_at_end(
    steps: Mapping[str, float], seen: Any, job: JobDetails, records: Sequence[Mapping[str, Any]], now: float
) -> dict[str, float]:
    """
    Give the steps of an attempt whose job has ended, each between its neighbours whatever clocks say.

    ``running`` is when it was seen to begin, or when its first record was written; ``ended`` is as Ray says, which
    counts by the head's clock.

    :param seen: see :meth:`Keeping.take`
    """
    begun = max((at for name, at in steps.items() if name in ("sent", "submitted")), default=-math.inf)
    ended = now if job.end_time_ms is None else min(max(job.end_time_ms / 1000, begun), now)
    watched = seen.get("steps") if isinstance(seen, Mapping) else None
    moments = [watched.get("running") if isinstance(watched, Mapping) else None, steps.get("running")]
    moments += [record.get("t") for record in records[:1]]
    known = [at for at in moments if is_finite(at) and at >= begun]
    running = {"running": min(min(known), ended)} if known else {}
    return {**steps, **running, "ended": ended, "collected": now}

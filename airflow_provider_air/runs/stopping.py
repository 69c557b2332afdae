"""Stops what a person wants stopped, in the triggerer, while a task waits for it."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any

from airflow_provider_air.contracts.attachments import Outcome
from airflow_provider_air.errors import UnavailableError
from airflow_provider_air.runs.asking import made_by, patiently
from airflow_provider_air.runs.attached import Attached
from airflow_provider_air.waiting import SHORT_PATIENCE_SECONDS, backoff_seconds

if TYPE_CHECKING:
    from airflow_provider_air.contracts.clusters import ClusterRef
    from airflow_provider_air.contracts.runs import What
    from airflow_provider_air.runs.ledger import Attempt
    from airflow_provider_air.runs.ports import WatchPorts

# Of an attempt that waits for a cluster alone.
CLUSTER_WORKLOAD = "cluster"
# Airflow bounds on_kill at 30 s; what is left is for the cluster's deletion.
KILL_SECONDS = 15.0
# The last of a kill, and less than what is left of Airflow's 30 s.
TELLING_SECONDS = 5.0


class Stopping:
    """
    The stop of one attempt, in one of its waits.

    :param what: what it waits for
    """

    def __init__(self, attempt: Attempt, what: What, ports: WatchPorts) -> None:
        self._attempt = attempt
        self._what = what
        self._ports = ports

    async def stop(self, *, is_taken: bool = False) -> None:
        """
        Stop the job, then a cluster that goes with it; the attachments are told last, and what is left of them after
        :data:`TELLING_SECONDS` goes on behind it, or not.

        The caller knows that it is a person's word.

        :param is_taken: a worker has the task by now, after a clear or another triggerer's event: the cluster and the
            attachments are its to end
        """
        ref = self._attempt.ref
        if ref is None or self._what == "pause":
            return
        if self._what == "end":
            self._ports.log.info("Stopping Ray job %s", self._attempt.submission_id)
            await self._quietly(self._stop(), "The job was not seen to stop")
        if self._what == "room":
            back = self._ports.clock.in_thread(self._ports.admission.give_back, self._attempt.submission_id)
            await self._quietly(back, "Its place was not given back")
        if is_taken:
            return
        if self._may_delete(ref) and await self._is_as_it_was(ref):
            await self._quietly(self._ports.clock.in_thread(self._delete, ref), "The cluster was not deleted")
        if self._attempt.attachments:
            attached = Attached(self._attempt.attachments, self._ports.connections, self._ports.log)
            outcome = Outcome("STOPPED", "A person stopped the task")
            told = self._ports.clock.in_spare_thread(attached.on_end, self._attempt.info, outcome)
            telling = self._ports.clock.spawn(self._quietly(told, "An attachment was not told"))
            await telling.wait(TELLING_SECONDS)
            if not telling.done():
                self._ports.log.warning("The attachments were not told in time (%s)", self._attempt.submission_id)

    def _may_delete(self, ref: ClusterRef) -> bool:
        """Whether it may go with its task: one with a name only while it is made, with the task that makes it."""
        return ref.owned or (self._attempt.workload == CLUSTER_WORKLOAD and self._what == "cluster")

    def _delete(self, ref: ClusterRef) -> None:
        backend = self._ports.clusters(ref.backend)

        def delete() -> None:
            # One with a name may be another's, which this task has found.
            if ref.owned or made_by(self._attempt.info.key, ref, backend) is not None:
                backend.delete(ref)

        patiently(delete, self._ports.clock, SHORT_PATIENCE_SECONDS)

    async def _is_as_it_was(self, ref: ClusterRef) -> bool:
        """A cleared task may have begun anew by now, with a new cluster of the same name."""
        if ref.uid:
            # Whichever has the name now, that one alone is deleted.
            return True
        taken_on = self._attempt.accepted_on
        with self._ports.contained(f"Nobody knows whether the cluster {ref.name} is still the same"):
            backend = self._ports.clusters(ref.backend)
            status = await self._ports.clock.in_thread(backend.describe, ref)
            return taken_on is None or status.incarnation in (None, taken_on)
        return True

    async def _quietly(self, work: Awaitable[Any], what: str) -> None:
        # What cannot be done now must not keep the rest from being done.
        with self._ports.contained(f"{what} ({self._attempt.submission_id})"):
            await work

    async def _stop(self) -> None:
        clock, jobs, name = self._ports.clock, self._ports.jobs(self._attempt), self._attempt.submission_id
        end = clock.now() + KILL_SECONDS
        for pause in backoff_seconds(0.3, 1.0):
            try:
                await clock.in_thread(jobs.stop, name)
                job = (await clock.in_thread(jobs.look, name)).job
                if job is None or job.status.is_terminal:
                    return
            except UnavailableError:
                if clock.now() + pause > end:
                    raise
            if clock.now() + pause > end:
                self._ports.log.warning("Ray job %s was not seen to stop: no end in time", name)
                return
            await clock.asleep(pause)

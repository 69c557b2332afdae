"""Having a cluster, and having it deleted, as steps of their own: what a DAG does beside its jobs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from airflow_provider_air.contracts.clusters import (
    PENDING_STATES,
    ClusterOwner,
    ClusterRef,
    ClusterSpec,
    ClusterState,
    ClusterStatus,
)
from airflow_provider_air.contracts.runs import Done, Wait, What
from airflow_provider_air.errors import ClusterFailedError, JobStoppedError, ProtocolError, UnavailableError
from airflow_provider_air.runs.asking import patiently
from airflow_provider_air.runs.failures import failure_of_cluster, failure_of_start
from airflow_provider_air.runs.ledger import Attempt
from airflow_provider_air.runs.watch import Watch, status_of
from airflow_provider_air.waiting import PATIENCE_SECONDS

if TYPE_CHECKING:
    from airflow_provider_air.contracts.names import TaskKey
    from airflow_provider_air.runs.plan import Try
    from airflow_provider_air.runs.ports import WatchPorts


class ClusterRun:
    """
    A task that makes a cluster for others, or deletes one; a result is a :class:`ClusterRef`, no longer the task's own.

    What it has started goes with it when it fails or is killed: a setup that failed has no teardown.

    :param timeout_seconds: how long a cluster may take to become ready, or to be gone
    :param spec: gives the cluster to make, where one is made; asked again once one of its name that was going is gone
    """

    def __init__(
        self,
        this: Try,
        ports: WatchPorts,
        *,
        timeout_seconds: float,
        spec: Callable[[], ClusterSpec] | None = None,
    ) -> None:
        self._key = this.key
        self._has_next = this.has_next
        self._ports = ports
        self._timeout_seconds = timeout_seconds
        self._spec = spec
        self._made: ClusterRef | None = None
        self._was_killed = False

    def create(self) -> Wait | Done:
        """
        Adopt or start the cluster; one of its name that is being deleted is waited for first.

        :raises ConfigurationError: the spec is wrong, or a live cluster of this name has another one
        :raises ClusterFailedError: it cannot start
        :raises UnavailableError: nobody answers
        """
        assert self._spec is not None
        self._refuse_if_killed()
        spec = self._spec()
        until = self._ports.clock.now() + self._timeout_seconds
        backend = self._ports.clusters(spec.backend)
        ref = self._made = backend.name_of(spec, self._key)
        made, status = self._ensured(spec, ref)
        if status.state is ClusterState.ABSENT:
            # One of its name was still going when it was asked for, and is gone now.
            made, status = self._ensured(spec, ref)
        if status.state is ClusterState.DELETING:
            # It is not the one that is wished for, which can be made once its name is free.
            self._made = None
            self._ports.log.info("A cluster %s is on its way out: %s", made.name, status.message)
            return wait_for(made, self._key, "gone", until)
        return self._judge(made, status, until)

    def _ensured(self, spec: ClusterSpec, ref: ClusterRef) -> tuple[ClusterRef, ClusterStatus]:
        backend = self._ports.clusters(spec.backend)
        try:
            made = backend.ensure(spec, ref, owner=ClusterOwner(self._key.deployment, self._key))
        except UnavailableError:
            raise
        except Exception:
            # One with a name may live and be in use: what was refused was only another spec for it.
            if ref.owned:
                self._take_back(ref)
            raise
        self._made = made
        self._refuse_if_killed()
        return made, self._patiently(made)

    def delete(self, ref: ClusterRef) -> Wait | Done:
        """
        Have a cluster deleted, with all that it left; one that is gone already, or is not ours, is fine.

        :raises UnavailableError: nobody answers
        """
        self._ports.clusters(ref.backend).delete(ref)
        status = self._patiently(ref)
        if status.state is ClusterState.ABSENT:
            return Done(ref)
        if status.state is ClusterState.READY:
            self._ports.log.info("Cluster %s is not ours to delete", ref.name)
            return Done(None)
        return wait_for(ref, self._key, "gone", self._ports.clock.now() + self._timeout_seconds)

    def resume(self, event: Any) -> Wait | Done:
        """
        Go on after a wait; raises as :meth:`create` does.

        :param event: what the watch of the step has told
        """
        if not isinstance(event, Mapping) or event.get("what") not in ("cluster", "gone"):
            raise ProtocolError(f"The watch's event is not about a cluster: {event!r}"[:500])
        ref = ClusterRef.from_json(event.get("cluster"))
        self._made = ref if event["what"] == "cluster" else None
        status = status_of(event)
        if event["what"] == "cluster":
            # A watch that ended without a verdict has used up the time.
            return self._judge(ref, status, self._ports.clock.now())
        if status.state is not ClusterState.ABSENT:
            raise ClusterFailedError(
                f"The cluster is not gone after {self._timeout_seconds:g} s: {status.state.value} {status.message}",
                where=ref.name,
                hint="A retry asks again",
            )
        return Done(ref) if self._spec is None else self.create()

    def wait(self, step: Wait, until: float | None = None) -> dict[str, Any] | None:
        """Wait in place, by the watch's own code; None where ``until``, in epoch seconds, came first."""
        return self._ports.clock.run(Watch(step, self._ports).event(until))

    def kill(self, is_wanted: Callable[[], bool]) -> None:
        """
        Delete what this task has started, in a worker's signal handler, or leave it to the next try.

        :param is_wanted: whether a person did this, or nobody can tell; asked only where there is a next try
        """
        if self._has_next and not is_wanted():
            return
        self._was_killed = True
        if self._made is not None:
            self._take_back(self._made)

    def expire(self) -> None:
        """The worker's own time is over (Airflow's alarm): take back what this task has started."""
        self._has_next = False
        if self._made is not None:
            self._take_back(self._made)

    def has_made(self, ref: ClusterRef, patience_seconds: float = PATIENCE_SECONDS) -> bool:
        """
        Tell whether a try of this task has started the cluster, and not found it there.

        :raises UnavailableError: nobody answers
        """
        backend = self._ports.clusters(ref.backend)
        owner = ClusterOwner(self._key.deployment, self._key)
        listed = patiently(lambda: backend.list(owner, ref), self._ports.clock, patience_seconds)
        return any(item.ref.name == ref.name for item in listed)

    def _refuse_if_killed(self) -> None:
        """Airflow goes on after its signal handler, which came before there was a cluster, or while it was made."""
        if self._was_killed:
            if self._made is not None:
                self._take_back(self._made)
            raise JobStoppedError("The task was stopped while its cluster was made")

    def _judge(self, ref: ClusterRef, status: ClusterStatus, until: float | None) -> Wait | Done:
        if status.state is ClusterState.READY:
            self._made = None
            return Done(replace(ref, owned=False))
        if status.state in PENDING_STATES and (until is None or self._ports.clock.now() < until):
            self._ports.log.info("Cluster %s: %s", ref.name, status.message or status.state.value)
            return wait_for(ref, self._key, "cluster", until)
        self._take_back(ref)
        if status.state in PENDING_STATES:
            raise failure_of_start(ref, status.message, timed_out_seconds=self._timeout_seconds)
        raise failure_of_cluster(ref, status)

    def _take_back(self, ref: ClusterRef) -> None:
        """Delete what this task has started; a cluster with a name may be another's, which this one has found."""
        with self._ports.contained(f"Cluster {ref.name} could not be deleted now, its expiry will"):
            if ref.owned or self.has_made(ref, patience_seconds=0):
                self._ports.clusters(ref.backend).delete(ref)

    def _patiently(self, ref: ClusterRef) -> ClusterStatus:
        try:
            return patiently(lambda: self._ports.clusters(ref.backend).describe(ref), self._ports.clock)
        except UnavailableError as error:
            return ClusterStatus(ClusterState.UNKNOWN, str(error))


def wait_for(ref: ClusterRef, key: TaskKey, what: What, until: float | None) -> Wait:
    """
    Give the step that waits for a cluster alone.

    :param key: the task instance that waits
    :param what: ``cluster`` or ``gone``
    """
    return Attempt(1, 1, "", workload="cluster", cluster=ref.to_json(), key=asdict(key)).wait(what, until)

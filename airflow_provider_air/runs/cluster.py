"""Having a cluster, and having it deleted, as steps of their own: what a DAG does beside its jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
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
from airflow_provider_air.errors import (
    ClusterFailedError,
    ConfigurationError,
    DeadlineExceededError,
    JobStoppedError,
    ProtocolError,
    UnavailableError,
)
from airflow_provider_air.runs.asking import made_by, patience_within, patiently
from airflow_provider_air.runs.failures import failure_of_cluster, failure_of_start
from airflow_provider_air.runs.ledger import Attempt
from airflow_provider_air.runs.stopping import CLUSTER_WORKLOAD
from airflow_provider_air.runs.watch import Watch, status_of

if TYPE_CHECKING:
    from airflow_provider_air.contracts.names import TaskKey
    from airflow_provider_air.runs.plan import Try
    from airflow_provider_air.runs.ports import WatchPorts


# After these no try goes on with what was started.
FINAL_ERRORS = (ConfigurationError, ClusterFailedError, DeadlineExceededError)


class ClusterRun:
    """
    A task that makes a cluster for others, or deletes one; a result is a :class:`ClusterRef`, no longer the task's own.

    What it has started, and not found there, goes with it when it fails for good or is killed: a setup that failed has
    no teardown. Errors leave by one door, :meth:`_ending`; where nobody answers, a next try adopts what was started.

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
        self._until = ports.clock.now() + timeout_seconds
        self._spec = spec
        self._asked: ClusterRef | None = None
        self._was_killed = False

    def create(self) -> Wait | Done:
        """
        Adopt or start the cluster; one of its name that is being deleted is waited for first.

        It stays this task's to take back until :meth:`hand_over`. The facts say by ``created`` whether a try of this
        task has started it, and not found it there.

        :raises ConfigurationError: the spec is wrong, or a live cluster of this name has another one
        :raises ClusterFailedError: it cannot start
        :raises UnavailableError: nobody answers
        """
        with self._ending():
            return self._create()

    def hand_over(self) -> None:
        """Leave the cluster to whoever deletes it: its name is known outside of this task now."""
        self._asked = None

    def delete(self, ref: ClusterRef) -> Wait | Done:
        """
        Have a cluster deleted, with all that it left; one that is gone already, or is not ours, is fine.

        :raises UnavailableError: nobody answers
        """
        patiently(lambda: self._ports.clusters(ref.backend).delete(ref), self._ports.clock)
        status = self._described(ref)
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
        with self._ending():
            try:
                what, ref, status = self._told(event)
            except Exception:
                # Whatever it tells of, what was started may live.
                self._asked = self._named()
                raise
            if what == "cluster":
                self._asked = ref
                self._refuse_if_killed()
                # A watch that ended without a verdict has used up the time.
                return self._judge(ref, status, self._ports.clock.now())
            if status.state is not ClusterState.ABSENT:
                raise ClusterFailedError(
                    f"The cluster is not gone after {self._timeout_seconds:g} s: {status.state.value} {status.message}",
                    where=ref.name,
                    hint="A retry asks again",
                )
            return Done(ref) if self._spec is None else self._create()

    def wait(self, step: Wait, until: float | None = None) -> dict[str, Any] | None:
        """Wait in place, by the watch's own code; None where ``until``, in epoch seconds, came first."""
        with self._ending():
            return self._ports.clock.run(Watch(step, self._ports).event(until))

    def trigger_failed(self) -> None:
        """A trigger ended without an event: the next try adopts what was started; where none is left, it goes."""
        if self._has_next:
            self._ports.log.warning("The trigger ended without an event: the next try goes on with its cluster")
            return
        self._asked = self._named()
        self._take_back()

    def kill(self, is_wanted: Callable[[], bool]) -> None:
        """
        Delete what this task has started, in a worker's signal handler, or leave it to the next try.

        :param is_wanted: whether a person did this, or nobody can tell; asked only where there is a next try
        """
        if self._has_next and not is_wanted():
            return
        self._was_killed = True
        self._take_back(patience_seconds=0)

    def expire(self) -> None:
        """The worker's own time is over (Airflow's alarm): take back what this task has started."""
        self._has_next = False
        self._take_back()

    @contextmanager
    def _ending(self) -> Iterator[None]:
        """Where no try is left, or none can help, nothing that this task has started stays alive."""
        try:
            yield
        except Exception as error:
            if self._was_killed or not self._has_next or isinstance(error, FINAL_ERRORS):
                self._take_back()
            raise

    def _create(self) -> Wait | Done:
        assert self._spec is not None
        self._refuse_if_killed()
        spec = self._spec()
        self._until = self._ports.clock.now() + self._timeout_seconds
        ref = self._ports.clusters(spec.backend).name_of(spec, self._key)
        made, status = self._ensured(spec, ref)
        if status.state is ClusterState.ABSENT:
            # One of its name was still going when it was asked for, and is gone now.
            made, status = self._ensured(spec, ref)
        if status.state is ClusterState.DELETING:
            # It is not the one that is wished for, which can be made once its name is free.
            self._asked = None
            self._ports.log.info("A cluster %s is on its way out: %s", made.name, status.message)
            return wait_for(made, self._key, "gone", self._until)
        return self._judge(made, status, self._until)

    def _ensured(self, spec: ClusterSpec, ref: ClusterRef) -> tuple[ClusterRef, ClusterStatus]:
        backend, owner = self._ports.clusters(spec.backend), ClusterOwner(self._key.deployment, self._key)

        def ensure() -> ClusterRef:
            # Airflow goes on after its signal handler, which may come between two questions.
            self._refuse_if_killed()
            return backend.ensure(spec, ref, owner=owner)

        self._asked = ref
        try:
            made = self._asked = patiently(ensure, self._ports.clock)
        except ConfigurationError:
            # One with a name may live and be in use: what was refused was only another spec for it.
            self._asked = ref if ref.owned else None
            raise
        self._refuse_if_killed()
        return made, self._described(made)

    def _told(self, event: Any) -> tuple[Any, ClusterRef, ClusterStatus]:
        kinds = ("gone",) if self._spec is None else ("cluster", "gone")
        if not isinstance(event, Mapping) or event.get("what") not in kinds:
            raise ProtocolError(f"The watch's event is not about a cluster: {event!r}"[:500])
        return event["what"], ClusterRef.from_json(event.get("cluster")), status_of(event)

    def _named(self) -> ClusterRef | None:
        """Name the cluster to make by its spec as it is now, where nothing else tells which one was asked for."""
        if self._spec is not None:
            with self._ports.contained("Nobody knows which cluster was started"):
                spec = self._spec()
                return self._ports.clusters(spec.backend).name_of(spec, self._key)
        return None

    def _refuse_if_killed(self) -> None:
        """Airflow goes on after its signal handler, which came before there was a cluster, or while it was made."""
        if self._was_killed:
            raise JobStoppedError("The task was stopped while its cluster was made")

    def _judge(self, ref: ClusterRef, status: ClusterStatus, until: float) -> Wait | Done:
        if status.state is ClusterState.READY:
            created = patiently(lambda: self._has_started(ref), self._ports.clock)
            return Done(replace(ref, owned=False), facts={"created": created})
        if status.state not in PENDING_STATES:
            raise failure_of_cluster(ref, status)
        if self._ports.clock.now() >= until:
            raise failure_of_start(ref, status.message, timed_out_seconds=self._timeout_seconds)
        self._ports.log.info("Cluster %s: %s", ref.name, status.message or status.state.value)
        return wait_for(ref, self._key, "cluster", until)

    def _has_started(self, ref: ClusterRef) -> bool:
        """:raises UnavailableError: nobody answers."""
        # One with a name may be another's, which this task has found; nobody else has one of the task's own.
        return ref.owned or made_by(self._key, ref, self._ports.clusters(ref.backend)) is not None

    def _take_back(self, patience_seconds: float | None = None) -> None:
        """Delete what this task has started; beside an end that is known, this must not take the task's time."""
        ref = self._asked
        if ref is None:
            return
        if patience_seconds is None:
            patience_seconds = patience_within(self._until, self._ports.clock.now())

        def delete() -> None:
            if self._has_started(ref):
                self._ports.clusters(ref.backend).delete(ref)

        with self._ports.contained(f"Cluster {ref.name} could not be deleted now, its expiry will"):
            patiently(delete, self._ports.clock, patience_seconds)

    def _described(self, ref: ClusterRef) -> ClusterStatus:
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
    return Attempt(1, 1, "", workload=CLUSTER_WORKLOAD, cluster=ref.to_json(), key=asdict(key)).wait(what, until)

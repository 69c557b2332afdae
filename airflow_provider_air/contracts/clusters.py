"""
What every way to have a Ray cluster must answer.

A *spec* says what cluster to have, a :class:`ClusterRef` names one that exists or is about to, a
:class:`ClusterBackend` turns the one into the other. Back ends answer soon; waiting is the caller's.
"""

from __future__ import annotations

import enum
import json
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, runtime_checkable

from airflow_provider_air.contracts.stored import fields_of
from airflow_provider_air.errors import ProtocolError

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_provider_air.contracts.jobs import JobBackend, JobRequest
    from airflow_provider_air.contracts.names import TaskKey
    from airflow_provider_air.contracts.runs import AttemptInfo, Clock
    from airflow_provider_air.contracts.serving import ServeBackend
    from airflow_provider_air.ray_api.transport import Transport


class ClusterState(enum.Enum):
    """The life of a cluster as its back end sees it; a cluster that is not there is a state, no error."""

    ABSENT = "absent"
    STARTING = "starting"
    READY = "ready"
    FAILED = "failed"
    DELETING = "deleting"
    UNKNOWN = "unknown"
    """Nobody answers: :meth:`ClusterBackend.watch` tells it, ``describe`` raises UnavailableError."""


PENDING_STATES = (ClusterState.STARTING, ClusterState.UNKNOWN, ClusterState.DELETING)
"""What may yet become a cluster that takes work."""


@dataclass(frozen=True)
class ClusterStatus:
    """
    One look at a cluster.

    :param message: why, in the back end's own words; for FAILED the reason from the cluster's logs
    :param queued: it waits for its turn in a queue, and its start-up has not begun
    :param retryable: whether what FAILED may work when it is tried again
    :param incarnation: tells it from its successor of the same name (a resource's UID, the head's UID and restarts,
        Ray's session name); None where nobody knows it now
    """

    state: ClusterState
    message: str = ""
    queued: bool = False
    retryable: bool = True
    incarnation: str | None = None


@dataclass(frozen=True)
class ClusterRef:
    """
    Names a cluster. Crosses processes as JSON, so it never holds a secret.

    :param backend: the back end's name in the registry, such as ``local``
    :param name: the cluster's name, unique within its back end
    :param details: what the back end needs to find it again, ids of connections among it; JSON
    :param owned: whether it belongs to one task and is deleted with that task's end
    :param uid: which one it is of all that have, had and will have this name; empty where that does not matter. Refs
        that differ in it alone are equal
    """

    backend: str
    name: str
    details: Mapping[str, Any] = field(default_factory=dict)
    owned: bool = False
    uid: str = field(default="", compare=False)

    @cached_property  # asked for at each look of each watch
    def key(self) -> str:
        """Names it among all clusters of all back ends: equal for equal refs but for whose it is."""
        return json.dumps([self.backend, self.name, dict(self.details)], sort_keys=True)

    def to_json(self) -> dict[str, Any]:
        """Give the JSON form, for XComs and trigger arguments."""
        form = {**asdict(self), "details": dict(self.details)}
        return form if self.uid else {name: value for name, value in form.items() if name != "uid"}

    @classmethod
    def from_json(cls, data: Any) -> ClusterRef:
        """
        Read the JSON form; fields that this version does not know are left out.

        :raises ProtocolError: it is not the JSON form of a ClusterRef
        """
        try:
            return fields_of(cls, data)
        except ProtocolError:
            raise ProtocolError(
                f"{data!r} does not name a Ray cluster",
                hint="Pass the XCom of a RayCreateClusterOperator, or a cluster spec",
            ) from None


@dataclass(frozen=True)
class ClusterOwner:
    """
    Who a cluster is made for; each back end writes it down by its own rules, so that leaked clusters can be found.

    :param deployment: the Airflow deployment
    :param key: the task instance; None for a cluster that nobody in particular asked for
    """

    deployment: str
    key: TaskKey | None = None


@dataclass(frozen=True)
class ClusterRequest:
    """
    What a person has asked of a cluster in Airflow's pages: an XCom of who made it and of who uses it.

    Who waits on that cluster does it, or the next clean-up; asked twice, it is done twice, and that is fine.

    :param action: ``extend`` or ``end``
    :param cluster: the JSON form of its ClusterRef
    :param asked_at: epoch seconds; no cluster that was made later is meant
    :param until: epoch seconds until which it is to be kept; with ``extend``
    :param by: who asked
    """

    action: Literal["extend", "end"]
    cluster: Mapping[str, Any]
    asked_at: float
    until: float = 0.0
    by: str = ""

    @classmethod
    def from_json(cls, data: Any) -> ClusterRequest | None:
        """Read the JSON form; None where it is none, such as where a person has edited it."""
        try:
            request = fields_of(cls, data)
            ClusterRef.from_json(request.cluster)
        except (ProtocolError, TypeError):
            return None
        # What another version may ask is not for this one to do.
        return request if request.action in ("extend", "end") else None

    def is_about(self, ref: ClusterRef, made_at: float) -> bool:
        """
        Whether it is this very cluster, and no successor or namesake: what both say of it is the same.

        :param made_at: epoch seconds
        """
        asked = ClusterRef.from_json(self.cluster)
        both = asked.details.keys() & ref.details.keys()
        return (
            made_at <= self.asked_at
            and (asked.backend, asked.name) == (ref.backend, ref.name)
            and all(asked.details[name] == ref.details[name] for name in both)
            and (not asked.uid or not ref.uid or asked.uid == ref.uid)
        )


@dataclass(frozen=True)
class ListedCluster:
    """
    A cluster that we made, as its back end remembers it. Times are epoch seconds by the back end's own clock.

    :param ref: with its ``uid``, so that who deletes it by this never takes a successor
    :param created_at: when it was made
    :param seen_at: what that clock said when it was listed: ages are counted up to here, never to a worker's time
    :param expires_at: when it goes, by itself or by a clean-up; None where it never does
    :param leased_until: until when somebody who uses it counts on it, see :meth:`ClusterBackend.extend`; or None
    :param is_of_run: it was made for its owner's DAG run alone: nobody wants it once that is over. Others, such as
        those with a name of their author's, go by their expiry
    :param going: where it was asked to go already, what it waits for, such as a finalizer; else empty
    """

    ref: ClusterRef
    owner: ClusterOwner
    created_at: float
    seen_at: float
    expires_at: float | None = None
    leased_until: float | None = None
    is_of_run: bool = False
    going: str = ""


@runtime_checkable
class ClusterSpec(Protocol):
    """What an author writes: a plain dataclass whose ``template_fields`` Airflow renders."""

    backend: ClassVar[str]
    template_fields: ClassVar[tuple[str, ...]]
    name: str | None

    def validate(self) -> None:
        """:raises ConfigurationError: a field is wrong; the message names it."""


@runtime_checkable
class ReadsFiles(Protocol):
    """A spec that may name files of the DAG's bundle."""

    def from_files(self, roots: Sequence[Path]) -> ClusterSpec:
        """
        Give the spec with what its files say; in the worker.

        :param roots: where a relative path starts: at the first that has it
        :raises ConfigurationError: there is no such file, or it says nothing right
        :raises UnavailableError: what is no local file does not answer
        """


@runtime_checkable
class HasManifest(Protocol):
    """A spec of what is declared: what would be sent can be read by people before."""

    def to_yaml(self, key: TaskKey, *, is_owned: bool) -> str:
        """
        Give what would be sent for a task's cluster, but for what is known only then; asks nobody.

        :param is_owned: it is for the task's job alone, where the spec has no name
        :raises ConfigurationError: a field is wrong
        """


class ClusterBackend(Protocol):
    """
    One way to have Ray clusters. Calls block, return soon and may be repeated, but ``watch``, which never blocks.

    Used by workers, and by the triggerer in a thread.
    """

    has_fixed_size: ClassVar[bool]
    """Whether its clusters cannot grow, so that a wish beyond their size should fail at once."""

    def name_of(self, spec: Any, key: TaskKey, attempt: AttemptInfo | None = None) -> ClusterRef:
        """
        Name the cluster that :meth:`ensure` would have; asks nobody.

        By the spec's own name, else by the task instance, never by the generation, so that a retry and a clear find
        the same one; by the attempt where the kind needs one each. Always with a digest where a name was cut.
        ``owned`` says whether it belongs to the task.

        :raises ConfigurationError: the spec is wrong
        """

    def check(self, target: ClusterSpec | ClusterRef, request: JobRequest) -> None:
        """
        Refuse what such a cluster could not run, as far as that is known before it is there; starts nothing.

        :param target: the spec of a cluster that is adopted or started, or one that exists
        :param request: as it will be sent, but for what attachments add to the environment variables
        :raises ConfigurationError: it could never run there; the message names the field
        """

    def ensure(
        self, spec: Any, ref: ClusterRef, *, owner: ClusterOwner, attempt: AttemptInfo | None = None
    ) -> ClusterRef:
        """
        Adopt the cluster of this name if it lives and matches, else start it; returns before it is ready.

        :param ref: what :meth:`name_of` gave, written down by the caller before
        :param attempt: for whose job it is; its id is known
        :raises ConfigurationError: a live cluster of this name has another spec, or the spec is wrong
        :raises ClusterFailedError: it cannot start
        :raises UnavailableError: the back end does not answer; whether it took the wish is not known
        """

    def find(self, spec: Any) -> ClusterRef:
        """
        Name the cluster that a spec stands for, whether it lives or not; starts nothing.

        :raises ConfigurationError: the spec has no name, so that each task has a cluster of its own
        """

    def list(
        self, owner: ClusterOwner | None = None, where: ClusterSpec | ClusterRef | None = None
    ) -> Sequence[ListedCluster]:
        """
        Give the clusters that we made and that are not gone, with who made them: who adopts one does not become that.

        :param owner: only a deployment's, or a task instance's
        :param where: a cluster, or the spec of one: only what is where that is, of a back end that has several places,
            such as namespaces; None: wherever the back end looks by itself, which may be nowhere
        :raises UnavailableError: the back end does not answer
        """

    def describe(self, ref: ClusterRef) -> ClusterStatus:
        """
        Report the state now; changes nothing.

        :raises ConfigurationError: the cluster cannot be seen from this host
        :raises UnavailableError: the back end itself does not answer
        """

    def watch(self, ref: ClusterRef, clock: Clock) -> AsyncGenerator[ClusterStatus]:
        """
        Yield a status at once and whenever there may be another one, for ever; in the triggerer.

        Where nobody answers it yields UNKNOWN with the reason, and goes on.

        :raises ConfigurationError: the cluster cannot be seen from this host
        """

    def extend(self, ref: ClusterRef, seconds: float) -> None:
        """
        Note that somebody counts on it for so many seconds more; nothing where it is absent, or not ours.

        Until then neither its expiry nor a clean-up ends it; an idle time-out does, by what runs there. Each run that
        uses a cluster which is not its own does this now and then while it waits, see
        :mod:`airflow_provider_air.runs.leases`. A shorter time than what was noted before changes nothing.
        """

    def delete(self, ref: ClusterRef) -> None:
        """
        Ask that it goes with all that it left, and return; :meth:`describe` says when it is gone. Absent is fine.

        By a ref with a ``uid`` that one goes alone: another one of the same name stays.

        :raises UnavailableError: the back end does not answer
        """

    def prepare_delete(self, ref: ClusterRef) -> Callable[[], None]:
        """
        Resolve all that a deletion needs, and give it: one request of at most 3 s, for a signal handler.

        Of a cluster of a task's own, which may not be there yet.

        :raises AirError: it cannot be resolved now
        """

    def facts(self, ref: ClusterRef) -> Mapping[str, Any]:
        """Give what else people may want to know of it, by name, as plain values; empty where it is absent."""

    def open_transport(self, ref: ClusterRef) -> Transport:
        """
        Give a fresh address, headers and TLS settings for one use.

        :raises ConfigurationError: the connection is absent or malformed
        :raises ClusterNotReadyError: there is no address yet, or no more
        """

    def jobs(self, ref: ClusterRef) -> JobBackend:
        """Give what runs jobs on it; asks nobody."""

    def serving(self, ref: ClusterRef) -> ServeBackend:
        """Give what rolls out applications on it; asks nobody."""

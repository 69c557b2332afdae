"""Clusters and jobs that runs have left behind, by what each cluster's back end and Ray itself say of them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_air.contracts.clusters import ClusterOwner, ClusterRef, ClusterRequest, ClusterState
from airflow_provider_air.contracts.leftovers import Leftover
from airflow_provider_air.errors import AirError, UnavailableError
from airflow_provider_air.runs.cluster_requests import extend
from airflow_provider_air.runs.names import DEPLOYMENT, DETACHED_MARK, key_of

if TYPE_CHECKING:
    from airflow_provider_air.contracts.clusters import ClusterBackend, ClusterSpec, ListedCluster
    from airflow_provider_air.contracts.leftovers import Neighbour
    from airflow_provider_air.contracts.names import TaskKey
    from airflow_provider_air.ray_api.models import JobDetails

# Of jobs that use a cluster, in a reason.
MOST_NAMED = 3
# Where nothing takes work any more.
IDLE_STATES = (ClusterState.ABSENT, ClusterState.FAILED, ClusterState.DELETING)
# A head that is busy looks like one that starts: so long after its time is over it is no more asked what it runs.
SILENT_SECONDS = 3 * 3600.0


RequestOf = Callable[["TaskKey"], Any]


def nothing_asked(key: TaskKey) -> None:
    """Where nobody can ask anything of clusters."""


class LeftClusters:
    """
    The clusters that a back end has made for a deployment.

    :param name: the back end's
    :param open_backend: gives a back end by its name
    :param place: where it looks, see :meth:`~airflow_provider_air.contracts.clusters.ClusterBackend.list`
    :param keep: seconds that a cluster stays at least, however short its DAG run was
    :param request_of: gives what a person has asked by the task instance that made a cluster, as it is stored
    :param only_tell: nothing is done that they ask for
    """

    def __init__(
        self,
        name: str,
        open_backend: Callable[[str], ClusterBackend],
        owner: ClusterOwner,
        *,
        place: ClusterSpec | ClusterRef | None = None,
        keep: float = 0.0,
        request_of: RequestOf = nothing_asked,
        only_tell: bool = False,
    ) -> None:
        self.where = f"{name} clusters" if place is None else f"{name} clusters of {_called(place)}"
        self._name = name
        self._open_backend = open_backend
        self._owner = owner
        self._place = place
        self._keep = keep
        self._request_of = request_of
        self._only_tell = only_tell
        self._found: dict[str, ListedCluster] = {}
        self._asked: dict[str, ClusterRequest] = {}

    @property
    def _backend(self) -> ClusterBackend:
        # Late: one that cannot be imported keeps nobody from the others.
        return self._open_backend(self._name)

    def left(self) -> Iterator[Leftover]:
        """Give those of this deployment."""
        listed = self._backend.list(self._owner, self._place)
        self._found = {_identity(item.ref): item for item in listed}
        for identity, item in self._found.items():
            yield self._leftover(identity, self._as_asked(identity, item))

    def standing(self) -> list[ClusterRef]:
        """Name those that several DAG runs may use, by the last look, and the one that was told: jobs may be left."""
        shared = [item.ref for item in self._found.values() if not item.is_of_run and not item.going]
        if isinstance(self._place, ClusterRef):
            return shared if self._place.owned else [*shared, self._place]
        with contextlib.suppress(AirError):
            # Of a spec without a name each task has a cluster of its own.
            return shared if self._place is None else [*shared, self._backend.find(self._place)]
        return shared

    def _as_asked(self, identity: str, item: ListedCluster) -> ListedCluster:
        """Keep a cluster for longer where a person asks for that, and remember whose end is asked for."""
        key = item.owner.key
        request = None if key is None else ClusterRequest.from_json(self._request_of(key))
        if request is None or not request.is_about(item.ref, item.created_at):
            return item
        if request.action == "end":
            self._asked[identity] = request
            return item
        if not self._only_tell:
            extend(request, item.ref, self._backend, item.seen_at)
        return replace(item, leased_until=max(item.leased_until or 0.0, request.until))

    def _leftover(self, identity: str, item: ListedCluster) -> Leftover:
        now, key, asked = item.seen_at, item.owner.key, self._asked.get(identity)
        return Leftover(
            "cluster",
            item.ref.name,
            identity,
            item.owner.deployment,
            users=() if key is None else (key,),
            age=now - item.created_at,
            keep=self._keep,
            expires_in=None if item.expires_at is None else item.expires_at - now,
            leased_for=None if item.leased_until is None else item.leased_until - now,
            is_of_run=item.is_of_run,
            stays=f"it goes already: {item.going}" if item.going else "",
            asked=f"{asked.by or 'a person'} asked for its end" if asked else "",
        )

    def use_of(self, item: Leftover) -> str:
        """Name the live jobs on it; those of the DAG run that it was made for do not count, where it goes with that."""
        ref = self._found[item.identity].ref
        status = self._backend.describe(ref)
        if status.state in IDLE_STATES:
            return ""
        is_waited_for = not item.is_of_run and (item.expires_in is None or item.expires_in > -SILENT_SECONDS)
        if status.state is ClusterState.UNKNOWN or (status.state is ClusterState.STARTING and is_waited_for):
            raise UnavailableError(f"Nobody says what runs on it: {status.message}", where=ref.name)
        if status.state is not ClusterState.READY:
            return ""
        runs = {(key.dag_id, key.run_id) for key in item.users} if item.is_of_run else set()
        jobs = [job for job in self._backend.jobs(ref).alive() if not _is_of(job, item.deployment, runs)]
        named = ", ".join(job.submission_id for job in jobs[:MOST_NAMED])
        return f"by {len(jobs)} live jobs ({named}{', ...' if len(jobs) > MOST_NAMED else ''})" if jobs else ""

    def take(self, item: Leftover) -> str:
        """Ask that it goes."""
        self._backend.delete(self._found[item.identity].ref)
        return "it was asked to go"


class LeftJobs:
    """
    The live jobs of one cluster that stays.

    :param open_backend: gives a back end by its name
    """

    def __init__(self, ref: ClusterRef, open_backend: Callable[[str], ClusterBackend]) -> None:
        self.where = f"jobs on {ref.name}"
        self._ref = ref
        self._open_backend = open_backend

    @property
    def _backend(self) -> ClusterBackend:
        return self._open_backend(self._ref.backend)

    def left(self) -> Iterable[Leftover]:
        """Give all of them, others' too; none where there is no such cluster."""
        if self._backend.describe(self._ref).state is not ClusterState.READY:
            return []
        return [self._leftover(job) for job in self._backend.jobs(self._ref).alive()]

    def _leftover(self, job: JobDetails) -> Leftover:
        key = key_of(job.metadata)
        return Leftover(
            "job",
            job.submission_id,
            f"job {_identity(self._ref)} {job.submission_id}",
            job.metadata.get(DEPLOYMENT),
            users=() if key is None else (key,),
            stays="it was submitted to outlive its task (wait=False)" if DETACHED_MARK in job.metadata else "",
        )

    def use_of(self, item: Leftover) -> str:
        """Nothing uses a job but its task, which is over."""
        return ""

    def take(self, item: Leftover) -> str:
        """Ask Ray to stop it; its record and its log stay."""
        self._backend.jobs(self._ref).stop(item.name)
        return "it was asked to stop"


def cluster_neighbours(
    names: Sequence[str],
    targets: Sequence[ClusterSpec | ClusterRef],
    open_backend: Callable[[str], ClusterBackend],
    deployment: str,
    *,
    keep: float = 0.0,
    request_of: RequestOf = nothing_asked,
    only_tell: bool = False,
) -> Iterator[Neighbour]:
    """
    Give where clusters and jobs of a deployment may be left: all back ends, then the places of some clusters.

    :param names: of the back ends that look by themselves
    :param targets: clusters, and specs of clusters, that tell where else to look, and on which jobs may be left
    :param keep, request_of, only_tell: see :class:`LeftClusters`
    """
    owner = ClusterOwner(deployment)
    standing: dict[str, ClusterRef] = {}
    for name, place in [*((name, None) for name in names), *((target.backend, target) for target in targets)]:
        clusters = LeftClusters(
            name, open_backend, owner, place=place, keep=keep, request_of=request_of, only_tell=only_tell
        )
        yield clusters
        standing |= {_named(ref): ref for ref in clusters.standing()}
    for ref in standing.values():
        yield LeftJobs(ref, open_backend)


def _is_of(job: JobDetails, deployment: str | None, runs: set[tuple[str, str]]) -> bool:
    key = key_of(job.metadata)
    return key is not None and key.deployment == deployment and (key.dag_id, key.run_id) in runs


def _named(ref: ClusterRef) -> str:
    return f"{ref.backend} {ref.name} {sorted(ref.details.items())}"


def _identity(ref: ClusterRef) -> str:
    return f"cluster {_named(ref)} {ref.uid}"


def _called(place: ClusterSpec | ClusterRef) -> str:
    return place.name or "a spec without a name"

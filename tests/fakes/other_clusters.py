"""
Clusters that are unlike ours in all that the contracts allow: in memory, and moved by plain method calls.

- Each attempt has a cluster of its own, which must know the job's id before it exists and takes no other.
- Deletion takes some looks.
- A cluster can be replaced under its job: the same name, another incarnation, which does not know the job.
- A roll-out needs no job of ours: it takes ``PreparedJob.rollout``.

Nothing happens by itself but the end of a deletion::

    clusters = OtherClusters()
    ref = clusters.ensure(spec, clusters.name_of(spec, key, attempt), owner=owner, attempt=attempt)
    clusters.ready(ref.name)
    clusters.jobs(ref).submit(prepared)
    job = clusters.job(attempt.submission_id)
    job.run(); job.say("a line"); job.note({...a record...}); job.end("SUCCEEDED")
    clusters.replace(ref.name); clusters.silence(); clusters.answer()
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from airflow_provider_air.clusters.naming import cluster_name, name_to_find
from airflow_provider_air.clusters.watching import watch_by_looking
from airflow_provider_air.contracts.clusters import (
    ClusterOwner,
    ClusterRef,
    ClusterSpec,
    ClusterState,
    ClusterStatus,
    ListedCluster,
)
from airflow_provider_air.contracts.jobs import (
    Accepted,
    FollowEnd,
    FollowSettings,
    JobLook,
    JobRequest,
    Loss,
    Observation,
    PreparedJob,
)
from airflow_provider_air.contracts.names import TaskKey
from airflow_provider_air.contracts.runs import AttemptInfo, Clock
from airflow_provider_air.contracts.serving import ABSENT, ApplicationStatus
from airflow_provider_air.errors import (
    AirError,
    ClusterNotReadyError,
    ClusterUnreachableError,
    ConfigurationError,
    RemoteFailureError,
)
from airflow_provider_air.ray_api.models import JobDetails, JobStatus
from airflow_provider_air.ray_api.transport import Transport

FOLLOW_SECONDS = 0.02


@dataclass
class OtherSpec:
    """What an author would write."""

    backend: ClassVar[str] = "other"
    template_fields: ClassVar[tuple[str, ...]] = ("name",)

    name: str | None = None
    size: int = 1

    def validate(self) -> None:
        """:raises ConfigurationError: nothing of this size can be had."""
        if self.size < 1:
            raise ConfigurationError(f"OtherSpec(size={self.size!r}) is wrong", hint="size must be at least 1")


@dataclass
class OtherJob:
    """One job, or one roll-out; a test moves it."""

    details: JobDetails
    rollout: Mapping[str, Any] | None = None
    log: bytes = b""
    records: list[dict[str, Any]] = field(default_factory=list)
    stops: bool = True
    """Whether it ends when it is asked to stop."""

    def run(self) -> None:
        """Begin."""
        self.details = replace(self.details, status=JobStatus.RUNNING)

    def say(self, *lines: str) -> None:
        """Write lines to the log."""
        self.log += "".join(f"{line}\n" for line in lines).encode()

    def note(self, *records: Mapping[str, Any]) -> None:
        """Write records."""
        self.records += [dict(record) for record in records]

    def end(self, status: str = "SUCCEEDED", message: str = "", exit_code: int | None = None) -> None:
        """End."""
        self.details = replace(self.details, status=JobStatus(status), message=message, exit_code=exit_code)

    def stop(self) -> None:
        """Be asked to stop."""
        if self.stops and not self.details.status.is_terminal:
            self.end("STOPPED")


@dataclass
class OtherCluster:
    """
    One cluster; a test may change any of it.

    :param number: grows with each replacement
    :param looks_left: how often it is still seen DELETING
    :param job_id: the one job that it takes; None takes any
    """

    spec: OtherSpec
    ref: ClusterRef
    owner: ClusterOwner
    job_id: str | None
    status: ClusterStatus = field(default_factory=lambda: ClusterStatus(ClusterState.STARTING))
    number: int = 1
    looks_left: int = 2
    expires_at: float | None = None
    leased_until: float | None = None
    created_at: float = field(default_factory=time.time)
    jobs: dict[str, OtherJob] = field(default_factory=dict)
    applications: dict[str, ApplicationStatus] = field(default_factory=dict)

    @property
    def incarnation(self) -> str:
        """What tells it from its successor of the same name."""
        return f"{self.ref.name}/{self.number}"


class OtherClusters:
    """
    The back end, and the world that it looks at.

    :param deletion_looks: how often a cluster that was asked to go is seen DELETING
    :param takes_any_job: lets a cluster live without an attempt, as for a named one that several tasks share
    """

    has_fixed_size: ClassVar[bool] = False

    def __init__(self, connections: Any = None, *, deletion_looks: int = 2, takes_any_job: bool = False) -> None:
        self.world: dict[str, OtherCluster] = {}
        self.calls: list[tuple[str, str]] = []
        """Verb and name of each call that would change something remote, in order."""
        self.deletion_looks = deletion_looks
        self.takes_any_job = takes_any_job
        self._silence: AirError | None = None
        self._made = 0

    # -- what a test does -------------------------------------------------------------------------------

    def ready(self, name: str) -> None:
        """Let a cluster take work."""
        self.world[name].status = ClusterStatus(ClusterState.READY)

    def fail(self, name: str, message: str = "no such image", *, retryable: bool = True) -> None:
        """Let a cluster fail."""
        self.world[name].status = ClusterStatus(ClusterState.FAILED, message, retryable=retryable)

    def replace(self, name: str) -> None:
        """Put another cluster in a cluster's place, which knows no job; it is ready."""
        cluster = self.world[name]
        cluster.jobs.clear()
        self._made += 1
        cluster.number = self._made
        self.ready(name)

    def vanish(self, name: str) -> None:
        """Take a cluster away, as its expiry does."""
        del self.world[name]

    def silence(self, error: AirError | None = None) -> None:
        """Let every remote question fail, as unreachable unless another error is given."""
        self._silence = error or ClusterUnreachableError("Nobody answers")

    def answer(self) -> None:
        """End the silence."""
        self._silence = None

    def job(self, submission_id: str) -> OtherJob:
        """Give a job of any cluster."""
        return next(item.jobs[submission_id] for item in self.world.values() if submission_id in item.jobs)

    def ask(self) -> None:
        """Raise what a remote question raises now."""
        if self._silence is not None:
            raise self._silence

    # -- the contract -----------------------------------------------------------------------------------

    def name_of(self, spec: OtherSpec, key: TaskKey, attempt: AttemptInfo | None = None) -> ClusterRef:
        """Name it by the spec, else by the attempt."""
        spec.validate()
        if spec.name or attempt is None:
            return self._ref(cluster_name(spec.name, key, 47), owned=spec.name is None)
        return self._ref(cluster_name(attempt.submission_id, key, 47), owned=True)

    def check(self, target: ClusterSpec | ClusterRef, request: JobRequest) -> None:
        """Refuse what needs an installer: nothing can be installed here."""
        if any(environment.get("pip") for environment in request.environments):
            raise ConfigurationError("'runtime_env' names 'pip', and such a cluster has none")

    def ensure(
        self, spec: OtherSpec, ref: ClusterRef, *, owner: ClusterOwner, attempt: AttemptInfo | None = None
    ) -> ClusterRef:
        """Adopt or start it; the job's id goes into it."""
        self.ask()
        spec.validate()
        if attempt is None and not self.takes_any_job:
            raise ConfigurationError("Such a cluster must know its job's id before it exists")
        wanted = None if self.takes_any_job or attempt is None else attempt.submission_id
        there = self.world.get(ref.name)
        if there is not None and (there.spec.size != spec.size or there.job_id != wanted):
            raise ConfigurationError(f"The cluster {ref.name!r} lives and was made for something else")
        if there is None:
            self._made += 1
            self.world[ref.name] = OtherCluster(spec, ref, owner, wanted, number=self._made)
            self.calls.append(("ensure", ref.name))
        return ref

    def find(self, spec: OtherSpec) -> ClusterRef:
        """Name the cluster of a spec with a name."""
        return self._ref(name_to_find(spec.name, 47))

    def list(
        self, owner: ClusterOwner | None = None, where: ClusterSpec | ClusterRef | None = None
    ) -> Sequence[ListedCluster]:
        """Give what is there."""
        self.ask()
        found = [
            ListedCluster(
                replace(item.ref, uid=item.incarnation),
                item.owner,
                created_at=item.created_at,
                seen_at=time.time(),
                expires_at=item.expires_at,
                leased_until=item.leased_until,
                is_of_run=item.ref.owned,
                going="its finalizers run" if item.status.state is ClusterState.DELETING else "",
            )
            for item in self.world.values()
        ]
        if owner is None:
            return found
        return [
            item for item in found if item.owner.deployment == owner.deployment and owner.key in (None, item.owner.key)
        ]

    def describe(self, ref: ClusterRef) -> ClusterStatus:
        """Look; a cluster that is being deleted goes a little further with each look."""
        self.ask()
        cluster = self.world.get(ref.name)
        if cluster is None:
            return ClusterStatus(ClusterState.ABSENT)
        if cluster.status.state is ClusterState.DELETING:
            cluster.looks_left -= 1
            if cluster.looks_left < 0:
                self.vanish(ref.name)
                return ClusterStatus(ClusterState.ABSENT)
        known = cluster.status.state in (ClusterState.READY, ClusterState.FAILED)
        return replace(cluster.status, incarnation=cluster.incarnation if known else None)

    def watch(self, ref: ClusterRef, clock: Clock) -> AsyncGenerator[ClusterStatus]:
        """Look again and again."""
        return watch_by_looking((id(self), ref.name), lambda: self.describe(ref), clock)

    def extend(self, ref: ClusterRef, seconds: float) -> None:
        """Note who counts on it."""
        self.ask()
        cluster = self.world.get(ref.name)
        if cluster is None:
            return
        self.calls.append(("extend", ref.name))
        cluster.leased_until = max(cluster.leased_until or 0.0, time.time() + seconds)
        if cluster.expires_at is not None:
            cluster.expires_at = max(cluster.expires_at, cluster.leased_until)

    def delete(self, ref: ClusterRef) -> None:
        """Ask that it goes."""
        self.ask()
        self.calls.append(("delete", ref.name))
        cluster = self.world.get(ref.name)
        if cluster is None or (ref.uid and ref.uid != cluster.incarnation):
            return
        if cluster.status.state is not ClusterState.DELETING:
            cluster.status = ClusterStatus(ClusterState.DELETING, "its finalizers run")
            cluster.looks_left = self.deletion_looks

    def prepare_delete(self, ref: ClusterRef) -> Callable[[], None]:
        """Give a deletion that asks nobody for an address."""
        self.ask()
        return lambda: self.delete(ref)

    def facts(self, ref: ClusterRef) -> Mapping[str, Any]:
        """Give its size."""
        cluster = self.world.get(ref.name)
        return {} if cluster is None else {"size": cluster.spec.size}

    def open_transport(self, ref: ClusterRef) -> Transport:
        """Give an address that nobody needs."""
        self.ask()
        if self.describe(ref).state is not ClusterState.READY:
            raise ClusterNotReadyError(f"The cluster {ref.name!r} has no address")
        return Transport(f"http://{ref.name}.other", token="other-token")

    def jobs(self, ref: ClusterRef) -> OtherJobs:
        """Give its jobs."""
        return OtherJobs(self, ref)

    def serving(self, ref: ClusterRef) -> OtherServing:
        """Give its applications."""
        return OtherServing(self, ref)

    def _ref(self, name: str, *, owned: bool = False) -> ClusterRef:
        return ClusterRef(OtherSpec.backend, name, {"region": "moon"}, owned)


class OtherJobs:
    """The jobs of one cluster."""

    def __init__(self, clusters: OtherClusters, ref: ClusterRef) -> None:
        self._clusters = clusters
        self._ref = ref

    def submit(self, job: PreparedJob) -> Accepted:
        """Take the job that the cluster was made for."""
        cluster = self._cluster()
        # Whoever waits for the call goes on in another thread as soon as it is noted, and may replace the cluster.
        accepted, submission = Accepted(cluster.incarnation), job.submission
        if cluster.job_id not in (None, submission.submission_id):
            raise ConfigurationError(f"This cluster was made for the job {cluster.job_id}, not for another one")
        if submission.submission_id not in cluster.jobs:
            details = JobDetails(
                submission.submission_id,
                JobStatus.PENDING,
                metadata=dict(submission.metadata),
                entrypoint=submission.entrypoint,
            )
            cluster.jobs[submission.submission_id] = OtherJob(details, job.rollout)
            for name in (job.rollout or {}).get("applications") or ():
                cluster.applications.setdefault(name, ApplicationStatus(name, "DEPLOYING", f"/{name}"))
            self._clusters.calls.append(("submit", submission.submission_id))
        return accepted

    def look(self, submission_id: str) -> JobLook:
        """Look at a job."""
        cluster = self._cluster()
        job = cluster.jobs.get(submission_id)
        return JobLook(None if job is None else job.details, cluster.incarnation)

    def after_loss(self, accepted_on: str | None, seen_on: str | None) -> Loss:
        """Begin again what went with a cluster that was replaced: it is not the try's fault."""
        if accepted_on is None:
            return "again"
        return "lost" if accepted_on == seen_on else "next"

    def stop(self, submission_id: str) -> None:
        """Ask a job to stop."""
        job = self._cluster().jobs.get(submission_id)
        self._clusters.calls.append(("stop", submission_id))
        if job is not None:
            job.stop()

    def prepare_stop(self, submission_id: str) -> Callable[[], None]:
        """Give a stop that asks nobody for an address."""
        self._cluster()
        return lambda: self.stop(submission_id)

    def alive(self) -> Sequence[JobDetails]:
        """Give what has not ended."""
        return [job.details for job in self._cluster().jobs.values() if not job.details.status.is_terminal]

    async def jobs_now(self) -> Sequence[JobDetails]:
        """Give all."""
        return [job.details for job in self._cluster().jobs.values()]

    def all(self) -> Sequence[JobDetails]:
        """Give what is remembered."""
        return [job.details for job in self._cluster().jobs.values()]

    def delete(self, submission_id: str) -> bool:
        """Forget what has ended."""
        jobs = self._cluster().jobs
        if submission_id not in jobs:
            return False
        if not jobs[submission_id].details.status.is_terminal:
            raise RemoteFailureError("It has not ended", where=submission_id)
        del jobs[submission_id]
        return True

    def records(self, job: JobDetails) -> list[dict[str, Any]]:
        """Give a job's records."""
        there = self._cluster().jobs.get(job.submission_id)
        return [] if there is None else list(there.records)

    async def follow(self, settings: FollowSettings, clock: Clock) -> AsyncGenerator[Observation | FollowEnd]:
        """Follow a job by looking."""
        offset, taken, last, silent_since = settings.log_offset, 0, None, None
        while True:
            try:
                last = self.look(settings.submission_id).job
                silent_since = None
                if last is None:
                    loss = self.after_loss(settings.accepted_on, self._cluster().incarnation)
                    yield FollowEnd("lost", None, "Its cluster does not know it", loss=loss)
                    return
                seen = self._observe(settings, last, offset, taken)
                offset, taken = seen.log_offset, taken + len(seen.records)
                yield seen
                if last.status.is_terminal:
                    more = offset < len(self._cluster().jobs[settings.submission_id].log)
                    yield FollowEnd("ended", last, log_rest=offset if more else None)
                    return
            except AirError as error:
                silent_since = clock.now() if silent_since is None else silent_since
                if clock.now() - silent_since >= settings.unreachable_seconds:
                    refused = isinstance(error, ConfigurationError)
                    yield FollowEnd("refused" if refused else "unreachable", last, str(error))
                    return
                yield Observation(log_offset=offset)
            if settings.until is not None and clock.now() >= settings.until:
                yield FollowEnd("deadline", last)
                return
            await clock.asleep(FOLLOW_SECONDS)

    def _observe(self, settings: FollowSettings, job: JobDetails, offset: int, taken: int) -> Observation:
        there = self._cluster().jobs[job.submission_id]
        lines = there.log[offset:].decode().splitlines(keepends=True)[: settings.lines_at_once]
        offset += len("".join(lines).encode())
        records = there.records[taken:] if settings.has_records else []
        return Observation(job, [line.rstrip("\n") for line in lines], offset, records)

    def pages(self, submission_id: str | None = None) -> Mapping[str, str]:
        """Give the one page that there is."""
        self._cluster()
        return {"ray_dashboard_url": f"https://console.other/{self._ref.name}"}

    def _cluster(self) -> OtherCluster:
        self._clusters.ask()
        cluster = self._clusters.world.get(self._ref.name)
        if cluster is None or cluster.status.state is not ClusterState.READY:
            raise ClusterNotReadyError(f"The cluster {self._ref.name!r} cannot be asked now")
        return cluster


class OtherServing(OtherJobs):
    """Rolls out without a job of ours: the roll-out itself is what is submitted, followed and stopped."""

    can_gate: ClassVar[bool] = False

    def submit(self, job: PreparedJob) -> Accepted:
        """Take a roll-out: its applications are being deployed until :meth:`OtherClusters.job` ends it."""
        if job.rollout is None:
            raise ConfigurationError("Such a cluster takes roll-outs, and this is none")
        return super().submit(job)

    def application(self, name: str) -> ApplicationStatus:
        """Look at an application; a roll-out that has succeeded lets its applications run."""
        cluster = self._cluster()
        for job in cluster.jobs.values():
            if job.details.status is JobStatus.SUCCEEDED and name in ((job.rollout or {}).get("applications") or ()):
                cluster.applications[name] = replace(cluster.applications[name], status="RUNNING")
        return cluster.applications.get(name) or ApplicationStatus(name, ABSENT, message="Nobody has rolled it out")

    def endpoint(self, result: Mapping[str, Any]) -> str:
        """Give an address that does not depend on the result."""
        return f"https://{self._ref.name}.apps.other"

    def page(self, application: str | None = None) -> str | None:
        """There is none."""
        return None

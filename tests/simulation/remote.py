"""
The remote world: clusters, their jobs, trackers; with what Ray 2.60 and networks are known to do.

What is true is in :class:`Cluster` and :class:`Job`; what a process gets to see of it goes through the back ends below,
which keep the contracts of ``airflow_provider_air.contracts`` and fail as they allow.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_air.clusters.jobs_api.backend import OWNER_KEYS
from airflow_provider_air.contracts.attachments import Additions, Outcome
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
from airflow_provider_air.contracts.names import TaskKey, digest
from airflow_provider_air.contracts.runs import AttemptInfo, Clock
from airflow_provider_air.contracts.serving import ApplicationStatus
from airflow_provider_air.errors import (
    ClusterNotReadyError,
    ClusterUnreachableError,
    ConfigurationError,
    ResultLostError,
    UnavailableError,
)
from airflow_provider_air.ray_api.models import JobDetails, JobStatus

if TYPE_CHECKING:
    from tests.simulation.kernel import Group
    from tests.simulation.world import World

EXPIRES_SECONDS = 12 * 3600.0
LINE_BYTES = 20
FOR_EVER = 10 * 24 * 3600.0


@dataclass(frozen=True)
class JobScript:
    """
    What a job will do.

    :param pending_seconds: until its entrypoint starts
    :param ends: SUCCEEDED or FAILED; None: it never ends by itself
    :param keeps_pending: a stop is ignored while it is PENDING, as where no node has room for it
    :param stop_seconds: how long it outlives a stop
    :param loses_result: it succeeds, and its closing record is never to be read
    """

    pending_seconds: float = 2.0
    run_seconds: float = 20.0
    ends: str | None = "SUCCEEDED"
    lines: int = 5
    records: int = 2
    keeps_pending: bool = False
    stop_seconds: float = 1.0
    loses_result: bool = False


@dataclass
class Job:
    """One submission that a cluster took, as it really is."""

    world: World
    cluster: Cluster
    submission_id: str
    script: JobScript
    metadata: Mapping[str, str]
    has_records: bool
    not_after: float | None
    entrypoint: str
    epoch: int
    stale: bool
    accepted_at: float
    incarnation: str
    by: Group | None = None
    status: str = "PENDING"
    started_at: float | None = None
    ended_at: float | None = None
    stop_at: float | None = None
    """When a stop first reached it."""
    process_dead: bool = False
    """Its process is gone, whatever its record says."""
    error_type: str | None = None
    message: str = ""
    node_dead: bool = False
    forgotten: bool = False
    is_others: bool = False
    """It is no job of this task."""

    @property
    def is_live(self) -> bool:
        """Whether it runs, or may start to."""
        return self.status in ("PENDING", "RUNNING") and not self.process_dead and not self.forgotten

    @property
    def has_result(self) -> bool:
        """Whether it succeeded and its result can be had while its cluster lives."""
        return self.status == "SUCCEEDED" and not self.script.loses_result and not self.forgotten

    @property
    def result(self) -> dict[str, Any]:
        """What its run gave, told from any other's."""
        return {"of": self.submission_id, "started": self.started_at, "entrypoint": self.entrypoint}

    # Its life, in the kernel's time

    def begin(self) -> None:
        """Come to a cluster."""
        self.world.kernel.after(self.script.pending_seconds, self._start)

    def _start(self) -> None:
        if self.status != "PENDING" or self.forgotten or self.process_dead:
            return
        kernel = self.world.kernel
        if self.not_after is not None and kernel.now > self.not_after:
            self._end("FAILED", "JOB_ENTRYPOINT_COMMAND_ERROR", "refusing to start: the not-after time has passed")
            return
        self.status, self.started_at = "RUNNING", kernel.now
        self.world.rules.on_start(self)
        kernel.note(self.cluster.name, "starts the entrypoint of %s", self.submission_id)
        if self.stop_at is not None:
            kernel.after(self.script.stop_seconds, self._end, "STOPPED")
        if self.script.ends is not None:
            error = "JOB_ENTRYPOINT_COMMAND_ERROR" if self.script.ends == "FAILED" else None
            kernel.after(self.script.run_seconds, self._end, self.script.ends, error)
        if self.not_after is not None and self.has_records:
            kernel.at(self.not_after + 0.5, self._end, "FAILED", "JOB_ENTRYPOINT_COMMAND_ERROR", "not-after passed")

    def _end(self, status: str, error_type: str | None = None, message: str = "") -> None:
        if not self.is_live:
            return
        self.status, self.ended_at = status, self.world.kernel.now
        self.error_type, self.message = error_type, message
        self.world.kernel.note(self.cluster.name, "has %s: %s %s", self.submission_id, status, message)
        self.world.rules.on_job_end(self)

    def stop(self) -> None:
        """Take a stop request."""
        if not self.is_live:
            return
        if self.stop_at is None:
            self.stop_at = self.world.kernel.now
        if self.status == "PENDING" and self.script.keeps_pending:
            return
        self.world.kernel.after(self.script.stop_seconds, self._end, "STOPPED")

    def fail(self, error_type: str, message: str) -> None:
        """Have Ray itself fail it."""
        self._end("FAILED", error_type, message)

    def die(self, *, forgotten: bool) -> None:
        """Its process goes, without a word to anybody."""
        if self.is_live:
            self.ended_at = self.world.kernel.now
        self.process_dead = True
        self.forgotten = self.forgotten or forgotten

    # What can be seen of it

    def details(self) -> JobDetails:
        """As Ray tells it."""
        return JobDetails(
            self.submission_id,
            JobStatus(self.status),
            job_id="01" if self.status != "PENDING" else None,
            error_type=self.error_type,
            message=self.message,
            metadata=dict(self.metadata),
            node_id="node-1",
            agent_address="http://10.0.0.1:52365",
            entrypoint=self.entrypoint,
        )

    def lines(self) -> list[str]:
        """Its log so far; each line has :data:`LINE_BYTES`."""
        return [self.line(number) for number in range(self._share(self.script.lines))]

    def line(self, number: int) -> str:
        """One line of its log."""
        return f"{digest(self.submission_id)}:{number}".ljust(LINE_BYTES - 1)

    def _share(self, total: int) -> int:
        if self.started_at is None:
            return 0
        if self.status == "SUCCEEDED":
            return total
        seconds = (self.ended_at or self.world.kernel.now) - self.started_at
        return min(total, int(total * seconds / max(self.script.run_seconds, 1e-9)))

    def records(self) -> list[dict[str, Any]]:
        """What its driver wrote so far."""
        if not self.has_records:
            return []
        count = self._share(self.script.records)
        said = [{"kind": "metric", "values": {"loss": 1.0 / (number + 1)}, "step": number} for number in range(count)]
        if self.status == "SUCCEEDED" and not self.script.loses_result:
            said += [{"kind": "result", "value": self.result}, {"kind": "end", "status": "succeeded"}]
        elif self.status == "FAILED" and self.started_at is not None:
            said += [{"kind": "end", "status": "failed", "error": {"type": "E", "message": "the job's own words"}}]
        return [{"v": 1, "seq": number, "t": 0.0, **record} for number, record in enumerate(said)]


@dataclass
class Cluster:
    """One Ray cluster as it really is."""

    world: World
    name: str
    backend: str
    owned: bool = False
    owner: ClusterOwner | None = None
    spec: Any = None
    state: ClusterState = ClusterState.READY
    message: str = ""
    retryable: bool = True
    session: int = 1
    down_until: float = 0.0
    refused_until: float = 0.0
    strange_until: float = 0.0
    """A gateway answers for it."""
    jobs: dict[str, Job] = field(default_factory=dict)
    past: list[Job] = field(default_factory=list)
    stale: bool = False
    """It was started for a process to which Airflow no longer listens."""
    expires_at: float | None = None

    @property
    def incarnation(self) -> str:
        """Tells it from its successors."""
        return f"{self.name}/session-{self.session}"

    @property
    def exists(self) -> bool:
        """Whether anything of it costs money."""
        return self.state not in (ClusterState.ABSENT, ClusterState.FAILED)

    def ready(self) -> None:
        """Come up."""
        if self.state is ClusterState.STARTING:
            self.state = ClusterState.READY
            self.world.kernel.note(self.name, "is ready")

    def fail(self, message: str, *, retryable: bool = True) -> None:
        """Fail for good."""
        if self.exists:
            self.state, self.message, self.retryable = ClusterState.FAILED, message, retryable
            self.world.reason(f"{self.name} failed")
            self.world.kernel.note(self.name, "fails: %s", message)
            self._lose_jobs()

    def delete(self) -> None:
        """Take a request to go."""
        if self.state is ClusterState.ABSENT or self.state is ClusterState.DELETING:
            return
        self.state = ClusterState.DELETING
        self.world.kernel.note(self.name, "is being deleted")
        self.world.kernel.after(self.world.scenario.delete_seconds, self.vanish, self.session)

    def vanish(self, session: int | None = None) -> None:
        """Be gone with all that was on it; where a session is named, only that one's."""
        if self.state is not ClusterState.ABSENT and session in (None, self.session):
            self.state = ClusterState.ABSENT
            self.session += 1
            self.world.kernel.note(self.name, "is gone")
            self._lose_jobs()

    def add_others_job(self, submission_id: str) -> bool:
        """Take a job of another task; False where there is one of this id."""
        if submission_id in self.jobs:
            return False
        world = self.world
        script, metadata = JobScript(run_seconds=600.0), {"air_deployment": "deployment", "air_task": "another"}
        job = Job(
            world,
            self,
            submission_id,
            script,
            metadata,
            has_records=False,
            not_after=None,
            entrypoint="python other.py",
            epoch=-1,
            stale=False,
            accepted_at=world.kernel.now,
            incarnation=self.incarnation,
            is_others=True,
        )
        world.kernel.note(self.name, "takes somebody else's %s", submission_id)
        self.jobs[submission_id] = job
        job.begin()
        return True

    def restart(self, seconds: float, *, keeps_records: bool) -> None:
        """Lose the head, and have it back after a while."""
        if not self.exists or self.state is ClusterState.DELETING:
            return
        kernel = self.world.kernel
        self.down_until = max(self.down_until, kernel.now + seconds)
        kernel.note(self.name, "loses its head%s", "; records are kept" if keeps_records else " and all its jobs")
        if not keeps_records:
            self.session += 1
            self._lose_jobs()
            return
        for job in self.jobs.values():
            if job.is_live:
                job.fail("JOB_SUPERVISOR_ACTOR_START_FAILURE", "the head restarted")

    def lose_node(self, *, quietly: bool) -> None:
        """Lose the node on which the drivers run; quietly: their records say RUNNING for ever."""
        self.world.kernel.note(self.name, "loses its drivers' node%s", " quietly" if quietly else "")
        for job in self.jobs.values():
            if job.status != "RUNNING" or not job.is_live:
                continue
            job.node_dead = True
            if quietly:
                job.die(forgotten=False)
            else:
                job.process_dead = True
                self.world.kernel.after(17.0, self._own_up, job)

    @staticmethod
    def _own_up(job: Job) -> None:
        job.process_dead = False
        job.fail("JOB_SUPERVISOR_ACTOR_DIED", "the node died")

    def _lose_jobs(self) -> None:
        for job in self.jobs.values():
            job.die(forgotten=True)
        self.past += self.jobs.values()
        self.jobs = {}

    # What answers

    def answer(self) -> None:
        """:raises AirError: as whoever asks it now would learn."""
        now = self.world.kernel.now
        if self.state is ClusterState.STARTING:
            raise ClusterNotReadyError(f"{self.name} is starting")
        if self.state is not ClusterState.READY and self.state is not ClusterState.DELETING:
            raise ClusterUnreachableError(f"Nobody answers for {self.name}")
        if self.down_until > now:
            raise ClusterUnreachableError(f"{self.name} does not answer")
        if self.strange_until > now:
            raise UnavailableError(f"404 page not found (of no Ray) for {self.name}")
        if self.refused_until > now:
            raise ConfigurationError(f"{self.name} refuses the token")


# Specs of clusters: what an author writes


@dataclass
class SimSpec:
    """What cluster to have."""

    backend: ClassVar[str] = ""
    template_fields: ClassVar[tuple[str, ...]] = ()
    name: str | None = None
    size: int = 1

    def validate(self) -> None:
        """Always right."""


class ExistingSim(SimSpec):
    """One that somebody else keeps."""

    backend: ClassVar[str] = "sim-existing"


class OwnedSim(SimSpec):
    """One that is started for whoever asks: for a task where it has no name."""

    backend: ClassVar[str] = "sim-owned"


class PerAttemptSim(SimSpec):
    """One for each attempt, whose id it must know; replaced under the job where its machines fail."""

    backend: ClassVar[str] = "sim-attempt"


class SimClusters:
    """One kind of cluster back end."""

    has_fixed_size: ClassVar[bool] = False

    def __init__(self, world: World, backend: str) -> None:
        self._world = world
        self._backend = backend

    def _call(self, kind: str, effect: Callable[[], Any], *, awaiting: bool = False) -> Any:
        def asked() -> Any:
            if self._world.control_down_until > self._world.kernel.now and self._backend != ExistingSim.backend:
                raise UnavailableError("The back end does not answer")
            return effect()

        return self._world.kernel.call(kind, asked, remote=True, awaiting=awaiting)

    def _cluster(self, ref: ClusterRef) -> Cluster | None:
        return self._world.clusters.get((ref.backend, ref.name))

    def name_of(self, spec: Any, key: TaskKey, attempt: AttemptInfo | None = None) -> ClusterRef:
        """Name it."""
        if self._backend == PerAttemptSim.backend:
            assert attempt is not None, "this kind needs one for each attempt"
            return ClusterRef(self._backend, f"each-{digest(attempt.submission_id)}", {"zone": "a"}, owned=True)
        if spec.name is None:
            return ClusterRef(self._backend, f"own-{digest(key)}", {"zone": "a"}, owned=True)
        return ClusterRef(self._backend, spec.name, {"zone": "a"}, owned=False)

    def check(self, target: Any, request: JobRequest) -> None:
        """Refuse nothing."""

    def ensure(
        self, spec: Any, ref: ClusterRef, *, owner: ClusterOwner, attempt: AttemptInfo | None = None
    ) -> ClusterRef:
        """Adopt or start it."""
        if self._backend == PerAttemptSim.backend:
            assert attempt is not None, "the job's id comes first"
        self._call("ensure", lambda: self._ensure(spec, ref, owner))
        return ref

    def _ensure(self, spec: Any, ref: ClusterRef, owner: ClusterOwner) -> None:
        world, cluster = self._world, self._cluster(ref)
        if self._backend == ExistingSim.backend:
            return
        if cluster is not None and cluster.state is ClusterState.DELETING:
            return
        if cluster is not None and cluster.exists:
            if cluster.spec != spec:
                raise ConfigurationError(f"{ref.name} lives, and has another spec")
            return
        if cluster is None:
            cluster = Cluster(world, ref.name, ref.backend)
            world.clusters[ref.backend, ref.name] = cluster
        else:
            # Another life, which an earlier one's deletion does not end.
            cluster.session += 1
        cluster.owned, cluster.owner, cluster.spec = ref.owned, owner, spec
        cluster.state, cluster.message, cluster.down_until = ClusterState.STARTING, "", 0.0
        cluster.stale = world.airflow.is_stale(world.kernel.thread.group)
        cluster.expires_at = world.kernel.now + EXPIRES_SECONDS
        start = world.scenario.next_start(world)
        world.kernel.note(ref.name, "is starting")
        if start.fails:
            world.kernel.after(start.seconds, cluster.fail, "it cannot start")
        else:
            world.kernel.after(start.seconds, cluster.ready)

    def find(self, spec: Any) -> ClusterRef:
        """Name it without a task."""
        if spec.name is None:
            raise ConfigurationError("It has no name")
        return ClusterRef(self._backend, spec.name, {"zone": "a"})

    def list(
        self, owner: ClusterOwner | None = None, where: ClusterSpec | ClusterRef | None = None
    ) -> Sequence[ListedCluster]:
        """All that are not gone."""
        return self._call("list", lambda: self._list(owner))  # type: ignore[no-any-return]

    def _list(self, owner: ClusterOwner | None) -> Sequence[ListedCluster]:
        found = [c for c in self._world.clusters.values() if c.backend == self._backend and c.exists and c.owner]
        return [
            ListedCluster(
                ClusterRef(c.backend, c.name, {"zone": "a"}, c.owned),
                c.owner,
                created_at=0.0,
                seen_at=self._world.kernel.now,
                expires_at=c.expires_at,
            )
            for c in found
            if c.owner is not None and (owner is None or owner == c.owner)
        ]

    def describe(self, ref: ClusterRef) -> ClusterStatus:
        """Report the state."""
        return self._call("describe", lambda: self._describe(ref))  # type: ignore[no-any-return]

    def _describe(self, ref: ClusterRef) -> ClusterStatus:
        cluster = self._cluster(ref)
        if self._backend == ExistingSim.backend:
            if cluster is None:
                raise ConfigurationError(f"There is no connection {ref.name}")
            cluster.answer()
        if cluster is None:
            return ClusterStatus(ClusterState.ABSENT)
        lives = cluster.exists and cluster.state is not ClusterState.STARTING
        incarnation = cluster.incarnation if lives else None
        return ClusterStatus(cluster.state, cluster.message, retryable=cluster.retryable, incarnation=incarnation)

    async def watch(self, ref: ClusterRef, clock: Clock) -> AsyncGenerator[ClusterStatus]:
        """Report it again and again."""
        pause = 1.0
        while True:
            try:
                status: ClusterStatus = self._call("watch", lambda: self._describe(ref), awaiting=True)
            except UnavailableError as error:
                status = ClusterStatus(ClusterState.UNKNOWN, str(error))
            yield status
            await clock.asleep(pause)
            pause = min(1.5 * pause, 15.0)

    def extend(self, ref: ClusterRef, seconds: float) -> None:
        """Let it live longer."""

        def effect() -> None:
            cluster = self._cluster(ref)
            if cluster is not None and cluster.expires_at is not None:
                cluster.expires_at = max(cluster.expires_at, self._world.kernel.now + seconds)

        self._call("extend", effect)

    def delete(self, ref: ClusterRef) -> None:
        """Ask that it goes."""

        airflow, group = self._world.airflow, self._world.kernel.thread.group
        was_stale = airflow.is_stale(group)

        def effect() -> None:
            cluster = self._cluster(ref)
            if cluster is not None and self._backend != ExistingSim.backend:
                if airflow.is_stale(group) and not was_stale:
                    self._world.reason("a request of a process that was frozen in the middle of it", of="control")
                self._world.rules.on_delete(cluster)
                cluster.delete()

        self._call("delete", effect)

    def prepare_delete(self, ref: ClusterRef) -> Callable[[], None]:
        """Nothing has to be known beforehand."""
        return lambda: self.delete(ref)

    def facts(self, ref: ClusterRef) -> Mapping[str, Any]:
        """None."""
        return {}

    def open_transport(self, ref: ClusterRef) -> Any:
        """Nothing here speaks HTTP."""
        raise AssertionError("runs/ opens no transport itself")

    def jobs(self, ref: ClusterRef) -> SimJobs:
        """Its jobs."""
        return SimJobs(self._world, ref)

    def serving(self, ref: ClusterRef) -> SimJobs:
        """Its applications."""
        return SimJobs(self._world, ref)


class SimJobs:
    """The jobs of one cluster, as seen from a process; serves applications by a job of ours as well."""

    can_gate: ClassVar[bool] = True

    def __init__(self, world: World, ref: ClusterRef) -> None:
        self._world = world
        self._ref = ref

    def _cluster(self) -> Cluster:
        cluster = self._world.clusters.get((self._ref.backend, self._ref.name))
        if cluster is None:
            if self._ref.backend == ExistingSim.backend:
                raise ConfigurationError(f"There is no connection {self._ref.name}")
            raise ClusterUnreachableError(f"Nobody answers for {self._ref.name}")
        cluster.answer()
        return cluster

    def _call(self, kind: str, effect: Callable[[Cluster], Any], *, awaiting: bool = False) -> Any:
        return self._world.kernel.call(kind, lambda: effect(self._cluster()), remote=True, awaiting=awaiting)

    def submit(self, job: PreparedJob) -> Accepted:
        """Bring it, once."""
        return self._call("submit", lambda cluster: self._submit(cluster, job))  # type: ignore[no-any-return]

    def _submit(self, cluster: Cluster, prepared: PreparedJob) -> Accepted:
        world, submission = self._world, prepared.submission
        if submission.entrypoint.startswith("refused"):
            raise ConfigurationError("Ray refuses this submission")
        if cluster.state is ClusterState.DELETING:
            raise ClusterNotReadyError("It is being deleted")
        there = cluster.jobs.get(submission.submission_id)
        if there is not None and any(there.metadata.get(key) != submission.metadata.get(key) for key in OWNER_KEYS):
            raise ConfigurationError("It is somebody else's")
        if there is None:
            group = world.kernel.thread.group
            env_vars = submission.runtime_env.get("env_vars") or {}
            guard = re.search(r"-gt (\d+) ", submission.entrypoint)
            not_after = env_vars.get("AIR_NOT_AFTER") or (guard and guard.group(1))
            job = Job(
                world,
                cluster,
                submission.submission_id,
                world.scenario.next_job(world),
                submission.metadata,
                "AIR_SUBMISSION_ID" in env_vars,
                float(not_after) if not_after else None,
                submission.entrypoint,
                group.epoch,
                world.airflow.is_stale(group),
                world.kernel.now,
                cluster.incarnation,
                group,
            )
            world.kernel.note(cluster.name, "takes %s", job.submission_id)
            world.rules.on_accept(job)
            cluster.jobs[job.submission_id] = job
            world.jobs.append(job)
            job.begin()
        return Accepted(cluster.incarnation)

    def look(self, submission_id: str) -> JobLook:
        """Ask for one."""
        return self._call("look", lambda cluster: self._look(cluster, submission_id))  # type: ignore[no-any-return]

    @staticmethod
    def _look(cluster: Cluster, submission_id: str) -> JobLook:
        job = cluster.jobs.get(submission_id)
        return JobLook(None if job is None else job.details(), cluster.incarnation)

    def after_loss(self, accepted_on: str | None, seen_on: str | None) -> Loss:
        """Judge one that is not known there."""
        if accepted_on is None:
            return "again"
        if accepted_on != seen_on and self._ref.backend == PerAttemptSim.backend:
            return "next"
        return "lost"

    def stop(self, submission_id: str) -> None:
        """Ask that it stops."""
        self._call("stop", lambda cluster: self._stop(cluster, submission_id))

    def _stop(self, cluster: Cluster, submission_id: str) -> None:
        job = cluster.jobs.get(submission_id)
        if job is not None:
            self._world.kernel.note(self._world.kernel.thread.group.name, "stops %s (%s)", submission_id, job.status)
            self._world.rules.on_stop(job)
            job.stop()

    def prepare_stop(self, submission_id: str) -> Callable[[], None]:
        """Give one request."""
        self._cluster()
        return lambda: self.stop(submission_id)

    def alive(self) -> Sequence[JobDetails]:
        """All that have not ended."""
        return self._call("alive", self._alive)  # type: ignore[no-any-return]

    @staticmethod
    def _alive(cluster: Cluster) -> Sequence[JobDetails]:
        return [job.details() for job in cluster.jobs.values() if job.status in ("PENDING", "RUNNING")]

    async def jobs_now(self) -> Sequence[JobDetails]:
        """All that it remembers."""

        def effect(cluster: Cluster) -> Sequence[JobDetails]:
            return [job.details() for job in cluster.jobs.values()]

        return self._call("jobs_now", effect, awaiting=True)  # type: ignore[no-any-return]

    def all(self) -> Sequence[JobDetails]:
        """Nothing below asks for it."""
        raise AssertionError("runs/ lists no ended jobs")

    def delete(self, submission_id: str) -> bool:
        """Nothing below asks for it."""
        raise AssertionError("runs/ has no job forgotten")

    def records(self, job: JobDetails) -> list[dict[str, Any]]:
        """All of one that has ended."""

        def effect(cluster: Cluster) -> list[dict[str, Any]]:
            real = cluster.jobs.get(job.submission_id)
            if real is None or real.node_dead:
                raise UnavailableError("Nobody serves its records")
            if real.script.loses_result and real.script.lines % 2:
                raise ResultLostError("The file holds no records")
            return real.records()

        return self._call("records", effect)  # type: ignore[no-any-return]

    def pages(self, submission_id: str | None = None) -> Mapping[str, str]:
        """Where people look."""
        self._cluster()
        return {
            "ray_dashboard_url": f"http://{self._ref.name}",
            "ray_job_url": f"http://{self._ref.name}/{submission_id}",
        }

    # Serving

    def application(self, name: str) -> ApplicationStatus:
        """Of no matter."""
        return ApplicationStatus(name, "NOT_STARTED")

    def endpoint(self, result: Mapping[str, Any]) -> str:
        """Of no matter."""
        return "http://sim"

    def page(self, application: str | None = None) -> str | None:
        """None."""
        return None

    # Following

    async def follow(self, settings: FollowSettings, clock: Clock) -> AsyncGenerator[Observation | FollowEnd]:
        """Yield what is new until its end."""
        following = _Following(settings, clock)
        pause = 0.5
        while True:
            try:
                look = self._call("follow", lambda cluster: self._seen(cluster, following), awaiting=True)
            except (UnavailableError, ConfigurationError) as error:
                end = following.silence(error)
                if end is None:
                    yield following.nothing()
            else:
                following.silent_since = None
                for seen in following.observe(*look):
                    yield seen
                end = following.judge(look, self.after_loss)
            if end is not None:
                yield end
                return
            await clock.asleep(pause)
            pause = min(1.4 * pause, 12.0)

    def _seen(self, cluster: Cluster, following: _Following) -> tuple[Any, ...]:
        job = cluster.jobs.get(following.settings.submission_id)
        if job is None:
            return None, [], [], False, cluster.incarnation
        dead = job.node_dead and job.status == "RUNNING" and self._world.kernel.random.random() < 0.3
        lines = [] if job.node_dead else job.lines()
        return job.details(), lines, [] if job.node_dead else job.records(), dead, cluster.incarnation


class _Following:
    """How far one watch has come."""

    def __init__(self, settings: FollowSettings, clock: Clock) -> None:
        self.settings = settings
        self.silent_since: float | None = None
        self._clock = clock
        self._offset = settings.log_offset
        self._next_record = 0
        self._job: JobDetails | None = None
        self._more = False

    def nothing(self) -> Observation:
        """What is seen where nobody answers."""
        return Observation(log_offset=self._offset)

    def observe(self, job: JobDetails | None, lines: list[str], records: list[Any], *_: Any) -> list[Observation]:
        """What is new."""
        if job is None:
            return []
        self._job = job
        limit = self.settings.lines_at_once
        found = []
        while True:
            new = lines[self._offset // LINE_BYTES :]
            shown = new if limit is None else new[:limit]
            self._offset += LINE_BYTES * len(shown)
            fresh, self._next_record = records[self._next_record :], len(records)
            found.append(Observation(job, shown, self._offset, fresh))
            self._more = len(shown) < len(new)
            if not (job.status.is_terminal and self._more and len(found) < 2):
                return found

    def judge(self, look: tuple[Any, ...], after_loss: Callable[[str | None, str | None], Loss]) -> FollowEnd | None:
        """Whether it is over."""
        job: JobDetails | None = look[0]
        dead, incarnation = look[3:]
        if job is None:
            loss = after_loss(self.settings.accepted_on, incarnation)
            return end_of("lost", self._job, "The cluster does not know the job", loss=loss)
        if job.status.is_terminal:
            return FollowEnd("ended", job, log_rest=self._offset if self._more else None)
        if dead:
            return end_of("lost", job, "The node of the driver is dead", loss="lost")
        return self._deadline()

    def _deadline(self) -> FollowEnd | None:
        until = self.settings.until
        return FollowEnd("deadline", self._job) if until is not None and self._clock.now() >= until else None

    def silence(self, error: Exception) -> FollowEnd | None:
        """Whether it was silent for too long."""
        now = self._clock.now()
        if self.silent_since is None:
            self.silent_since = now
        refused = isinstance(error, ConfigurationError)
        most = self.settings.unreachable_seconds
        if now - self.silent_since >= (min(30.0, most) if refused else most):
            return FollowEnd("refused" if refused else "unreachable", self._job, str(error))
        return self._deadline()


def end_of(outcome: str, job: JobDetails | None, message: str, *, loss: Loss) -> FollowEnd:
    """Give the end; what follows from a loss is told where the contract has a place for it."""
    end = FollowEnd(outcome, job, message)
    return replace(end, loss=loss) if hasattr(end, "loss") else end


# A tracker


@dataclass
class TrackerRun:
    """A run at a tracker's server."""

    submission_id: str
    status: str = "RUNNING"
    told: list[str] = field(default_factory=list)
    records: set[int] = field(default_factory=set)
    by: Group | None = None


class TrackerServer:
    """One tracker's server."""

    def __init__(self, world: World, name: str, kind: str) -> None:
        self.world = world
        self.name = name
        self.kind = kind
        self.runs: dict[str, TrackerRun] = {}
        self.down_until = 0.0

    def _call(self, kind: str, effect: Callable[[], Any]) -> Any:
        def answered() -> Any:
            if self.down_until > self.world.kernel.now:
                self.world.kernel.pause(self.world.kernel.thread, 10.0)
                raise UnavailableError(f"{self.name} does not answer")
            return effect()

        return self.world.kernel.call(kind, answered, remote=True)

    def probe(self) -> None:
        """See that it answers."""
        self._call("track.probe", lambda: None)

    def before_submit(self, attempt: AttemptInfo) -> Additions:
        """Make a run."""

        def effect() -> None:
            group = self.world.kernel.thread.group
            self.runs.setdefault(attempt.submission_id, TrackerRun(attempt.submission_id, by=group))

        self._call("track.begin", effect)
        return Additions(env_vars={"TRACKER_RUN": attempt.submission_id}, state={"run": attempt.submission_id})

    def on_records(self, attempt: AttemptInfo, state: Mapping[str, Any], records: Sequence[Mapping[str, Any]]) -> None:
        """Take records."""
        self._call("track.records", lambda: self.runs[state["run"]].records.update(r["seq"] for r in records))

    def on_end(self, attempt: AttemptInfo, state: Mapping[str, Any], outcome: Outcome) -> None:
        """End the run."""

        def effect() -> None:
            run = self.runs[state["run"]]
            run.status = outcome.status
            run.told.append(outcome.status)
            self.world.kernel.note(self.name, "is told that %s is %s", attempt.submission_id, outcome.status)

        self._call("track.end", effect)


@dataclass(frozen=True)
class SimTracker:
    """What an author writes of a tracker."""

    kind: ClassVar[str] = "tests.simulation.remote:SimTracker"
    template_fields: ClassVar[tuple[str, ...]] = ()
    conn_id: str = "tracker"
    required: bool = True

    def validate(self) -> None:
        """Always right."""

    def check(self, request: Any, workload: str, storage: str | None) -> tuple[str, ...]:
        """Suits all."""
        return ()

    def open(self, connections: Any) -> Any:
        """Give its server."""
        return connections.open(self.kind, self.conn_id)


@dataclass(frozen=True)
class SecondTracker(SimTracker):
    """Another one, beside the first."""

    kind: ClassVar[str] = "tests.simulation.remote:SecondTracker"
    conn_id: str = "tracker-2"
    required: bool = False


class SimConnections:
    """Connections of the simulated Airflow."""

    def __init__(self, world: World) -> None:
        self._world = world

    def open(self, kind: str, conn_id: str) -> Any:
        """Read one."""
        return self._world.kernel.call("connection", lambda: self._open(conn_id))

    def _open(self, conn_id: str) -> Any:
        if conn_id not in self._world.trackers:
            raise ConfigurationError(f"There is no connection {conn_id}")
        return self._world.trackers[conn_id]

"""What runs an attempt: a job as it is wanted, as it is sent, as it is seen; and what every kind of it must answer."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from airflow_provider_air.contracts.runs import Clock, DataRef
    from airflow_provider_air.ray_api.models import ClusterOverview, JobDetails, JobSubmission
    from airflow_provider_air.ray_api.packages import Package


@dataclass(frozen=True)
class EntrypointResources:
    """
    What Ray reserves for the entrypoint itself; without any of it the driver runs on the head node.

    :param memory: bytes
    """

    num_cpus: float | None = None
    num_gpus: float | None = None
    memory: int | None = None
    resources: Mapping[str, float] | None = None
    label_selector: Mapping[str, str] | None = None


@dataclass(frozen=True)
class JobRequest:
    """
    What a workload wants to run, before it has a name.

    :param entrypoint: the shell command, or the list of its words
    :param working_dir: a local folder, archive or file that is shipped, a URI that Ray loads, or None
    :param excludes: patterns of what is not shipped, as Ray reads them
    :param runtime_env: Ray's own runtime environment; local code in it is shipped, and files of packages are read
    :param local_roots: where relative paths of local code and files start: at the first of them that has it
    :param payload: files for one of our drivers; with it the job writes records
    :param folders: local folders that travel with a payload, by the name that each gets on ``sys.path``
    :param driver_env: environment that the provider adds, beside the author's ``env_vars``; anybody can read it
    :param context_env: environment that tells the job what it runs for; it belongs to the job alone, not to what it
        deploys, and the author's ``env_vars`` win over it
    :param secrets: environment that no job listing shows; see :mod:`airflow_provider_air.workloads.secrets`
    :param files: by environment variables that name where each lies, on each node, such as a CA bundle
    :param expects_result: whether a succeeded job must have reported a result
    :param code_uri: where a ``working_dir`` that is too large for Ray goes, as the cluster's nodes reach it; or None
    :param inputs: what it reads
    :param outputs: what it writes
    :param rollout: the applications to serve and how, for a ServeBackend that needs no job for it; JSON
    """

    entrypoint: str | PurePath | Sequence[str | float | PurePath]
    working_dir: str | PurePath | None = None
    excludes: Sequence[str] = ()
    runtime_env: Mapping[str, Any] = field(default_factory=dict)
    local_roots: tuple[Path, ...] = ()
    resources: EntrypointResources = EntrypointResources()
    metadata: Mapping[str, str] = field(default_factory=dict)
    payload: Mapping[str, bytes] | None = None
    folders: Mapping[str, Path] = field(default_factory=dict)
    driver_env: Mapping[str, str] = field(default_factory=dict)
    context_env: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    expects_result: bool = False
    code_uri: str | None = None
    inputs: tuple[DataRef, ...] = ()
    outputs: tuple[DataRef, ...] = ()
    rollout: Mapping[str, Any] | None = None

    def given(
        self,
        env_vars: Mapping[str, str] | None = None,
        secrets: Mapping[str, str] | None = None,
        payload: Mapping[str, bytes] | None = None,
        folders: Mapping[str, Path] | None = None,
        files: Mapping[str, bytes] | None = None,
    ) -> JobRequest:
        """Give the same with more of what the provider adds; a payload only joins one that is there."""
        return replace(
            self,
            driver_env={**self.driver_env, **(env_vars or {})},
            secrets={**self.secrets, **(secrets or {})},
            payload=self.payload if self.payload is None else {**self.payload, **(payload or {})},
            folders={**self.folders, **(folders or {})},
            files={**self.files, **(files or {})},
        )

    @property
    def environments(self) -> tuple[Mapping[str, Any], ...]:
        """Every runtime environment that it brings: its own, and those of the applications that it rolls out."""
        # Some roll-outs only name their applications.
        applications = [one for one in (self.rollout or {}).get("applications") or () if isinstance(one, Mapping)]
        deployments = [one for application in applications for one in application.get("deployments") or ()]
        options = [deployment.get("ray_actor_options") or {} for deployment in deployments]
        found = [self.runtime_env, *(one.get("runtime_env") or {} for one in (*applications, *options))]
        return tuple(environment for environment in found if environment)

    @property
    def has_records(self) -> bool:
        """Whether the job runs one of our drivers, which write records."""
        return self.payload is not None


@dataclass(frozen=True)
class PreparedJob:
    """
    A submission that is ready to be sent, once its packages are on the cluster.

    :param staged: packages that go to the request's ``code_uri`` instead
    :param rollout: as in the request
    :param context_names: the environment variables of the request's ``context_env`` that the job gets
    """

    submission: JobSubmission
    packages: tuple[Package, ...] = ()
    staged: tuple[Package, ...] = ()
    rollout: Mapping[str, Any] | None = None
    context_names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Accepted:
    """
    A submission that the remote side has taken, now or before.

    :param incarnation: of the cluster that took it; None where nobody can tell
    """

    incarnation: str | None = None


@dataclass(frozen=True)
class JobLook:
    """
    One look at a job.

    :param job: its details; None where the incarnation that answered says in its own words that it knows no such job
    :param incarnation: of the cluster that answered; None where nobody can tell
    """

    job: JobDetails | None
    incarnation: str | None = None


Loss = Literal["again", "next", "lost"]


@dataclass(frozen=True)
class FollowSettings:
    """
    What to follow and how long.

    :param until: epoch seconds at which following ends with ``deadline``
    :param accepted_on: the incarnation that took the job
    :param unreachable_seconds: how long a cluster may not answer before following ends with ``unreachable``
    :param log_offset: bytes of the log that were shown already
    :param log_limit_bytes: where showing ends with a pointer to the whole log; 0: nothing of it is shown
    :param has_records: whether the driver writes a records file
    :param lines_at_once: how many lines one observation may hold; where more are left at the job's end, they
        are left to whoever can take them (see :class:`FollowEnd`); None: all there are
    """

    submission_id: str
    until: float | None = None
    accepted_on: str | None = None
    unreachable_seconds: float = 600.0
    log_offset: int = 0
    log_limit_bytes: int = 64 * 1024 * 1024
    has_records: bool = False
    lines_at_once: int | None = None


def whole_log_of(submission_id: str) -> str:
    """Tell people where a job's log is that the task log does not show."""
    return f"the whole log is in the Ray dashboard or by: airflow air jobs logs {submission_id}"


@dataclass(frozen=True)
class Observation:
    """
    What is new since the last one.

    :param lines: complete log lines, and now and then the state of a progress bar that goes on
    :param log_offset: bytes of the log that who goes on need not see again: their text was in the lines so far, or was
        replaced by a later one
    :param records: new records, as the record schema has them
    :param tasks: how many Ray tasks are in which state, by function; None where that was not asked
    :param waiting_for: what a job waits for that has not begun (its environment, resources, its turn), as it reads on
        from "waiting for"; empty where it does not wait. Costs no request of its own at each look
    :param cluster: the cluster as it was seen last, the same one until it was seen again; None where nobody has looked.
        Costs no request of this job's own
    """

    job: JobDetails | None = None
    lines: list[str] = field(default_factory=list)
    log_offset: int = 0
    records: list[dict[str, Any]] = field(default_factory=list)
    tasks: Mapping[str, Mapping[str, int]] | None = None
    waiting_for: str = ""
    cluster: ClusterOverview | None = None


@dataclass(frozen=True)
class FollowEnd:
    """
    Why following is over.

    :param outcome: ``ended`` (the job is terminal), ``lost`` (the incarnation that took it does not know it any
        more, or its node is dead), ``deadline``, ``unreachable``, or ``refused`` (we are not let in, and stay so)
    :param message: why, or what a job that never began has waited for
    :param log_rest: from which byte on the log of an ended job was not observed; None: it was, to its end
    :param loss: what follows from ``lost``, see :meth:`JobBackend.after_loss`
    """

    outcome: str
    job: JobDetails | None = None
    message: str = ""
    log_rest: int | None = None
    loss: Loss = "lost"


class JobBackend(Protocol):
    """
    The jobs of one cluster. Calls block and may be repeated; ``follow`` and ``jobs_now`` never block.

    Used by workers, and by the triggerer: there what blocks runs in a thread.
    """

    def submit(self, job: PreparedJob) -> Accepted:
        """
        Bring the packages and the job to the cluster, once however often it is called with this id.

        :raises ConfigurationError: it was rejected, and would be again
        :raises UnavailableError: whether it was taken is not known
        """

    def look(self, submission_id: str) -> JobLook:
        """
        Ask for a job, once.

        :raises ConfigurationError: we are not let in
        :raises UnavailableError: the cluster does not answer, or somebody in front of it answers for it
        """

    def after_loss(self, accepted_on: str | None, seen_on: str | None) -> Loss:
        """
        Judge a job that the answering cluster does not know; asks nobody.

        :param accepted_on: the incarnation that took it; None where it is not known to have been taken
        :param seen_on: the incarnation that answered
        :return: ``again``: submit the same id, nothing of it can have run; ``next``: begin the next attempt in this
            try; ``lost``: this try has lost it
        """

    def stop(self, submission_id: str) -> None:
        """Ask that it stops, and return; an unknown or ended job is fine. Raises as :meth:`look`."""

    def prepare_stop(self, submission_id: str) -> Callable[[], None]:
        """
        Resolve all that a stop needs, and give it: one request of at most 3 s, for a signal handler.

        :raises AirError: it cannot be resolved now
        """

    def alive(self) -> Sequence[JobDetails]:
        """Give all jobs that have not ended, others' too; odd ones are left out. Raises as :meth:`look`."""

    async def jobs_now(self) -> Sequence[JobDetails]:
        """Give all jobs that it remembers, ended ones too, from a list that all who ask in this process share."""

    def all(self) -> Sequence[JobDetails]:
        """Give all jobs that the cluster remembers, others' too; odd ones are left out. Raises as :meth:`look`."""

    def delete(self, submission_id: str) -> bool:
        """
        Have the cluster forget an ended job; tells whether it knew it. Raises as :meth:`look`.

        :raises RemoteFailureError: it has not ended
        """

    def records(self, job: JobDetails) -> list[dict[str, Any]]:
        """
        Read all records of an ended job; incomplete ones as far as they go.

        :raises ResultLostError: the file holds something else than records
        :raises UnavailableError: nobody serves them now
        """

    def follow(self, settings: FollowSettings, clock: Clock) -> AsyncGenerator[Observation | FollowEnd]:
        """
        Yield what is new, then one :class:`FollowEnd`; in the triggerer, or in the worker's own event loop.

        Where nobody answers, now and then an observation without a job, so that its owner can ask what has become of
        the cluster.
        """

    def pages(self, submission_id: str | None = None) -> Mapping[str, str]:
        """
        Give the pages that people open, by the names of their links: ``ray_dashboard_url``, ``ray_job_url``.

        :raises AirError: there is no address now
        """

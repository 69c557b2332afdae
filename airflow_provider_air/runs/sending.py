"""Prepares what an attempt sends, and sends it: checked before anything remote, known by one id however often sent."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from functools import cached_property, partial
from typing import TYPE_CHECKING

from airflow_provider_air.attachments.checks import check_attachments, taken_by
from airflow_provider_air.drivers.wire import names as driver_names
from airflow_provider_air.errors import AirError, ConfigurationError, UnavailableError
from airflow_provider_air.runs.about import ABOUT_KEY, NAMES, about_of
from airflow_provider_air.runs.attached import Attached
from airflow_provider_air.runs.left_files import CODE_FOLDER
from airflow_provider_air.runs.marks import Mark
from airflow_provider_air.runs.names import metadata_of
from airflow_provider_air.workloads.job import prepare
from airflow_provider_air.workloads.local_code import Packing

if TYPE_CHECKING:
    from airflow_provider_air.contracts.attachments import AttachmentSpec
    from airflow_provider_air.contracts.clusters import ClusterRef, ClusterSpec
    from airflow_provider_air.contracts.jobs import Accepted, JobRequest, PreparedJob
    from airflow_provider_air.contracts.storage import JobAccess, Storage, StorageSpec
    from airflow_provider_air.ray_api.packages import Package
    from airflow_provider_air.runs.attempts import Attempts
    from airflow_provider_air.runs.ledger import Attempt
    from airflow_provider_air.runs.plan import BuildInfo, Plan
    from airflow_provider_air.runs.ports import Ports

SUBMIT_SECONDS = 90.0
# What was fetched for the check is sent, unless something was waited for in between: credentials age.
FRESH_SECONDS = 60.0


class Sending:
    """What one try sends; built once per process."""

    def __init__(self, plan: Plan, attempts: Attempts, ports: Ports) -> None:
        self._plan = plan
        self._attempts = attempts
        self._ports = ports
        self._request: JobRequest | None = None
        self._packing = Packing()
        self._fetched: tuple[float, tuple[JobAccess, ...]] | None = None

    @cached_property
    def _storage_spec(self) -> StorageSpec | None:
        return self._plan.storage()

    @property
    def storage_uri(self) -> str | None:
        """Where the task's storage is, as the cluster reaches it; asks nobody."""
        return None if self._storage_spec is None else self._storage_spec.uri()

    @cached_property
    def specs(self) -> tuple[AttachmentSpec, ...]:
        """
        The task's attachments; asks nobody.

        :raises ConfigurationError: one is wrong by itself
        """
        return tuple(self._plan.attachments())

    def check(self, info: BuildInfo, target: ClusterSpec | ClusterRef) -> JobRequest:
        """
        Build the request and check all that can be checked before anything remote is started.

        :param target: the cluster that it is for
        :raises ConfigurationError: a field is wrong; the message names it
        :raises UnavailableError: what the job will need does not answer
        """
        request = self.build(info)
        self._plan.check(request)
        check_attachments(self.specs, request, self._plan.workload, self.storage_uri)
        self._plan.check_sent(prepare(request, "air-check", metadata={}, not_after=None, packing=self._packing))
        if not self._plan.wait:
            _check_unwatched(request, info, self.specs)
        self._ports.clusters(target.backend).check(target, request)
        if self._storage is not None:
            self._attempts.patiently(self._storage.probe)
        self._attempts.patiently(self._accesses)
        attached = Attached(Attached.entries_of(self.specs), self._ports.connections, self._ports.log)
        attached.probe(self._attempts.patiently)
        return request

    def build(self, info: BuildInfo) -> JobRequest:
        """
        Say what to run; asks nobody.

        :raises ConfigurationError: a field is wrong; the message names it
        """
        if self._request is None:
            request = self._plan.build(info)
            root = self.storage_uri
            if root is not None:
                code_uri = f"{root.rstrip('/')}/{CODE_FOLDER}" if self._is_reached else None
                request = replace(request.given({driver_names.STORAGE: root}), code_uri=code_uri)
            self._request = request
        return self._request

    def _accesses(self) -> tuple[JobAccess, ...]:
        """Give what the job gets at the last moment, short-lived credentials among it; storages and connections do."""
        now = self._ports.clock.now()
        if self._fetched is None or now > self._fetched[0] + FRESH_SECONDS:
            seconds = self._plan.timeout_seconds
            lifetime = None if seconds is None else timedelta(seconds=seconds)
            stored = () if self._storage is None else (self._storage.access(lifetime=lifetime),)
            self._fetched = (now, (*stored, self._plan.environment()))
        return self._fetched[1]

    @cached_property
    def _storage(self) -> Storage | None:
        spec = self._storage_spec
        return spec.open(self._ports.connections) if spec is not None and self._is_reached else None

    @property
    def _is_reached(self) -> bool:
        """Whether the worker reaches the storage, too."""
        return self._storage_spec is not None and self._storage_spec.worker_can_open

    def refuse_strangers(self, attempt: Attempt) -> None:
        """
        See that nobody else has a job of an id that the author has chosen, before one is sent or stopped by it.

        :raises ConfigurationError: somebody has
        :raises UnavailableError: the cluster does not answer
        """
        look = self._attempts.patiently(lambda: self._attempts.jobs(attempt).look(attempt.submission_id))
        if look.job is not None and attempt.is_strangers(look.job.metadata):
            raise ConfigurationError(
                "The cluster has a job of this id already, and it is not this task's",
                where=attempt.submission_id,
                hint="Give 'submission_id' what tells the runs apart, such as {{ run_id | replace(':', '') }} "
                "and, for a mapped task, {{ ti.map_index }}",
            )

    def send(self, attempt: Attempt, info: BuildInfo) -> tuple[Attempt, dict[str, str]]:
        """
        Bring an attempt's job to its cluster.

        :return: the attempt as it is written down now, and the pages to link to
        :raises ConfigurationError: it was rejected, and would be again
        :raises UnavailableError: no certainty within :data:`SUBMIT_SECONDS`; the next try goes on from here
        """
        request = self.build(info)
        joins = bool(taken_by(self.specs, request, self._plan.workload, self.storage_uri))
        told = replace(attempt.info, parameters=self._plan.parameters(), inputs=request.inputs, outputs=request.outputs)
        attached = Attached(attempt.attachments, self._ports.connections, self._ports.log)
        request, entries, links = attached.before_submit(told, request, self._attempts.patiently)
        # Written down at once: what was prepared elsewhere must be told of the end, whatever becomes of the rest.
        attempt = self._attempts.put(attempt, attachments=entries)
        self._tell_about(attempt, request, links)
        prepared = self._prepare(request, attempt)
        self._plan.check_sent(prepared)
        self._mark(attempt, prepared.staged, joins=joins, has_result=request.expects_result)
        self._stage(prepared.staged)
        if attempt.try_number > 1 or len(self._attempts.ledger.attempts) > 1:
            self._attempts.stop_strays(attempt)
        attempt = self._attempts.put(
            attempt,
            has_records=request.has_records,
            expects_result=request.expects_result,
            steps=self._attempts.at(attempt, "sent"),
        )
        accepted = self._submit(attempt, prepared)
        attempt = self._attempts.put(
            attempt,
            phase="submitted",
            accepted_on=accepted.incarnation,
            steps=self._attempts.at(attempt, "submitted"),
        )
        return attempt, links

    def _tell_about(self, attempt: Attempt, request: JobRequest, links: dict[str, str]) -> None:
        with self._ports.contained("What the job reads and writes is not kept"):
            about = about_of(attempt, request, links)
            # Of most plain jobs nothing is known.
            if len(about) > NAMES:
                self._ports.store.set(ABOUT_KEY, about)

    def _prepare(self, request: JobRequest, attempt: Attempt) -> PreparedJob:
        request = replace(request, context_env=self._plan.context_env())
        for access in self._attempts.patiently(self._accesses):
            request = request.given(access.env_vars, access.secrets, files=access.files)
        metadata = metadata_of(
            self._attempts.key,
            generation=attempt.generation,
            attempt=attempt.number,
            try_number=attempt.try_number,
            nonce=self._attempts.ledger.nonce,
            waits=attempt.waits,
        )
        # Where nobody waits, the task's time bounds the submission alone.
        not_after = attempt.deadline if attempt.waits else None
        # What was packed for the check is sent, and is not kept while the job runs.
        packing, self._packing = self._packing, Packing()
        return prepare(request, attempt.submission_id, metadata=metadata, not_after=not_after, packing=packing)

    def _mark(self, attempt: Attempt, staged: Sequence[Package], *, joins: bool, has_result: bool) -> None:
        """Write down whose the files will be that this attempt leaves in the storage, before there are any."""
        storage, key = self._storage, self._attempts.key
        if storage is None:
            return
        marks = [Mark("code", package.name, key) for package in staged]
        marks += [Mark("rows", attempt.info.run_name, key)] if joins else []
        marks += [Mark("result", attempt.submission_id, key)] if has_result else []
        for mark in marks:
            self._attempts.patiently(partial(mark.write, storage))

    def _stage(self, packages: Sequence[Package]) -> None:
        """Write code that is too large for Ray into the storage, from which Ray itself loads it."""
        storage = self._storage
        for package in packages:
            path = f"{CODE_FOLDER}/{package.name}"
            if storage is not None and self._attempts.patiently(partial(storage.stat, path)) is None:
                self._ports.log.info("Writing %d MiB of code to %s", len(package.data) >> 20, storage.uri(path))
                self._attempts.patiently(partial(storage.put, path, package.data))

    def _submit(self, attempt: Attempt, prepared: PreparedJob) -> Accepted:
        jobs, log = self._attempts.jobs(attempt), self._ports.log

        def submit() -> Accepted:
            try:
                return jobs.submit(prepared)
            except UnavailableError as error:
                log.warning("Submitting %s: %s", attempt.submission_id, error)
                raise

        accepted = self._attempts.patiently(submit, SUBMIT_SECONDS)
        log.info("Submitted Ray job %s", attempt.submission_id)
        return accepted


def _check_unwatched(request: JobRequest, info: BuildInfo, specs: Sequence[AttachmentSpec]) -> None:
    """:raises ConfigurationError: what is wanted needs somebody who waits for the job's end."""
    hint = "Wait for the job (wait=True), or "
    if info.is_owned:
        raise ConfigurationError(
            "With wait=False the job outlives the task, and the cluster would go with the task",
            hint=f"{hint}use one that stays: a spec with a name, a RayClusterTaskGroup's, or a ray connection's",
        )
    if specs:
        raise ConfigurationError(
            "With wait=False nobody would tell a tracker or feature store of the job's end",
            hint=f"{hint}leave 'tracker' out and let the job itself log there",
        )
    if request.expects_result:
        raise ConfigurationError(
            "With wait=False nobody would read the result that the job reports",
            hint=f"{hint}leave 'records' out",
        )


def write_links(ports: Ports, links: dict[str, str]) -> None:
    """Store the pages that people open; they are a convenience."""
    for name, url in links.items():
        with ports.contained(f"The link {name} could not be stored"):
            ports.board.write(name, url)


def write_job_links(ports: Ports, attempts: Attempts, attempt: Attempt) -> None:
    """Store the id of an attempt's job and its pages; none where there is no address now."""
    links = {"submission_id": attempt.submission_id}
    with suppress(AirError):
        links |= attempts.jobs(attempt).pages(attempt.submission_id)
    write_links(ports, links)

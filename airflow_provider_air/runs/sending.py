"""Prepares what an attempt sends, and sends it: checked before anything remote, known by one id however often sent."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from airflow_provider_air.attachments.checks import check_attachments
from airflow_provider_air.contracts.attachments import AttachmentSpec
from airflow_provider_air.contracts.clusters import ClusterRef, ClusterSpec
from airflow_provider_air.contracts.jobs import Accepted, JobRequest, PreparedJob
from airflow_provider_air.contracts.storage import Storage, StorageSpec
from airflow_provider_air.drivers.wire import names as driver_names
from airflow_provider_air.errors import AirError, UnavailableError
from airflow_provider_air.ray_api.packages import Package
from airflow_provider_air.runs.attached import Attached
from airflow_provider_air.runs.attempts import Attempts, Ports
from airflow_provider_air.runs.ledger import Attempt
from airflow_provider_air.runs.names import metadata_of
from airflow_provider_air.runs.plan import BuildInfo, Plan
from airflow_provider_air.waiting import backoff_seconds
from airflow_provider_air.workloads.job import prepare

SUBMIT_SECONDS = 90.0
# Below a storage's root.
CODE_FOLDER = "code"


class Sending:
    """What one try sends; built once per process."""

    def __init__(self, plan: Plan, attempts: Attempts, ports: Ports) -> None:
        self._plan = plan
        self._attempts = attempts
        self._ports = ports
        self._request: JobRequest | None = None

    @functools.cached_property
    def _storage_spec(self) -> StorageSpec | None:
        return self._plan.storage()

    @property
    def storage_uri(self) -> str | None:
        """Where the task's storage is, as the cluster reaches it; asks nobody."""
        return None if self._storage_spec is None else self._storage_spec.uri()

    @functools.cached_property
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
        self._plan.check_sent(prepare(request, "air-check", metadata={}, not_after=None))
        self._ports.clusters(target.backend).check(target, request)
        storage = self._open_storage()
        if storage is not None:
            storage.probe()
            storage.access(lifetime=self._lifetime)
        self._plan.environment()
        Attached(Attached.entries_of(self.specs), self._ports.connections, self._ports.log).probe()
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

    @property
    def _lifetime(self) -> timedelta | None:
        seconds = self._plan.timeout_seconds
        return None if seconds is None else timedelta(seconds=seconds)

    def _open_storage(self) -> Storage | None:
        spec = self._storage_spec
        return spec.open(self._ports.connections) if spec is not None and self._is_reached else None

    @property
    def _is_reached(self) -> bool:
        """Whether the worker reaches the storage, too."""
        return self._storage_spec is not None and self._storage_spec.worker_can_open

    def send(self, attempt: Attempt, info: BuildInfo) -> tuple[Attempt, dict[str, str]]:
        """
        Bring an attempt's job to its cluster.

        :return: the attempt as it is written down now, and the pages to link to
        :raises ConfigurationError: it was rejected, and would be again
        :raises UnavailableError: no certainty within :data:`SUBMIT_SECONDS`; the next try goes on from here
        """
        request = self.build(info)
        told = replace(attempt.info, parameters=self._plan.parameters(), inputs=request.inputs, outputs=request.outputs)
        attached = Attached(attempt.attachments, self._ports.connections, self._ports.log)
        request, entries, links = attached.before_submit(told, request)
        # Written down at once: what was prepared elsewhere must be told of the end, whatever becomes of the rest.
        attempt = self._attempts.put(attempt, attachments=entries)
        prepared = self._prepare(request, attempt)
        self._plan.check_sent(prepared)
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

    def _prepare(self, request: JobRequest, attempt: Attempt) -> PreparedJob:
        storage = self._open_storage()
        for access in (storage.access(lifetime=self._lifetime) if storage else None, self._plan.environment()):
            if access is not None:
                request = request.given(access.env_vars, access.secrets)
        metadata = metadata_of(
            self._attempts.key,
            generation=attempt.generation,
            attempt=attempt.number,
            try_number=attempt.try_number,
        )
        return prepare(request, attempt.submission_id, metadata=metadata, not_after=attempt.deadline)

    def _stage(self, packages: Sequence[Package]) -> None:
        """Write code that is too large for Ray into the storage, from which Ray itself loads it."""
        storage = self._open_storage() if packages else None
        for package in packages:
            path = f"{CODE_FOLDER}/{package.name}"
            if storage is not None and storage.stat(path) is None:
                self._ports.log.info("Writing %d MiB of code to %s", len(package.data) >> 20, storage.uri(path))
                storage.put(path, package.data)

    def _submit(self, attempt: Attempt, prepared: PreparedJob) -> Accepted:
        jobs, clock, log = self._attempts.jobs(attempt), self._ports.clock, self._ports.log
        end = clock.now() + SUBMIT_SECONDS
        for pause in backoff_seconds(0.5, 5.0):
            try:
                accepted = jobs.submit(prepared)
            except UnavailableError as error:
                log.warning("Submitting %s: %s", attempt.submission_id, error)
                if clock.now() + pause > end:
                    raise
            else:
                log.info("Submitted Ray job %s", attempt.submission_id)
                return accepted
            clock.sleep(pause)
        raise AssertionError("unreachable")


def write_links(ports: Ports, links: dict[str, str]) -> None:
    """Store the pages that people open; they are a convenience."""
    for name, url in links.items():
        with ports.contained(f"The link {name} could not be stored"):
            ports.board.write(name, url)


def links_of(attempts: Attempts, attempt: Attempt) -> dict[str, str]:
    """Give the pages of an attempt's job; none where there is no address now."""
    try:
        return dict(attempts.jobs(attempt).pages(attempt.submission_id))
    except AirError:
        return {}

"""Lists the jobs of a cluster, tells of one, and deletes what is remembered of one; whoever submitted them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_provider_air.connections.ports import backend_of, found_target_of, read_fields
from airflow_provider_air.connections.raising import airflow_errors
from airflow_provider_air.errors import ConfigurationError, JobLostError
from airflow_provider_air.waiting import patiently
from airflow_provider_air.workloads import fields

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_air.contracts.jobs import JobBackend
    from airflow_provider_air.ray_api.models import JobDetails, JobStatus


class JobsOperator(BaseOperator):
    """
    Base of the operators that ask a cluster about its jobs, on a worker. They find the cluster and start none.

    :param cluster: the cluster's spec or XCom, where ``ray_conn_id`` does not name it
    :param ray_conn_id: the ``ray`` connection
    """

    template_fields: Sequence[str] = ("cluster", "ray_conn_id")

    def __init__(self, *, cluster: Any = None, ray_conn_id: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.cluster = cluster
        self.ray_conn_id = ray_conn_id

    def jobs(self, context: Context) -> JobBackend:
        """
        Give the cluster's jobs; asks nobody.

        :raises ConfigurationError: the cluster or its connection is wrong
        """
        ref = found_target_of(self, context)
        return backend_of(ref.backend).jobs(ref)


class RayListJobsOperator(JobsOperator):
    """
    List the jobs that a cluster remembers, the latest first.

    The XCom is a list of ``{"submission_id", "status", "entrypoint", "metadata", "start_time", "end_time"}``; times are
    ISO 8601 in UTC, or None. Ray remembers every job since its head started, and has neither paging nor filters.

    :param status: one of Ray's states, or several: PENDING, RUNNING, STOPPED, SUCCEEDED, FAILED; by default all
    :param metadata: what a job's metadata must hold, such as ``{"team": "delays"}``
    :param limit: how many at most
    """

    template_fields: Sequence[str] = (*JobsOperator.template_fields, "status", "metadata", "limit")

    def __init__(
        self,
        *,
        status: str | Sequence[str] = (),
        metadata: Mapping[str, str] | None = None,
        limit: int = 1000,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.status = status
        self.metadata = metadata
        self.limit = limit

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """
        List them.

        :raises AirflowFailException: a field, the cluster or its connection is wrong; not retried
        :raises UnavailableError: the cluster does not answer
        """
        with airflow_errors():
            read_fields(self)
            fields.mapping(self.metadata, "metadata")
            fields.number(self.limit, "limit", minimum=1, integer=True)
            wanted = self._statuses()
            jobs = self.jobs(context)
            found = [job for job in patiently(jobs.all) if self._is_wanted(job, wanted)]
            found.sort(key=lambda job: job.start_time_ms or 0, reverse=True)
            if len(found) > self.limit:
                self.log.warning("%d jobs fit, the latest %d are given", len(found), self.limit)
            return [summary_of(job) for job in found[: self.limit]]

    def _statuses(self) -> set[JobStatus]:
        from airflow_provider_air.ray_api.models import JobStatus

        names = [self.status] if isinstance(self.status, str) else list(self.status)
        known = [status.value for status in JobStatus if status is not JobStatus.UNKNOWN]
        if unknown := [name for name in names if name not in known]:
            raise ConfigurationError(f"'status' must be of {', '.join(known)}, not {unknown[0]!r}")
        return {JobStatus(name) for name in names}

    def _is_wanted(self, job: JobDetails, statuses: set[JobStatus]) -> bool:
        held = all(job.metadata.get(key) == value for key, value in (self.metadata or {}).items())
        return held and (not statuses or job.status in statuses)


class RayGetJobOperator(JobsOperator):
    """
    Tell what a cluster knows of a job.

    The XCom is as in :class:`RayListJobsOperator`, with ``message`` (Ray's words; of a failed job its last log lines),
    ``error_type`` and ``exit_code``.

    :param submission_id: the job
    :param missing_ok: whether an unknown job is None instead of an error
    """

    template_fields: Sequence[str] = (*JobsOperator.template_fields, "submission_id", "missing_ok")

    def __init__(self, *, submission_id: str, missing_ok: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.submission_id = submission_id
        self.missing_ok = missing_ok

    def execute(self, context: Context) -> dict[str, Any] | None:
        """
        Ask for it.

        :raises AirflowFailException: a field, the cluster or its connection is wrong; not retried
        :raises JobLostError: the cluster does not know it
        :raises UnavailableError: the cluster does not answer
        """
        with airflow_errors():
            read_fields(self)
            fields.submission_id(self.submission_id)
            jobs = self.jobs(context)
            job = patiently(lambda: jobs.look(self.submission_id)).job
            if job is not None:
                shown = job.to_json()
                return {**summary_of(job), **{key: shown[key] for key in ("message", "error_type", "exit_code")}}
            if not self.missing_ok:
                raise JobLostError("The cluster does not know the job", where=self.submission_id)
            self.log.info("The cluster does not know the job %s", self.submission_id)
            return None


class RayDeleteJobOperator(JobsOperator):
    """
    Have a cluster forget an ended job, of which each costs its head some memory; an unknown one is fine.

    The job's log files stay. A task that has not collected the job's result yet takes it for lost then.

    :param submission_id: the job
    """

    template_fields: Sequence[str] = (*JobsOperator.template_fields, "submission_id")

    def __init__(self, *, submission_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.submission_id = submission_id

    def execute(self, context: Context) -> bool:
        """
        Delete its record; returns whether there was one.

        :raises AirflowFailException: a field, the cluster or its connection is wrong; not retried
        :raises RemoteFailureError: the job has not ended
        :raises UnavailableError: the cluster does not answer
        """
        with airflow_errors():
            read_fields(self)
            fields.submission_id(self.submission_id)
            jobs = self.jobs(context)
            was_known = patiently(lambda: jobs.delete(self.submission_id))
            self.log.info("Job %s is %s", self.submission_id, "forgotten" if was_known else "unknown to the cluster")
            return was_known


def summary_of(job: JobDetails) -> dict[str, Any]:
    """Give a job's row, as plain JSON."""
    return {
        "submission_id": job.submission_id,
        "status": job.status.value,
        "entrypoint": job.entrypoint,
        "metadata": dict(job.metadata),
        "start_time": _moment(job.start_time_ms),
        "end_time": _moment(job.end_time_ms),
    }


def _moment(epoch_ms: int | None) -> str | None:
    return None if not epoch_ms else datetime.fromtimestamp(epoch_ms / 1000, UTC).isoformat()

"""
What an ended job has left: its result, made safe before its cluster goes, or an error that says who is to blame.

Its records are read by the schema that is defined once, in the drivers' ``wire`` folder; its history and the rest of
its log come home, too.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from typing import Any

from airflow_provider_air.contracts.attachments import Outcome
from airflow_provider_air.contracts.clusters import ClusterRef, ClusterState, ClusterStatus
from airflow_provider_air.contracts.history import MOST_BYTES
from airflow_provider_air.contracts.jobs import FollowEnd, FollowSettings
from airflow_provider_air.contracts.runs import Done
from airflow_provider_air.drivers.wire.names import EXIT_CONFIGURATION, EXIT_NOT_AFTER
from airflow_provider_air.drivers.wire.texts import unstyled
from airflow_provider_air.errors import (
    AirError,
    ClusterFailedError,
    ClusterUnreachableError,
    ConfigurationError,
    DeadlineExceededError,
    JobFailedError,
    JobInfrastructureError,
    JobLostError,
    JobStoppedError,
    ProtocolError,
    ResultLostError,
)
from airflow_provider_air.ray_api.lines import lines_of
from airflow_provider_air.ray_api.models import JobDetails, JobStatus
from airflow_provider_air.runs.attempts import Attempts, Ports, refused_now
from airflow_provider_air.runs.history import HISTORY_KEY, RunHistory
from airflow_provider_air.runs.ledger import Attempt, keep, kept
from airflow_provider_air.runs.plan import Collected, Plan
from airflow_provider_air.runs.watch import log_entries

RESULT_KEY = "air_result"
REST_OF_LOG_SECONDS = 45.0
# Of what an installer says.
LAST_LINES = 10
RERUN_HINT = "A retry runs the job again, or resumes it where the workload can"
# Ray 2.60 job error types where the user's command itself ended badly; all others are Ray's trouble.
USER_ERRORS = ("JOB_ENTRYPOINT_COMMAND_ERROR", "JOB_ENTRYPOINT_COMMAND_START_ERROR", None)
# How S3 tells, also where it may not say why (what answers a HEAD has no body); and how Google does.
EXPIRED = re.compile(
    r"expired.?token|request.?expired|HTTP status 400\) during HeadObject operation: No response body"
    r"|google::cloud::Status\(UNAUTHENTICATED",
    re.IGNORECASE,
)
# Source: ray/_private/runtime_env/utils.py
INSTALLER_OUTPUT = re.compile(r"^Last \d+ lines of stdout:\n((?: {4}.*(?:\n|$)|\n)+)", re.MULTILINE)
EXPIRED_HINT = (
    "The job's credentials seem to have expired: a retry gets new ones and resumes. Where jobs run longer, raise the "
    "role's DurationSeconds (AWS), or use credentials='ambient'"
)
MISSING = re.compile(r"ModuleNotFoundError: No module named '([\w.]+)'")
MISSING_HINT = (
    "{0} is not where the job runs: add the package to runtime_env={{'pip': ['{1}']}}, or, where it is your own, its "
    "folder to the job's working_dir"
)


class Collecting:
    """What one try collects; runs in the worker."""

    def __init__(self, plan: Plan, attempts: Attempts, ports: Ports) -> None:
        self._plan = plan
        self._attempts = attempts
        self._ports = ports

    def finish(self, attempt: Attempt, job: JobDetails) -> Done:
        """
        End an attempt whose job has ended, and give its result.

        :raises AirError: the job failed, or its result cannot be had
        """
        attempts, name = self._attempts, attempt.submission_id
        if job.status is not JobStatus.SUCCEEDED:
            raise self.fail(attempt, job)
        try:
            records = self._records(attempt, job)
            value = encoded_result_of(records, where=name) if attempt.expects_result else name
            result = self._read(attempt, value)
        except ResultLostError as error:
            attempts.end(attempt, "RESULT_LOST", Outcome("LOST", str(error)))
            raise
        self._keep_history(attempt, records)
        attempt = attempts.put(attempt, result_kept=self._keep_result(attempt, value))
        attempts.end(attempt, "SUCCEEDED", Outcome("SUCCEEDED", result=result), records)
        return Done(result)

    def _read(self, attempt: Attempt, value: Any) -> Any:
        ref = attempt.cluster_ref
        try:
            return self._plan.read_result(value, Collected(ref, self._attempts.backend(ref)))
        except Exception as error:
            if isinstance(error, AirError) and not isinstance(error, ProtocolError):
                raise
            # Whatever is wrong with it will be wrong each time: only another run makes another result.
            raise ResultLostError(
                f"The job's result cannot be read: {error}", where=attempt.submission_id, hint=RERUN_HINT
            ) from error

    def _keep_result(self, attempt: Attempt, value: Any) -> bool:
        """Make the result safe before its cluster may go; one that is too large for that stays where it is."""
        told = {"submission_id": attempt.submission_id, "value": value}
        if not attempt.expects_result or len(json.dumps(told)) > MOST_BYTES:
            return False
        keep(self._ports.store, RESULT_KEY, told)
        return True

    def collect_again(self, attempt: Attempt) -> Done | None:
        """Give a success once more, of which Airflow has not heard; None where it cannot be read any more."""
        try:
            if not attempt.expects_result:
                return Done(self._read(attempt, attempt.submission_id))
            told = kept(self._ports.store, RESULT_KEY) if attempt.result_kept else None
            if isinstance(told, Mapping) and told.get("submission_id") == attempt.submission_id:
                return Done(self._read(attempt, told["value"]))
            look = self._attempts.look(attempt)
            if look is not None and look.job is not None:
                records = self._records(attempt, look.job)
                return Done(self._read(attempt, encoded_result_of(records, where=attempt.submission_id)))
        except ResultLostError as error:
            self._ports.log.warning("%s", error)
        self._ports.log.warning("Job %s succeeded, but its result is gone: running it again", attempt.submission_id)
        self._attempts.put(attempt, phase="RESULT_LOST")
        return None

    def _records(self, attempt: Attempt, job: JobDetails) -> list[dict[str, Any]]:
        if not attempt.has_records:
            return []
        jobs = self._attempts.jobs(attempt)
        return self._attempts.patiently(lambda: jobs.records(job))

    def fail(self, attempt: Attempt, job: JobDetails) -> AirError:
        """End an attempt whose job has failed, and give the error, by its records where they can be read."""
        records: list[dict[str, Any]] = []
        try:
            records = self._records(attempt, job)
        except AirError as error:
            self._ports.log.warning("The records of job %s cannot be read: %s", job.submission_id, error)
        failure = self._plan.read_failure(failure_of_end("ended", job.submission_id, job, "", records))
        self._keep_history(attempt, records)
        self._attempts.end(attempt, job.status.value, Outcome(job.status.value, str(failure)), records)
        return failure

    def _keep_history(self, attempt: Attempt, records: list[dict[str, Any]]) -> None:
        """Keep for good what people want to see of an attempt; a convenience."""
        with self._ports.contained("The attempt's history is not kept"):
            history = RunHistory()
            for name, at in {**attempt.steps, "ended": self._ports.clock.now()}.items():
                history.note_step(name, at)
            history.note_records(records)
            keep(self._ports.store, HISTORY_KEY, {"submission_id": attempt.submission_id, **history.to_json()})

    def show_rest_of_log(self, attempt: Attempt, offset: Any) -> None:
        """Show what the triggerer left of an ended job's log, which a worker shows far faster; a convenience."""
        if not isinstance(offset, int):
            return
        settings = FollowSettings(
            attempt.submission_id,
            accepted_on=attempt.accepted_on,
            unreachable_seconds=REST_OF_LOG_SECONDS,
            log_offset=offset,
            log_limit_bytes=attempt.log_limit_bytes,
        )
        with self._ports.contained(f"The rest of the log of {attempt.submission_id} cannot be shown"):
            self._ports.clock.run(self._show_log(attempt, settings))

    async def _show_log(self, attempt: Attempt, settings: FollowSettings) -> None:
        async with aclosing(self._attempts.jobs(attempt).follow(settings, self._ports.clock)) as seen_of_it:
            async for seen in seen_of_it:
                if isinstance(seen, FollowEnd):
                    return
                for entry in log_entries(seen.lines):
                    self._ports.log.info("%s", entry)

    @contextmanager
    def as_it_is_now(self) -> Iterator[None]:
        """A mistake is known before the work begins; what cannot be asked of a job that was taken may be, later on."""
        try:
            yield
        except ConfigurationError as error:
            current = self._attempts.ledger.current
            if current is not None and current.phase == "submitted":
                raise refused_now(current.submission_id, "unknown", str(error)) from error
            raise

    def kept_success(self, attempt: Attempt) -> Done | None:
        """Make the result of a job that has succeeded meanwhile safe before its cluster goes; None where it has not."""
        if not attempt.is_open:
            return None
        with self._ports.contained(f"Job {attempt.submission_id} could not be asked"):
            look = self._attempts.look(attempt)
            if look is not None and look.job is not None and look.job.status is JobStatus.SUCCEEDED:
                return self.finish(attempt, look.job)
        return None


def find_end(records: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """Give the closing record, or None where the driver did not get that far."""
    return records[-1] if records and records[-1]["kind"] == "end" else None


def encoded_result_of(records: Sequence[dict[str, Any]], *, where: str) -> Any:
    """
    Give the value that a succeeded driver reported, as it travelled: plain JSON.

    :param where: the submission id, for the error
    :raises ResultLostError: the closing record or the result is missing or says something else
    """
    end = find_end(records)
    if end is None:
        raise ResultLostError("The job succeeded but its records end before the end", where=where, hint=RERUN_HINT)
    if end.get("status") != "succeeded":
        raise ResultLostError("The job succeeded but its records say that it failed", where=where, hint=RERUN_HINT)
    results = [record for record in records if record["kind"] == "result"]
    if not results or "value" not in results[-1]:
        raise ResultLostError("The job succeeded but reported no result", where=where, hint=RERUN_HINT)
    return results[-1]["value"]


def failure_of_end(
    outcome: Any,
    submission_id: str,
    job: JobDetails | None,
    message: str,
    records: Sequence[dict[str, Any]] = (),
) -> AirError:
    """
    Give the error for an end that is no success; the caller raises it.

    :param outcome: what the watch's event says
    """
    state = "unknown" if job is None else job.status.value
    if outcome == "ended" and job is not None:
        return _failure_of_job(job, records)
    if outcome == "lost":
        return JobLostError(message or "The job is gone", where=submission_id, hint="A retry starts a new job")
    if outcome == "deadline":
        return DeadlineExceededError(
            f"The task's execution_timeout passed and the job was stopped; last state: {state}"
            + (f", waiting for {message}" if message else ""),
            where=submission_id,
            hint="Raise execution_timeout, or give the job more resources",
        )
    if outcome == "unreachable":
        return ClusterUnreachableError(
            f"The cluster stopped answering; last state of the job: {state}. {message}",
            where=submission_id,
            hint="The job may go on: a retry adopts it",
        )
    if outcome == "refused":
        return refused_now(submission_id, state, message)
    return ProtocolError(f"The watch's event has the unknown outcome {outcome!r}", where=submission_id)


def _failure_of_job(job: JobDetails, records: Sequence[dict[str, Any]]) -> AirError:
    where = job.submission_id
    if job.status is JobStatus.STOPPED:
        return JobStoppedError("The job was stopped, and not by this task", where=where)
    if job.status is JobStatus.SUCCEEDED:
        return ProtocolError("A job that succeeded was treated as a failure", where=where)
    is_setup = job.error_type == "RUNTIME_ENV_SETUP_FAILURE"
    # Ray gives the last ten lines of the log, and bounds them; but all of what an installer says.
    told_by_ray = _told_by_installer(job.message) if is_setup else job.message.strip()
    last_lines = unstyled("\n".join(lines_of(told_by_ray)))
    end = find_end(records) or {}
    told = end.get("error") or {}
    exit_code = job.exit_code if job.exit_code is not None else _exit_code_in(job.message)
    if exit_code == EXIT_CONFIGURATION and records:
        return ConfigurationError(
            f"The job refuses its configuration: {told.get('message') or last_lines}", where=where
        )
    if exit_code == EXIT_NOT_AFTER and "not-after" in job.message:
        return DeadlineExceededError("The job passed its not-after time and ended itself", where=where)
    details: dict[str, Any] = {"error_type": job.error_type, "exit_code": exit_code, "last_lines": last_lines}
    if is_setup:
        return JobInfrastructureError(
            f"Ray could not set up the job's runtime environment ({job.error_type}):\n{last_lines}\n",
            where=where,
            hint="Mend the packages of 'runtime_env', let the cluster reach their index, or give it more time by "
            "{'config': {'setup_timeout_seconds': …}} in it",
            **details,
        )
    if job.error_type not in USER_ERRORS:
        return JobInfrastructureError(
            f"Ray could not run the job ({job.error_type}): {last_lines}",
            where=where,
            hint="Retry; if it stays, look at the cluster",
            **details,
        )
    reason = f"exit code {exit_code}"
    if told.get("type"):
        reason = ": ".join(filter(None, [str(told["type"]), unstyled(str(told.get("message") or ""))]))
    return JobFailedError(
        f"The job failed: {reason}\nLast lines of the driver:\n{last_lines}\n",
        where=where,
        hint=_hint(reason, last_lines),
        **details,
    )


def _hint(reason: str, last_lines: str) -> str | None:
    if EXPIRED.search(f"{reason} {last_lines}"):
        return EXPIRED_HINT
    if found := MISSING.search("\n".join([reason, *last_lines.splitlines()[-1:]])):
        return MISSING_HINT.format(found[1], found[1].partition(".")[0])
    return None


def _told_by_installer(message: str) -> str:
    """Leave out what Ray wraps around what an installer said, or around its own word on it (2.60)."""
    if outputs := INSTALLER_OUTPUT.findall(message):
        return "\n".join(lines_of(textwrap.dedent(outputs[-1]).strip())[-LAST_LINES:])
    timed_out = re.search(r"Failed to install runtime_env within the timeout of [\d.]+ seconds", message)
    return timed_out[0] if timed_out else message.strip()


def _exit_code_in(message: str) -> int | None:
    found = re.search(r"exit code (-?\d+)", message)
    return int(found.group(1)) if found else None


def failure_of_cluster(ref: ClusterRef, status: ClusterStatus) -> ClusterFailedError:
    """Give the error for a cluster that will not become ready; the caller raises it."""
    if status.state in (ClusterState.ABSENT, ClusterState.DELETING):
        return ClusterFailedError(
            "The cluster is gone",
            where=ref.name,
            hint="Clear the task that creates it together with this one",
        )
    return ClusterFailedError(f"The cluster failed: {status.message}", where=ref.name)


def failure_of_start(ref: ClusterRef, message: str, *, timed_out_seconds: float | None) -> DeadlineExceededError:
    """
    Give the error for a cluster that is still starting; the caller raises it.

    :param timed_out_seconds: how long it had; None where the task's own deadline came first
    """
    if timed_out_seconds is None:
        what, hint = "The task's execution_timeout passed while its cluster started", "Raise execution_timeout"
    else:
        what = f"The cluster was not ready within {timed_out_seconds:g} s"
        hint = "Raise cluster_timeout_seconds, or look into the cluster's log"
    return DeadlineExceededError(f"{what}; last state: {message or 'starting'}", where=ref.name, hint=hint)

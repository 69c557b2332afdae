"""
The errors for ends that are no success: who is to blame, in whose words, and what helps.

Made of what Ray says of the job, and of the closing record that its driver has written.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from typing import Any

from airflow_provider_air.contracts.clusters import ClusterRef, ClusterState, ClusterStatus
from airflow_provider_air.drivers.wire.names import EXIT_CONFIGURATION, EXIT_NOT_AFTER, EXIT_UNAVAILABLE
from airflow_provider_air.drivers.wire.problems import ConfigurationProblem
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
)
from airflow_provider_air.ray_api.lines import lines_of
from airflow_provider_air.ray_api.models import JobDetails, JobStatus
from airflow_provider_air.runs.asking import refused_now

# Of what an installer says.
LAST_LINES = 10
# Ray 2.60 job error types where the user's command itself ended badly; all others are Ray's trouble.
USER_ERRORS = ("JOB_ENTRYPOINT_COMMAND_ERROR", "JOB_ENTRYPOINT_COMMAND_START_ERROR", None)
# Source: ray/dashboard/modules/job/job_supervisor.py (2.60)
EXIT_CODE = re.compile(r"Job entrypoint command failed with exit code (-?\d+)")
# How S3 tells, also where it may not say why (what answers a HEAD has no body); and how Google does.
EXPIRED = re.compile(
    r"expired.?token|request.?expired|HTTP status 400\) during HeadObject operation: No response body"
    r"|google::cloud::Status\(UNAUTHENTICATED",
    re.IGNORECASE,
)
# Source: ray/_private/runtime_env/utils.py
INSTALLER_OUTPUT = re.compile(r"^Last \d+ lines of stdout:\n((?: {4}.*(?:\n|$)|\n)+)", re.MULTILINE)
AWAY_HINT = "It was asked again for a while: a retry asks again, and resumes where the workload can"
EXPIRED_HINT = (
    "The job's credentials seem to have expired: a retry gets new ones and resumes. Where jobs run longer, raise the "
    "role's DurationSeconds (AWS), or use credentials='ambient'"
)
# What MLflow says to a script whose run the tracker has opened. Source: mlflow 3.17, tracking/fluent.py and its stores.
MLFLOW_HINTS = {
    re.compile(r"active experiment ID does not match environment run ID"): (
        "The tracker has opened the MLflow run, and mlflow.start_run() goes on in it: leave out "
        "mlflow.set_experiment(), or name the same experiment as MlflowTracker(experiment=...)"
    ),
    re.compile(r"Changing param values is not allowed"): (
        "A parameter of an MLflow run never changes, and a retry goes on in the run of the try before, which has the "
        "operator's own settings, too: log what differs by another name, as a tag, or in a nested run of the try "
        "(mlflow.start_run(nested=True))"
    ),
}
MISSING = re.compile(r"ModuleNotFoundError: No module named '([\w.]+)'")
MISSING_HINT = (
    "{0} is not where the job runs: add the package to runtime_env={{'pip': ['{1}']}}, or, where it is your own, its "
    "folder to the job's working_dir"
)

# The shell's.
EXIT_NOT_FOUND = 127
NO_PYTHON_HINT = (
    "The PATH of the cluster's jobs leads to no python: give the folder of the one that has Ray, by "
    "runtime_env={'env_vars': {'PATH': '/FOLDER:${PATH}'}}, or in the PATH of 'ray start'"
)


def find_end(records: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """Give the closing record, or None where the driver did not get that far."""
    return records[-1] if records and records[-1]["kind"] == "end" else None


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
    exit_code = exit_code_of(job)
    # A script's own 64 is another one's word.
    is_refusal = exit_code == EXIT_CONFIGURATION and told.get("type") == ConfigurationProblem.__name__
    if is_refusal and job.error_type in USER_ERRORS:
        return ConfigurationError(
            f"The job refuses its configuration: {told.get('message') or last_lines}", where=where
        )
    if exit_code == EXIT_NOT_AFTER and "not-after" in job.message:
        return DeadlineExceededError("The job passed its not-after time and ended itself", where=where)
    details: dict[str, Any] = {"error_type": job.error_type, "exit_code": exit_code, "last_lines": last_lines}
    if job.error_type not in USER_ERRORS or (exit_code == EXIT_UNAVAILABLE and told.get("type") == "Unavailable"):
        return _failure_around_job(job, str(told.get("message")), is_setup=is_setup, details=details)
    reason = f"exit code {exit_code}"
    if told.get("type"):
        # An older driver's text may be styled.
        reason = ": ".join(filter(None, [str(told["type"]), unstyled(str(told.get("message") or ""))]))
    if end.get("no_retry"):
        return ConfigurationError(f"The job failed, and says that no retry can help: {reason}", where=where)
    hint = _hint_of(exit_code, reason, last_lines)
    return JobFailedError(
        f"The job failed: {reason}\nLast lines of the driver:\n{last_lines}\n", where=where, hint=hint, **details
    )


def _hint_of(exit_code: int | None, reason: str, last_lines: str) -> str | None:
    told = f"{reason} {last_lines}"
    if exit_code == EXIT_NOT_FOUND and re.search(r"\bpython: (command )?not found", told):
        return NO_PYTHON_HINT
    if EXPIRED.search(told):
        return EXPIRED_HINT
    for words, hint in MLFLOW_HINTS.items():
        if words.search(told):
            return hint
    found = MISSING.search("\n".join([reason, *last_lines.splitlines()[-1:]]))
    return MISSING_HINT.format(found[1], found[1].partition(".")[0]) if found else None


def _failure_around_job(
    job: JobDetails, said: str, *, is_setup: bool, details: dict[str, Any]
) -> JobInfrastructureError:
    where, last_lines = job.submission_id, details["last_lines"]
    if is_setup:
        return JobInfrastructureError(
            f"Ray could not set up the job's runtime environment ({job.error_type}):\n{last_lines}\n",
            where=where,
            hint="Mend the packages of 'runtime_env', let the cluster reach their index, or give it more time by "
            "{'config': {'setup_timeout_seconds': …}} in it",
            **details,
        )
    if job.error_type in USER_ERRORS:
        helps = EXPIRED_HINT if EXPIRED.search(said) else AWAY_HINT
        return JobInfrastructureError(f"What the job needs is away: {said}", where=where, hint=helps, **details)
    return JobInfrastructureError(
        f"Ray could not run the job ({job.error_type}): {last_lines}",
        where=where,
        hint="Retry; if it stays, look at the cluster",
        **details,
    )


def _told_by_installer(message: str) -> str:
    """Leave out what Ray wraps around what an installer said, or around its own word on it (2.60)."""
    if outputs := INSTALLER_OUTPUT.findall(message):
        return "\n".join(lines_of(textwrap.dedent(outputs[-1]).strip())[-LAST_LINES:])
    timed_out = re.search(r"Failed to install runtime_env within the timeout of [\d.]+ seconds", message)
    return timed_out[0] if timed_out else message.strip()


def exit_code_of(job: JobDetails) -> int | None:
    """
    Give the exit code of a job's entrypoint, where Ray tells it or says it.

    None where it does not, and where Ray itself failed: others end with exit codes then, such as a compiler.
    """
    if job.error_type not in USER_ERRORS:
        return None
    if job.exit_code is not None:
        return job.exit_code
    found = EXIT_CODE.match(job.message)
    return int(found.group(1)) if found else None


def failure_of_cluster(ref: ClusterRef, status: ClusterStatus) -> AirError:
    """Give the error for a cluster that will not become ready; the caller raises it. What no retry mends, is none."""
    if status.state in (ClusterState.ABSENT, ClusterState.DELETING):
        return ClusterFailedError(
            "The cluster is gone",
            where=ref.name,
            hint="Clear the task that creates it together with this one",
        )
    if not status.retryable:
        return ConfigurationError(
            f"The cluster cannot be: {status.message}", where=ref.name, hint="Correct the cluster's spec"
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

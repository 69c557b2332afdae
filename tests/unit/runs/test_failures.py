"""How a job ended becomes an error that says who is to blame."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_air.drivers.wire.failures import error_of
from airflow_provider_air.errors import (
    AirError,
    ClusterUnreachableError,
    ConfigurationError,
    DeadlineExceededError,
    JobFailedError,
    JobInfrastructureError,
    JobLostError,
    JobStoppedError,
    ProtocolError,
)
from airflow_provider_air.ray_api.models import JobDetails, JobStatus
from airflow_provider_air.runs.failures import exit_code_of, failure_of_end
from tests.kinds import parameters
from tests.kinds.logs import JobMessage, Raises, named, raised_by
from tests.kinds.outages import ENDS, Ended

ENDED, END_NAMES = parameters(ENDS)


def job(status: JobStatus = JobStatus.FAILED, **fields: Any) -> JobDetails:
    return JobDetails(**{"submission_id": "air-1", "status": status, "exit_code": 1, **fields})


NO_BODY = "AWS Error UNKNOWN (HTTP status 400) during HeadObject operation: No response body."
GOOGLE = "[Errno 13] google::cloud::Status(UNAUTHENTICATED: Permanent error, with a last message of Received HTTP 401)"


@pytest.mark.parametrize(
    ("message", "is_expired"),
    [("ExpiredToken: The provided token has expired", True), (NO_BODY, True), (GOOGLE, True), ("boom", False)],
    ids=["named", "an answer without a body", "Google's", "another reason"],
)
def test_credentials_that_ended_too_early_say_what_helps(message: str, is_expired: bool) -> None:
    error = failure_of_end("ended", "air-1", job(message=message), "")

    assert ("a retry gets new ones" in str(error)) is is_expired


OTHER_EXPERIMENT = """mlflow.exceptions.MlflowException: Cannot start run with ID 3f because active experiment ID \
does not match environment run ID. Make sure --experiment-name or --experiment-id matches experiment set with \
set_experiment(), or just use command-line arguments"""
OTHER_VALUE = """mlflow.exceptions.MlflowException: INVALID_PARAMETER_VALUE: Changing param values is not allowed. \
Param with key='lr' was already logged with value='0.1' for run ID='3f'. Attempted logging new value '0.2'."""


@pytest.mark.parametrize(
    ("said", "helps"), [(OTHER_EXPERIMENT, "leave out mlflow.set_experiment()"), (OTHER_VALUE, "nested run")]
)
def test_a_script_that_mlflow_refuses_is_told_what_the_tracker_has_done(said: str, helps: str) -> None:
    assert helps in str(failure_of_end("ended", "air-1", job(message=f"Traceback\n{said}"), ""))


END = {"kind": "end", "status": "failed", "error": {"type": "KeyError", "message": "'y'"}}


@pytest.mark.parametrize(
    ("outcome", "details", "kind", "says"),
    [
        ("ended", job(message="a\nboom"), JobFailedError, "boom"),
        ("ended", job(error_type="JOB_ENTRYPOINT_COMMAND_ERROR"), JobFailedError, "exit code 1"),
        ("ended", job(error_type="RUNTIME_ENV_SETUP_FAILURE", message="no pip"), JobInfrastructureError, "no pip"),
        ("ended", job(error_type="JOB_SUPERVISOR_ACTOR_DIED"), JobInfrastructureError, "JOB_SUPERVISOR_ACTOR_DIED"),
        ("ended", job(JobStatus.STOPPED), JobStoppedError, "not by this task"),
        ("ended", job(JobStatus.SUCCEEDED), ProtocolError, "treated as a failure"),
        ("ended", job(exit_code=75, message="passed its not-after time"), DeadlineExceededError, "not-after"),
        ("ended", job(exit_code=75, message="my own 75"), JobFailedError, "my own 75"),
        ("ended", None, ProtocolError, "'ended'"),
        ("lost", None, JobLostError, "why"),
        ("deadline", job(JobStatus.RUNNING), DeadlineExceededError, "RUNNING"),
        ("deadline", None, DeadlineExceededError, "unknown"),
        ("unreachable", job(JobStatus.RUNNING), ClusterUnreachableError, "adopts"),
        ("refused", job(JobStatus.RUNNING), ClusterUnreachableError, "refuses us now; last state of the job: RUNNING"),
        ("triumph", None, ProtocolError, "'triumph'"),
        (None, None, ProtocolError, "None"),
    ],
)
def test_every_end_has_its_error(outcome: Any, details: JobDetails | None, kind: type[AirError], says: str) -> None:
    error = failure_of_end(outcome, "air-1", details, "why")

    assert type(error) is kind
    assert says in str(error)
    assert error.where == "air-1"


def test_the_drivers_own_words_come_first() -> None:
    error = failure_of_end("ended", "air-1", job(message="x\n" * 50 + "last"), "", [END])

    assert isinstance(error, JobFailedError)
    assert str(error).startswith("The job failed: KeyError: 'y'\n")
    assert error.last_lines.count("\n") == 50
    assert error.last_lines.endswith("last")


# What Ray 2.60 tells where ``pip install`` fails, shortened.
PIP_FAILED = """runtime_env setup failed: Failed to set up runtime environment.
[node 127.0.0.1] Traceback (most recent call last):
  File ".../runtime_env/pip.py", line 361, in _create_for_hash
    await PipProcessor(
  File ".../runtime_env/utils.py", line 105, in check_output_cmd
    raise SubprocessCalledProcessError(
ray._private.runtime_env.utils.SubprocessCalledProcessError: Run cmd[9] failed with the following details.
Command '['.../bin/python', '-m', 'pip', 'install', '-r', '...']' returned non-zero exit status 1.
Last 50 lines of stdout:
    {noise}
    ERROR: Could not find a version that satisfies the requirement nosuch (from versions: none)

    ERROR: No matching distribution found for nosuch
{behind}"""


@pytest.mark.parametrize("behind", ["", "\nThe above exception was the direct cause\n" + "of this one\n" * 30], ids=len)
def test_of_an_environment_that_cannot_be_set_up_the_installers_last_lines_are_told(behind: str) -> None:
    message = PIP_FAILED.format(noise="\n    ".join(["Looking in indexes"] * 40), behind=behind)

    error = failure_of_end("ended", "air-1", job(error_type="RUNTIME_ENV_SETUP_FAILURE", message=message), "")

    assert isinstance(error, JobInfrastructureError)
    assert error.last_lines.endswith("nosuch (from versions: none)\n\nERROR: No matching distribution found for nosuch")
    assert error.last_lines.count("\n") < 12
    assert "runtime_env" in str(error.hint)


def test_an_environment_that_took_too_long_says_so() -> None:
    message = "Failed to install runtime_env within the timeout of 600 seconds. Consider\nTraceback\n" + "  File\n" * 40

    error = failure_of_end("ended", "air-1", job(error_type="RUNTIME_ENV_SETUP_FAILURE", message=message), "")

    assert "within the timeout of 600 seconds" in str(error)


def test_a_job_that_never_began_before_the_deadline_says_what_it_waited_for() -> None:
    error = failure_of_end("deadline", "air-1", job(JobStatus.PENDING), "resources to become available")

    assert "PENDING, waiting for resources to become available" in str(error)


@pytest.mark.parametrize("shell", ["/bin/sh: 1: python: not found", "bash: line 1: python: command not found"])
def test_a_cluster_whose_path_has_no_python_says_what_helps(shell: str) -> None:
    error = failure_of_end("ended", "air-1", job(exit_code=127, message=shell), "")

    assert isinstance(error, JobFailedError)
    assert "runtime_env={'env_vars': {'PATH': '/FOLDER:${PATH}'}}" in str(error)


def test_a_drivers_configuration_problem_is_not_retried() -> None:
    refused = {**END, "error": {"type": "ConfigurationProblem", "message": "metric: there is none"}}

    error = failure_of_end("ended", "air-1", job(exit_code=64), "", [refused])

    assert isinstance(error, ConfigurationError)
    assert "metric: there is none" in str(error)


@pytest.mark.parametrize(
    "records",
    [
        [],
        [END],
        # What a script that reports leaves behind by sys.exit(64): no hook is called.
        [{"kind": "metric", "values": {"loss": 1.0}}, {"kind": "end", "status": "succeeded"}],
        [{"kind": "metric", "values": {"loss": 1.0}}],
        [{"kind": "end", "status": "failed", "error": {"type": "SystemExit", "message": "64"}}],
    ],
)
def test_a_scripts_own_exit_64_is_a_failure_like_any_other(records: list[dict[str, Any]]) -> None:
    assert isinstance(failure_of_end("ended", "air-1", job(exit_code=64), "", records), JobFailedError)


def test_the_exit_code_is_read_from_rays_words_where_it_is_missing() -> None:
    message = "Job entrypoint command failed with exit code -9, last available logs"
    error = failure_of_end("ended", "air-1", job(exit_code=None, message=message), "")

    assert isinstance(error, JobFailedError)
    assert error.exit_code == -9


@pytest.mark.parametrize(
    ("error_type", "message"),
    [
        ("RUNTIME_ENV_SETUP_FAILURE", "error: command '/usr/bin/gcc' failed with exit code 1"),
        ("JOB_SUPERVISOR_ACTOR_DIED", "Job supervisor actor died: Worker exits with an exit code 1."),
        ("JOB_ENTRYPOINT_COMMAND_START_ERROR", "Traceback\nOSError: the helper failed with exit code 1"),
        (None, "the logger failed with exit code 1"),
    ],
)
def test_the_exit_code_of_something_else_is_none_of_the_jobs(error_type: str | None, message: str) -> None:
    assert exit_code_of(job(exit_code=None, error_type=error_type, message=message)) is None


@pytest.mark.parametrize("ended", ENDED, ids=END_NAMES)
def test_what_the_code_is_not_to_blame_for_is_retried(ended: Ended) -> None:
    records = [{"kind": "end", "status": "failed", "error": ended.record}] if ended.record else []
    error = failure_of_end("ended", "air-1", job(**ended.fields), "", records)

    assert type(error).__name__ == ended.error


def test_what_a_driver_found_away_is_told_in_its_words_with_what_helps() -> None:
    def failure(message: str) -> AirError:
        end = {**END, "error": {"type": "Unavailable", "message": message}}
        return failure_of_end("ended", "air-1", job(exit_code=69, message="a\nlast"), "", [end])

    away, expired = failure("storage_path: S3 says 503"), failure("storage_path: ExpiredToken")
    assert str(away).startswith("What the job needs is away: storage_path: S3 says 503 [air-1]. ")
    assert "a retry asks again" in str(away.hint)
    assert "a retry gets new ones" in str(expired.hint)
    assert isinstance(away, JobInfrastructureError)
    assert (away.exit_code, away.last_lines) == (69, "a\nlast")


@pytest.mark.parametrize(("name", "raises"), named(Raises), ids=[name for name, _ in named(Raises)])
def test_an_error_says_what_was_raised_and_why(name: str, raises: Raises) -> None:
    raised = raised_by(raises.function)
    if isinstance(raised, JobMessage):
        error = failure_of_end("ended", "air-1", job(message=str(raised)), "")
    else:
        end = {"kind": "end", "status": "failed", "error": json.loads(json.dumps(error_of(raised)))}
        error = failure_of_end("ended", "air-1", job(message="last lines"), "", [end])

    assert isinstance(error, JobFailedError)
    said = str(error)
    assert said.startswith(f"The job failed: {raises.first}")
    assert [words for words in raises.says if words not in said] == []
    assert [words for words in raises.hides if words in said] == []
    assert len(said) < 400_000


@pytest.mark.parametrize("styled", ["\x1b[31mno\x1b[0m space", "10%\r20%\rno space"])
def test_what_an_older_driver_tells_is_told_without_colours(styled: str) -> None:
    end = {"kind": "end", "status": "failed", "error": {"type": "OSError", "message": styled}}

    assert str(failure_of_end("ended", "air-1", job(), "", [end])).startswith("The job failed: OSError: no space\n")


def test_an_installers_words_are_told_without_bars_and_colours() -> None:
    message = PIP_FAILED.format(noise="\x1b[31mERROR\x1b[0m \r 10%\r 20%", behind="")

    error = failure_of_end("ended", "air-1", job(error_type="RUNTIME_ENV_SETUP_FAILURE", message=message), "")

    assert isinstance(error, JobInfrastructureError)
    assert "\x1b" not in error.last_lines
    assert "10%" not in error.last_lines

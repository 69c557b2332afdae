"""
Every error of the package, grouped by what the caller should do next.

AirError                        what happened, where, what to do
├─ ConfigurationError           fix the DAG or the connection; a retry cannot help
│    MissingExtraError          install the named extra
│    PackageTooLargeError       ship less code, or give it a storage
├─ UnavailableError             try the same call again
│    ClusterUnreachableError    nobody answers at the address
│    ClusterNotReadyError       the cluster is there but cannot take work (yet)
├─ RemoteFailureError           this try failed on the remote side; Airflow's retries apply
│    JobFailedError             the user's code failed
│    JobInfrastructureError     Ray, or what the job needs, failed around the user's code
│    JobStoppedError            somebody stopped the job
│    JobLostError               the job was seen once and is gone
│    ResultLostError            the job succeeded but its result did not come home
│    ClusterFailedError         the cluster cannot start or died
│    ServeDeployError           a Serve application did not become healthy
│    ModelRejectedError         a model version did not pass the gate
│    MaterializationFailedError a feature store did not bring the features where they belong
│    TaskReplacedError          another try has the task by now: leave alone what is that one's
│    FeaturesNotFreshError      what a sensor's job waited for did not come in time
├─ DeadlineExceededError        a deadline passed; the last state seen is in the message
└─ ProtocolError                an answer that we do not understand; never the success path
"""

from __future__ import annotations

from typing import Any


class AirError(Exception):
    """
    Base of all errors: one message made of what happened, where, and what to do next.

    :param what: what happened, one sentence without a final full stop
    :param where: the remote thing it happened to (URL, submission id, path); never a secret
    :param hint: what the reader can do about it
    """

    def __init__(self, what: str, *, where: str | None = None, hint: str | None = None) -> None:
        self.what = what
        self.where = where
        self.hint = hint
        message = what if where is None else f"{what} [{where}]"
        super().__init__(message if hint is None else f"{message}. {hint}")

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.__dict__.copy(), self.args)


def _rebuild(kind: type[AirError], state: dict[str, Any], args: tuple[Any, ...]) -> AirError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(state)
    return error


class ConfigurationError(AirError, ValueError):
    """The DAG, the connection or the environment is wrong: no retry can help."""


class MissingExtraError(ConfigurationError):
    """An optional dependency is not installed where it is needed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"The package {package!r} is not installed in this process's environment",
            hint=f"Install it with: pip install 'airflow-provider-air[{extra}]'",
        )


class PackageTooLargeError(ConfigurationError):
    """Code that is larger than what travels; a storage may take it."""


class UnavailableError(AirError):
    """The same call may work later; nothing is known to be wrong with the request."""


class ClusterUnreachableError(UnavailableError):
    """No answer from the cluster's HTTP address: it may still be running."""


class ClusterNotReadyError(UnavailableError):
    """The cluster exists but cannot take work at the moment."""


class RemoteFailureError(AirError):
    """The remote work ended badly: this try fails, Airflow's retries apply."""


class JobFailedError(RemoteFailureError):
    """
    The entrypoint ended with an error: the user's code failed.

    :param error_type: Ray's ``error_type`` (Ray 2.60: ``JOB_ENTRYPOINT_COMMAND_ERROR`` and others)
    :param exit_code: the driver's exit code, where Ray knows it
    :param last_lines: the driver's last log lines
    """

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        hint: str | None = None,
        error_type: str | None = None,
        exit_code: int | None = None,
        last_lines: str = "",
    ) -> None:
        self.error_type = error_type
        self.exit_code = exit_code
        self.last_lines = last_lines
        super().__init__(what, where=where, hint=hint)


class JobInfrastructureError(JobFailedError):
    """Ray could not start or lost the job's supervisor, or what the job needs was away: its code is not to blame."""


class JobStoppedError(RemoteFailureError):
    """The job ended as STOPPED, and not because this task asked for it."""


class JobLostError(RemoteFailureError):
    """The job was seen on the cluster once and is unknown there now."""


class ResultLostError(RemoteFailureError):
    """The job succeeded but its records are incomplete: the result cannot be trusted."""


class ClusterFailedError(RemoteFailureError):
    """The cluster cannot start, or died for good."""


class ServeDeployError(RemoteFailureError):
    """A Serve application did not become healthy, or failed its smoke test."""


class ModelRejectedError(RemoteFailureError):
    """A model version did not pass the gate in front of its promotion."""


class MaterializationFailedError(RemoteFailureError):
    """A feature store did not bring the features where they belong; a retry starts again."""


class FeaturesNotFreshError(RemoteFailureError):
    """A sensor waited for features as long as it was to, and they did not come."""


class DeadlineExceededError(AirError, TimeoutError):
    """A deadline passed; the message names the deadline and the last state seen."""


class TaskReplacedError(RemoteFailureError):
    """Airflow takes no word of this try any more: it was cleared, or another one runs in its place."""


class ProtocolError(AirError):
    """An answer, event or record that we do not understand; never treated as success."""

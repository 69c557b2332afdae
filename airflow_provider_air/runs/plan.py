"""What an operator, or whoever else wants a run, asks for; nothing of it is kept but what the ledger takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_air.contracts.storage import JobAccess, StorageSpec

if TYPE_CHECKING:
    from airflow_provider_air.contracts.attachments import AttachmentSpec
    from airflow_provider_air.contracts.clusters import ClusterBackend, ClusterRef, ClusterSpec
    from airflow_provider_air.contracts.jobs import JobRequest, PreparedJob
    from airflow_provider_air.contracts.names import TaskKey
    from airflow_provider_air.errors import AirError
    from airflow_provider_air.runs.ledger import Attempt, KeepCluster, OnClear


@dataclass(frozen=True)
class BuildInfo:
    """
    What a workload may want to know when it says what to run.

    :param run_name: stable over retries, so that they resume; new after a clear that starts afresh
    :param has_fixed_size: whether the cluster cannot grow, so that too large a wish should fail at once
    :param is_owned: whether the cluster is the task's own, and goes with it
    :param storage: URI of the task's storage as the cluster reaches it, or None
    """

    run_name: str
    has_fixed_size: bool = False
    is_owned: bool = False
    storage: str | None = None


@dataclass(frozen=True)
class Collected:
    """
    Where a result came from.

    :param backend: the back end of the cluster that ran it
    """

    ref: ClusterRef
    backend: ClusterBackend


def _anything(job: JobRequest | PreparedJob) -> None:
    pass


def _nowhere() -> StorageSpec | None:
    return None


def _as_it_is(value: Any, where: Collected) -> Any:
    return value


def _never(result: Any) -> float | None:
    return None


def _in_these_words(error: AirError) -> AirError:
    return error


@dataclass(frozen=True)
class Plan:
    """
    One run, as it is wanted in this try.

    What it gives by a call is asked only where something is started: a job that runs or has ended is collected without.

    :param workload: ``submit``, ``train``, ``tune`` ...
    :param target: decides the cluster
    :param build: says what to run
    :param check: refuses a request that must not be sent
    :param check_sent: refuses what must not be shown, of a job as it is sent: first without, then with all that
        attachments and storage have added
    :param attachments: trackers and feature stores
    :param storage: where results and code go that are too large to travel
    :param environment: what the job gets beside the attachments' at the last moment, credentials among it
    :param context_env: environment that tells the job which task it runs for; the author's own wins over it
    :param read_result: turns the driver's result, as it travelled (plain JSON), into the task's
    :param read_failure: tells a job's failure in the workload's words
    :param again: of a result that is not the last one, after how many seconds the next attempt begins; None: it is. May
        raise an AirError that ends the try
    :param parameters: what a tracker notes of the author's settings; plain JSON, no secrets
    :param timeout_seconds: how long a try may take, or None
    :param cluster_timeout_seconds: how long a cluster may take to become ready
    :param max_concurrent_jobs: how many live jobs the cluster takes, or None
    :param wait: whether the task waits for the job's end; if not, its result is the submission id
    :param submission_id: the author's own id for the first job; None: each gets a new one
    :param keep_cluster: whether a cluster of the task's own is left for people to look at, where an attempt fails
    :param skip_on_exit_code: exit codes of the entrypoint that tell of nothing to do
    """

    workload: str
    target: Callable[[], ClusterSpec | ClusterRef]
    build: Callable[[BuildInfo], JobRequest]
    check: Callable[[JobRequest], None] = _anything
    check_sent: Callable[[PreparedJob], None] = _anything
    attachments: Callable[[], Sequence[AttachmentSpec]] = tuple
    storage: Callable[[], StorageSpec | None] = _nowhere
    environment: Callable[[], JobAccess] = JobAccess
    context_env: Callable[[], Mapping[str, str]] = dict
    read_result: Callable[[Any, Collected], Any] = _as_it_is
    read_failure: Callable[[AirError], AirError] = _in_these_words
    again: Callable[[Any], float | None] = _never
    parameters: Callable[[], Mapping[str, Any]] = dict
    timeout_seconds: float | None = None
    cluster_timeout_seconds: float = 600.0
    max_concurrent_jobs: int | None = None
    unreachable_timeout_seconds: float = 600.0
    log_limit_bytes: int = 64 * 1024 * 1024
    on_clear: OnClear = "auto"
    wait: bool = True
    submission_id: str | None = None
    keep_cluster: KeepCluster = "never"
    skip_on_exit_code: tuple[int, ...] = ()

    def terms(self, this: Try, last: Attempt | None, *, began: float, now: float) -> dict[str, Any]:
        """
        Give what the ledger keeps of it with an attempt; a try that adopts that one goes by the same terms.

        :param last: the attempt before it, which may be of the same try: its time is counted once
        :param began: epoch seconds of the try's first second
        """
        deadline = None if self.timeout_seconds is None else began + self.timeout_seconds
        if deadline is not None and last is not None and last.try_number == this.try_number:
            deadline = last.deadline
        return {
            "try_number": this.try_number,
            "waits": self.wait,
            "deadline": deadline,
            "cluster_until": now + self.cluster_timeout_seconds,
            "limit": self.max_concurrent_jobs,
            "unreachable_seconds": self.unreachable_timeout_seconds,
            "log_limit_bytes": self.log_limit_bytes,
            "keep_cluster": self.keep_cluster,
            "skip_on_exit_code": self.skip_on_exit_code,
        }


@dataclass(frozen=True)
class Try:
    """
    One try of a task instance.

    :param try_number: from 1
    :param max_tries: the last try that is retried has this number
    :param retries: of the task, as the DAG says now; None: not known
    :param clear_number: of the DAG run; None: not known
    """

    key: TaskKey
    try_number: int = 1
    max_tries: int = 0
    retries: int | None = None
    clear_number: int | None = None

    @property
    def has_next(self) -> bool:
        """Whether Airflow tries again when this one fails."""
        return self.try_number <= self.max_tries

    @property
    def numbers(self) -> dict[str, int | None]:
        """Give what a later try compares with its own, see :meth:`is_cleared_since`."""
        return {name: getattr(self, name) for name in ("try_number", "max_tries", "retries", "clear_number")}

    def is_cleared_since(self, numbers: Mapping[str, Any]) -> bool:
        """
        Whether a person has cleared the task since an earlier try; see :mod:`airflow_provider_air.runs.ledger`.

        :param numbers: that one's; such as it did not write down say nothing
        """
        if numbers.get("max_tries") != self.max_tries:
            return numbers.get("max_tries") is not None
        known = (numbers.get(name) is not None for name in self.numbers)
        if self.retries is None or self.clear_number is None or not all(known):
            return False
        # What a clear after one of the tries since then would have left.
        is_rewritten = numbers["try_number"] <= self.max_tries - self.retries < self.try_number
        return bool(is_rewritten and numbers["clear_number"] < self.clear_number)

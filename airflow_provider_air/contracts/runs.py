"""What a run tells those that work for it, and what it needs of the process that it lives in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol, TypeVar

from airflow_provider_air.contracts.names import TaskKey
from airflow_provider_air.contracts.stored import fields_of
from airflow_provider_air.drivers.wire.texts import shortened
from airflow_provider_air.errors import ProtocolError

T = TypeVar("T")
# An event is a row of Airflow's database, and Ray's own messages fit (2.60: ten lines of log, 20,000 characters).
MOST_EVENT_CHARACTERS = 30_000


@dataclass(frozen=True)
class DataRef:
    """
    What a workload reads or writes.

    :param name: how the author calls it, such as a key of ``datasets``
    :param uri: where it lies; None where it is only known at the end
    :param schema: column to type, where it is known
    :param rows: how many, where it is known
    :param is_query: it is SQL: nobody has it until somebody runs it, such as an attachment that joins it
    """

    name: str
    uri: str | None = None
    schema: Mapping[str, str] | None = None
    rows: int | None = None
    is_query: bool = False


@dataclass(frozen=True)
class AttemptInfo:
    """
    The attempt that a cluster back end or an attachment works for; crosses processes as JSON.

    :param submission_id: minted before anything remote is asked for
    :param run_name: stable over the attempts of a generation, new after a clear that starts afresh
    :param generation: which generation's run it belongs to; grows with every clear that starts afresh
    :param workload: ``submit``, ``train``, ``tune`` ...
    :param cluster: the cluster's name
    :param storage: URI of the task's storage as the cluster reaches it, or None
    :param parameters: what the author set, for trackers to note; plain JSON without secrets
    :param not_after: epoch seconds after which nothing of it may run, or None
    :param starts_until: epoch seconds until which its cluster is waited for, or None
    """

    key: TaskKey
    submission_id: str
    run_name: str
    generation: int
    try_number: int
    workload: str
    cluster: str
    storage: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    inputs: tuple[DataRef, ...] = ()
    outputs: tuple[DataRef, ...] = ()
    not_after: float | None = None
    starts_until: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Give the JSON form."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Any) -> AttemptInfo:
        """:raises ProtocolError: this is not the JSON form of an attempt."""
        if not isinstance(data, Mapping):
            raise ProtocolError(f"This names no attempt: {data!r}"[:300])
        data_refs = {
            name: tuple(fields_of(DataRef, item) for item in data.get(name) or ()) for name in ("inputs", "outputs")
        }
        return fields_of(cls, {**data, "key": fields_of(TaskKey, data.get("key")), **data_refs})


What = Literal["cluster", "ready", "room", "end", "gone", "pause"]


@dataclass(frozen=True)
class Wait:
    """
    A run's step that must be waited for; JSON, so that any process can wait.

    :param what: for the ``cluster`` to take work, for one to be ``ready`` for it that others may have yet to make, for
        ``room`` on it, for the job's ``end``, for a deleted cluster to be ``gone``, or for the ``pause`` before the
        next attempt, in which nothing runs
    :param until: epoch seconds at which waiting ends whatever has come, or None
    :param attempt: the JSON form of the ledger's attempt: all that waiting needs
    """

    what: What
    until: float | None
    attempt: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Give the JSON form; no secrets."""
        return {"version": 1, "what": self.what, "until": self.until, "attempt": dict(self.attempt)}

    @classmethod
    def from_json(cls, data: Any) -> Wait:
        """:raises ProtocolError: this is not the JSON form of a step."""
        return fields_of(cls, data)


@dataclass(frozen=True)
class Done:
    """
    A run's last step: the result, safe in the ledger or the storage before its cluster goes.

    :param skipped: why there was nothing to do, so that the task is skipped; None: it succeeded
    :param facts: what else is known of it, for people: ``submission_id``; ``inputs``, ``outputs``, ``trackers`` by the
        shapes of :class:`~airflow_provider_air.contracts.history.History`; of a cluster, ``created``
    """

    result: Any
    skipped: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict, compare=False)


class Store(Protocol):
    """The task instance's own state store, which survives tries and clears (Airflow 3.3); for workers. Blocks."""

    def get(self, key: str) -> Any:
        """Give a value; None where there is none."""

    def set(self, key: str, value: Any) -> None:
        """
        Write a value: plain JSON of at most 64 KiB.

        :raises TaskReplacedError: another try has the task by now
        """

    def delete(self, key: str) -> None:
        """Remove a value; none is fine. Raises as :meth:`set`."""


class Board(Protocol):
    """What people and the next watcher see of a running task: XComs of the task instance. Blocks."""

    def read(self, key: str) -> Any:
        """Give a value; None where there is none."""

    def write(self, key: str, value: Any) -> None:
        """Write a value: plain JSON, without NaN."""


class Log(Protocol):
    """The task's log: what ``logging.Logger`` offers of it."""

    def info(self, message: str, /, *args: Any) -> Any:
        """Note what happens."""

    def warning(self, message: str, /, *args: Any) -> Any:
        """Note what a person should know."""


class Places(Protocol):
    """The places on clusters that were given to jobs, see :mod:`airflow_provider_air.runs.admission`."""

    def change(self, change: Callable[[dict[str, Any]], T]) -> T:
        """Have one caller at a time change them, plain JSON by cluster; gives what it gives. Blocks for moments."""


def event_text(text: str, log: Log) -> str:
    """Give a text as an event may hold it; one that is longer is logged whole, and says that it is not."""
    if len(text) > MOST_EVENT_CHARACTERS:
        log.warning("A message that is too long for an event, whole:\n%s", text)
    return shortened(text, MOST_EVENT_CHARACTERS)


class Spawned(Protocol):
    """What was started beside its starter."""

    def done(self) -> bool:
        """Tell whether it has ended, well or not."""

    async def wait(self, seconds: float) -> None:
        """Wait for its end, at most so long; never raises what it raised."""


class Clock(Protocol):
    """Time and concurrency of a process, so that a simulated world can hold both."""

    def now(self) -> float:
        """Give epoch seconds."""

    def sleep(self, seconds: float) -> None:
        """Block; for workers."""

    def asleep(self, seconds: float) -> Awaitable[None]:
        """Wait without blocking the event loop."""

    def in_thread(self, call: Callable[..., T], *args: Any) -> Awaitable[T]:
        """Do what blocks beside the event loop."""

    def in_spare_thread(self, call: Callable[..., T], *args: Any) -> Awaitable[T]:
        """
        Do what may block for long, and what nothing depends on: in a few threads kept for that.

        So what asks a tracker that is away takes no thread from XComs, looks and stops; it queues with its like.
        """

    def spawn(self, work: Coroutine[Any, Any, None]) -> Spawned:
        """Start what its starter does not wait for; on the event loop."""

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run to its end what waits; for workers."""

"""What runs leave behind at their neighbours, as a clean-up sees it, and what it asks of each neighbour."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from airflow_provider_air.contracts.connections import Connections
    from airflow_provider_air.contracts.names import TaskKey


@dataclass(frozen=True)
class Leftover:
    """
    One thing that somebody has made. Times are seconds, by the clock of the neighbour that keeps it.

    :param kind: what it is, for people: ``cluster``, ``job``, ``run``, ``rows``, ``code``, ``result``
    :param name: how people find it
    :param identity: tells it from all others that this neighbour has or had, so that no successor is taken for it
    :param deployment: the Airflow deployment whose mark it bears; None where it bears none
    :param users: the task instances that it was made for: it is wanted while the DAG run of one of them is not over
    :param age: since it was made, or last written; None where the neighbour does not say
    :param keep: how old it must be to be taken, though nobody wants it any more
    :param expires_in: until it expires, negative where it has; None where it never does
    :param leased_for: for how long yet somebody counts on it, or None
    :param is_of_run: nobody wants it once the DAG runs of its users are over; else it goes by its expiry alone
    :param stays: why it is left alone whatever its age, such as that it goes already; empty where it is not
    :param asked: who has asked for its end, as a sentence without a full stop: it goes whoever uses it; else empty
    :param size_bytes: where that is known
    """

    kind: str
    name: str
    identity: str
    deployment: str | None
    users: tuple[TaskKey, ...] = ()
    age: float | None = None
    keep: float = 0.0
    expires_in: float | None = None
    leased_for: float | None = None
    is_of_run: bool = True
    stays: str = ""
    asked: str = ""
    size_bytes: int | None = None


class Neighbour(Protocol):
    """
    Where runs leave things behind. Calls block.

    All raise UnavailableError where it does not answer, ConfigurationError where it does not let us in.
    """

    where: str
    """For people: which one it is, and where."""

    def left(self) -> Iterable[Leftover]:
        """Give what there is, others' things too where they cannot be told apart by asking."""

    def use_of(self, item: Leftover) -> str:
        """Say what uses a thing that nobody seems to want; empty where nothing does. Asked right before it is taken."""

    def take(self, item: Leftover) -> str:
        """Take the thing itself, never a successor; one that is gone is fine. Says what was done to it."""


@runtime_checkable
class LeavesRuns(Protocol):
    """Of an attachment's spec, where what it keeps elsewhere stays open when nobody ends it: asked of the class."""

    @classmethod
    def left_at(cls, conn_id: str, connections: Connections) -> Neighbour:
        """
        Give what keeps the runs of all tasks that used a connection.

        :raises ConfigurationError: the connection is absent or malformed
        """

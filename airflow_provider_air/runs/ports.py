"""What a run, and a watch of it, need of the process that they live in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_air.runs.leases import Leases

if TYPE_CHECKING:
    from airflow_provider_air.contracts.clusters import ClusterBackend
    from airflow_provider_air.contracts.connections import Connections
    from airflow_provider_air.contracts.jobs import JobBackend
    from airflow_provider_air.contracts.runs import Board, Clock, Log, Store
    from airflow_provider_air.runs.admission import Admission
    from airflow_provider_air.runs.ledger import Attempt


@dataclass(frozen=True)
class WatchPorts:
    """
    What a watch needs of the process that it lives in.

    :param clusters: gives a cluster back end by its name
    :param admission: the process's one, shared by all its watches
    :param leases: likewise
    """

    board: Board
    connections: Connections
    clusters: Callable[[str], ClusterBackend]
    log: Log
    clock: Clock
    admission: Admission
    leases: Leases = field(default_factory=Leases, kw_only=True)

    def jobs(self, attempt: Attempt) -> JobBackend:
        """Give what runs an attempt that has a cluster."""
        ref = attempt.cluster_ref
        backend = self.clusters(ref.backend)
        return backend.serving(ref) if attempt.kind == "rollout" else backend.jobs(ref)

    @contextmanager
    def contained(self, what: str, told: set[str] | None = None) -> Iterator[None]:
        """
        Keep whatever is raised inside from ending what goes on around it: it is only warned about.

        :param what: what has failed then, as a sentence without a full stop
        :param told: what was warned about already, and is not again
        """
        try:
            yield
        except Exception as error:  # noqa: BLE001  # a custom back end, an odd answer: nothing is known of what it raises
            if told is None or what not in told:
                self.log.warning("%s: %s: %s", what, type(error).__name__, error)
            if told is not None:
                told.add(what)


@dataclass(frozen=True)
class Ports(WatchPorts):
    """
    What a run needs of the process that it lives in: a worker, since a triggerer has no store.

    :param report: makes of what is kept of an ended attempt one HTML page that is read without Airflow, see
        :meth:`~airflow_provider_air.runs.keeping.Keeping.leave_report`; None: no page is left
    """

    store: Store
    report: Callable[[Mapping[str, Any]], str] | None = field(default=None, kw_only=True)

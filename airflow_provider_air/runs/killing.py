"""What a worker does inside a signal handler: a few requests, with all that they need resolved beforehand."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from airflow_provider_air.errors import AirError

if TYPE_CHECKING:
    from airflow_provider_air.contracts.clusters import ClusterRef
    from airflow_provider_air.runs.attempts import Attempts
    from airflow_provider_air.runs.ledger import Attempt
    from airflow_provider_air.runs.ports import Ports


class Kill:
    """
    Stops what one try runs; the ledger hears of it later.

    :param has_next: whether Airflow tries again when this try fails
    """

    def __init__(self, attempts: Attempts, ports: Ports, *, has_next: bool) -> None:
        self._attempts = attempts
        self._ports = ports
        self._asks = has_next
        self._acts: list[Callable[[], object]] = []
        self.was_done = False
        self.is_over = False
        """What runs was stopped already."""

    def prepare(self, *attempts: Attempt | None) -> None:
        """Resolve what stopping these attempts needs, and none else."""
        self._acts = []
        for attempt in attempts:
            if attempt is not None and attempt.is_open and (ref := attempt.ref) is not None:
                self._prepare(attempt, ref)

    def _prepare(self, attempt: Attempt, ref: ClusterRef) -> None:
        # The cluster first, which takes the job along: Airflow gives a worker five seconds for all (3.3.2).
        if ref.owned:
            self.add_deletion(ref)
        is_sent, name = attempt.phase != "intended", attempt.submission_id
        # A job of the author's id may be somebody else's, until its cluster has taken ours.
        if attempt.is_named and not is_sent:
            return
        try:
            self._acts.append(self._attempts.jobs(attempt).prepare_stop(name))
        except AirError:
            # Where there is no address yet, there is no job either; a job that was taken is there, whoever is away now.
            if is_sent:
                self._acts.append(lambda: self._attempts.jobs(attempt).prepare_stop(name)())

    def add_deletion(self, ref: ClusterRef) -> None:
        """Have a cluster deleted, too; what cannot be resolved now is, as far as it can be, in the handler."""
        backend = self._attempts.backend(ref)
        try:
            self._acts.append(backend.prepare_delete(ref))
        except AirError:
            self._acts.append(lambda: backend.delete(ref))

    def do(self, is_wanted: Callable[[], bool]) -> None:
        """
        Stop what runs, or leave it to the next try, where there is one.

        :param is_wanted: whether a person did this, or nobody can tell; asked only where there is a next try
        """
        if self.is_over:
            return
        if self._attempts.is_refused or (self._asks and not is_wanted()):
            self._ports.log.warning("No person has stopped this task: what runs is left to its next try")
            return
        self.was_done = True
        for act in self._acts:
            # Nothing may keep the next one from being done.
            with self._ports.contained("Not stopped"):
                act()

"""
Decides what of all that runs have left behind is to go, and has it go: whose it is, how old, who counts on it, and why.

Knows no Airflow: whoever calls it says which deployment this is, and whether a DAG run is over. Ages are by the clock
of the neighbour that keeps a thing; nothing is taken that is not ours, and nothing by its name alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_air.errors import AirError, UnavailableError

if TYPE_CHECKING:
    from airflow_provider_air.contracts.leftovers import Leftover, Neighbour
    from airflow_provider_air.contracts.names import TaskKey
    from airflow_provider_air.contracts.runs import Log

RunState = Literal["live", "over", "unknown", "unanswered"]
"""Of a DAG run: ``unknown`` to Airflow, such as one that a person has deleted; ``unanswered`` where Airflow is away."""

# A DAG run that Airflow does not know may be another Airflow's of the same name: what it left must be this old, too.
UNKNOWN_KEEP_SECONDS = 7 * 86400.0


@dataclass(frozen=True)
class Verdict:
    """
    What is to become of a thing.

    :param reason: reads on from "taken:" or "spared:"
    """

    takes: bool
    reason: str


def judge(item: Leftover, deployment: str, state_of: Callable[[TaskKey], RunState]) -> Verdict:
    """
    Decide about one thing; asks nobody but ``state_of``, and that only where it matters.

    :param deployment: this Airflow deployment
    :param state_of: says whether the DAG run of a task instance is over
    """
    if item.deployment is None:
        return Verdict(False, "it bears no mark of ours")
    if item.deployment != deployment:
        return Verdict(False, f"it belongs to the deployment {item.deployment!r}, and this is {deployment!r}")
    if item.stays:
        return Verdict(False, item.stays)
    if item.asked:
        return Verdict(True, item.asked)
    if item.leased_for is not None and item.leased_for > 0:
        return Verdict(False, f"somebody counts on it for another {_span(item.leased_for)}")
    if item.expires_in is not None and item.expires_in <= 0:
        return Verdict(True, f"it expired {_span(-item.expires_in)} ago")
    if not item.is_of_run:
        until = "it never expires" if item.expires_in is None else f"it expires in {_span(item.expires_in)}"
        return Verdict(False, f"it outlives its DAG run, and {until}")
    return _by_runs(item, state_of)


def _by_runs(item: Leftover, state_of: Callable[[TaskKey], RunState]) -> Verdict:
    if not item.users:
        return Verdict(False, "nothing says which DAG run it was made for")
    keep, why = item.keep, "its DAG run is over"
    for key in item.users:
        state, run = state_of(key), f"the DAG run {key.run_id!r} of {key.dag_id!r}"
        if state == "live":
            return Verdict(False, f"{run} is not over")
        if state == "unanswered":
            return Verdict(False, f"Airflow does not say whether {run} is over")
        if state == "unknown":
            keep, why = max(keep, UNKNOWN_KEEP_SECONDS), "Airflow does not know its DAG run (any more)"
    if keep and item.age is None:
        return Verdict(False, f"{why}, but nobody says how old it is")
    if item.age is not None and item.age < keep:
        return Verdict(False, f"{why}, but it is kept until it is {_span(keep)} old, and it is {_span(item.age)}")
    return Verdict(True, why if len(item.users) < 2 else f"{why}, and so are those of all {len(item.users)} users")


def _span(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))


@dataclass(frozen=True)
class Line:
    """
    What became of one thing.

    :param verdict: ``taken``, ``would be taken``, ``spared`` or ``failed``
    """

    kind: str
    name: str
    where: str
    verdict: str
    reason: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name} ({self.where}): {self.verdict}: {self.reason}"


@dataclass
class Report:
    """
    What a clean-up has done.

    :param asked: how many neighbours were asked
    :param outages: by neighbour, why it could not be looked at
    """

    lines: list[Line] = field(default_factory=list)
    asked: int = 0
    outages: dict[str, str] = field(default_factory=dict)

    def count(self, verdict: str) -> int:
        """Say how many things met with this verdict."""
        return sum(line.verdict == verdict for line in self.lines)

    def to_json(self) -> dict[str, Any]:
        """Give counts by verdict, what was taken or should have been, and the outages; plain JSON."""
        told = [str(line) for line in self.lines if line.verdict != "spared"]
        counts = {verdict: self.count(verdict) for verdict in ("taken", "would be taken", "spared", "failed")}
        return {**counts, "asked": self.asked, "outages": dict(self.outages), "lines": told[:MOST_TOLD]}


# Lines in a result: it is an XCom.
MOST_TOLD = 500


class Cleaning:
    """
    One clean-up.

    :param deployment: this Airflow deployment
    :param state_of: says whether the DAG run of a task instance is over; may raise UnavailableError
    :param only_tell: nothing is taken
    """

    def __init__(
        self, deployment: str, state_of: Callable[[TaskKey], RunState], log: Log, *, only_tell: bool = False
    ) -> None:
        self._deployment = deployment
        self._ask = state_of
        self._log = log
        self._only_tell = only_tell
        self._live: set[tuple[str, str]] = set()

    def clean(self, neighbours: Iterable[Neighbour]) -> Report:
        """
        Look at each neighbour, and take what is to go; one that is away keeps nobody from the rest.

        :param neighbours: made one after the other, so that a later one may come of what an earlier one holds
        """
        report, seen = Report(), set[str]()
        for neighbour in neighbours:
            report.asked += 1
            try:
                for item in neighbour.left():
                    if item.identity not in seen:
                        seen.add(item.identity)
                        self._note(report, self._treat(item, neighbour))
            except Exception as error:  # noqa: BLE001  # a custom back end, an odd answer: the others are cleaned all the same
                report.outages[neighbour.where] = _told(error)
                self._log.warning("%s could not be looked at: %s", neighbour.where, _told(error))
        return report

    def _note(self, report: Report, line: Line) -> None:
        report.lines.append(line)
        say = self._log.warning if line.verdict == "failed" else self._log.info
        say("%s", line)

    def _treat(self, item: Leftover, neighbour: Neighbour) -> Line:
        try:
            verdict, reason = self._treated(item, neighbour)
        except Exception as error:  # noqa: BLE001  # as above
            verdict, reason = "failed", _told(error)
        return Line(item.kind, item.name, neighbour.where, verdict, reason)

    def _treated(self, item: Leftover, neighbour: Neighbour) -> tuple[str, str]:
        verdict = judge(item, self._deployment, self._state_of)
        if not verdict.takes:
            return "spared", verdict.reason
        if not item.asked and (use := neighbour.use_of(item)):
            return "spared", f"{verdict.reason}, but it is in use: {use}"
        if self._only_tell:
            return "would be taken", verdict.reason
        return "taken", f"{verdict.reason}; {neighbour.take(item)}"

    def _state_of(self, key: TaskKey) -> RunState:
        # Only what spares is remembered: a run may be cleared between two things that it left.
        run = (key.dag_id, key.run_id)
        if run in self._live:
            return "live"
        try:
            state = self._ask(key)
        except UnavailableError as error:
            self._log.warning("%s", error)
            return "unanswered"
        if state == "live":
            self._live.add(run)
        return state


def _told(error: Exception) -> str:
    return str(error) if isinstance(error, AirError) else f"{type(error).__name__}: {error}"

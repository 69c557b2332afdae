"""A metric that was named, and is not among what is reported: told once, and judged at the end."""

from __future__ import annotations

from typing import Any, Dict, Iterable, Optional, Set

from ..wire.metrics import flattened
from ..wire.records import warn

# A validation comes every so many steps: fewer reports than this without it are nothing to speak of.
FIRST_REPORTS = 10


class MissingMetric:
    """
    Watches for a metric in the reports of a run.

    :param metric: its flat name, such as ``val/acc``, or None
    """

    def __init__(self, metric: Optional[str]) -> None:
        self._metric = metric
        self._seen = 0
        self._names: Set[str] = set()

    def note(self, reported: Dict[str, Any]) -> None:
        """Take one report; the tenth without the metric is warned about, unless it came before."""
        if self._metric is None or self._seen >= FIRST_REPORTS:
            return
        names = set(flattened(reported))
        if self._metric in names:
            self._seen = FIRST_REPORTS
            return
        self._seen += 1
        self._names |= names
        if self._seen == FIRST_REPORTS:
            warn(
                "metric: the first %d reports have no %r, but %s; what is best will be known once it comes"
                % (FIRST_REPORTS, self._metric, listed(self._names))
            )

    def judge(self, names: Iterable[str]) -> None:
        """
        Say at the end that there is nothing best: the work is done, and its result is kept.

        :param names: what was reported
        """
        warn(
            "metric: no report has a finite number for %r, so nothing is best; reported is %s"
            % (self._metric, listed(names))
        )


def listed(names: Iterable[str]) -> str:
    """Name what was reported, in one line."""
    found = sorted(names)
    more = " and %d more" % (len(found) - 20) if len(found) > 20 else ""
    return (", ".join(map(repr, found[:20])) or "nothing") + more

"""Says what a job waits for that Ray has not started: in Ray's words, and, seldom asked, what the cluster lacks."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from airflow_provider_air.errors import AirError
from airflow_provider_air.ray_api.models import ClusterLoad, JobDetails, JobStatus
from airflow_provider_air.waiting import backoff_seconds

if TYPE_CHECKING:
    from airflow_provider_air.ray_api.feed import ClusterFeed

# How Ray 2.60 puts it (JobInfo.__post_init__): for an entrypoint with resources, with a runtime environment, or both.
_MAYBE = re.compile(r"It may be waiting for (.+?)\.(?= |$)")
FIRST_ASK_SECONDS = 10.0
LONGEST_PAUSE_SECONDS = 600.0
MOST_DEMANDS = 3
_BYTES = ("memory", "object_store_memory")


class PendingWords:
    """What one job waits for, from look to look."""

    def __init__(self, feed: ClusterFeed) -> None:
        self._feed = feed
        self._pauses = backoff_seconds(FIRST_ASK_SECONDS, LONGEST_PAUSE_SECONDS)
        self._next_ask = time.monotonic() + next(self._pauses)
        self._lacks = ""
        self.last = ""
        """What the last look said; empty where the job did not wait."""

    async def of(self, job: JobDetails) -> str:
        """Say what a job waits for; empty where it does not. Asks the cluster only where Ray speaks of resources."""
        self.last = ""
        if job.status is JobStatus.PENDING:
            reasons = _MAYBE.findall(job.message)
            self.last = ", or ".join(reasons) or job.message or "Ray to start it"
            if any(reason.startswith("resources") for reason in reasons):
                await self._ask()
                self.last += self._lacks
        return self.last

    async def _ask(self) -> None:
        if time.monotonic() < self._next_ask:
            return
        self._next_ask = time.monotonic() + next(self._pauses)
        try:
            self._lacks = _words(await self._feed.load())
        except AirError:
            # A convenience, so what was known stays.
            return


def _words(load: ClusterLoad) -> str:
    """Say what of a cluster is asked for and cannot be had now, by this job or by others."""
    if not load.demands:
        return ""
    asked = [_bundle(bundle, count) for bundle, count in load.demands[:MOST_DEMANDS]]
    asked += ["…"] if len(load.demands) > MOST_DEMANDS else []
    names = {"CPU", "GPU", *(name for bundle, _ in load.demands[:MOST_DEMANDS] for name in bundle)}
    used = [f"{_amount(name, *load.usage[name])} {name}" for name in sorted(names) if name in load.usage]
    return f"; on the cluster wait: {', '.join(asked)}; in use: {', '.join(used) or 'nothing'}"


def _bundle(bundle: dict[str, float], count: int) -> str:
    wanted = " + ".join(f"{_amount(name, amount)} {name}" for name, amount in bundle.items())
    return wanted if count == 1 else f"{count} x ({wanted})"


def _amount(name: str, *amounts: float) -> str:
    if name in _BYTES:
        return " of ".join(f"{amount / 2**30:.1f} GiB" for amount in amounts)
    return " of ".join(f"{amount:g}" for amount in amounts)

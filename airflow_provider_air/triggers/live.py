"""Hands a running job's records to its attachments, so that a tracker shows them before the job's end."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

from airflow_provider_air.errors import AirError
from airflow_provider_air.hooks.attachments import Riders

log = logging.getLogger(__name__)

HAND_OVER_SECONDS = 10.0
# Where a server is away it is asked ever more seldom, and what it misses it gets at the end.
LONGEST_PAUSE_SECONDS = 300.0
MOST_RECORDS = 10_000
LAST_SECONDS = 5.0


class LiveRecords:
    """
    The records of one watch; for the event loop that watches the job, which never waits for a server.

    Only a convenience: at its end, a job's records are handed over whole.

    :param riders: the JSON form of the job's attachments, or None
    """

    def __init__(self, riders: Mapping[str, Any] | None) -> None:
        self._riders = riders
        self._records: list[Mapping[str, Any]] = []
        self._pause = HAND_OVER_SECONDS
        self._next = time.monotonic() + self._pause
        self._on_its_way: asyncio.Task[None] | None = None

    def note(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Take in new records, and send them on their way where that is due."""
        if self._riders is None:
            return
        self._records = [*self._records, *records][-MOST_RECORDS:]
        is_free = self._on_its_way is None or self._on_its_way.done()
        if self._records and is_free and time.monotonic() >= self._next:
            self._on_its_way = asyncio.create_task(self._hand_over(self._riders, self._records))
            self._records = []

    async def finish(self) -> None:
        """Wait a moment for what is on its way."""
        if self._on_its_way is not None:
            await asyncio.wait([self._on_its_way], timeout=LAST_SECONDS)

    async def _hand_over(self, riders: Mapping[str, Any], records: Sequence[Mapping[str, Any]]) -> None:
        try:
            await asyncio.to_thread(Riders.from_json(riders).tell, records)
            self._pause = HAND_OVER_SECONDS
        except AirError as error:
            self._pause = min(2 * self._pause, LONGEST_PAUSE_SECONDS)
            log.warning("What the job tells is handed over later: %s", error)
        self._next = time.monotonic() + self._pause

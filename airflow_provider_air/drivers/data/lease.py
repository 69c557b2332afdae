"""
One writer at a time in a folder, on any storage that pyarrow opens.

pyarrow writes no object on the condition that there is none, so who wants the folder writes a claim of a name that
nobody else has, lists all claims, and has the folder when it finds its own alone. Of two that claim at once at least
one sees the other, since each writes before it looks: that is so wherever a listing shows what was written before it
(S3, Google Cloud Storage, Azure, HDFS, a local folder). Of those that see each other the first by name stays.
"""

from __future__ import annotations

import json
import time
import uuid
from types import TracebackType
from typing import Any, Dict, List, Optional, Tuple, Type

from ..wire import outages
from ..wire.problems import Unavailable
from . import files

# A claim that has not changed for so long, by its observer's clock, is of a process that is no more.
EXPIRES_SECONDS = 60.0
RENEW_SECONDS = 10.0
POLL_SECONDS = 1.0
# How long to wait for others that are alive.
WAIT_SECONDS = 1800.0


class Clock:
    """Time as it goes; tests have their own."""

    def now(self) -> float:
        """Give seconds since any moment; they only grow."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


class Lease:
    """
    The right to change a folder, while its ``with`` block runs and :meth:`keep` is called in it.

    What remains: a process that stands still for half of :data:`EXPIRES_SECONDS` between its call of :meth:`keep` and
    its next request to the storage does not know yet that another may have taken its place.

    :param filesystem: of pyarrow
    :param folder: where the claims are; made where there is none
    :param holder: who claims, for the messages of those that wait
    """

    def __init__(self, filesystem: Any, folder: str, holder: str, clock: Optional[Clock] = None) -> None:
        self._fs = filesystem
        self._folder = folder
        self._holder = holder
        self._clock = clock or Clock()
        self._claim = ""
        self._renewed = 0.0
        self._beats = 0
        # Claims of others: what was in them, and since when nothing else.
        self._seen: Dict[str, Tuple[bytes, float]] = {}

    def __enter__(self) -> Lease:
        """
        Wait for the folder.

        :raises Unavailable: others have had it for too long, or the storage is away
        """
        end = self._clock.now() + WAIT_SECONDS
        while True:
            # A new name each time: who has seen an earlier claim expire removes that one alone.
            self._claim = uuid.uuid4().hex
            self._renew()
            others = self._others()
            while others and self._claim < others[0] and self._age() < EXPIRES_SECONDS / 2:
                self._wait(end, others)  # they give way, or have the folder and will leave it
                self._renew_in_time()
                others = self._others()
            if not others and self._age() < EXPIRES_SECONDS / 2:
                return self
            self._drop()
            while others:
                self._wait(end, others)
                others = self._others()

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        """Leave the folder to others; where the storage is away, the claim expires."""
        try:
            self._drop()
        except Unavailable as problem:
            print("the claim of %s stays for a minute: %s" % (self._folder, problem), flush=True)

    def keep(self) -> None:
        """
        Say, where it is time to, that this process is alive; to be called before each step that needs the folder.

        :raises Unavailable: this process stood still for so long that another may have taken the folder
        """
        if self._age() >= EXPIRES_SECONDS / 2 or files.read(self._fs, self._at(self._claim)) is None:
            raise Unavailable("output.uri: %s may be another run's by now: this one stood still" % self._folder)
        self._renew_in_time()

    def _age(self) -> float:
        return self._clock.now() - self._renewed

    def _renew_in_time(self) -> None:
        if RENEW_SECONDS <= self._age() < EXPIRES_SECONDS / 2:
            self._renew()

    def _renew(self) -> None:
        self._beats += 1
        content = json.dumps({"holder": self._holder, "beat": self._beats}).encode()
        asked = self._clock.now()
        outages.patiently(lambda: self._put(content), "cannot write to %s" % self._folder)
        self._renewed = asked

    def _put(self, content: bytes) -> None:
        for left in reversed(range(10)):
            try:
                return files.write(self._fs, self._at(self._claim), content)
            except FileNotFoundError:  # who left has removed the empty folder meanwhile
                if not left:
                    raise
        return None

    def _drop(self) -> None:
        files.remove(self._fs, self._at(self._claim))
        files.remove_empty(self._fs, self._folder)

    def _others(self) -> List[str]:
        """List the claims of others that are alive, in order, and remove those that are not."""
        found = []
        for name in sorted(files.files_below(self._fs, self._folder)):
            claim = name[: -len(".json")]
            if claim == self._claim or not name.endswith(".json"):
                continue
            content = files.read(self._fs, self._at(claim))
            if content is None:
                continue
            before, since = self._seen.get(claim, (None, 0.0))
            if before != content:
                self._seen[claim] = (content, self._clock.now())
            elif self._clock.now() - since > EXPIRES_SECONDS:
                files.remove(self._fs, self._at(claim))
                continue
            found.append(claim)
        return found

    def _wait(self, end: float, others: List[str]) -> None:
        if self._clock.now() > end:
            self._drop()
            holder = files.read(self._fs, self._at(others[0])) or b"nobody any more"
            raise Unavailable(
                "output.uri: %s is another run's since more than %.0f s: %s"
                % (self._folder, WAIT_SECONDS, holder.decode(errors="replace"))
            )
        self._clock.sleep(POLL_SECONDS)

    def _at(self, claim: str) -> str:
        return "%s/%s.json" % (self._folder, claim)

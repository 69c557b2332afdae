"""What is being built and since when: a line per stage, and one every 20 seconds while it lasts."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator

SILENCE_SECONDS = 20


def say(line: str) -> None:
    """Print a line where a person sees it, at once."""
    print(line, file=sys.stderr, flush=True)


@contextlib.contextmanager
def stage(what: str, usually: str = "") -> Iterator[None]:
    """Say that ``what`` begins, that it still lasts, and how long it took."""
    began = time.monotonic()
    over = threading.Event()

    def tell() -> None:
        while not over.wait(SILENCE_SECONDS):
            say(f"  … {what}: {time.monotonic() - began:.0f} s")

    say(f"[kubernetes] {what}" + (f" (usually {usually})" if usually else ""))
    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        over.set()
        teller.join()
    say(f"[kubernetes] {what}: done in {time.monotonic() - began:.0f} s")

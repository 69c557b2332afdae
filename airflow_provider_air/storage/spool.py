"""
Streams to and from buckets.

They go through the local disk: memory is bounded, a bucket sees a file whole or not at all, a reader sees one version
of it, and a network error is met in one place instead of in the middle of somebody's loop.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from typing import BinaryIO, cast

# What is smaller stays in memory.
SPOOL_BYTES = 8 * 1024 * 1024


@contextlib.contextmanager
def sent_whole(send: Callable[[BinaryIO], None]) -> Iterator[BinaryIO]:
    """
    Give a file to write into, and send it once its block has ended; where the block raises, nothing is sent.

    :param send: takes the file, from its start
    """
    with _spool() as file:
        yield file
        file.seek(0)
        send(file)


@contextlib.contextmanager
def fetched_whole(fetch: Callable[[BinaryIO], None]) -> Iterator[BinaryIO]:
    """
    Give a file to read from, which has been fetched before.

    :param fetch: writes it
    """
    with _spool() as file:
        fetch(file)
        file.seek(0)
        yield file


def _spool() -> contextlib.AbstractContextManager[BinaryIO]:
    return cast("contextlib.AbstractContextManager[BinaryIO]", tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES))

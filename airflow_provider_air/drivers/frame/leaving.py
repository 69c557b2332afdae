"""The end of a process whose work is done."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import os
import sys
import threading
import traceback
from typing import NoReturn


def leave(code: int) -> NoReturn:
    """
    End the process as Python does, its threads first, but do not take the interpreter apart.

    Threads of native libraries (Ray's, Arrow's) may still run then, and crash now and then: a job whose work is done
    would be FAILED to Ray.
    """
    for end in (threading._shutdown, atexit._run_exitfuncs):  # type: ignore[attr-defined]
        try:
            end()
        except BaseException:
            traceback.print_exc()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    with contextlib.suppress(Exception):
        ctypes.CDLL(None).fflush(None)  # what C libraries have printed
    os._exit(code & 0xFF)

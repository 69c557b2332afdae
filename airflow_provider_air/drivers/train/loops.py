"""The author's training loop: what it raises on a worker, and how that comes home."""

from __future__ import annotations

import functools
import sys
from typing import Any, Callable

from ..wire.failures import STAMP, by_worker, raised_of, stamp, text_of
from ..wire.problems import WorkFailed


class TrainLoopFailed(WorkFailed):
    """The author's loop raised on a worker; the whole story is in the job's log."""


def stamped(loop: Callable[..., Any]) -> Callable[..., Any]:
    """
    Make a loop note on what it raises when that was, and its causes, which Ray drops on the way; runs on each worker.

    What cannot be moved to another process at all, or loses that note, is replaced by its text: else Ray would say that
    the worker is not healthy (2.60).
    """

    @functools.wraps(loop)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return loop(*args, **kwargs)
        except BaseException as error:
            stamp(error)
            if _travels(error):
                raise
            replaced = TrainLoopFailed(str(raised_of(error)))
            stamp(replaced, error)
            raise replaced from error

    return run


def _travels(error: BaseException) -> bool:
    from ray import cloudpickle

    try:
        copy = cloudpickle.loads(cloudpickle.dumps(error))
        return bool(getattr(copy, STAMP, None) == getattr(error, STAMP))
    except Exception:
        return False


def failure(error: BaseException) -> TrainLoopFailed:
    """Give the error for a run that has failed, by the worker that failed first, and tell the log about all of them."""
    failures = getattr(error, "worker_failures", None) or {}
    if len(failures) > 1:
        print("\n".join(by_worker(failures)), file=sys.stderr, flush=True)
    raised = raised_of(error)
    return TrainLoopFailed("\n".join([raised.message, *raised.causes]) if failures else text_of(error))

"""
What a user's own script or function calls to report progress, metrics and its result to Airflow.

In a script submitted with ``records=True``::

    from air_drivers import report

    report.progress("epoch", done=3, total=10)
    report.metric({"rmse": 1.25}, step=3)
    report.result({"rmse": 1.25})

``report.skip("no new files")`` ends the work there, and Airflow skips the task.

In a function of ``@task.ray`` the return value is the result. Outside of such a job all other calls do nothing, so the
same code runs by hand. Only the process of the entrypoint reports; Ray's workers return values to it, or raise. All but
:func:`result` and :func:`skip` never raise: what cannot be passed on is told once, on stderr.
"""

from __future__ import annotations

import os
from typing import Any, Callable, Dict, Mapping, NoReturn, Optional

from .frame import own_records, stored_results
from .frame.metrics import tell_metrics
from .wire.metrics import number_of, text_of
from .wire.names import SUBMISSION_ID
from .wire.problems import Skipped
from .wire.records import RecordWriter, warn
from .wire.texts import shortened

MESSAGE_CHARACTERS = 10_000

_is_given_up = _has_warned = False

# Here, since what ends a script may be an exception of a Ray task, before the script itself has reported anything.
own_records.watch()


def progress(message: str, done: Optional[float] = None, total: Optional[float] = None) -> None:
    """Report how far the work is."""

    def tell(writer: RecordWriter) -> None:
        numbers = {"done": number_of(done), "total": number_of(total)}
        fields: Dict[str, Any] = {name: number for name, number in numbers.items() if number is not None}
        writer.tell("progress", message=shortened(text_of(message), MESSAGE_CHARACTERS), **fields)

    _quietly(tell)


def metric(values: Mapping[str, Any], step: Optional[int] = None) -> None:
    """
    Report numbers, at a step where there is one.

    :param values: nested dicts become ``a/b``; what is no number is left out, see
        :func:`air_drivers.wire.metrics.metrics_of`
    """

    def tell(writer: RecordWriter) -> None:
        at = _step(step)
        tell_metrics(writer, values, **({} if at is None else {"step": at}))

    _quietly(tell)


def checkpoint(uri: str) -> None:
    """Report where a checkpoint was written."""
    _quietly(lambda writer: writer.tell("checkpoint", uri=text_of(uri)))


def result(value: Any) -> None:
    """
    Report the job's result, which becomes the task's XCom; the last one counts.

    One that is too large for the metadata database goes to the task's ``storage``, and the XCom stands for it. What
    does not travel inside of it becomes its short text, and the task's log says where.

    :raises TooLarge: the value is over 4 MiB, and the task has no storage
    :raises RuntimeError: this is another process than the entrypoint's
    """
    writer = own_records.opened()
    if writer is not None:
        stored_results.write(writer, os.environ[SUBMISSION_ID], value, "the result")


def skip(why: str) -> NoReturn:
    """
    End the work because there is nothing to do: Airflow skips the task, as ``AirflowSkipException`` has it skipped.

    Works in Ray's tasks, too, whose exceptions come to the entrypoint; and needs no Airflow on the cluster.

    :raises Skipped: always; what ends the script or function
    """
    raise Skipped(why)


def _quietly(tell: Callable[[RecordWriter], None]) -> None:
    global _is_given_up
    if _is_given_up:
        return
    try:
        writer = own_records.opened()
    except Exception as error:
        _is_given_up = True
        _warn_once("what is reported here does not reach Airflow: %s" % error)
        return
    try:
        if writer is not None:
            tell(writer)
    except Exception as error:  # such as metrics that are no dict
        _warn_once("a report does not reach Airflow: %s: %s" % (type(error).__name__, error))


def _warn_once(message: str) -> None:
    global _has_warned
    if not _has_warned:
        _has_warned = True
        warn(message)


def _step(step: Any) -> Optional[int]:
    try:
        number = int(step)
    except Exception:
        return None
    return number if -(2**63) <= number < 2**63 else None

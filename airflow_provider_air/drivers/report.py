"""
What a user's own script or function calls to report progress, metrics and its result to Airflow.

In a script submitted with ``records=True``::

    from air_drivers import report

    report.progress("epoch", done=3, total=10)
    report.metric({"rmse": 1.25}, step=3)
    report.result({"rmse": 1.25})

``report.skip("no new files")`` ends the work there, and Airflow skips the task.

In a function of ``@task.ray`` the return value is the result. Outside of such a job all other calls do nothing, so the
same code runs by hand. Only the process of the entrypoint reports; Ray's workers return values to it, or raise.
"""

from __future__ import annotations

import os
from typing import Any, Dict, NoReturn, Optional

from .frame import own_records, stored_results
from .wire.names import SUBMISSION_ID
from .wire.problems import Skipped

# Here, since what ends a script may be an exception of a Ray task, before the script itself has reported anything.
own_records.watch()


def progress(message: str, done: Optional[float] = None, total: Optional[float] = None) -> None:
    """Report how far the work is."""
    fields: Dict[str, Any] = {"message": str(message)}
    if done is not None:
        fields["done"] = done
    if total is not None:
        fields["total"] = total
    _write("progress", **fields)


def metric(values: Dict[str, float], step: Optional[int] = None) -> None:
    """Report numbers, at a step where there is one."""
    fields: Dict[str, Any] = {"values": {str(name): float(number) for name, number in values.items()}}
    if step is not None:
        fields["step"] = int(step)
    _write("metric", **fields)


def checkpoint(uri: str) -> None:
    """Report where a checkpoint was written."""
    _write("checkpoint", uri=str(uri))


def result(value: Any) -> None:
    """
    Report the job's result, which becomes the task's XCom; the last one counts.

    One that is too large for the metadata database goes to the task's ``storage``, and the XCom stands for it. What
    does not travel inside of it becomes its short text, and the task's log says where.

    :raises TooLarge: the value is over 4 MiB, and the task has no storage
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


def _write(kind: str, **fields: Any) -> None:
    writer = own_records.opened()
    if writer is not None:
        writer.write(kind, **fields)

"""``airflow air jobs watch``: how a task goes on, from what Airflow's database has of it, until its end."""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_air.cli.screen import Screen, screen
from airflow_provider_air.cli.targets import command
from airflow_provider_air.cli.task_instances import documents_of, name_of, task_instance_of
from airflow_provider_air.errors import RemoteFailureError, UnavailableError
from airflow_provider_air.pages.attempts import OVER
from airflow_provider_air.pages.task_view import task_view
from airflow_provider_air.runs.progress import WRITE_SECONDS

if TYPE_CHECKING:
    from airflow_provider_air.plugin.reading import TaskPath

# Of a state; any other end is 1, as an error of the command is.
EXIT_CODES = {"success": 0, "skipped": 3}
INTERRUPTED = 130
OUTAGE_SECONDS = 15.0

View = Mapping[str, Any]


@command
def watch(args: Namespace) -> None:
    """
    Show a task instance until its end; the exit code tells which it was: 0 success, 3 skipped, 1 any other.

    Neither its end nor Ctrl-C (130) changes anything for the task.
    """
    path = task_instance_of(args)
    shown = screen()
    try:
        state = follow(lambda: view_of(path), shown)
    except KeyboardInterrupt:
        shown.close()
        sys.stderr.write(f"{name_of(path)} goes on; watch it again with the same command\n")
        raise SystemExit(INTERRUPTED) from None
    finally:
        shown.close()
    if code := EXIT_CODES.get(state, 1):
        raise SystemExit(code)


def follow(read: Callable[[], View], shown: Screen, pause: Callable[[float], None] = time.sleep) -> str:
    """
    Show each new view until the task is over. An outage after the first one is told of, and waited out.

    :param read: gives the view now; raises UnavailableError where it cannot be read
    :param pause: waits so many seconds
    :return: Airflow's last state of the task
    """
    is_seen, is_out = False, False
    while True:
        try:
            view = read()
        except UnavailableError as error:
            if not is_seen:
                raise
            if not is_out:
                shown.tell(f"{error.what}. The task goes on meanwhile; this asks again every {OUTAGE_SECONDS:g} s")
            is_out = True
            pause(OUTAGE_SECONDS)
            continue
        if is_out:
            shown.tell("")
        is_seen, is_out = True, False
        shown.show(view)
        state = view["sections"]["task"].get("state")
        if state in OVER:
            return str(state)
        pause(WRITE_SECONDS)


def view_of(path: TaskPath) -> View:
    """
    Give the view of a task instance now.

    :raises RemoteFailureError: it is no longer there
    :raises UnavailableError: the metadata database cannot be read
    """
    documents = documents_of(path)
    if documents is None:
        raise RemoteFailureError(
            "Airflow has the task instance no longer: its run was deleted, or it is mapped anew",
            where=name_of(path),
            hint="Its Ray job, if it has one: airflow air jobs list",
        )
    return {"version": 1, "now": time.time(), "sections": task_view(documents)}

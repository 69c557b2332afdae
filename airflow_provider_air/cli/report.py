"""``airflow air report``: a task's report as one HTML file."""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_air.cli.targets import command
from airflow_provider_air.cli.task_instances import documents_of, name_of, task_instance_of
from airflow_provider_air.errors import ConfigurationError
from airflow_provider_air.pages.lenient import mapping
from airflow_provider_air.pages.report import file_name, render, view_of

if TYPE_CHECKING:
    from airflow_provider_air.plugin.reading import TaskPath

STDOUT = "-"
# A task of which none of these is known has left nothing to report.
TOLD_OF = ("attempts", "metrics", "trials", "result", "serve", "batch")


@command
def write_report(args: Namespace) -> None:
    """Write the report of a task instance, from what Airflow's database has of it, to a file or to stdout."""
    view = _view(task_instance_of(args))
    text = render(view)
    if args.output == STDOUT:
        sys.stdout.buffer.write(text.encode())
        sys.stdout.flush()
        return
    file = Path(args.output or file_name(view))
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(
            f"The report cannot be written: {error.strerror or error}",
            where=str(file),
            hint="Give a file that you may write with --output, or - for stdout",
        ) from error
    sys.stdout.write(f"{file}\n")


def _view(path: TaskPath) -> Mapping[str, Any]:
    documents = documents_of(path)
    view = {} if documents is None else view_of(documents, time.time())
    if not any(mapping(view.get("sections")).get(name) for name in TOLD_OF):
        raise ConfigurationError(
            "Nothing is kept of this task",
            where=name_of(path),
            hint="It has not begun, or Airflow has taken it away: see default_retention_days and clear_on_success of "
            "[state_store], and airflow db clean",
        )
    return view

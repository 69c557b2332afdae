"""
The commands ``airflow air …`` as Airflow's parser sees them.

Airflow imports this file whenever any ``airflow`` command starts, so what a command does is loaded when it runs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from airflow.cli.cli_config import (
    ARG_DAG_ID,
    ARG_LOGICAL_DATE_OR_RUN_ID_OPTIONAL,
    ARG_MAP_INDEX,
    ARG_OUTPUT,
    ARG_TASK_ID,
    ARG_VERBOSE,
    ARG_YES,
    ActionCommand,
    Arg,
    GroupCommand,
    lazy_load_command,
)

_NAME = Arg(("name",), help="Name of a cluster that was made by this provider, or the id of a ray connection")
_MADE = Arg(("name",), help="Name of a cluster that was made by this provider; local ones are seen on their own host")
_WHERE = Arg(("--ray-conn-id",), help="A connection that leads to it, where several have the name", default=None)
_JOB = Arg(("submission_id",), help="Submission id of the job")
_CONNECTION = Arg(("--ray-conn-id",), help="The ray connection (default: ray_default)", default=None)
_CLUSTER = Arg(
    ("--cluster",),
    help="Name of a cluster that was made by this provider, such as a local one of this host; with --ray-conn-id the "
    "one of this name where that connection leads",
    default=None,
)
_OPTIONAL_NAME = Arg(("name",), nargs="?", help="Id of a ray connection (default: ray_default)", default=None)
_AS_JOB = Arg(("--job",), help="The cluster of one task alone, where the connection names none", action="store_true")
_MINE = Arg(("--mine",), help="Only jobs of this Airflow deployment", action="store_true")
_LIVE = Arg(("--live",), help="Only jobs that have not ended", action="store_true")
_FOLLOW = Arg(("-f", "--follow"), help="Go on until the job has ended", action="store_true")
_CONNECTIONS = Arg(
    ("--ray-conn-id",),
    help="Check this connection only; needed for those of a secrets backend, which cannot be listed",
    default=None,
)


_TAKE = Arg(("-y", "--yes"), help="Take what is to go; without it, it is only told", action="store_true")
_STORAGE = Arg(
    ("--storage",),
    help="Also clean this storage: a shared folder, or a URI that an installed package opens; may be repeated",
    action="append",
)
_TASK = (ARG_DAG_ID, ARG_TASK_ID, ARG_LOGICAL_DATE_OR_RUN_ID_OPTIONAL, ARG_MAP_INDEX)
_REPORT = Arg(
    ("-o", "--output"),
    help="The file; - for stdout (default: a file here that is named after the task instance)",
    default=None,
)


def get_air_commands() -> list[GroupCommand]:
    """Give the commands of this provider; called by Airflow's parser."""
    doctor = ActionCommand(
        name="doctor",
        help="Check versions, configuration, connections and clusters; exit with 1 if something is broken",
        func=_later("doctor.doctor"),
        args=(_CONNECTIONS, ARG_OUTPUT, ARG_VERBOSE),
    )
    report = ActionCommand(
        name="report",
        help="Write a task's report, one HTML file: its curves, trials, result and links; of the latest run by default",
        func=_later("report.write_report"),
        args=(*_TASK, _REPORT, ARG_VERBOSE),
    )
    clusters = GroupCommand(name="clusters", help="Ray clusters", subcommands=_cluster_commands())
    jobs = GroupCommand(name="jobs", help="Ray jobs", subcommands=_job_commands())
    return [GroupCommand(name="air", help="Ray clusters and jobs", subcommands=(clusters, jobs, report, doctor))]


def _cluster_commands() -> tuple[ActionCommand, ...]:
    return (
        ActionCommand(
            name="list",
            help="List the clusters that were made, local ones of this host, and those behind ray connections",
            func=_later("clusters.list_clusters"),
            args=(ARG_OUTPUT, ARG_VERBOSE),
        ),
        ActionCommand(
            name="show",
            help="Show one cluster",
            func=_later("clusters.show_cluster"),
            args=(_NAME, ARG_OUTPUT, ARG_VERBOSE),
        ),
        ActionCommand(
            name="manifest",
            help="Print what would be sent to Kubernetes for a ray connection's cluster, as YAML; starts nothing",
            func=_later("clusters.print_manifest"),
            args=(_OPTIONAL_NAME, _CONNECTION, _AS_JOB, ARG_VERBOSE),
        ),
        ActionCommand(
            name="delete",
            help="Delete a cluster that was made by this provider, with all that runs on it",
            func=_later("clusters.delete_cluster"),
            args=(_MADE, _WHERE, ARG_YES, ARG_VERBOSE),
        ),
        ActionCommand(
            name="clean",
            help="Tell what runs that are over have left behind, and take it with --yes",
            func=_later("clean.clean_clusters"),
            args=(_TAKE, _STORAGE, ARG_OUTPUT, ARG_VERBOSE),
        ),
    )


def _job_commands() -> tuple[ActionCommand, ...]:
    where = (_CONNECTION, _CLUSTER)
    return (
        ActionCommand(
            name="list",
            help="List a cluster's jobs with the tasks that they belong to",
            func=_later("jobs.list_jobs_of_cluster"),
            args=(*where, _MINE, _LIVE, ARG_OUTPUT, ARG_VERBOSE),
        ),
        ActionCommand(
            name="logs",
            help="Print a job's whole log",
            func=_later("jobs.print_log"),
            args=(_JOB, *where, _FOLLOW, ARG_VERBOSE),
        ),
        ActionCommand(
            name="stop",
            help="Stop a job and wait for its end",
            func=_later("jobs.stop"),
            args=(_JOB, *where, ARG_VERBOSE),
        ),
        ActionCommand(
            name="watch",
            help="Show a task's progress and curves until its end, of the latest run by default; by Airflow's database",
            description="Exit code: 0 success, 3 skipped, 1 any other end, 130 Ctrl-C, which leaves the task alone.",
            func=_later("watch.watch"),
            args=(*_TASK, ARG_VERBOSE),
        ),
    )


def _later(path: str) -> Callable[..., Any]:
    loaded: Callable[..., Any] = lazy_load_command(f"airflow_provider_air.cli.{path}")
    return loaded

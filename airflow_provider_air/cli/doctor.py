"""``airflow air doctor``: what is broken, and what to do about it."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from itertools import chain

from airflow_provider_air.cli.checks import BROKEN, Finding
from airflow_provider_air.cli.checks import airflow as of_airflow
from airflow_provider_air.cli.checks import connections as of_connections
from airflow_provider_air.cli.checks import local as of_local
from airflow_provider_air.cli.targets import command, ray_connection_ids, show
from airflow_provider_air.errors import AirError

AT_ONCE = 8


@command
def doctor(args: Namespace) -> None:
    """
    Print one finding per check; exits with 1 if something is broken.

    Runs all checks from this host: run it where the workers and the triggerer run.
    """
    findings = list(examine(args.ray_conn_id))
    show([asdict(finding) for finding in findings], args.output)
    if any(finding.verdict == BROKEN for finding in findings):
        raise SystemExit(1)


def examine(ray_conn_id: str | None = None) -> Iterator[Finding]:
    """
    Run all checks.

    :param ray_conn_id: the only connection to look at; all that can be listed by default
    """
    yield from of_airflow.check_versions()
    yield from of_airflow.check_provider()
    yield from of_airflow.check_triggerer()
    yield from of_local.check_local_clusters()
    try:
        names = [ray_conn_id] if ray_conn_id else ray_connection_ids()
    except AirError as error:
        yield Finding("connections", BROKEN, error.what, error.hint or "")
        return
    if not names:
        yield of_connections.no_connections()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield from chain.from_iterable(pool.map(of_connections.check_connection, names))

"""Which cluster a command is about, and what all commands have in common."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from select import poll
from typing import Any

from airflow.cli.simple_table import AirflowConsole
from airflow.models import Connection
from airflow.utils.cli import suppress_logs_and_warning
from airflow.utils.providers_configuration_loader import providers_configuration_loaded
from airflow.utils.session import create_session
from rich.markup import escape
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from airflow_provider_air.clusters.registry import DEFAULT_RAY_CONN_ID, backend_names
from airflow_provider_air.connections.ports import backend_of, chosen
from airflow_provider_air.connections.ray import get_ray_connection
from airflow_provider_air.contracts.clusters import ClusterRef, ClusterSpec, ListedCluster
from airflow_provider_air.errors import AirError, ConfigurationError, UnavailableError
from airflow_provider_air.hooks.ray import RayHook

_ENVIRONMENT_PREFIX = "AIRFLOW_CONN_"
# As of a program that SIGPIPE has ended.
CLOSED_PIPE = 141


def command(function: Callable[[Namespace], None]) -> Callable[[Namespace], None]:
    """
    Make a function a command: an error of ours ends it with exit code 1 and one message, no traceback; where nobody
    reads on, as after ``| head``, it ends with 141 and no message.

    Connections are read as Airflow's own commands read them: from the environment, secrets backends and the
    metadata database, which only server processes may (``_AIRFLOW_PROCESS_CONTEXT``, Airflow 3.3).
    """

    @functools.wraps(function)
    def run(args: Namespace) -> None:
        os.environ["_AIRFLOW_PROCESS_CONTEXT"] = "server"
        try:
            function(args)
            sys.stdout.flush()
        except AirError as error:
            raise SystemExit(str(error)) from None
        except BrokenPipeError:
            if not _is_stdout_closed():
                raise
            # The interpreter flushes it once more at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise SystemExit(CLOSED_PIPE) from None

    prepared: Callable[[Namespace], None] = suppress_logs_and_warning(providers_configuration_loaded(run))
    return prepared


def _is_stdout_closed() -> bool:
    """Whether it is a pipe that nobody reads."""
    try:
        descriptor = sys.stdout.fileno()
    except OSError:
        return False
    asked = poll()
    # For no event: an error is told of in any case.
    asked.register(descriptor, 0)
    return bool(asked.poll(0))


def show(rows: list[dict[str, Any]], output: str) -> None:
    """Print rows as Airflow's commands do, in the format of ``--output``."""
    if output == "table":
        # Else rich takes what stands in brackets, such as an address in a message, for markup.
        rows = [{key: escape(str(value)) for key, value in row.items()} for row in rows]
    AirflowConsole().print_as(rows, output)


def moment(epoch: float) -> str:
    """Give epoch seconds as commands print them: in UTC, as ISO 8601 writes it; what is no moment, as its number."""
    try:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(epoch))
    except (OverflowError, OSError, ValueError):
        return f"{epoch:g}"


@contextlib.contextmanager
def metadata_database() -> Iterator[Session]:
    """
    Open Airflow's metadata database to read it.

    :raises UnavailableError: it cannot be read
    """
    try:
        with create_session() as session:
            yield session
    except SQLAlchemyError as error:
        raise UnavailableError(
            f"Airflow's metadata database cannot be read: {str(error).splitlines()[0]}",
            hint="Run this where AIRFLOW_HOME and the database settings are those of the deployment",
        ) from error


def ray_connection_ids() -> list[str]:
    """
    List the connections of type ``ray``, as :func:`connection_ids` does.

    :raises UnavailableError: the metadata database cannot be read
    """
    return sorted(name for name, kind in connection_ids().items() if kind == RayHook.conn_type)


def connection_ids() -> dict[str, str]:
    """
    List the connections of the metadata database and of this process's environment, with their types.

    Those of a secrets backend cannot be listed.

    :raises UnavailableError: the metadata database cannot be read
    """
    with metadata_database() as session:
        rows = session.execute(select(Connection.conn_id, Connection.conn_type))
        stored = {str(conn_id): str(conn_type) for conn_id, conn_type in rows}
    # The environment wins, as where a connection is read.
    return dict(sorted({**stored, **_types_in_environment()}.items()))


def _types_in_environment() -> dict[str, str]:
    found = {}
    for variable in os.environ:
        name = variable.removeprefix(_ENVIRONMENT_PREFIX).lower()
        with contextlib.suppress(AirError):
            if variable.startswith(_ENVIRONMENT_PREFIX):
                found[name] = get_ray_connection(name).conn_type or ""
    return found


def made_clusters(ray_conn_id: str | None = None) -> list[ListedCluster]:
    """
    List the clusters that we made and that are not gone, of each back end and where each ``ray`` connection leads.

    What cannot be listed is told of.

    :param ray_conn_id: only those where this connection leads
    :raises ConfigurationError: it leads nowhere
    """
    places: list[tuple[str, ClusterSpec | ClusterRef | None]] = []
    if ray_conn_id is not None:
        target = chosen(None, ray_conn_id)
        places.append((target.backend, target))
    else:
        places += [(name, None) for name in backend_names()]
        # Who cannot read the database still has what is listed without a connection.
        with contextlib.suppress(AirError):
            for conn_id in ray_connection_ids():
                with contextlib.suppress(AirError):
                    target = chosen(None, conn_id)
                    places.append((target.backend, target))
    made: dict[str, ListedCluster] = {}
    for name, where in places:
        try:
            for item in backend_of(name).list(where=where):
                # Two connections may lead to one place: the first one's word stays.
                made.setdefault(item.ref.uid or item.ref.key, item)
        except AirError as error:
            sys.stderr.write(f"{error}\n")
    return list(made.values())


def made_cluster(name: str, ray_conn_id: str | None = None) -> ListedCluster:
    """
    Give a cluster that we made and that is not gone.

    :param ray_conn_id: where it is, by the connection that leads there
    :raises ConfigurationError: there is none of this name, or more than one
    """
    found = [listed for listed in made_clusters(ray_conn_id) if listed.ref.name == name]
    if not found:
        raise ConfigurationError(
            f"There is no cluster {name!r} of ours",
            hint="See: airflow air clusters list. Local ones are seen on their own host, by their own user",
        )
    if len(found) > 1:
        raise ConfigurationError(
            f"There are {len(found)} clusters {name!r} of ours: {'; '.join(place_of(each.ref) for each in found)}",
            hint="Say which by --ray-conn-id, a connection that leads there",
        )
    return found[0]


def place_of(ref: ClusterRef) -> str:
    """Say where a cluster is, by its back end and what finds it there."""
    return " ".join([ref.backend, *(f"{name}={value}" for name, value in sorted(ref.details.items()))])


def cluster_of_connection(ray_conn_id: str) -> ClusterRef | None:
    """
    Name the cluster behind a connection; None where each task that uses it starts one of its own.

    :raises ConfigurationError: the connection is absent or malformed
    """
    target = chosen(None, ray_conn_id)
    if isinstance(target, ClusterRef):
        return target
    try:
        return backend_of(target.backend).find(target)
    except ConfigurationError:
        if target.name:
            raise
        return None


def target_of_options(args: Namespace) -> ClusterRef:
    """
    Name the cluster of ``--cluster``, where ``--ray-conn-id`` leads if that is given, too; else of a connection.

    :raises ConfigurationError: there is no such cluster, or several
    """
    if args.cluster:
        return made_cluster(args.cluster, args.ray_conn_id).ref
    ray_conn_id = args.ray_conn_id or DEFAULT_RAY_CONN_ID
    ref = cluster_of_connection(ray_conn_id)
    if ref is None:
        raise ConfigurationError(
            f"The connection {ray_conn_id!r} stands for a cluster that each task starts for itself",
            hint="Name one that runs with --cluster; see: airflow air clusters list",
        )
    return ref

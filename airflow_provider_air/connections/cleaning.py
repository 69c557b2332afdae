"""Where a deployment of Airflow may have left things, by its connections; each place is opened when its turn comes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider_air.attachments.registry import runs_left_at
from airflow_provider_air.clusters.registry import backend_names
from airflow_provider_air.connections.base import get_connection
from airflow_provider_air.connections.deployment import deployment_id
from airflow_provider_air.connections.ports import CONNECTIONS, backend_of, chosen
from airflow_provider_air.errors import AirError, ConfigurationError, UnavailableError
from airflow_provider_air.runs.cleaning import Cleaning, Report, RunState
from airflow_provider_air.runs.left_clusters import cluster_neighbours
from airflow_provider_air.runs.left_files import LeftFiles
from airflow_provider_air.storage.registry import spec_of

if TYPE_CHECKING:
    from airflow_provider_air.contracts.clusters import ClusterRef, ClusterSpec
    from airflow_provider_air.contracts.leftovers import Leftover, Neighbour
    from airflow_provider_air.contracts.names import TaskKey
    from airflow_provider_air.contracts.runs import Log
    from airflow_provider_air.runs.left_clusters import RequestOf

DAY_SECONDS = 86400.0


@dataclass(frozen=True)
class Places:
    """
    Where to look, beside the back ends that look by themselves.

    :param ray_conn_ids: ``ray`` connections: where their clusters are, and on which jobs may be left
    :param clusters: likewise cluster specs, and XComs that name a cluster
    :param tracker_conn_ids: connections of trackers that keep runs open, such as ``mlflow``
    :param storages: as ``storage=`` takes them
    """

    ray_conn_ids: Sequence[str] = ()
    clusters: Sequence[Any] = ()
    tracker_conn_ids: Sequence[str] = ()
    storages: Sequence[Any] = ()


@dataclass(frozen=True)
class Keeping:
    """
    How long things are kept though their DAG run is over.

    :param clusters_seconds: since a cluster was made
    :param files_days: since staged code and joined rows were last used
    :param results_days: since a result was written
    """

    clusters_seconds: float = 3600.0
    files_days: float = 7.0
    results_days: float = 30.0


class Unopened:
    """A neighbour that cannot be opened: it is told of in its turn, like one that is away."""

    def __init__(self, where: str, error: AirError) -> None:
        self.where = where
        self._error = error

    def left(self) -> Iterable[Leftover]:
        """:raises AirError: why it cannot be opened."""
        raise self._error

    def use_of(self, item: Leftover) -> str:
        """:raises AirError: why it cannot be opened."""
        raise self._error

    def take(self, item: Leftover) -> str:
        """:raises AirError: why it cannot be opened."""
        raise self._error


def clean(
    places: Places,
    keeping: Keeping,
    state_of: Callable[[TaskKey], RunState],
    request_of: RequestOf,
    log: Log,
    *,
    only_tell: bool,
) -> Report:
    """
    Look at all places, and take what is to go; blocks.

    :param state_of: says whether the DAG run of a task instance is over
    :param request_of: gives what a person has asked of the cluster that a task instance made, as it is stored
    :raises UnavailableError: Airflow does not say which deployment this is
    """
    deployment = deployment_id()
    cleaning = Cleaning(deployment, state_of, log, only_tell=only_tell)
    return cleaning.clean(_neighbours(places, keeping, deployment, request_of, only_tell=only_tell))


def check(report: Report, *, strict: bool) -> None:
    """
    See that a clean-up is no failure: one that is due again finds what this one has not reached.

    :param strict: whether any neighbour that could not be looked at, and anything that could not be taken, is one
    :raises UnavailableError: no neighbour could be looked at, or what ``strict`` says
    """
    failed = report.count("failed")
    if len(report.outages) == report.asked or (strict and (report.outages or failed)):
        told = "; ".join(f"{where}: {why}" for where, why in report.outages.items()) or f"{failed} things stayed"
        raise UnavailableError(f"The clean-up could not do its work: {told}", hint="The log has a line for each")


def _neighbours(
    places: Places, keeping: Keeping, deployment: str, request_of: RequestOf, *, only_tell: bool
) -> Iterator[Neighbour]:
    targets: list[ClusterSpec | ClusterRef] = []
    for cluster, conn_id in [*((None, one) for one in places.ray_conn_ids), *((one, None) for one in places.clusters)]:
        try:
            targets.append(chosen(cluster, conn_id))
        except AirError as error:
            yield Unopened(f"clusters of {conn_id or cluster!r}", error)
    yield from cluster_neighbours(
        backend_names(),
        targets,
        backend_of,
        deployment,
        keep=keeping.clusters_seconds,
        request_of=request_of,
        only_tell=only_tell,
    )
    for conn_id in places.tracker_conn_ids:
        yield _opened(f"runs of {conn_id}", partial(_runs_at, conn_id))
    for storage in places.storages:
        yield _opened(f"files in {storage!r}", partial(_files_in, storage, keeping, deployment))


def _opened(where: str, open_it: Callable[[], Neighbour]) -> Neighbour:
    try:
        return open_it()
    except AirError as error:
        return Unopened(where, error)


def _runs_at(conn_id: str) -> Neighbour:
    connection = get_connection(conn_id, "Name connections of trackers, such as one of type 'mlflow'")
    return runs_left_at(connection.conn_type or "", conn_id, CONNECTIONS)


def _files_in(storage: Any, keeping: Keeping, deployment: str) -> Neighbour:
    spec = spec_of(storage)
    if not spec.worker_can_open:
        raise ConfigurationError("Only the cluster reaches it", where=spec.uri(), hint="Give it with its connection")
    files, results = DAY_SECONDS * keeping.files_days, DAY_SECONDS * keeping.results_days
    return LeftFiles(spec.open(CONNECTIONS), deployment, {"code": files, "rows": files, "result": results})

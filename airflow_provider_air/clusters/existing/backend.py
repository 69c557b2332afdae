"""Answers for clusters that are simply there."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_air.clusters.jobs_api.backend import JobsApi
from airflow_provider_air.clusters.serve_rest import ServeRest
from airflow_provider_air.clusters.watching import watch_by_looking
from airflow_provider_air.contracts.clusters import (
    ClusterOwner,
    ClusterRef,
    ClusterSpec,
    ClusterState,
    ClusterStatus,
    ListedCluster,
)
from airflow_provider_air.errors import ConfigurationError
from airflow_provider_air.ray_api.client import RayClient
from airflow_provider_air.ray_api.requests import get_version

if TYPE_CHECKING:
    from airflow_provider_air.clusters.existing.spec import ExistingCluster
    from airflow_provider_air.contracts.connections import Connections
    from airflow_provider_air.contracts.jobs import JobBackend, JobRequest
    from airflow_provider_air.contracts.names import TaskKey
    from airflow_provider_air.contracts.runs import AttemptInfo, Clock
    from airflow_provider_air.contracts.serving import ServeBackend
    from airflow_provider_air.ray_api.transport import RayConnection, Transport


class ExistingBackend:
    """
    Use clusters that somebody else runs: nothing is made, extended or deleted.

    :param connections: gives the :class:`~airflow_provider_air.ray_api.transport.RayConnection` of an id
    """

    has_fixed_size: ClassVar[bool] = False

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def name_of(self, spec: ExistingCluster, key: TaskKey, attempt: AttemptInfo | None = None) -> ClusterRef:
        """Name the cluster of the spec's connection."""
        return self.find(spec)

    def check(self, target: ClusterSpec | ClusterRef, request: JobRequest) -> None:
        """Refuse nothing: what is installed there is known there alone."""

    def ensure(
        self, spec: ExistingCluster, ref: ClusterRef, *, owner: ClusterOwner, attempt: AttemptInfo | None = None
    ) -> ClusterRef:
        """Name the cluster; whether it answers is what :meth:`describe` tells."""
        spec.validate()
        return ref

    def find(self, spec: ExistingCluster) -> ClusterRef:
        """:raises ConfigurationError: the connection id is empty."""
        spec.validate()
        return ClusterRef(spec.backend, spec.ray_conn_id, {"ray_conn_id": spec.ray_conn_id})

    def list(
        self, owner: ClusterOwner | None = None, where: ClusterSpec | ClusterRef | None = None
    ) -> Sequence[ListedCluster]:
        """Give none: we made none."""
        return ()

    def describe(self, ref: ClusterRef) -> ClusterStatus:
        """
        Ask for a sign of life, once.

        :raises ConfigurationError: the connection or the token is wrong
        :raises UnavailableError: nobody answers; whether it comes back is not ours to know
        """
        with RayClient(self.open_transport(ref), patience_seconds=0) as client:
            version = client.send(get_version())
        return ClusterStatus(ClusterState.READY, f"Ray {version.ray_version}", incarnation=version.session_name)

    def watch(self, ref: ClusterRef, clock: Clock) -> AsyncGenerator[ClusterStatus]:
        """Look adaptively, together with all that wait for it."""
        return watch_by_looking((ref.backend, ref.name), lambda: self.describe(ref), clock)

    def extend(self, ref: ClusterRef, seconds: float) -> None:
        """Do nothing: it does not expire by us."""

    def delete(self, ref: ClusterRef) -> None:
        """Leave it alone: it is not ours."""

    def prepare_delete(self, ref: ClusterRef) -> Callable[[], None]:
        """Leave it alone: it is not ours."""
        return lambda: None

    def facts(self, ref: ClusterRef) -> Mapping[str, Any]:
        """Give nothing: all that is known of it is asked of Ray."""
        return {}

    def open_transport(self, ref: ClusterRef) -> Transport:
        """:raises ConfigurationError: the connection is absent, malformed, or of another back end."""
        said = self._connection(ref)
        if said.transport is None:
            raise ConfigurationError(
                f"The ray connection {_conn_id(ref)!r} names no address any more, but the back end {said.backend!r}",
                hint="Clear the task, so that it uses the cluster which the connection means now",
            )
        return said.transport

    def jobs(self, ref: ClusterRef) -> JobBackend:
        """Give its Jobs API."""
        return JobsApi(ref, self.open_transport, self._dashboard_url, grafana_url=self._grafana_url)

    def serving(self, ref: ClusterRef) -> ServeBackend:
        """Give its Serve, by REST and driver jobs."""
        return ServeRest(ref, self.open_transport, self._dashboard_url, self._serve_url, grafana_url=self._grafana_url)

    def _dashboard_url(self, ref: ClusterRef) -> str | None:
        return self._connection(ref).dashboard_url

    def _grafana_url(self, ref: ClusterRef) -> str | None:
        return self._connection(ref).grafana_url

    def _serve_url(self, ref: ClusterRef) -> str | None:
        return self._connection(ref).serve_url

    def _connection(self, ref: ClusterRef) -> RayConnection:
        said: RayConnection = self._connections.open("ray", _conn_id(ref))
        return said


def _conn_id(ref: ClusterRef) -> str:
    # The name is the connection's id, too; refs of earlier versions have nothing else.
    return str(ref.details.get("ray_conn_id") or ref.name)

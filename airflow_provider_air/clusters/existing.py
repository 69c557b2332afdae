"""A Ray cluster that somebody else runs, reached by an address."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from airflow_provider_air.clusters.contract import ClusterOwner, ClusterRef, ClusterState, ClusterStatus
from airflow_provider_air.errors import ConfigurationError
from airflow_provider_air.ray_api.client import RayClient
from airflow_provider_air.ray_api.requests import get_version
from airflow_provider_air.ray_api.transport import Transport


@dataclass
class ExistingCluster:
    """
    The cluster at the address of a ``ray`` connection; never created, never deleted by us.

    :param ray_conn_id: the connection with address, token and TLS settings
    """

    backend: ClassVar[str] = "existing"
    template_fields: ClassVar[tuple[str, ...]] = ("ray_conn_id",)

    ray_conn_id: str = "ray_default"
    name: str | None = None

    def validate(self) -> None:
        """:raises ConfigurationError: the connection id is empty."""
        if not isinstance(self.ray_conn_id, str) or not self.ray_conn_id.strip():
            raise ConfigurationError("ExistingCluster needs the id of a ray connection", hint="Set 'ray_conn_id'")


class ExistingBackend:
    """
    Answers for clusters that are simply there.

    :param connect: turns a connection id into a transport
    """

    def __init__(self, connect: Callable[[str], Transport]) -> None:
        self._connect = connect

    def create(self, spec: ExistingCluster, *, name: str, owner: ClusterOwner) -> ClusterRef:
        """:raises ConfigurationError: always; an existing cluster is not ours to create."""
        raise ConfigurationError(
            f"The cluster of connection {spec.ray_conn_id!r} exists already and is not created from here",
            hint="Use it directly with ray_conn_id, or create another kind such as LocalCluster",
        )

    def ensure(self, spec: ExistingCluster, *, name: str, owner: ClusterOwner) -> ClusterRef:
        """Name the cluster; whether it answers is what :meth:`describe` tells."""
        spec.validate()
        return self.find(spec.ray_conn_id)

    def find(self, name: str) -> ClusterRef:
        """Name the cluster of a connection."""
        return ClusterRef(ExistingCluster.backend, name, ray_conn_id=name)

    def describe(self, ref: ClusterRef) -> ClusterStatus:
        """
        Ask for a sign of life, once.

        :raises ConfigurationError: the connection or the token is wrong
        :raises ClusterUnreachableError: nobody answers; whether it comes back is not ours to know
        """
        with RayClient(self.open_transport(ref), patience_seconds=0) as client:
            version = client.send(get_version())
        return ClusterStatus(ClusterState.READY, f"Ray {version.ray_version}")

    def delete(self, ref: ClusterRef) -> None:
        """Leave it alone: it is not ours."""

    def open_transport(self, ref: ClusterRef) -> Transport:
        """:raises ConfigurationError: the reference names no connection."""
        if not ref.ray_conn_id:
            raise ConfigurationError(f"The cluster reference {ref.name!r} names no ray connection")
        return self._connect(ref.ray_conn_id)

    def attach_job(self, ref: ClusterRef, submission_id: str) -> None:
        """Nothing needs to be told."""

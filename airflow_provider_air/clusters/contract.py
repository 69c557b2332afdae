"""
What every way to have a Ray cluster must answer.

A *spec* says what cluster to have, a :class:`ClusterRef` names one that exists, a
:class:`ClusterBackend` turns the one into the other. Backends answer at once; waiting is the caller's.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Protocol, runtime_checkable

from airflow_provider_air.errors import ProtocolError
from airflow_provider_air.ray_api.transport import Transport


class ClusterState(enum.Enum):
    """The life of a cluster as its backend sees it; a cluster that is not there is a state, no error."""

    ABSENT = "absent"
    STARTING = "starting"
    READY = "ready"
    FAILED = "failed"


@dataclass(frozen=True)
class ClusterStatus:
    """
    One look at a cluster.

    :param message: why, in the backend's own words; for FAILED the reason from the cluster's logs
    """

    state: ClusterState
    message: str = ""


@dataclass(frozen=True)
class ClusterRef:
    """
    Names a cluster that exists. Crosses processes as JSON, so it never holds a secret.

    :param backend: the backend's name in the registry, such as ``local``
    :param name: the cluster's name, unique within its backend
    :param ray_conn_id: the Airflow connection that opens it, where there is one
    :param host: the only host that can use it, for clusters that are bound to one
    :param details: what the backend needs to find it again; JSON
    :param owned: whether it belongs to one task and is deleted with that task's end
    """

    backend: str
    name: str
    ray_conn_id: str | None = None
    host: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    owned: bool = False

    def to_json(self) -> dict[str, Any]:
        """Give the JSON form, for XComs and trigger arguments."""
        return {**asdict(self), "details": dict(self.details)}

    @classmethod
    def from_json(cls, data: Any) -> ClusterRef:
        """
        Read the JSON form.

        :raises ProtocolError: it is not the JSON form of a ClusterRef
        """
        try:
            return cls(**data)
        except TypeError:
            raise ProtocolError(
                f"{data!r} does not name a Ray cluster",
                hint="Pass the XCom of a RayCreateClusterOperator, or a cluster spec",
            ) from None


@dataclass(frozen=True)
class ClusterOwner:
    """
    Who a cluster is made for: written into it, so that leaked clusters can be found.

    :param deployment: the Airflow deployment
    :param dag_id, run_id: the DAG run; empty for a cluster that outlives runs
    """

    deployment: str
    dag_id: str = ""
    run_id: str = ""

    def labels(self) -> dict[str, str]:
        """Give the owner as labels."""
        return asdict(self)


@runtime_checkable
class ClusterSpec(Protocol):
    """What an author writes: a plain dataclass whose ``template_fields`` Airflow renders."""

    backend: ClassVar[str]
    template_fields: ClassVar[tuple[str, ...]]
    name: str | None

    def validate(self) -> None:
        """:raises ConfigurationError: a field is wrong; the message names it."""


class ClusterBackend(Protocol):
    """
    One way to have Ray clusters. All calls block, return soon and may be repeated.

    Used by workers, and by the triggerer in a thread.
    """

    def create(self, spec: Any, *, name: str, owner: ClusterOwner) -> ClusterRef:
        """
        Start a new cluster and return at once, before it is ready.

        :raises ConfigurationError: a cluster of this name exists already, or the spec is wrong
        """

    def ensure(self, spec: Any, *, name: str, owner: ClusterOwner) -> ClusterRef:
        """
        Adopt the cluster of this name if it lives and matches the spec, else create it.

        :raises ConfigurationError: a live cluster of this name has another spec
        """

    def find(self, name: str) -> ClusterRef:
        """Name a cluster by its backend's name for it, whether it lives or not."""

    def describe(self, ref: ClusterRef) -> ClusterStatus:
        """
        Report the state now; changes nothing.

        :raises ConfigurationError: the cluster cannot be seen from this host
        :raises UnavailableError: the backend itself does not answer
        """

    def delete(self, ref: ClusterRef) -> None:
        """Delete it with all that it left, and return when it is gone; a cluster that is absent is fine."""

    def open_transport(self, ref: ClusterRef) -> Transport:
        """
        Give a fresh address, headers and TLS settings for one use.

        :raises ClusterNotReadyError: there is no address yet, or no more
        """

    def attach_job(self, ref: ClusterRef, submission_id: str) -> None:
        """Tell the backend about a submitted job, for those that must know; others do nothing."""

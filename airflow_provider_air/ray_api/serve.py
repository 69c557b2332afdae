"""
What Ray Serve says about its applications, by ``GET /api/serve/applications/``.

The first question of a head's life costs it 2 s and some 500 MB of memory, later ones 3-10 ms (Ray 2.60): ask
only where Serve matters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_air.drivers.wire import serve_state
from airflow_provider_air.drivers.wire.serve_state import explain, replicas_of
from airflow_provider_air.errors import ConfigurationError, ProtocolError
from airflow_provider_air.ray_api.requests import Answer, Call, failure_of


@dataclass(frozen=True)
class ServeDeployment:
    """One deployment of an application, and how many of its replicas run."""

    name: str
    status: str
    running_replicas: int
    target_replicas: int


@dataclass(frozen=True)
class ServeApplication:
    """
    One application as Serve runs it.

    :param name: what Serve knows it by; under blue/green ``<application>--<version>``
    :param message: Serve's own words, where it is not well
    """

    name: str
    status: str
    route_prefix: str | None
    message: str
    deployments: Mapping[str, ServeDeployment] = field(default_factory=dict)


@dataclass(frozen=True)
class ServeState:
    """
    One look at Serve.

    :param is_running: whether Serve was started on the cluster
    :param details: the whole answer
    """

    is_running: bool
    details: Mapping[str, Any]

    @classmethod
    def from_api(cls, data: Any) -> ServeState:
        """:raises ProtocolError: this is not what Serve tells of itself."""
        if not isinstance(data, dict) or not isinstance(data.get("applications"), dict):
            raise ProtocolError(f"Serve answered with something that lists no applications: {str(data)[:200]}")
        return cls(bool(data.get("controller_info")), data)

    def names(self) -> list[str]:
        """Give the names of all applications, as Serve knows them."""
        return sorted(serve_state.running(self.details))

    def find(self, application: str) -> ServeApplication | None:
        """Give what serves an application's route, whichever its version; None where there is nothing."""
        found = serve_state.versions_of(self.details, application)
        if not found:
            return None
        live = found[0]
        deployments = {
            name: ServeDeployment(name, str(told.get("status")), *replicas_of(told))
            for name, told in (live.details.get("deployments") or {}).items()
        }
        message = "" if live.status == "RUNNING" else explain(self.details, live.name)
        return ServeApplication(live.name, live.status, live.route, message, deployments)


def get_serve() -> Call[ServeState]:
    """Ask for all of Serve; a cluster on which it does not run answers with no applications."""

    def read(answer: Answer) -> ServeState:
        if answer.status == 501:
            raise ConfigurationError(
                "Ray Serve is not installed on the cluster", hint="Add ray[serve] to the cluster's image"
            )
        if answer.status != 200:
            raise failure_of(answer, "tell what Serve runs")
        return ServeState.from_api(answer.json())

    return Call("GET", "/api/serve/applications/", read)

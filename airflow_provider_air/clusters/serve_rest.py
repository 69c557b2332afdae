"""Rolls applications out by a driver job, and looks at them by Serve's REST API."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote, urlsplit

from airflow_provider_air.clusters.jobs_api.backend import JobsApi
from airflow_provider_air.contracts.serving import ABSENT, ApplicationStatus, DeploymentStatus
from airflow_provider_air.errors import ProtocolError
from airflow_provider_air.ray_api.client import RayClient
from airflow_provider_air.ray_api.serve import get_serve

if TYPE_CHECKING:
    from airflow_provider_air.contracts.clusters import ClusterRef
    from airflow_provider_air.ray_api.transport import Transport

EVERYWHERE = ("0.0.0.0", "::", "")  # noqa: S104
THIS_HOST = ("127.0.0.1", "localhost", "::1")


class ServeRest(JobsApi):
    """
    Serve on a cluster whose dashboard can be reached.

    What its methods promise: :class:`~airflow_provider_air.contracts.serving.ServeBackend`.

    A roll-out is a job of the Jobs API: our Serve driver changes the applications from inside the cluster.

    :param serve_url: gives where clients reach Serve, where somebody has said so; blocks
    :param accepted, grafana_url: as for :class:`~airflow_provider_air.clusters.jobs_api.backend.JobsApi`
    """

    can_gate: ClassVar[bool] = True

    def __init__(
        self,
        ref: ClusterRef,
        open_transport: Callable[[ClusterRef], Transport],
        dashboard_url: Callable[[ClusterRef], str | None] = lambda ref: None,
        serve_url: Callable[[ClusterRef], str | None] = lambda ref: None,
        accepted: Callable[[str], None] = lambda submission_id: None,
        *,
        grafana_url: Callable[[ClusterRef], str | None] = lambda ref: None,
    ) -> None:
        super().__init__(ref, open_transport, dashboard_url, accepted, grafana_url=grafana_url)
        self._serve_url = serve_url

    def application(self, name: str) -> ApplicationStatus:
        """
        Look at what serves an application's route, once; where there is nothing, its message says what there is.

        :raises UnavailableError: the cluster does not answer
        :raises ConfigurationError: Serve is not installed there, or we are not let in
        """
        with RayClient(self.transport(), patience_seconds=0) as client:
            state = client.send(get_serve())
        if not state.is_running:
            return ApplicationStatus(name, ABSENT, message="Serve does not run on the cluster")
        found = state.find(name)
        if found is None:
            known = ", ".join(state.names()) or "none"
            return ApplicationStatus(name, ABSENT, message=f"Serve has no application {name!r}; it has: {known}")
        deployments = {
            known: DeploymentStatus(known, told.status, told.running_replicas, told.target_replicas)
            for known, told in found.deployments.items()
        }
        return ApplicationStatus(found.name, found.status, found.route_prefix, found.message, deployments)

    def endpoint(self, result: Mapping[str, Any]) -> str | None:
        """
        Give what somebody has said, else the dashboard's host with Serve's port, where that is the head itself.

        None where it would be a guess: a proxy is in front of the dashboard (https, a path, headers of its own), or
        Serve listens elsewhere, for a proxy of its own, or not at all.

        :raises ProtocolError: the roll-out told no port
        """
        if said := self._serve_url(self.ref):
            return said.rstrip("/")
        port = result.get("http_port")
        if not isinstance(port, int):
            raise ProtocolError(f"The roll-out told no port of Serve: {str(dict(result))[:200]}")
        host = _head_of(self.transport())
        if host is None or not _answers_at(host, result):
            return None
        scheme = result.get("http_scheme", "http")
        return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"

    def pages(self, submission_id: str | None = None) -> Mapping[str, str]:
        """
        Give the dashboard's pages, Serve's among them.

        :raises AirError: there is no address now
        """
        return {**super().pages(submission_id), "ray_serve_page_url": self.page()}

    def page(self, application: str | None = None) -> str:
        """Give Serve's page in the dashboard, or the application's."""
        below = f"/applications/{quote(application, safe='')}" if application else ""
        return f"{self.base_page()}/#/serve{below}"


def _head_of(transport: Transport) -> str | None:
    """Give the head's host where the dashboard is reached directly: Ray itself has neither TLS nor paths."""
    parts = urlsplit(transport.base_url)
    is_proxy = parts.scheme != "http" or parts.path or transport.headers or transport.agent_url is not None
    return None if is_proxy else parts.hostname


def _answers_at(host: str, result: Mapping[str, Any]) -> bool:
    """Tell whether a proxy of Serve is known to listen at the head's host, as clients reach it."""
    listens = result.get("http_host", EVERYWHERE[0])
    is_there = listens in EVERYWHERE or listens == host or {listens, host} <= set(THIS_HOST)
    # With a root path, requests are to come by a proxy that takes it away (Ray 2.60).
    return is_there and not result.get("http_root_path") and result.get("proxy_location") != "Disabled"

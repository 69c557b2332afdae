"""Rolls applications out by a driver job, and looks at them by Serve's REST API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import quote, urlsplit

from airflow_provider_air.clusters.jobs_api.backend import JobsApi
from airflow_provider_air.contracts.serving import ABSENT, ApplicationStatus, DeploymentStatus
from airflow_provider_air.errors import ProtocolError
from airflow_provider_air.ray_api.client import RayClient
from airflow_provider_air.ray_api.serve import get_serve


class ServeRest(JobsApi):
    """
    Serve on a cluster whose dashboard can be reached.

    What its methods promise: :class:`~airflow_provider_air.contracts.serving.ServeBackend`.

    A roll-out is a job of the Jobs API: our Serve driver changes the applications from inside the cluster.
    """

    can_gate: ClassVar[bool] = True

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

    def endpoint(self, result: Mapping[str, Any]) -> str:
        """
        Give the dashboard's host with Serve's port.

        :raises ProtocolError: the roll-out told no port
        """
        port = result.get("http_port")
        if not isinstance(port, int):
            raise ProtocolError(f"The roll-out told no port of Serve: {str(dict(result))[:200]}")
        host = urlsplit(self.transport().base_url).hostname or "localhost"
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

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

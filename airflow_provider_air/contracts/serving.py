"""What rolls out applications on a cluster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from airflow_provider_air.contracts.jobs import JobBackend

ABSENT = "ABSENT"


@dataclass(frozen=True)
class DeploymentStatus:
    """
    One deployment of an application.

    :param running: replicas that serve
    :param target: replicas that are wanted, or None where that is not known
    """

    name: str
    status: str
    running: int = 0
    target: int | None = None


@dataclass(frozen=True)
class ApplicationStatus:
    """
    One look at an application, whichever its version.

    :param application: what the cluster knows it by; under blue/green ``<application>--<version>``
    :param status: Serve's own word, such as ``RUNNING``; :data:`ABSENT` where there is none
    :param route_prefix: where it answers below Serve's address; None for one without HTTP
    :param message: Serve's own words, where it is not well
    """

    application: str
    status: str
    route_prefix: str | None = None
    message: str = ""
    deployments: Mapping[str, DeploymentStatus] = field(default_factory=dict)


class ServeBackend(JobBackend, Protocol):
    """
    Rolls out applications: an attempt of a Serve workload is submitted to it, followed and stopped like a job.

    Serve by REST runs our driver as a job for it; another kind takes :attr:`PreparedJob.rollout` and needs none.
    """

    can_gate: ClassVar[bool]
    """Whether a version can be tested before it gets the route (blue/green)."""

    def application(self, name: str) -> ApplicationStatus:
        """
        Look at what serves an application's route, once; where there is nothing, its message says what there is.

        :raises UnavailableError: the cluster does not answer
        :raises ConfigurationError: Serve is not installed there, or we are not let in
        """

    def endpoint(self, result: Mapping[str, Any]) -> str | None:
        """
        Give Serve's address as its clients reach it, without a final slash; None where that is not known.

        :param result: what a roll-out reported: ``http_port``, and where it is known ``http_host``,
            ``http_scheme``, ``http_root_path`` and ``proxy_location``
        """

    def page(self, application: str | None = None) -> str | None:
        """Give the page that people open, or None."""

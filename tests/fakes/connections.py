"""Connections from a dict: whatever a test says they lead to, or how they fail."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_air.contracts.connections import AwsCredentials, GoogleToken
from airflow_provider_air.errors import AirError, ConfigurationError


@dataclass
class DictConnections:
    """
    :param given: ``(kind, conn_id)`` to what is opened, or to the error that is raised instead
    """

    given: Mapping[tuple[str, str], Any]
    asked: list[tuple[str, str]] = field(default_factory=list)

    def open(self, kind: str, conn_id: str) -> Any:
        self.asked.append((kind, conn_id))
        found = self.given.get((kind, conn_id))
        if isinstance(found, AirError):
            raise found
        if found is None:
            raise ConfigurationError(f"There is no {kind} connection {conn_id!r}", hint="Write it into the dict")
        return found


@dataclass
class GivenAws:
    """An AWS account whose clients a test makes."""

    conn_id: str
    make_client: Callable[[], Any]
    held: AwsCredentials | None = None

    def client(self, service: str) -> Any:
        assert service == "s3"
        return self.make_client()

    def region(self) -> str | None:
        return None

    def endpoint_url(self, service: str) -> str | None:
        return None

    def credentials(self) -> AwsCredentials | None:
        return self.held


@dataclass
class GivenGoogle:
    """A Google account whose client a test makes."""

    conn_id: str
    make_client: Callable[[], Any]
    held: GoogleToken | None = None

    def storage_client(self) -> Any:
        return self.make_client()

    def credentials(self) -> GoogleToken | None:
        return self.held

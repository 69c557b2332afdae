"""What an author writes to use a Ray cluster that somebody else runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from airflow_provider_air.errors import ConfigurationError


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

"""A place that the Ray cluster reaches by itself, and the worker does not look at."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from airflow_provider_air.addresses import check_bare
from airflow_provider_air.errors import ConfigurationError

if TYPE_CHECKING:
    from airflow_provider_air.contracts.connections import Connections
    from airflow_provider_air.contracts.storage import Storage

_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S")


@dataclass
class ClusterUri:
    """
    What a bare URI as ``storage=`` stands for.

    :param place: such as ``s3://bucket/prefix``; goes to Ray as it is
    """

    template_fields: ClassVar[tuple[str, ...]] = ("place",)
    worker_can_open: ClassVar[bool] = False

    place: str

    def validate(self) -> None:
        """:raises ConfigurationError: it is no URI, or holds a password."""
        if not isinstance(self.place, str) or not _URI.match(self.place):
            raise ConfigurationError(f"'storage' must be a storage, a path or a URI, not {self.place!r}")
        check_bare(self.place, "'storage'", hint="Give S3Storage or GcsStorage, which take them from a connection")

    def uri(self) -> str:
        """Give it as it was written."""
        return self.place

    def open(self, connections: Connections) -> Storage:
        """:raises ConfigurationError: always; a bare URI names no connection."""
        raise ConfigurationError(
            "The worker does not reach this storage: it is a bare URI, without a connection",
            where=self.place,
            hint="Give storage=S3Storage(conn_id, uri), GcsStorage(conn_id, uri) or SharedFolder(path)",
        )

"""How a storage is tried before compute is spent: by doing what a job will do."""

from __future__ import annotations

import contextlib
import secrets
from typing import TYPE_CHECKING

from airflow_provider_air.errors import AirError, ConfigurationError

if TYPE_CHECKING:
    from airflow_provider_air.contracts.storage import Storage


def write_and_read(storage: Storage) -> None:
    """
    Write and read a small file, and remove it where that is allowed: where nothing may be, it stays.

    :raises ConfigurationError: the place is absent or denied, or gives back something else
    :raises UnavailableError: the storage does not answer
    """
    name = f"air-probe-{secrets.token_hex(4)}"
    storage.put(name, b"probe")
    try:
        if storage.read(name) != b"probe":
            raise ConfigurationError("The storage does not return what was written", where=storage.uri())
    finally:
        # A run removes nothing of a storage, so it needs no right to.
        with contextlib.suppress(AirError):
            storage.delete(name)

"""How a storage is tried before compute is spent: by doing what a job will do."""

from __future__ import annotations

import secrets

from airflow_provider_air.contracts.storage import Storage
from airflow_provider_air.errors import ConfigurationError


def write_read_remove(storage: Storage) -> None:
    """
    Write, read and remove a small file.

    :raises ConfigurationError: the place is absent or denied, or gives back something else
    :raises UnavailableError: the storage does not answer
    """
    name = f"air-probe-{secrets.token_hex(4)}"
    storage.put(name, b"probe")
    try:
        if storage.read(name) != b"probe":
            raise ConfigurationError("The storage does not return what was written", where=storage.uri())
    finally:
        storage.delete(name)

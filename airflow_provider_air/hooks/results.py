"""Reads results that are too large for an XCom from where the job has put them."""

from __future__ import annotations

import os
from typing import Any

from airflow_provider_air.connections.airflow import AirflowConnections
from airflow_provider_air.contracts.storage import Storage
from airflow_provider_air.drivers.wire import stored_results
from airflow_provider_air.errors import ConfigurationError, ResultLostError
from airflow_provider_air.storage.registry import spec_of


def load_result(value: Any, storage: Any = None) -> Any:
    """
    Give a Ray task's result, also where its XCom only stands for it; runs in the worker, may read a connection.

    Functions of ``@task.ray`` need no such call: their arguments are read on the cluster.

    :param value: the XCom; one that does not stand for a stored result is returned as it is
    :param storage: the task's ``storage``; a shared folder need not be named again
    :raises ConfigurationError: the result lies elsewhere than in this storage
    :raises ResultLostError: it is gone, or is not what the job wrote
    :raises UnavailableError: the storage does not answer
    """
    if not stored_results.is_stored(value):
        return value
    place = str(value[stored_results.STORED])
    opened, path = _opened(place, storage)
    data = opened.read(path)
    if data is None:
        raise ResultLostError("The stored result is gone", where=place, hint="Clear the task that made it")
    try:
        return stored_results.parse(value, data)
    except (ValueError, TypeError, KeyError) as error:
        raise ResultLostError(f"The stored result cannot be read: {error}", where=place) from error


def _opened(place: str, storage: Any) -> tuple[Storage, str]:
    if storage is None and "://" not in place:
        storage, name = os.path.split(place)
        return spec_of(storage).open(AirflowConnections()), name
    if storage is None:
        raise ConfigurationError("The result lies in a bucket", where=place, hint="Name the task's 'storage', too")
    spec = spec_of(storage)
    root = spec.uri().rstrip("/") + "/"
    if not place.startswith(root):
        raise ConfigurationError(f"The result does not lie in {root}", where=place, hint="Name the task's 'storage'")
    return spec.open(AirflowConnections()), place.removeprefix(root)

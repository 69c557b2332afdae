"""Reads results that are too large for an XCom from where the job has put them."""

from __future__ import annotations

import os
from typing import Any

from airflow_provider_air.drivers import results
from airflow_provider_air.errors import ConfigurationError, ResultLostError
from airflow_provider_air.hooks.storage import open_storage
from airflow_provider_air.storage.contract import Storage
from airflow_provider_air.storage.shared_folder import SharedFolder


def load_result(value: Any, storage: Any = None) -> Any:
    """
    Give a Ray task's result, also where its XCom only stands for it; runs in the worker, may read a connection.

    Functions of ``@task.ray`` need no such call: their arguments are read on the cluster.

    :param value: the XCom; one that does not stand for a stored result is returned as it is
    :param storage: the task's ``storage``; a shared folder need not be named again
    :raises ConfigurationError: the result lies elsewhere than in this storage
    :raises ResultLostError: it is gone, or is not what the job wrote
    """
    if not results.is_stored(value):
        return value
    place = str(value[results.STORED])
    opened, path = _opened(place, storage)
    data = opened.read(path)
    if data is None:
        raise ResultLostError("The stored result is gone", where=place, hint="Clear the task that made it")
    try:
        return results.parse(value, data)
    except (ValueError, TypeError, KeyError) as error:
        raise ResultLostError(f"The stored result cannot be read: {error}", where=place) from error


def _opened(place: str, storage: Any) -> tuple[Storage, str]:
    if storage is None and "://" not in place:
        folder, name = os.path.split(place)
        return SharedFolder(folder), name
    if storage is None:
        raise ConfigurationError("The result lies in a bucket", where=place, hint="Name the task's 'storage', too")
    opened = open_storage(storage)
    root = opened.uri().rstrip("/") + "/"
    if not place.startswith(root):
        raise ConfigurationError(f"The result does not lie in {root}", where=place, hint="Name the task's 'storage'")
    return opened, place.removeprefix(root)

"""Makes of XComs that stand for results what they stand for."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from airflow_provider_air.connections.airflow import AirflowConnections
from airflow_provider_air.connections.arguments import is_of_mapped_tasks
from airflow_provider_air.drivers.wire import stored_results
from airflow_provider_air.errors import ConfigurationError, ResultLostError
from airflow_provider_air.storage.registry import spec_of

if TYPE_CHECKING:
    from airflow_provider_air.contracts.storage import Storage


def load_result(value: Any, storage: Any = None) -> Any:
    """
    Give a Ray task's result, also where its XCom only stands for it, or for a part of it.

    Large results are in the task's storage; bytes, numpy arrays and whatever else Airflow's XComs do not carry are in
    the XCom in another form. Functions of ``@task.ray`` need no such call: their arguments are read on the cluster.
    Runs in the worker, may read a connection; arrays need numpy here, tables their library and pyarrow.

    :param value: the XCom, also those of a mapped task, as a list then; what stands for nothing is returned as it is
    :param storage: the task's ``storage``; a shared folder need not be named again
    :raises ConfigurationError: the result lies elsewhere than in this storage, or is a table without its library here
    :raises ResultLostError: it is gone, or is not what the job wrote
    :raises UnavailableError: the storage does not answer
    """
    value = list(value) if is_of_mapped_tasks(value) else value
    return stored_results.restored(value, lambda told: _read(told, storage))


def _read(value: dict[str, Any], storage: Any) -> Any:
    place = str(value[stored_results.STORED])
    opened, path = _opened(place, storage)
    data = opened.read(path)
    if data is None:
        raise ResultLostError("The stored result is gone", where=place, hint="Clear the task that made it")
    try:
        return stored_results.parse(value, data, lambda told: _read(told, storage))
    except ImportError as error:
        hint = "Install it where this task runs, or read the table in a @task.ray"
        raise ConfigurationError(f"The stored table needs {error.name!r}", where=place, hint=hint) from error
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

"""
The border for arguments: what Airflow hands to a task, as a cluster without Airflow and its libraries takes it.

Results come the other way, see :mod:`airflow_provider_air.connections.values`.
"""

from __future__ import annotations

import copy
import datetime
from collections.abc import Mapping, Sequence
from typing import Any

from airflow_provider_air.errors import ConfigurationError


def plain_argument(value: Any) -> Any:
    """
    Give an argument in Python's own types: what mapped tasks have returned as a list, pendulum's moments as datetimes.

    Also inside of lists, tuples, sets and dicts. All else is given as it is, the same object. Runs in the worker, and
    reads the XComs that it is to list.

    :raises ConfigurationError: it holds itself, or cannot be made anew
    """
    try:
        return _plain(value)
    except RecursionError as error:
        raise ConfigurationError("An argument holds itself, or is nested too deeply to travel") from error


def _plain(value: Any) -> Any:
    if hasattr(type(value), "__factory__"):  # a lazy_object_proxy: Airflow wraps what it would have to ask for
        return _plain(value.__wrapped__)
    origin = _origin(value)
    if is_of_mapped_tasks(value):
        return [_plain(item) for item in value]
    if origin == "airflow" and isinstance(value, Mapping) and not isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (datetime.date, datetime.time, datetime.timedelta)):
        return _without_pendulum(value, origin)
    if isinstance(value, dict):
        return _changed_dict(value)
    if isinstance(value, (list, tuple, set, frozenset)):
        return _changed_items(value)
    return value


def is_of_mapped_tasks(value: Any) -> bool:
    """Tell whether it is what mapped tasks have returned, which Airflow reads item by item."""
    return _origin(value) == "airflow" and isinstance(value, Sequence) and not isinstance(value, (str, tuple, list))


def _origin(value: Any) -> str:
    return str(type(value).__module__).partition(".")[0]


def _without_pendulum(value: Any, origin: str) -> Any:
    """Give a moment as Python's own, by its offset: pendulum is pickled by name, and a cluster need not have it."""
    if isinstance(value, datetime.timedelta):
        microseconds = datetime.timedelta.__floordiv__(value, datetime.timedelta(microseconds=1))
        return datetime.timedelta(microseconds=microseconds) if origin == "pendulum" else value
    if origin != "pendulum" and _origin(getattr(value, "tzinfo", None)) != "pendulum":
        return value
    for kind in (datetime.datetime, datetime.date, datetime.time):
        if isinstance(value, kind):
            return kind.fromisoformat(value.isoformat())
    return value


def _changed_dict(value: dict[Any, Any]) -> dict[Any, Any]:
    pairs = [(_plain(key), _plain(item)) for key, item in value.items()]
    # A moment of pendulum's is equal to the one of Python's.
    if all(key is old and item is value[old] for (key, item), old in zip(pairs, value, strict=True)):
        return value
    found = copy.copy(value)
    found.clear()
    # A Counter's update would count the pairs.
    for key, item in pairs:
        found[key] = item
    return found


def _changed_items(value: Any) -> Any:
    items = [_plain(item) for item in value]
    if all(new is old for new, old in zip(items, value, strict=True)):
        return value
    if isinstance(value, tuple) and hasattr(value, "_make"):
        return value._make(items)
    if isinstance(value, list):
        found = copy.copy(value)
        found[:] = items
        return found
    try:
        return type(value)(items)
    except TypeError as error:
        raise ConfigurationError(
            f"An argument is a {type(value).__name__} that cannot be made anew with Python's own types inside: {error}",
            hint="Pass a plain tuple or set",
        ) from error

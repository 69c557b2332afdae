"""The author's functions on their way to the cluster: by import path, or pickled into the job's payload."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from airflow_provider_air.errors import ConfigurationError
from airflow_provider_air.workloads.function import function_payload, unpickler

Code = str | Callable[..., Any]
IMPORT_PATH = re.compile(r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*(:|\.)[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$")


def check(code: Code, field: str) -> None:
    """
    Check that ``code`` is an import path or something to call.

    :raises ConfigurationError: it is neither; the message names ``field``
    """
    if callable(code):
        return
    if not isinstance(code, str) or not IMPORT_PATH.match(code):
        raise ConfigurationError(
            f"'{field}' must be a function or an import path, not {code!r}",
            hint="Write 'module:function', importable from the working_dir",
        )


def pack(code: Code, field: str, code_folders: Sequence[str]) -> tuple[Any, dict[str, bytes]]:
    """
    Give what the driver's config says about ``code``, and the payload files that this needs.

    Runs in the worker.

    :param code_folders: modules whose files lie below one of these travel by value
    :raises ConfigurationError: it cannot be pickled
    """
    check(code, field)
    if isinstance(code, str):
        return code, {}
    call = function_payload(code, (), {}, code_folders=code_folders)
    file = f"{field}.pkl"
    return {"payload": file, "python": json.loads(call["config.json"])["python"]}, {
        file: call["call.pkl"],
        **unpickler(),
    }


def pack_within(value: Any, field: str, code_folders: Sequence[str]) -> tuple[Any, dict[str, bytes]]:
    """
    Pack every callable that stands anywhere in a field, as :func:`pack` does one that is all of it.

    :raises ConfigurationError: one cannot be pickled
    """
    files: dict[str, bytes] = {}
    count = iter(range(1_000_000))

    def packed(function: Callable[..., Any]) -> Any:
        told, pickles = pack(function, f"{field}-{next(count)}", code_folders)
        files.update(pickles)
        return told

    return _replaced(value, packed), files


def told(value: Any) -> Any:
    """Give a field for people and trackers to read: callables by their names, the same in each try."""
    return _replaced(value, lambda function: getattr(function, "__qualname__", type(function).__qualname__))


def callables_in(value: Any) -> list[Callable[..., Any]]:
    """Find the callables that stand anywhere in a value: their modules may have to travel."""
    found: list[Callable[..., Any]] = []
    _replaced(value, found.append)
    return found


def _replaced(value: Any, replace: Callable[[Callable[..., Any]], Any]) -> Any:
    if isinstance(value, Mapping):
        return {key: _replaced(item, replace) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_replaced(item, replace) for item in value]
    return replace(value) if callable(value) else value

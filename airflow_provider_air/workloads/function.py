"""
A Python function as a job: pickled by value, so that the cluster needs no copy of the DAG file.

Airflow imports DAG files under made-up module names, and helper modules beside them exist on workers only:
both would be pickled by reference to names that the cluster does not know.
"""

from __future__ import annotations

import functools
import inspect
import io
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from airflow_provider_air.errors import ConfigurationError
from airflow_provider_air.workloads import pickling

ENTRYPOINT = "python -m air_drivers.function"


def function_payload(
    function: Callable[..., Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    *,
    code_folders: Sequence[str],
) -> dict[str, bytes]:
    """
    Pickle a call for ``drivers/function``; runs in the worker.

    :param function: a function, or whatever else can be called
    :param code_folders: modules whose files lie below one of these travel by value
    :raises ConfigurationError: something cannot be pickled; the message names the argument
    """
    python = f"{sys.version_info[0]}.{sys.version_info[1]}"
    name = getattr(code_of(function), "__name__", "?")
    with _by_value(_local_modules(function, code_folders)):
        for argument, value in [*((f"argument {i + 1}", v) for i, v in enumerate(args)), *kwargs.items()]:
            _pickle(value, f"The argument {argument!r} of {name}()")
        call = _pickle((function, tuple(args), dict(kwargs)), f"The function {name}()")
    return {"config.json": json.dumps({"python": python}).encode(), "call.pkl": call, **unpickler()}


def code_of(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give the function, method or class that a callable runs: of a ``partial``, a decorated one, an object."""
    while isinstance(function, functools.partial):
        function = function.func
    function = inspect.unwrap(function)
    return function if inspect.isroutine(function) or inspect.isclass(function) else type(function)


def unpickler() -> dict[str, bytes]:
    """Give the cloudpickle that makes the pickles, for the payload: another version need not understand them."""
    import cloudpickle

    folder = Path(cloudpickle.__file__).parent
    return {f"cloudpickle/{file.name}": file.read_bytes() for file in sorted(folder.glob("*.py"))}


def _pickle(value: Any, what: str) -> bytes:
    data = io.BytesIO()
    try:
        pickling.pickler(data).dump(value)
    except Exception as error:  # any class's __reduce__ may raise anything
        raise ConfigurationError(
            f"{what} cannot be pickled: {type(error).__name__}: {error}",
            hint="Pass plain data, and open connections, files and clients inside the function",
        ) from error
    return data.getvalue()


def _local_modules(function: Callable[..., Any], folders: Sequence[str]) -> Iterator[ModuleType]:
    yield pickling  # what it makes there is not on the cluster either
    roots = [Path(folder).resolve() for folder in folders]
    own = sys.modules.get(code_of(function).__module__)
    if own is not None and own.__name__ != "__main__":
        yield own
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if module is own or not isinstance(module, ModuleType) or not file or "site-packages" in file:
            continue
        # Both ends: the folder may be reached by a link, as git-sync makes one.
        path = Path(file).resolve()
        if any(root in path.parents for root in roots) and not module.__name__.startswith("airflow_provider_air"):
            yield module


@contextmanager
def _by_value(modules: Iterator[ModuleType]) -> Iterator[None]:
    import cloudpickle

    before = set(cloudpickle.list_registry_pickle_by_value())
    # A module may stand in sys.modules under another name than its own: then it cannot be registered.
    # Or under two names, as the main module does in a child of multiprocessing.
    new = {m.__name__: m for m in modules if m.__name__ not in before and sys.modules.get(m.__name__) is m}
    for module in new.values():
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in new.values():
            cloudpickle.unregister_pickle_by_value(module)

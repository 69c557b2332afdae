"""The author's function needs no ``ray.init()``: this process joins the cluster when it first asks something of Ray."""

from __future__ import annotations

import functools
import importlib.util
import os
import sys
from typing import Any, Callable, Optional, Sequence

# Ray connects by itself for all calls but these (2.60: NON_AUTO_INIT_APIS of ray/__init__.py).
ASKING = ("nodes", "cluster_resources", "available_resources", "timeline")
# What Ray itself obeys.
_AUTO_CONNECT = "RAY_ENABLE_AUTO_CONNECT"


def connect_when_asked() -> None:
    """
    Have Ray's questions about the cluster connect first, as all its other calls do; costs nothing without ``ray``.

    Nothing is connected before: a function that calls ``ray.init()`` itself, with whatever arguments, is the first.
    """
    if os.environ.get(_AUTO_CONNECT) == "0":
        return
    if "ray" in sys.modules:
        _prepare(sys.modules["ray"])
    else:
        sys.meta_path.insert(0, _WhenImported())


def _prepare(ray: Any) -> None:
    for name in ASKING:
        ask = getattr(ray, name)
        connected = _connected_first(ray, ask)
        # Where it is defined, too: what a function has imported by name is found there, and what Ray Data's actors
        # hold (2.60) travels by its name, which must be that of the same object.
        for module in (ray, sys.modules[ask.__module__]):
            setattr(module, name, connected)


def _connected_first(ray: Any, ask: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(ask)
    def connected(*args: Any, **kwargs: Any) -> Any:
        if not ray.is_initialized():
            ray.init()
        return ask(*args, **kwargs)

    return connected


class _WhenImported:
    """Finds no module; has ``ray`` prepared once it is imported."""

    def find_spec(self, name: str, path: Optional[Sequence[str]] = None, target: Any = None) -> Any:
        if name != "ray":
            return None
        sys.meta_path.remove(self)
        spec: Any = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def execute_and_prepare(module: Any) -> None:
            execute(module)
            _prepare(module)

        spec.loader.exec_module = execute_and_prepare
        return spec

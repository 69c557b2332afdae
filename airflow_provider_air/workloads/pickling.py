"""
A pickler for code whose module is not on the cluster: cloudpickle's, with what that leaves to names.

What is made here on a cluster is pickled again there, by Ray's own cloudpickle: so it travels by value, and says itself
how it is pickled.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import io
import pickle
import sys
import typing
from collections.abc import Callable, Mapping
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cloudpickle import Pickler


class CachedFunction:
    """What ``functools.lru_cache`` makes of a function, but for its pickle: Python's own is a name; the cache stays."""

    def __init__(self, function: Callable[..., Any], parameters: Mapping[str, Any]) -> None:
        cached = functools.lru_cache(**parameters)(function)
        functools.update_wrapper(self, function)
        self._cached = cached
        self.cache_info, self.cache_clear = cached.cache_info, cached.cache_clear
        self.cache_parameters = cached.cache_parameters

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._cached(*args, **kwargs)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else MethodType(self, instance)

    def __reduce__(self) -> Any:
        return CachedFunction, (self._cached.__wrapped__, self.cache_parameters())


class CachedProperty(functools.cached_property):  # type: ignore[type-arg]
    """Python's own, which has a lock up to 3.11."""

    def __reduce__(self) -> Any:
        return cached_property, (self.func, self.attrname)


def cached_property(function: Callable[[Any], Any], name: str | None) -> CachedProperty:
    """Make a property of this name, which nobody tells it where a class comes out of a pickle."""
    made = CachedProperty(function)
    made.attrname = name
    return made


def pickler(file: io.BytesIO) -> Pickler:
    """Give the pickler that writes to a file."""
    import cloudpickle

    class ByValue(cloudpickle.Pickler):  # type: ignore[misc]  # untyped
        def reducer_override(self, value: Any) -> Any:
            reduced = _reduced(value)
            return _with_hints_as_text(value, super().reducer_override(value)) if reduced is None else reduced

    return ByValue(file)


def _reduced(value: Any) -> Any:
    """Give the parts to make a value of, where these are others than Python's; else None."""
    kind = type(value)
    if kind is functools._lru_cache_wrapper and _is_local(value):
        return CachedFunction, (value.__wrapped__, value.cache_parameters())
    if kind is functools.cached_property:
        return cached_property, (value.func, value.attrname)
    if kind is typing.NewType and _is_local(value):
        return typing.NewType, (value.__name__, value.__supertype__)
    if kind is dataclasses.Field:
        make, arguments, (_, fields), *_ = value.__reduce_ex__(pickle.HIGHEST_PROTOCOL)
        return make, arguments, (None, {**fields, "type": _class_hint(fields["type"])})
    return None


def _with_hints_as_text(value: Any, reduced: Any) -> Any:
    """Have type hints travel as text, as ``from __future__ import annotations`` makes them."""
    if not isinstance(reduced, tuple) or len(reduced) < 3:
        return reduced
    # Sources: cloudpickle 3.1, _function_getstate and _class_getstate
    state, to_hint = (reduced[2][1], _as_text) if isinstance(value, FunctionType) else (reduced[2][0], _class_hint)
    if state.get("__annotations__"):
        state["__annotations__"] = {name: to_hint(hint) for name, hint in state["__annotations__"].items()}
    return reduced


def _class_hint(hint: Any) -> Any:
    # Those of a class may be read where they are known, as of a dataclass by a parser of arguments.
    return hint if _travels(hint) else _as_text(hint)


def _as_text(hint: Any) -> str:
    return hint if isinstance(hint, str) else inspect.formatannotation(hint)


def _travels(hint: Any) -> bool:
    """Whether a type hint is of nothing but the standard library and what travels by value."""
    parts = hint if isinstance(hint, (list, tuple)) else typing.get_args(hint)
    if parts:
        return all(map(_travels, (typing.get_origin(hint), *parts)))
    kind = hint if isinstance(hint, type) else type(hint)
    return kind.__module__.partition(".")[0] in sys.stdlib_module_names or _is_local(kind)


def _is_local(value: Any) -> bool:
    """Whether it is known only here by its name: it is of a module that travels by value, or of none."""
    from cloudpickle.cloudpickle import _is_registered_pickle_by_value, _lookup_module_and_qualname

    found = _lookup_module_and_qualname(value)
    return found is None or bool(_is_registered_pickle_by_value(found[0]))

"""
Objects that an author names in plain fields: Ray's config classes, searchers, schedulers, stoppers, callbacks.

What a field takes says the signature of the class that has it. An object is an import path (or a shipped callable), or
``{"name": PATH, "args": {...}}``; of a class that the signature names, also the dict of its fields.
"""

from __future__ import annotations

import collections.abc
import importlib
import inspect
import re
import typing
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from ..wire import imports
from ..wire.problems import ConfigurationProblem

# Where a class is that a signature names in quotes, for type checkers alone (Ray 2.60).
PUBLIC = ("ray.train", "ray.tune", "ray.data")
# What Ray gives a parameter that it takes no longer, so as to complain of any other value.
DEPRECATED = "DEPRECATED"
# What classes raise at arguments that they do not take.
REFUSALS = (TypeError, ValueError, AttributeError, AssertionError, DeprecationWarning)
# An import path without a colon.
DOTTED = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+")
_PLAIN = (str, bytes, int, float, bool, dict, list, tuple, set)


def named(spec: Any) -> Tuple[Any, Dict[str, Any]]:
    """Give what is named by ``NAME`` or ``{"name", "args"}``, and its arguments."""
    return (spec["name"], dict(spec.get("args") or {})) if _is_named(spec) else (spec, {})


def found(name: Any, field: str, within: Optional[str] = None) -> Any:
    """
    Give what an import path names; what is no text is it already.

    :param within: the module of a name that is no path
    :raises ConfigurationProblem: there is no such thing
    """
    if not isinstance(name, str):
        return name
    is_path = ":" in name or "." in name
    return imports.by_path(name if is_path or within is None else "%s:%s" % (within, name), field)


def made(spec: Any, field: str, within: Optional[str] = None) -> Any:
    """
    Give an object: what a class or function gives when it is called, or what an import path names.

    :param spec: a name, a callable, or ``{"name", "args"}``
    :param within: the module of a name that is no path
    :raises ConfigurationProblem: there is none, or it refuses its arguments
    """
    name, args = named(spec)
    thing = found(name, field, within)
    if inspect.isclass(thing) or inspect.isroutine(thing) or args:
        return called(thing, args, field)
    return thing


def called(chosen: Callable[..., Any], args: Mapping[str, Any], field: str) -> Any:
    """
    Call a class or function with fields of JSON, each made into what its signature says.

    :raises ConfigurationProblem: it has no such parameter, or refuses a value; the message says what there is
    """
    fields = fitted(chosen, args, field)
    try:
        return chosen(**fields)
    except REFUSALS as error:
        raise ConfigurationProblem("%s: %s" % (field, error)) from error


def fitted(
    chosen: Callable[..., Any], args: Mapping[str, Any], field: str, without: Sequence[str] = ()
) -> Dict[str, Any]:
    """
    Make fields of JSON into what a signature says.

    :param without: parameters that are not the author's to give, for the message
    :raises ConfigurationProblem: there is no such parameter, or one cannot be made
    """
    parameters = _parameters(chosen)
    if parameters is None:
        return dict(args)
    takes_any = any(each.kind is each.VAR_KEYWORD for each in parameters.values())
    names = [name for name, each in parameters.items() if _is_offered(each) and name not in without]
    for name in sorted(set(args) - set(parameters)):
        if not takes_any:
            raise ConfigurationProblem(
                "%s: %s has no %r; it has %s" % (field, _name_of(chosen), name, ", ".join(names) or "no arguments")
            )
    hints = _hints(chosen)
    return {
        name: _fit(value, hints.get(name, inspect.Parameter.empty), chosen, "%s.%s" % (field, name))
        for name, value in args.items()
    }


def _is_named(spec: Any) -> bool:
    if not isinstance(spec, dict) or not set(spec) <= {"name", "args"}:
        return False
    return isinstance(spec.get("name"), str) or callable(spec.get("name"))


def _name_of(chosen: Any) -> str:
    return str(getattr(chosen, "__name__", type(chosen).__name__))


def _is_offered(parameter: inspect.Parameter) -> bool:
    by_name = parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    return by_name and parameter.name != "self" and not _is_deprecated(parameter.default)


def _is_deprecated(default: Any) -> bool:
    return isinstance(default, str) and default == DEPRECATED


def _parameters(chosen: Any) -> Optional[Mapping[str, inspect.Parameter]]:
    try:
        return inspect.signature(chosen).parameters
    except (TypeError, ValueError):  # such as of a class that is written in C
        return None


def _hints(chosen: Any) -> Dict[str, Any]:
    """Give the annotations by parameter; what type checkers alone can resolve stays text."""
    target = chosen.__init__ if inspect.isclass(chosen) else chosen
    try:
        return dict(typing.get_type_hints(target))
    except Exception:
        return {name: each.annotation for name, each in (_parameters(chosen) or {}).items()}


def _fit(value: Any, annotation: Any, home: Any, field: str) -> Any:
    """Make one value into what its annotation says; what the annotation does not speak of stays as it is."""
    kinds = list(_kinds(annotation))
    classes = [kind for kind in (_resolved(kind, home) for kind in kinds) if kind is not None]
    if isinstance(value, (list, tuple)):
        inner = [argument for kind in kinds for argument in _elements(kind, list)]
        return [_fit(item, inner[0], home, "%s[%d]" % (field, at)) for at, item in enumerate(value)] if inner else value
    if _is_named(value) and (classes or not _takes(kinds, dict)):
        return made(value, field)
    if isinstance(value, dict):
        return _of_dict(value, kinds, classes, home, field)
    if isinstance(value, str) and (_takes(kinds, str) or not (classes or _is_path(value, kinds))):
        return value
    if isinstance(value, str) or inspect.isclass(value) or inspect.isroutine(value):
        thing = found(value, field)
        return called(thing, {}, field) if kinds and _is_maker(thing, kinds, classes) else thing
    return value


def _is_path(value: str, kinds: List[Any]) -> bool:
    """Tell whether a text names something where no text is taken; one without a colon, where a function is."""
    return bool(kinds) and (":" in value or (_takes_functions(kinds, []) and bool(DOTTED.fullmatch(value))))


def _is_maker(thing: Any, kinds: List[Any], classes: List[Any]) -> bool:
    """Tell whether what is meant is not this class or function, but what it gives."""
    if inspect.isclass(thing):
        if any(typing.get_origin(kind) is type or kind is type for kind in kinds):
            return False
        return not _takes_functions(kinds, classes) or any("__call__" in vars(base) for base in thing.__mro__)
    return inspect.isroutine(thing) and not _takes_functions(kinds, classes)


def _of_dict(value: Dict[str, Any], kinds: List[Any], classes: List[Any], home: Any, field: str) -> Any:
    inner = [argument for kind in kinds for argument in _elements(kind, dict)]
    # Ray 2.60 has one that takes an object, and says that it takes them by name.
    each = [kind for kind in (_resolved(argument, home) for argument in inner) if kind is not None]
    for kind in (*classes, *each):
        if set(value) <= set(_parameters(kind) or ()) and not _takes(kinds, dict):
            return called(kind, value, field)
    if inner:
        return {key: _fit(item, inner[0], home, "%s.%s" % (field, key)) for key, item in value.items()}
    if classes and not _takes(kinds, dict):
        return called(classes[0], value, field)  # says which of its fields there is not
    return value


def _kinds(annotation: Any) -> Iterator[Any]:
    """List what an annotation allows, but for None."""
    if annotation is inspect.Parameter.empty or annotation is type(None) or annotation is Any:
        return
    origin = typing.get_origin(annotation)
    if origin is typing.Union or type(annotation).__name__ == "UnionType":
        for argument in typing.get_args(annotation):
            yield from _kinds(argument)
    else:
        yield annotation


def _elements(kind: Any, container: type) -> List[Any]:
    """Give what ``List[X]`` or ``Dict[str, X]`` holds, where that is more than plain values."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    is_it = inspect.isclass(origin) and issubclass(container, origin)
    return [arguments[-1]] if is_it and arguments and not _is_plain(arguments[-1]) else []


def _is_plain(annotation: Any) -> bool:
    return all(
        kind in _PLAIN or (typing.get_origin(kind) in _PLAIN and all(map(_is_plain, typing.get_args(kind))))
        for kind in _kinds(annotation)
    )


def _takes(kinds: List[Any], plain: type) -> bool:
    """Tell whether a value of a plain type is meant as it is."""
    for kind in kinds:
        if kind is plain or (typing.get_origin(kind) is plain and not _elements(kind, plain)):
            return True
        if typing.get_origin(kind) is typing.Literal and plain in map(type, typing.get_args(kind)):
            return True
        if plain is dict and kind in (typing.Dict, typing.Mapping, collections.abc.Mapping):
            return True
    return False


def _takes_functions(kinds: List[Any], classes: List[Any]) -> bool:
    if any(typing.get_origin(kind) is collections.abc.Callable or kind is typing.Callable for kind in kinds):
        return True
    return any(getattr(kind, "_is_protocol", False) and "__call__" in vars(kind) for kind in classes)


def _resolved(kind: Any, home: Any) -> Any:
    """Give the class that is meant, or None where it is a plain type or cannot be found."""
    if isinstance(kind, typing.ForwardRef):
        kind = kind.__forward_arg__
    if isinstance(kind, str):
        kind = _by_name(kind, home)
    return kind if inspect.isclass(kind) and kind.__module__ not in ("builtins", "typing") else None


def _by_name(name: str, home: Any) -> Any:
    """Look for a class where its user is defined, in the packages above that, and in Ray's public ones."""
    parts = str(getattr(home, "__module__", "")).split(".")
    above = [".".join(parts[:count]) for count in range(len(parts), 0, -1)]
    # Of Train's second version, what is below ray.train.v2 is public above it; modules there are the first version's.
    public = [module.replace(".v2", "") for module in above[1:] if ".v2" in module]
    for module in (*above, *public, *PUBLIC):
        try:
            found_there = getattr(importlib.import_module(module), name.rpartition(".")[2], None)
        except ImportError:
            continue
        if inspect.isclass(found_there):
            return found_there
    return None

"""
Search spaces as plain JSON, ``{"lr": {"loguniform": [1e-4, 1e-1]}, "depth": {"choice": [4, 8]}}``.

Standard library only: Airflow's side checks a space with it before anything starts.
"""

from __future__ import annotations

import difflib
from typing import Any, Callable, Dict, List, Tuple

# Sampler -> names of its arguments, and how many of them are required.
# Source: Ray 2.60, ray/tune/search/sample.py (the deprecated ``base`` is left out).
SAMPLERS: Dict[str, Tuple[Tuple[str, ...], int]] = {
    "uniform": (("lower", "upper"), 2),
    "quniform": (("lower", "upper", "q"), 3),
    "loguniform": (("lower", "upper"), 2),
    "qloguniform": (("lower", "upper", "q"), 3),
    "randint": (("lower", "upper"), 2),
    "qrandint": (("lower", "upper", "q"), 2),
    "lograndint": (("lower", "upper"), 2),
    "qlograndint": (("lower", "upper", "q"), 3),
    "randn": (("mean", "sd"), 0),
    "qrandn": (("mean", "sd", "q"), 3),
}
# These take their value whole: a list of values, or an import path of a function of the config so far.
LISTS = ("choice", "grid_search")
FUNCTION = "sample_from"
NAMES = (*SAMPLERS, *LISTS, FUNCTION)
# Spells a sampler beyond doubt, where a bare name could be a nested parameter's own.
PREFIX = "tune."


class SpaceProblem(ValueError):
    """The search space is wrong; the message names the place in it."""


def check(space: Any, where: str = "param_space") -> None:
    """
    Check a space without Ray.

    :raises SpaceProblem: an unknown sampler or wrong arguments
    """
    build(space, lambda name, args: None, where)


def has_grid(space: Any) -> bool:
    """Tell whether any parameter is a grid, which only the basic searcher can walk."""
    return "grid_search" in samplers_in(space)


def samplers_in(space: Any) -> List[str]:
    """List the names of all samplers in a space, those inside of others among them."""
    found: List[str] = []
    build(space, lambda name, args: found.append(name))
    return found


def needs_basic(space: Any) -> bool:
    """
    Tell whether a space can only be drawn by Tune's own search: it has samplers in lists, or inside of ``choice``.

    Other searchers have no form for these, and hand them to the trial undrawn (Ray 2.60: Optuna's).
    """
    if isinstance(space, list):
        return bool(samplers_in(space))
    if not isinstance(space, dict):
        return False
    return any(needs_basic(value) for value in space.values())


def build(space: Any, sampler: Callable[[str, Any], Any], where: str = "param_space") -> Any:
    """
    Build a space, with ``sampler(name, arguments)`` for each sampler in it: in dicts, in lists, and in the values that
    others choose from, which Ray draws in turn.

    ``arguments`` is a dict by argument name, for ``choice`` and ``grid_search`` the list of built values, for
    ``sample_from`` the import path.

    :raises SpaceProblem: an unknown sampler or wrong arguments
    """
    if isinstance(space, (list, tuple)):
        return [build(value, sampler, "%s[%d]" % (where, at)) for at, value in enumerate(space)]
    if not isinstance(space, dict):
        return space
    if len(space) == 1:
        ((key, value),) = space.items()
        name = _sampler_name(key, value, where)
        if name is not None:
            arguments = _arguments(name, value, "%s.%s" % (where, key))
            return sampler(name, build(arguments, sampler, "%s.%s" % (where, key)) if name in LISTS else arguments)
    return {key: build(value, sampler, "%s.%s" % (where, key)) for key, value in space.items()}


def _sampler_name(key: Any, value: Any, where: str) -> Any:
    if not isinstance(key, str):
        raise SpaceProblem("%s: the key %r is no text" % (where, key))
    explicit = key.startswith(PREFIX)
    name = key[len(PREFIX) :] if explicit else key
    if name in NAMES:
        return name
    close = difflib.get_close_matches(name, NAMES, n=1, cutoff=0.75)
    if explicit or (close and isinstance(value, list)):
        hint = " (did you mean %r?)" % close[0] if close else ""
        raise SpaceProblem("%s: there is no sampler %r%s; there are %s" % (where, name, hint, ", ".join(NAMES)))
    return None


def _arguments(name: str, value: Any, where: str) -> Any:
    if name in LISTS:
        if not isinstance(value, list) or not value:
            raise SpaceProblem("%s takes a list of at least one value, not %r" % (where, value))
        return value
    if name == FUNCTION:
        if not isinstance(value, str):
            raise SpaceProblem("%s takes an import path 'module:function', not %r" % (where, value))
        return value
    return _numbers(name, value, where)


def _numbers(name: str, value: Any, where: str) -> Dict[str, Any]:
    names, required = SAMPLERS[name]
    if isinstance(value, list) and len(value) <= len(names):
        value = {names[index]: number for index, number in enumerate(value)}
    known = isinstance(value, dict) and set(names[:required]) <= set(value) <= set(names)
    if not known:
        raise SpaceProblem("%s takes [%s], not %r" % (where, ", ".join(names), value))
    for argument, number in value.items():
        if isinstance(number, bool) or not isinstance(number, (int, float)):
            raise SpaceProblem("%s: %s must be a number, not %r" % (where, argument, number))
    lower, upper = value.get("lower"), value.get("upper")
    if lower is not None and lower >= upper:
        raise SpaceProblem("%s: lower %r must be below upper %r" % (where, lower, upper))
    if lower is not None and lower <= 0 and "log" in name:
        raise SpaceProblem("%s: lower must be above 0 on a log scale, not %r" % (where, lower))
    return dict(value)

"""What is tried first, and what a searcher can draw, against the search space as Ray has it."""

from __future__ import annotations

from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from ..wire.problems import ConfigurationProblem

Path = Tuple[Any, ...]


def points(space: Mapping[str, Any], wanted: Optional[Sequence[Mapping[str, Any]]], is_tunes: bool) -> Any:
    """
    Give the points that are tried first as the searcher takes them: nested for Tune's own, flat for others (Ray 2.60).

    :param wanted: nested as the space is, or with flat names, such as ``net/lr``
    :param is_tunes: for Tune's own search, which draws itself what a point leaves out
    :raises ConfigurationProblem: a point has what the space does not draw, or lacks what a searcher has to know
    """
    if not wanted:
        return wanted
    drawn = dict(_drawn(space))
    return [_point(space, drawn, point, "points_to_evaluate[%d]" % at, is_tunes) for at, point in enumerate(wanted)]


def check_space(searcher: Any, space: Mapping[str, Any], name: str) -> None:
    """
    Refuse what a searcher other than Tune's own cannot draw; it would hand it to the trial undrawn, or fail then.

    :raises ConfigurationProblem: the message names the place in the space
    """
    drawn = dict(_drawn(space))
    for path, domain in drawn.items():
        if any(_is_domain(value) for value in _within(getattr(domain, "categories", ()))):
            raise ConfigurationProblem(
                "param_space.%s: the searcher %r cannot draw samplers in a list or a choice" % (_name(path, "."), name)
            )
    convert = getattr(searcher, "convert_search_space", None)
    if convert is None or not drawn:
        return
    try:
        convert(space)
    except (TypeError, ValueError) as error:
        raise ConfigurationProblem("param_space: the searcher %r cannot draw it: %s" % (name, error)) from error


def _drawn(space: Any) -> Iterator[Tuple[Path, Any]]:
    from ray.tune.search.variant_generator import parse_spec_vars

    _, domains, grids = parse_spec_vars(space)
    yield from domains
    yield from grids


def _point(
    space: Mapping[str, Any], drawn: Mapping[Path, Any], point: Mapping[str, Any], where: str, is_tunes: bool
) -> Dict[str, Any]:
    given: Dict[Path, Any] = {}
    for path, value in _leaves(point, drawn, ()):
        if path in drawn:
            given[path] = value
        elif _at(space, path) != value:  # a constant may be repeated
            raise ConfigurationProblem(
                "%s: %r is nothing that param_space draws; it draws %s"
                % (where, _name(path, "/"), ", ".join(sorted(_name(each, "/") for each in drawn)) or "nothing")
            )
    if not is_tunes:
        missing = sorted(_name(path, "/") for path in drawn if path not in given)
        if missing:
            raise ConfigurationProblem("%s: it lacks %s, which this searcher needs" % (where, ", ".join(missing)))
        return {_name(path, "/"): value for path, value in given.items()}
    made: Dict[str, Any] = {}
    for path, value in given.items():
        inner = made
        for part in path[:-1]:
            inner = inner.setdefault(part, {})
        inner[path[-1]] = value
    return made


def _leaves(point: Mapping[str, Any], drawn: Mapping[Path, Any], before: Path) -> Iterator[Tuple[Path, Any]]:
    for key, value in point.items():
        path = (*before, key)
        if path not in drawn and isinstance(key, str) and before + tuple(key.split("/")) in drawn:
            path = before + tuple(key.split("/"))
        if path not in drawn and isinstance(value, dict) and value:
            yield from _leaves(value, drawn, path)
        else:
            yield path, value


def _at(space: Any, path: Path) -> Any:
    for part in path:
        space = space.get(part, _at) if isinstance(space, dict) else _at
    return space


def _within(value: Any) -> Iterator[Any]:
    values: List[Any] = list(value.values()) if isinstance(value, dict) else list(value)
    for each in values:
        yield each
        if isinstance(each, (dict, list, tuple)):
            yield from _within(each)


def _is_domain(value: Any) -> bool:
    from ray.tune.search.sample import Domain

    return isinstance(value, Domain)


def _name(path: Path, between: str) -> str:
    return between.join(map(str, path))

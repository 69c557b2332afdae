"""Search spaces in plain JSON."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_air.drivers.wire import spaces
from airflow_provider_air.drivers.wire.spaces import SpaceProblem


def built(space: Any) -> Any:
    return spaces.build(space, lambda name, args: (name, args))


def test_samplers_take_lists_and_dicts_anywhere_in_a_space() -> None:
    space = {
        "lr": {"loguniform": [1e-4, 1e-1]},
        "depth": {"randint": {"lower": 2, "upper": 9}},
        "model": {"kind": {"choice": ["a", "b"]}, "noise": {"randn": []}, "fixed": 3},
        "grid": {"tune.grid_search": [1, 2]},
        "made": {"sample_from": "space:made"},
        "constant": [1, 2],
    }
    assert built(space) == {
        "lr": ("loguniform", {"lower": 1e-4, "upper": 1e-1}),
        "depth": ("randint", {"lower": 2, "upper": 9}),
        "model": {"kind": ("choice", ["a", "b"]), "noise": ("randn", {}), "fixed": 3},
        "grid": ("grid_search", [1, 2]),
        "made": ("sample_from", "space:made"),
        "constant": [1, 2],
    }


@pytest.mark.parametrize("name", spaces.SAMPLERS)
def test_every_sampler_of_ray_tune_is_built_with_its_own_arguments(name: str) -> None:
    tune = pytest.importorskip("ray.tune")
    names, _ = spaces.SAMPLERS[name]
    numbers = [2, 8, 2][: len(names)]
    domain = spaces.build({name: numbers}, lambda sampler, args: getattr(tune, sampler)(**args))
    value = domain.sample()
    assert isinstance(value, (int, float))
    if "lower" in names:
        assert 0 <= value <= 10  # quantised, a value may leave its bounds by half a quantum


def test_every_sampler_that_ray_tune_offers_is_known() -> None:
    sample = pytest.importorskip("ray.tune.search.sample")
    offered = {
        name for name, found in vars(sample).items() if callable(found) and name.islower() and not name.startswith("_")
    }
    public = {name for name in offered if getattr(vars(sample)[name], "__module__", "") == sample.__name__}
    assert public <= set(spaces.NAMES)


@pytest.mark.parametrize(
    ("space", "words"),
    [
        ({"lr": {"loguniforn": [1, 2]}}, ["param_space.lr", "'loguniforn'", "'loguniform'"]),
        ({"lr": {"tune.normal": [1, 2]}}, ["param_space.lr", "'normal'"]),
        ({"a": {"b": {"uniform": [1]}}}, ["param_space.a.b.uniform", "lower, upper"]),
        ({"a": {"uniform": [1, 2, 3]}}, ["param_space.a.uniform", "[1, 2, 3]"]),
        ({"a": {"uniform": {"low": 1, "high": 2}}}, ["param_space.a.uniform", "lower, upper"]),
        ({"a": {"uniform": [2, 1]}}, ["param_space.a.uniform", "below"]),
        ({"a": {"uniform": ["1", 2]}}, ["param_space.a.uniform", "lower must be a number"]),
        ({"a": {"loguniform": [0, 1]}}, ["param_space.a.loguniform", "above 0"]),
        ({"a": {"choice": []}}, ["param_space.a.choice", "at least one"]),
        ({"a": {"grid_search": 3}}, ["param_space.a.grid_search", "list"]),
        ({"a": {"sample_from": 3}}, ["param_space.a.sample_from", "module:function"]),
        ({"a": {1: 2}}, ["param_space.a", "1"]),
    ],
)
def test_a_wrong_space_is_refused_with_its_place(space: Any, words: list[str]) -> None:
    with pytest.raises(SpaceProblem) as caught:
        spaces.check(space)
    assert [word for word in words if word not in str(caught.value)] == [], caught.value


def test_a_nested_parameter_of_one_key_is_no_sampler() -> None:
    assert built({"layers": {"sizes": [64, 64]}}) == {"layers": {"sizes": [64, 64]}}


def test_a_grid_is_found_wherever_it_is() -> None:
    assert spaces.has_grid({"a": {"b": {"grid_search": [1]}}})
    assert not spaces.has_grid({"a": {"choice": [1]}})


def test_samplers_are_built_in_lists_and_in_what_others_choose_from() -> None:
    space = {
        "net": {"choice": [{"lr": {"uniform": [0, 1]}}, 3]},
        "layers": [{"randint": [1, 3]}, {"width": {"choice": [[1, 2]]}}],
    }
    assert built(space) == {
        "net": ("choice", [{"lr": ("uniform", {"lower": 0, "upper": 1})}, 3]),
        "layers": [("randint", {"lower": 1, "upper": 3}), {"width": ("choice", [[1, 2]])}],
    }
    assert spaces.samplers_in(space) == ["uniform", "choice", "randint", "choice"]
    with pytest.raises(SpaceProblem, match=r"param_space.net.choice\[0\].lr: there is no sampler 'unifrom'"):
        spaces.check({"net": {"choice": [{"lr": {"unifrom": [0, 1]}}]}})
    assert spaces.has_grid({"net": {"choice": [{"lr": {"grid_search": [0, 1]}}]}}) is True


@pytest.mark.parametrize(
    ("space", "needed"),
    [
        ({"a": {"choice": [{"lr": {"uniform": [0, 1]}}]}}, True),
        ({"a": {"b": [{"uniform": [0, 1]}]}}, True),
        ({"a": {"b": {"uniform": [0, 1]}}, "c": {"choice": [{"d": 1}, [2, 3]]}, "e": [1]}, False),
    ],
)
def test_what_only_tunes_own_search_draws(space: Any, needed: bool) -> None:
    assert spaces.needs_basic(space) is needed

"""What is tried first, by Tune's own search and by Optuna's, and what the latter cannot draw."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_air.drivers.tune import points, search
from airflow_provider_air.drivers.wire.problems import ConfigurationProblem

tune = pytest.importorskip("ray.tune")
pytest.importorskip("optuna")

NESTED = {"net": {"lr": tune.uniform(0, 1), "kind": tune.choice(["a", {"b": 1}])}, "epochs": 5}


@pytest.mark.parametrize(
    "point",
    [
        {"net": {"lr": 0.25, "kind": "a"}},
        {"net/lr": 0.25, "net/kind": "a"},
        {"net": {"lr": 0.25, "kind": "a"}, "epochs": 5},
    ],
    ids=["nested", "flat", "with a constant"],
)
def test_a_point_is_tried_first_however_it_is_written(point: dict[str, Any]) -> None:
    assert points.points(NESTED, [point], is_tunes=True) == [{"net": {"lr": 0.25, "kind": "a"}}]

    made = search.searcher("optuna", False, "loss", "min", points.points(NESTED, [point], is_tunes=False))
    made.set_search_properties("loss", "min", NESTED)
    first = made.suggest("t1")

    assert {**first, **first.get("net", {})}["lr"] == 0.25 or first["net/lr"] == 0.25


def test_tunes_own_search_draws_what_a_point_leaves_out_and_others_need_it() -> None:
    assert points.points(NESTED, [{"net": {"kind": {"b": 1}}}], is_tunes=True) == [{"net": {"kind": {"b": 1}}}]
    with pytest.raises(ConfigurationProblem, match=r"points_to_evaluate\[1\]: it lacks net/kind"):
        points.points(NESTED, [{"net": {"lr": 0.1, "kind": "a"}}, {"net/lr": 0.1}], is_tunes=False)


@pytest.mark.parametrize("point", [{"lr": 0.1}, {"net": {"lr": 0.1, "kid": 1}}, {"epochs": 6}, {"net": 5}])
@pytest.mark.parametrize("is_tunes", [True, False])
def test_what_the_space_does_not_draw_is_named(point: dict[str, Any], is_tunes: bool) -> None:
    with pytest.raises(ConfigurationProblem, match=r"is nothing that param_space draws; it draws net/kind, net/lr"):
        points.points(NESTED, [point], is_tunes)


@pytest.mark.parametrize(
    ("space", "told"),
    [
        (lambda: {"net": tune.choice([{"lr": tune.uniform(0, 1)}])}, r"param_space\.net: .*'optuna' cannot draw"),
        (lambda: {"net": tune.choice([1, [tune.uniform(0, 1)]])}, r"param_space\.net: "),
        (lambda: {"lr": tune.randn(0, 1)}, "param_space: the searcher 'optuna' cannot draw it"),
        (lambda: {"lr": tune.qrandn(0, 1, 0.1)}, "cannot draw it"),
        (lambda: {"lr": tune.sample_from(lambda _: 1)}, "cannot draw it"),
    ],
)
def test_what_optuna_cannot_draw_is_said_before_it_does(space: Callable[[], Any], told: str) -> None:
    made = search.searcher("optuna", False, "loss", "min")

    with pytest.raises(ConfigurationProblem, match=told):
        points.check_space(made, space(), "optuna")


def test_what_optuna_can_draw_is_left_to_it() -> None:
    points.check_space(search.searcher("optuna", False, "loss", "min"), NESTED, "optuna")
    points.check_space(search.searcher("optuna", False, "loss", "min"), {"epochs": 5}, "optuna")

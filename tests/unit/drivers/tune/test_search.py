"""What a search says when a name or an argument is wrong; no cluster is needed for that."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_air.drivers.frame.running import Run
from airflow_provider_air.drivers.tune import search
from airflow_provider_air.drivers.wire.problems import ConfigurationProblem
from tests.unit.drivers.conftest import said


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("luck", ["scheduler: 'luck' is unknown", "asha", "median_stopping"]),
        ({"name": "asha", "args": {"grace": 1}}, ["scheduler 'asha'", "grace"]),
        (
            {"name": "pbt", "args": {"hyperparam_mutations": {"lr": {"unifrom": [0, 1]}}}},
            ["scheduler.hyperparam_mutations.lr", "uniform"],
        ),
    ],
)
def test_a_wrong_scheduler_is_refused(spec: Any, words: list[str], by_hand: Run) -> None:
    pytest.importorskip("ray.tune")
    with pytest.raises(ConfigurationProblem) as problem:
        search.scheduler(by_hand, spec, lambda chosen: chosen)
    said(words, problem)


def test_a_wrong_searcher_is_refused() -> None:
    pytest.importorskip("ray.tune")
    with pytest.raises(ConfigurationProblem, match="searcher: 'luck' is unknown; use one of ax, bayesopt"):
        search.searcher("luck", has_grid=False)
    assert search.searcher(None, has_grid=True) is None
    assert type(search.searcher("random", has_grid=True)).__name__ == "BasicVariantGenerator"


def test_a_wrong_sampler_is_named_by_its_place(by_hand: Run) -> None:
    pytest.importorskip("ray.tune")
    by_hand.config["param_space"] = {"model": {"lr": {"loguniforn": [1, 2]}}}
    with pytest.raises(ConfigurationProblem, match=r"param_space\.model\.lr.*'loguniform'"):
        search.space(by_hand)

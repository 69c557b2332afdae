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


class Impatient:
    """Looks at its metric in each report, as Optuna's searcher and some schedulers do."""

    CONTINUE = "CONTINUE"
    metric: Any = "acc"

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def on_trial_result(self, *about: Any) -> str:
        self.seen.append(about[-1][self.metric])
        return "STOP"

    def choose_trial_to_run(self, controller: Any) -> None:
        return None


def test_a_report_without_the_metric_is_passed_over() -> None:
    trials = pytest.importorskip("airflow_provider_air.drivers.tune.trials")
    searcher, scheduler = search.patient(Impatient)(), trials.saving(Impatient)()
    decided = []
    for report in ({"loss": 1.0}, {"acc": 0.5}, {"loss": 2.0}):
        searcher.on_trial_result("t1", report)
        decided.append(scheduler.on_trial_result(None, None, report))

    assert searcher.seen == scheduler.seen == [0.5]
    assert decided == ["CONTINUE", "STOP", "CONTINUE"]


def test_one_that_looks_at_nothing_or_at_several_is_asked_for_what_it_looks_at() -> None:
    judge = Impatient()
    for metric, expected in ((None, True), ("acc", True), (["acc", "loss"], False), (["acc"], True), ("loss", False)):
        judge.metric = metric
        assert search.has_metric(judge, {"acc": 0.5}) is expected
    assert search.has_metric(object(), {}) is True

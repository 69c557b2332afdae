"""What a search says when a name or an argument is wrong; no cluster is needed for that."""

from __future__ import annotations

from types import SimpleNamespace
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
        ({"name": "asha", "args": {"metric": "acc"}}, ["scheduler 'asha'", "'metric'", "the task's own"]),
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


# A class, a function that gives one, or what an import path names as it is


def gentle(max_t: int = 100) -> Any:
    """Give a scheduler."""
    from ray.tune.schedulers import ASHAScheduler

    return ASHAScheduler(max_t=max_t, grace_period=1)


def careful(seed: int = 1) -> Any:
    """Give a searcher that is limited."""
    from ray.tune.search import ConcurrencyLimiter
    from ray.tune.search.optuna import OptunaSearch

    return ConcurrencyLimiter(OptunaSearch(seed=seed), max_concurrent=2, batch=True)


def explored(config: dict[str, Any]) -> dict[str, Any]:
    """What a population's new member begins with."""
    return config


def drawn(trial: Any) -> dict[str, Any]:
    """A define-by-run space."""
    return {"x": trial.suggest_float("x", 0, 1)}


@pytest.mark.parametrize(
    "spec",
    [
        f"{__name__}:gentle",
        {"name": f"{__name__}:gentle", "args": {"max_t": 9}},
        {"name": gentle, "args": {"max_t": 9}},
        "ray.tune.schedulers:ASHAScheduler",
        {"name": "asha", "args": {"max_t": 9}},
    ],
)
def test_a_scheduler_is_a_class_or_what_a_function_gives_and_saves_the_state(
    spec: Any, by_hand: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    trials = pytest.importorskip("airflow_provider_air.drivers.tune.trials")
    from ray import cloudpickle
    from ray.tune.schedulers import AsyncHyperBandScheduler

    scheduler = search.scheduler(by_hand, spec, trials.saving)
    assert isinstance(scheduler, AsyncHyperBandScheduler)
    assert scheduler._max_t == (9 if isinstance(spec, dict) else 100)
    scheduler.set_search_properties("loss", "min")
    # As it travels with the experiment, and as it is: it saves the experiment when a trial has ended.
    saved: list[bool] = []
    controller = SimpleNamespace(get_trials=list, checkpoint=lambda force: saved.append(force))
    monkeypatch.setattr(trials.experiment, "OBSERVER", SimpleNamespace(ended=1))
    for one in (scheduler, cloudpickle.loads(cloudpickle.dumps(scheduler))):
        assert one.on_trial_result(None, None, {"other": 1}) == "CONTINUE"
        assert one.choose_trial_to_run(controller) is None
    assert saved == [True, True]


def test_what_is_no_scheduler_is_refused(by_hand: Run) -> None:
    pytest.importorskip("ray.tune")
    for spec, words in (
        (f"{__name__}:explored", ["scheduler", "config"]),
        ("json:JSONDecoder", ["JSONDecoder", "choose_trial_to_run"]),
    ):
        with pytest.raises(ConfigurationProblem) as problem:
            search.scheduler(by_hand, spec, lambda chosen: chosen)
        said(words, problem)


def test_a_population_explores_as_the_author_says(by_hand: Run) -> None:
    pytest.importorskip("ray.tune")
    args = {
        "custom_explore_fn": f"{__name__}:explored",
        "hyperparam_mutations": {"lr": {"loguniform": [1e-3, 1e-1]}, "kind": ["a", "b"]},
    }
    scheduler = search.scheduler(by_hand, {"name": "pbt", "args": args}, lambda chosen: chosen)
    assert scheduler._custom_explore_fn is explored


@pytest.mark.parametrize("sampler", ["RandomSampler", "optuna.samplers:RandomSampler"])
def test_optuna_takes_a_sampler_by_its_name_and_points_that_are_tried_first(sampler: str) -> None:
    optuna = pytest.importorskip("optuna")
    found = search.searcher({"name": "optuna", "args": {"sampler": sampler}}, False, "loss", "min", [{"x": 0.5}])
    assert type(found._sampler) is optuna.samplers.RandomSampler
    assert found._points_to_evaluate == [{"x": 0.5}]
    made = {"name": sampler, "args": {"seed": 3}}
    assert type(search.searcher({"name": "optuna", "args": {"sampler": made}}, False)._sampler) is type(found._sampler)


def test_a_space_of_the_searchers_own_gets_the_experiments_metric(by_hand: Run) -> None:
    pytest.importorskip("optuna")
    spec = {"name": "optuna", "args": {"space": f"{__name__}:drawn"}}
    found = search.searcher(spec, False, "loss", "min")
    assert (found._space, found.metric, found.mode) == (drawn, "loss", "min")
    assert search.draws_itself(spec) is True
    assert search.draws_itself("optuna") is False


def test_a_searcher_may_come_from_a_function() -> None:
    pytest.importorskip("optuna")
    found = search.searcher(f"{__name__}:careful", False)
    assert (type(found).__mro__[1].__name__, found.max_concurrent) == ("ConcurrencyLimiter", 2)


def test_points_alone_are_tried_by_tunes_own_search() -> None:
    pytest.importorskip("ray.tune")
    assert search.searcher(None, True, "loss", "min", [{"x": 1}])._points_to_evaluate == [{"x": 1}]


def test_a_searcher_that_takes_no_such_argument_says_what_it_takes() -> None:
    pytest.importorskip("optuna")
    with pytest.raises(
        ConfigurationProblem, match=r"searcher 'optuna': \w+ has no 'seeds'; it has space, metric, mode"
    ):
        search.searcher({"name": "optuna", "args": {"seeds": 1}}, False)


def test_nevergrads_optimizer_is_named_as_nevergrad_has_it() -> None:
    """Without nevergrad itself, whose wheels are not here: what it would be given."""
    args = {"optimizer": "OnePlusOne", "budget": 3}
    assert search._known_by_name("nevergrad", args) == {"optimizer": "nevergrad.optimizers:OnePlusOne", "budget": 3}
    path = {"optimizer": "mine:Optimizer"}
    assert search._known_by_name("nevergrad", path) == path


def test_samplers_anywhere_in_a_space_are_drawn_by_tune(by_hand: Run) -> None:
    """By Ray's own search, so that what it does with a nested one is seen."""
    tune = pytest.importorskip("ray.tune")
    from ray.tune.search.variant_generator import generate_variants

    by_hand.config["param_space"] = {
        "net": {"choice": [{"lr": {"uniform": [1.0, 2.0]}}, {"lr": {"uniform": [1.0, 2.0]}, "deep": {"choice": [3]}}]},
        "layers": [{"randint": [4, 5]}, {"width": {"choice": [7]}}, 8],
        "grid": {"grid_search": [{"a": {"choice": [9]}}, 10]},
    }
    found = [config for _, config in generate_variants(search.space(by_hand))]
    assert [config["grid"] for config in found] == [{"a": 9}, 10]
    assert all(config["layers"] == [4, {"width": 7}, 8] for config in found)
    assert all(1 <= config["net"]["lr"] <= 2 and config["net"].get("deep", 3) == 3 for config in found)
    assert tune is not None


def test_a_space_that_could_not_be_kept_with_the_searchers_state_is_refused() -> None:
    pytest.importorskip("optuna")
    with pytest.raises(ConfigurationProblem, match=r"searcher: a 'space' that is a function has to be named by import"):
        search.searcher({"name": "optuna", "args": {"space": lambda trial: {}}}, False)

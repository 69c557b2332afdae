"""What ends trials and experiments, and what becomes of it when a later attempt restores one."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_air.drivers.wire.problems import ConfigurationProblem
from tests.unit.drivers.conftest import said

pytest.importorskip("ray.tune")
stopping = pytest.importorskip("airflow_provider_air.drivers.tune.stopping")
STOPPER: Any = pytest.importorskip("ray.tune").Stopper
HERE = __name__


class Third(STOPPER):  # type: ignore[misc]
    """Ends a trial with its third report, and an experiment with its fifth."""

    def __init__(self, at: int = 3) -> None:
        self.at, self.seen = at, 0

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        self.seen += 1
        return self.seen >= self.at

    def stop_all(self) -> bool:
        return self.seen >= 5


def low(trial_id: str, result: dict[str, Any]) -> bool:
    return bool(result["loss"] < 1)


def third(at: int) -> Third:
    return Third(at)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    clock = SimpleNamespace(at=1000.0)
    monkeypatch.setattr(stopping, "time", SimpleNamespace(monotonic=lambda: clock.at))
    yield clock
    stopping.WANTED = None


def wanted(stop: Any = None, budget: float | None = None) -> Any:
    stopping.WANTED = stopping.Wanted(stop, budget)
    return stopping.Stopping()


def reports(stop: Any, *results: dict[str, Any]) -> list[bool]:
    return [stop("t", result) for result in results]


LOSSES = [{"loss": 2.0}, {"loss": 0.5}, {"loss": 3.0}]


@pytest.mark.parametrize(
    ("stop", "ended"),
    [
        (None, [False, False, False]),
        ({"loss": 2.5}, [False, False, True]),
        ({"val/acc": 0.5}, [False, False, False]),
        (f"{HERE}:low", [False, True, False]),
        (low, [False, True, False]),
        (f"{HERE}:Third", [False, False, True]),
        ({"name": f"{HERE}:Third", "args": {"at": 2}}, [False, True, True]),
        ({"name": f"{HERE}:third", "args": {"at": 2}}, [False, True, True]),
        ({"name": "MaximumIterationStopper", "args": {"max_iter": 2}}, [False, True, True]),
        ([{"loss": 3.0}, f"{HERE}:low"], [False, True, True]),
    ],
)
def test_a_trial_ends_as_the_author_says(stop: Any, ended: list[bool]) -> None:
    assert reports(wanted(stop), *LOSSES) == ended


def test_thresholds_are_of_flat_names_and_a_report_may_lack_them() -> None:
    stop = wanted({"val/acc": 0.5})
    assert reports(stop, {"loss": 1.0}, {"val": {"acc": 0.4}}, {"val": {"acc": float("nan")}}) == [False] * 3
    assert stop("t", {"val": {"acc": 0.5}}) is True


@pytest.mark.parametrize("name", ["TrialPlateauStopper", "ExperimentPlateauStopper"])
def test_rays_stoppers_take_a_nested_metric_and_pass_over_a_report_without_it(name: str) -> None:
    stop = wanted({"name": name, "args": {"metric": "val/acc", "std": 0.5}})
    told: list[dict[str, Any]] = [{"val": {"acc": 1.0}}, {"loss": 1.0}]
    found = reports(stop, *told * 6)
    assert found[:6] == [False] * 6
    assert (any(found) or stop.stop_all()) is (name == "TrialPlateauStopper")


@pytest.mark.parametrize(
    ("stop", "words"),
    [
        (
            {"name": "TrialPlateauStopper", "args": {"metrik": "x"}},
            ["stop: TrialPlateauStopper has no 'metrik'", "metric"],
        ),
        ({"name": "PlateauStopper"}, ["stop", "'PlateauStopper'", "TrialPlateauStopper"]),
        ([{"x": 1}, "json:missing"], ["stop[1]", "'missing'"]),
        ({"name": "builtins:dict", "args": {"a": 1}}, ["stop", "no stopper"]),
    ],
)
def test_a_stopper_that_cannot_be_made_is_refused(stop: Any, words: list[str]) -> None:
    with pytest.raises(ConfigurationProblem) as problem:
        stopping.Wanted(stop, None)
    said(words, problem)


def test_the_stoppers_that_authors_may_name_are_rays() -> None:
    from airflow_provider_air.workloads import tune

    assert set(tune.STOPPERS) | {"Stopper", "CombinedStopper", "FunctionStopper", "NoopStopper"} == set(
        stopping.known()
    )
    assert [name for name in tune.ENDING if name not in tune.STOPPERS] == []


@pytest.mark.parametrize(
    ("stop", "budget", "ends"),
    [
        (None, None, False),
        ({"loss": 1}, None, False),
        (f"{HERE}:low", None, False),
        ({"name": "MaximumIterationStopper", "args": {"max_iter": 2}}, None, False),
        (f"{HERE}:Third", None, True),
        ({"name": "ExperimentPlateauStopper", "args": {"metric": "loss"}}, None, True),
        ({"loss": 1}, 60, True),
    ],
)
def test_a_search_that_draws_for_ever_needs_an_end(stop: Any, budget: float | None, ends: bool) -> None:
    wanted(stop, budget)
    stopping.unlimited(3)
    if ends:
        stopping.unlimited(-1)
        return
    with pytest.raises(ConfigurationProblem, match=r"num_samples: -1 draws for ever; give time_budget_seconds"):
        stopping.unlimited(-1)


# A later attempt: Tune gives back the stopper as it was


def test_what_stoppers_have_seen_is_kept_while_the_author_says_the_same() -> None:
    before = wanted(f"{HERE}:Third")
    reports(before, *LOSSES[:2])
    kept = pickle.dumps(before)

    stopping.WANTED = stopping.Wanted(f"{HERE}:Third", None)
    assert reports(pickle.loads(kept), *LOSSES[:1]) == [True]


def test_other_words_are_obeyed_from_then_on() -> None:
    kept = pickle.dumps(wanted([{"loss": 100}, {"name": f"{HERE}:Third", "args": {"at": 1}}]))

    stopping.WANTED = stopping.Wanted({"loss": 2.5}, None)
    assert reports(pickle.loads(kept), *LOSSES) == [False, False, True]


def test_a_budget_counts_over_all_attempts_and_a_raised_one_is_raised(
    clock: SimpleNamespace, capfd: pytest.CaptureFixture[str]
) -> None:
    def run(stop: Any, seconds: float) -> bool:
        stop.stop_all()
        clock.at += seconds
        return bool(stop.stop_all())

    first = wanted(None, 60)
    assert run(first, 50) is False
    kept = pickle.dumps(first)
    clock.at += 10_000  # nobody ran in between

    again = pickle.loads(kept)
    assert run(again, 9) is False
    assert run(again, 2) is True
    assert run(again, 1) is True
    said_once = capfd.readouterr().err
    assert said_once.count("time_budget_seconds: 60 s are spent, 50 of them in earlier attempts") == 1

    stopping.WANTED = stopping.Wanted(None, 600)
    assert run(pickle.loads(kept), 100) is False
    stopping.WANTED = stopping.Wanted(None, None)
    assert run(pickle.loads(kept), 10_000) is False

"""How many trials run at once, by what the cluster has and may have."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_air.drivers.wire.problems import ConfigurationProblem

pytest.importorskip("ray.tune")
concurrency = pytest.importorskip("airflow_provider_air.drivers.tune.concurrency")
TRIAL = [{"CPU": 1.0, "GPU": 1.0}, {"CPU": 1.0, "GPU": 1.0}, {"CPU": 1.0}]


@pytest.fixture(autouse=True)
def unset() -> Iterator[None]:
    yield
    concurrency.LIMIT = None


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    cluster = SimpleNamespace(has={"CPU": 1.0}, most=None, at=0.0)
    state = SimpleNamespace(get_max_resources_from_cluster_config=lambda: cluster.most)
    private = SimpleNamespace(state=SimpleNamespace(state=state))
    monkeypatch.setattr(concurrency, "ray", SimpleNamespace(cluster_resources=lambda: cluster.has, _private=private))
    monkeypatch.setattr(concurrency, "time", SimpleNamespace(monotonic=lambda: cluster.at))
    return cluster


@pytest.mark.parametrize(
    ("has", "most", "is_fixed", "num_samples", "fit"),
    [
        ({"CPU": 9.0, "GPU": 4.0}, None, False, 20, 2),
        ({"CPU": 9.0, "GPU": 4.0}, None, True, 20, 2),
        ({"CPU": 1.0}, {"CPU": 64, "GPU": 8}, False, 20, 4),
        ({"CPU": 1.0}, {"CPU": 64, "GPU": 8}, True, 20, 1),
        ({"CPU": 30.0, "GPU": 20.0}, {"CPU": 64, "GPU": 8}, False, 20, 10),
        ({"CPU": 1.0}, None, False, 5, 5),
        ({"CPU": 1.0}, None, False, 100, 16),
        ({"CPU": 1.0}, None, False, -1, 16),
        ({}, None, True, 5, 1),
    ],
)
def test_trials_are_as_many_as_the_cluster_may_hold(
    cluster: SimpleNamespace, has: Any, most: Any, is_fixed: bool, num_samples: int, fit: int
) -> None:
    cluster.has, cluster.most = has, most
    assert concurrency.Fitting(TRIAL, is_fixed, num_samples)() == fit


def test_trials_become_more_as_the_cluster_grows(cluster: SimpleNamespace) -> None:
    cluster.has = {"CPU": 3.0, "GPU": 2.0}
    fitting = concurrency.Fitting(TRIAL, False, 20)
    assert fitting() == 1
    cluster.has, cluster.at = {"CPU": 12.0, "GPU": 8.0}, 60.0
    assert fitting() == 4


# On Ray's own searchers


def restored(searcher: Any) -> Any:
    """Give it the state of one that ran with a limit of 1."""
    state = dict(searcher.__dict__, max_concurrent=1)
    searcher.set_state(state)
    return searcher


def test_tunes_own_search_obeys_todays_limit_also_when_restored() -> None:
    from ray.tune.search.basic_variant import BasicVariantGenerator

    searcher = restored(concurrency.limited(None, is_asked=False))
    assert isinstance(searcher, BasicVariantGenerator)
    assert searcher.max_concurrent == 0
    concurrency.LIMIT = lambda: 3
    assert searcher.max_concurrent == 3
    named = restored(concurrency.limited(BasicVariantGenerator(random_state=1), is_asked=True))
    assert named.max_concurrent == 3


def test_other_searchers_get_tunes_limiter_with_todays_limit() -> None:
    optuna = pytest.importorskip("ray.tune.search.optuna")
    concurrency.LIMIT = lambda: 3
    searcher = restored(concurrency.limited(optuna.OptunaSearch(), is_asked=False))
    assert isinstance(searcher, concurrency.ConcurrencyLimiter)
    assert (searcher.max_concurrent, type(searcher).__name__) == (3, "Limiter")


def test_a_limit_of_the_searchers_own_is_kept_or_the_second_one_refused() -> None:
    from ray.tune.search.basic_variant import BasicVariantGenerator

    optuna = pytest.importorskip("ray.tune.search.optuna")
    concurrency.LIMIT = lambda: 3
    for mine in (
        BasicVariantGenerator(max_concurrent=2),
        concurrency.ConcurrencyLimiter(optuna.OptunaSearch(), max_concurrent=2),
    ):
        assert concurrency.limited(mine, is_asked=False).max_concurrent == 2
        with pytest.raises(ConfigurationProblem, match="max_concurrent_trials: the searcher"):
            concurrency.limited(mine, is_asked=True)

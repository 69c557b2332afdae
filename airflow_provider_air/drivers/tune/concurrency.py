"""
How many trials run at once, also of an experiment that is restored, and of one whose cluster has no node yet.

Tune keeps a searcher's limit with its state; ours asks :data:`LIMIT` each time, which each driver sets.
"""

from __future__ import annotations

import time
from typing import Any, Callable, List, Optional

import ray
from ray.tune.search import ConcurrencyLimiter, Searcher
from ray.tune.search.basic_variant import BasicVariantGenerator

from ..frame.resources import Bundle
from ..wire.problems import ConfigurationProblem

LOOK_SECONDS = 2.0
# What asks for nodes where there are none that hold one trial, and nobody says how many there may be.
FIRST_TRIALS = 16

LIMIT: Optional[Callable[[], int]] = None


class Fitting:
    """
    Says how many Train trials fit at once: started in larger numbers, they would hold up each other.

    What counts is what the cluster may grow to, as its autoscaler says; where none says anything, what it has now, each
    time anew.

    :param bundles: what one trial needs
    :param is_fixed: whether the cluster cannot grow
    :param num_samples: how many trials there will be; -1 is any number
    """

    def __init__(self, bundles: List[Bundle], is_fixed: bool, num_samples: int) -> None:
        self._asked: Bundle = {}
        for bundle in bundles:
            for name, amount in bundle.items():
                self._asked[name] = self._asked.get(name, 0.0) + amount
        self._is_fixed = is_fixed
        self._first = min(FIRST_TRIALS, num_samples) if num_samples > 0 else FIRST_TRIALS
        self._next_look = 0.0
        self._count = 1

    def __call__(self) -> int:
        """Give the number, at least 1."""
        if time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + LOOK_SECONDS
            most = 0 if self._is_fixed else self._fit(_most())
            count = max(self._fit(ray.cluster_resources()), most)
            self._count = count or (1 if self._is_fixed else self._first)
        return self._count

    def _fit(self, total: Bundle) -> int:
        return min([int(total.get(name, 0.0) / amount) for name, amount in self._asked.items() if amount] or [1])


def _most() -> Bundle:
    """Give what the cluster may grow to; nothing where its autoscaler does not say. Source: Ray 2.60, as Train asks."""
    try:
        return dict(ray._private.state.state.get_max_resources_from_cluster_config() or {})
    except Exception:  # not public
        return {}


class _Asking:
    """Gives what is asked of ``max_concurrent`` to :data:`LIMIT`, whatever a restored state says."""

    @property
    def max_concurrent(self) -> int:
        return LIMIT() if LIMIT is not None else 0

    @max_concurrent.setter
    def max_concurrent(self, value: int) -> None:
        """Ignore it."""


class Variants(_Asking, BasicVariantGenerator):  # type: ignore[misc, unused-ignore]
    """Tune's own random and grid search."""


class Limiter(_Asking, ConcurrencyLimiter):  # type: ignore[misc, unused-ignore]
    """Tune's limit for any other searcher."""


def limited(searcher: Any, is_asked: bool) -> Any:
    """
    Have a searcher obey :data:`LIMIT`; one that has a limit of its own keeps that.

    :param searcher: None is Tune's own
    :param is_asked: whether the author names the limit
    :raises ConfigurationProblem: the author does, and the searcher takes none, or has one
    """
    if searcher is None:
        return Variants()
    if LIMIT is None:
        return searcher
    if isinstance(searcher, BasicVariantGenerator) and not searcher.max_concurrent:
        searcher.__class__ = type(type(searcher).__name__, (_Asking, type(searcher)), {})
        return searcher
    if isinstance(searcher, Searcher) and not isinstance(searcher, ConcurrencyLimiter):
        return Limiter(searcher, max_concurrent=LIMIT())
    if is_asked:
        raise ConfigurationProblem(
            "max_concurrent_trials: the searcher %s has a limit of its own, or takes none; leave one of the two out"
            % type(searcher).__name__
        )
    return searcher

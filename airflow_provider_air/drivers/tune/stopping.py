"""
What ends trials and the experiment: thresholds, stoppers, and a time budget, as the author says them today.

Tune keeps its stopper with the experiment's state, and each trial its own thresholds: left to Ray, a restored
experiment obeys what its first attempt was told. Ours asks :data:`WANTED`, which each driver sets before it begins.
"""

from __future__ import annotations

import importlib
import json
import time
from typing import Any, Dict, List, Optional

from ray.tune import Stopper
from ray.tune.stopper import FunctionStopper, MaximumIterationStopper, TrialPlateauStopper

from ..frame import objects
from ..wire.metrics import flattened, number_of
from ..wire.problems import ConfigurationProblem
from ..wire.records import warn

STOPPERS = "ray.tune.stopper"
# They end trials, each for itself, and never the experiment.
OF_TRIALS = (FunctionStopper, MaximumIterationStopper, TrialPlateauStopper)


class Wanted:
    """
    What the author says of the end.

    :param stop: ``{metric: value}``, a stopper or function as objects are named, or a list of these
    :param budget_seconds: of all attempts together, or None
    :raises ConfigurationProblem: a stopper cannot be made
    """

    def __init__(self, stop: Any, budget_seconds: Optional[float]) -> None:
        self.thresholds: Dict[str, float] = {}
        self.stoppers: List[Any] = []
        self.spec = json.dumps(stop, sort_keys=True, default=lambda shipped: getattr(shipped, "__qualname__", ""))
        self.budget_seconds = budget_seconds
        for at, one in enumerate(stop if isinstance(stop, list) else [stop] if stop else []):
            name, args = objects.named(one)
            if isinstance(one, dict) and name is one:
                self.thresholds.update(one)
            else:
                self.stoppers.append(_stopper(name, args, "stop[%d]" % at if isinstance(stop, list) else "stop"))

    @property
    def ends_experiment(self) -> bool:
        """Whether anything of it can end an experiment that draws for ever."""
        return self.budget_seconds is not None or any(not isinstance(one, OF_TRIALS) for one in self.stoppers)


WANTED: Optional[Wanted] = None


def _stopper(name: Any, args: Dict[str, Any], field: str) -> Any:
    thing = objects.found(name, field, STOPPERS)
    is_function = callable(thing) and not isinstance(thing, (type, Stopper))
    if is_function and not args:
        return FunctionStopper(thing)
    made = thing if isinstance(thing, Stopper) else objects.called(thing, args, field)
    if isinstance(made, Stopper):
        return made
    if callable(made):
        return FunctionStopper(made)
    raise ConfigurationProblem("%s: %r gives a %s, no stopper of Tune's" % (field, name, type(made).__name__))


class Stopping(Stopper):  # type: ignore[misc, unused-ignore]
    """The stopper that Tune is given; it keeps what its stoppers have seen, and how much of the budget is spent."""

    def __init__(self) -> None:
        self._spec = ""
        self._stoppers: List[Any] = []
        self._spent_seconds = self._spent_before = 0.0
        self._looked_at: Optional[float] = None
        self._is_told = False
        self._take()

    def _take(self) -> None:
        if WANTED is not None and WANTED.spec != self._spec:
            self._spec, self._stoppers = WANTED.spec, WANTED.stoppers

    def __setstate__(self, state: Dict[str, Any]) -> None:
        """Go on in a later attempt: with the stoppers as they were, or with others where the author says others."""
        self.__dict__.update(state)
        self._spent_before, self._looked_at, self._is_told = self._spent_seconds, None, False
        self._take()

    def __call__(self, trial_id: str, result: Dict[str, Any]) -> bool:
        """Tell whether a trial ends with this report."""
        flat = flattened(result)
        # By its flat name too, as Tune's thresholds have it; Ray's stoppers fail at a report without their metric.
        seen = {**result, **flat}
        # All are asked, each time: some count what they have seen.
        asked = [bool(one(trial_id, seen)) for one in self._stoppers if getattr(one, "_metric", None) in (None, *seen)]
        return any(asked) or _is_reached(flat)

    def stop_all(self) -> bool:
        """Tell whether the experiment ends."""
        asked = [bool(one.stop_all()) for one in self._stoppers]
        return any(asked) or self._is_spent()

    def _is_spent(self) -> bool:
        now = time.monotonic()
        if self._looked_at is not None:
            self._spent_seconds += now - self._looked_at
        self._looked_at = now
        budget = WANTED.budget_seconds if WANTED is not None else None
        if budget is None or self._spent_seconds < budget:
            return False
        if not self._is_told:
            self._is_told = True
            warn(
                "time_budget_seconds: %g s are spent, %.0f of them in earlier attempts; the experiment ends with what "
                "it has" % (budget, self._spent_before)
            )
        return True


def _is_reached(flat: Dict[str, Any]) -> bool:
    """Tell whether a report meets a threshold, as Tune compares: at least the value; not without the metric."""
    thresholds = WANTED.thresholds if WANTED is not None else {}
    values = {name: number_of(flat.get(name)) for name in thresholds}
    return any(value is not None and value >= thresholds[name] for name, value in values.items())


def unlimited(num_samples: int) -> None:
    """
    Refuse an experiment that would never end.

    :raises ConfigurationProblem: it draws for ever, and nothing ends it
    """
    if num_samples == -1 and (WANTED is None or not WANTED.ends_experiment):
        raise ConfigurationProblem(
            "num_samples: -1 draws for ever; give time_budget_seconds, or a 'stop' that ends the experiment, such as "
            "{'name': 'ExperimentPlateauStopper', 'args': {'metric': ...}}"
        )


def known() -> List[str]:
    """List Ray's own stoppers, by name."""
    return [name for name in importlib.import_module(STOPPERS).__all__ if name.endswith("Stopper")]

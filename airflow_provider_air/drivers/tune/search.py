"""Tune's schedulers and searchers by name, and the search space as Ray's objects."""

from __future__ import annotations

import importlib
from typing import Any, Callable, Dict, Optional, Tuple

from ..frame.running import Run
from ..wire import imports, spaces
from ..wire.problems import ConfigurationProblem

_SCHEDULERS = "ray.tune.schedulers"
# Source: Ray 2.60, ray/tune/schedulers/__init__.py
SCHEDULERS: Dict[str, str] = {
    "fifo": _SCHEDULERS + ":FIFOScheduler",
    "asha": _SCHEDULERS + ":ASHAScheduler",
    "hyperband": _SCHEDULERS + ":HyperBandScheduler",
    "bohb": _SCHEDULERS + ":HyperBandForBOHB",
    "median_stopping": _SCHEDULERS + ":MedianStoppingRule",
    "pbt": _SCHEDULERS + ":PopulationBasedTraining",
    "pb2": _SCHEDULERS + ".pb2:PB2",
}
# Searcher -> class and the package it needs. Source: Ray 2.60, ray/tune/search/__init__.py
SEARCHERS: Dict[str, Tuple[str, Optional[str]]] = {
    "random": ("ray.tune.search.basic_variant:BasicVariantGenerator", None),
    "optuna": ("ray.tune.search.optuna:OptunaSearch", "optuna"),
    "hyperopt": ("ray.tune.search.hyperopt:HyperOptSearch", "hyperopt"),
    "bayesopt": ("ray.tune.search.bayesopt:BayesOptSearch", "bayes_opt"),
    "bohb": ("ray.tune.search.bohb:TuneBOHB", "hpbandster"),
    "ax": ("ray.tune.search.ax:AxSearch", "ax"),
    "nevergrad": ("ray.tune.search.nevergrad:NevergradSearch", "nevergrad"),
    "hebo": ("ray.tune.search.hebo:HEBOSearch", "hebo"),
    "zoopt": ("ray.tune.search.zoopt:ZOOptSearch", "zoopt"),
}


def space(run: Run) -> Dict[str, Any]:
    """
    Build the search space, from JSON or from what an import path names (a dict, or a function of none).

    :raises ConfigurationProblem: a wrong sampler; the message names the place in the space
    """
    spec = run.config.get("param_space") or {}
    if isinstance(spec, str):
        found = imports.by_path(spec, "param_space")
        spec = found() if callable(found) else found
        if not isinstance(spec, dict):
            raise ConfigurationProblem("param_space: %s is no dict" % run.config["param_space"])
    return _samplers(spec, "param_space")


def scheduler(run: Run, spec: Any, saving: Callable[[type], type]) -> Any:
    """
    Build a scheduler.

    :param saving: wraps the scheduler's class
    :raises ConfigurationProblem: unknown, or it refuses its arguments
    """
    name, args = _named(spec or "fifo")
    if "hyperparam_mutations" in args:
        args["hyperparam_mutations"] = _samplers(args["hyperparam_mutations"], "scheduler.hyperparam_mutations")
    chosen = imports.by_path(_path(name, SCHEDULERS, "scheduler"), "scheduler")
    return _build(saving(chosen), args, "scheduler %r" % name)


def searcher(spec: Any, has_grid: bool) -> Any:
    """
    Build a searcher, or give None for Tune's own random and grid search.

    :raises ConfigurationProblem: unknown, its package is absent, or it cannot walk a grid
    """
    if not spec:
        return None
    name, args = _named(spec)
    path, package = SEARCHERS.get(name, (name, None))
    if package is not None:
        imports.need_package(package, "searcher %r" % name)
    if has_grid and name != "random":
        raise ConfigurationProblem("param_space: the searcher %r cannot walk grid_search; use choice" % name)
    chosen = imports.by_path(_path(path, {}, "searcher", SEARCHERS), "searcher")
    return _build(patient(chosen), args, "searcher %r" % name)


def patient(searcher: Any) -> Any:
    """Make a searcher pass over a report without the metric, which some raise at (Ray 2.60: Optuna's)."""
    if not isinstance(searcher, type):
        return searcher

    def on_trial_result(self: Any, trial_id: str, result: Dict[str, Any]) -> None:
        if has_metric(self, result):
            searcher.on_trial_result(self, trial_id, result)  # type: ignore[attr-defined]

    return type(searcher.__name__, (searcher,), {"on_trial_result": on_trial_result})


def has_metric(judge: Any, result: Dict[str, Any]) -> bool:
    """
    Tell whether a report has what a scheduler or searcher looks at.

    :param result: as Tune hands it to them, with flat names
    """
    named = getattr(judge, "metric", None) or []
    return all(name in result for name in ([named] if isinstance(named, str) else named))


def _named(spec: Any) -> Tuple[str, Dict[str, Any]]:
    return (spec, {}) if isinstance(spec, str) else (spec["name"], dict(spec.get("args") or {}))


def _path(name: str, table: Dict[str, str], field: str, names: Optional[Dict[str, Any]] = None) -> str:
    path = table.get(name, name)
    if ":" not in path and "." not in path:
        known = ", ".join(sorted(names or table))
        raise ConfigurationProblem("%s: %r is unknown; use one of %s or an import path" % (field, name, known))
    return path


def _build(chosen: Any, args: Dict[str, Any], field: str) -> Any:
    try:
        return chosen(**args)
    except (TypeError, ValueError, AssertionError) as error:
        raise ConfigurationProblem("%s: %s" % (field, error)) from error


def _samplers(spec: Dict[str, Any], where: str) -> Dict[str, Any]:
    tune = importlib.import_module("ray.tune")

    def sampler(name: str, args: Any) -> Any:
        if name == spaces.FUNCTION:
            return tune.sample_from(imports.by_path(args, where))
        return getattr(tune, name)(args) if name in spaces.LISTS else getattr(tune, name)(**args)

    try:
        built: Dict[str, Any] = spaces.build(spec, sampler, where)
    except spaces.SpaceProblem as problem:
        raise ConfigurationProblem(str(problem)) from problem
    return built

"""Tune's schedulers and searchers by name, and the search space as Ray's objects."""

from __future__ import annotations

import importlib
import pickle
from typing import Any, Callable, Dict, List, Optional, Tuple

from ..frame import objects
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


# Arguments of searchers that take one of a library's own by its name: where that is looked for.
WITHIN = {("optuna", "sampler"): "optuna.samplers", ("nevergrad", "optimizer"): "nevergrad.optimizers"}


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
    name, args = objects.named(spec or "fifo")
    for own in ("metric", "mode"):
        # Tune gives them to the scheduler itself, and refuses one that has them.
        if args.get(own) is not None and args.pop(own) != run.config.get(own):
            raise ConfigurationProblem("scheduler %r: %r is said by the task's own %r" % (_text(name), own, own))
    if "hyperparam_mutations" in args:
        args["hyperparam_mutations"] = _samplers(args["hyperparam_mutations"], "scheduler.hyperparam_mutations")
    chosen = objects.found(_path(name, SCHEDULERS, "scheduler"), "scheduler")
    made = _build(chosen, args, "scheduler %r" % _text(name), "choose_trial_to_run")
    made.__class__ = saving(type(made))
    return made


def searcher(
    spec: Any,
    has_grid: bool,
    metric: Optional[str] = None,
    mode: Optional[str] = None,
    points: Optional[List[Dict[str, Any]]] = None,
) -> Any:
    """
    Build a searcher, or give None for Tune's own random and grid search.

    :param metric, mode: for one that has its own space, which Tune does not tell these
    :param points: what is tried first
    :raises ConfigurationProblem: unknown, its package is absent, it cannot walk a grid, or it refuses its arguments
    """
    if not spec and not points:
        return None
    name, args = objects.named(spec or "random")
    path, package = SEARCHERS.get(name, (name, None)) if isinstance(name, str) else (name, None)
    if package is not None:
        imports.need_package(package, "searcher %r" % name)
    if has_grid:
        check_grid(spec)
    if points:
        args["points_to_evaluate"] = points
    if args.get("space") is not None:
        _check_kept(args["space"])
        args = {"metric": metric, "mode": mode, **args}
    chosen = objects.found(_path(path, {}, "searcher", SEARCHERS), "searcher")
    made = _build(chosen, _known_by_name(name, args), "searcher %r" % _text(name), "on_trial_complete")
    made.__class__ = patient(type(made))
    return made


def _check_kept(space: Any) -> None:
    """Refuse what could not be kept with the searcher's state, which Ray pickles by name (2.60: Optuna's)."""
    if callable(space):
        try:
            pickle.dumps(space)
        except Exception as error:
            raise ConfigurationProblem(
                "searcher: a 'space' that is a function has to be named by import path: it is kept with the state (%s)"
                % error
            ) from error


def check_grid(spec: Any) -> None:
    """
    Refuse a searcher other than Tune's own for a space with a grid.

    :raises ConfigurationProblem: it cannot walk one
    """
    if not is_tunes(spec):
        raise ConfigurationProblem("param_space: the searcher %r cannot walk grid_search; use choice" % name_of(spec))


def name_of(spec: Any) -> str:
    """Give a searcher's name for messages."""
    return _text(objects.named(spec)[0])


def is_tunes(spec: Any) -> bool:
    """Tell whether it is Tune's own random and grid search."""
    return bool(objects.named(spec or "random")[0] == "random")


def draws_itself(spec: Any) -> bool:
    """Tell whether a searcher has a space of its own, such as Optuna's define-by-run."""
    return bool(spec) and objects.named(spec)[1].get("space") is not None


def _known_by_name(searcher: Any, args: Dict[str, Any]) -> Dict[str, Any]:
    found = dict(args)
    for argument, value in args.items():
        name, its_args = objects.named(value)
        within = WITHIN.get((searcher, argument)) if isinstance(searcher, str) else None
        if within is not None and isinstance(name, str) and ":" not in name and "." not in name:
            path = "%s:%s" % (within, name)
            found[argument] = {"name": path, "args": its_args} if its_args else path
    return found


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


def _path(name: Any, table: Dict[str, str], field: str, names: Optional[Dict[str, Any]] = None) -> Any:
    path = table.get(name, name) if isinstance(name, str) else name
    if isinstance(path, str) and ":" not in path and "." not in path:
        known = ", ".join(sorted(names or table))
        raise ConfigurationProblem("%s: %r is unknown; use one of %s or an import path" % (field, name, known))
    return path


def _text(name: Any) -> str:
    return name if isinstance(name, str) else str(getattr(name, "__name__", name))


def _build(chosen: Any, args: Dict[str, Any], field: str, method: str) -> Any:
    """Make what a class or a factory gives, or take what an import path names as it is."""
    is_maker = isinstance(chosen, type) or (callable(chosen) and not hasattr(chosen, method))
    if args and not is_maker:
        raise ConfigurationProblem("%s: it is made already, and takes no args" % field)
    made = objects.called(chosen, args, field) if is_maker else chosen
    if isinstance(made, type) or not callable(getattr(made, method, None)):
        raise ConfigurationProblem("%s: it gives a %s, which has no %s" % (field, type(made).__name__, method))
    return made


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

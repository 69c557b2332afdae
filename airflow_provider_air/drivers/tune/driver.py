"""
Runs one Tune experiment: ``python -m air_drivers.tune``.

The same ``run_name`` and ``storage_path`` in a later attempt restore it: finished trials are kept,
unfinished and failed ones go on from their last checkpoint.
"""

from __future__ import annotations

import inspect
import os
import time
from typing import Any, Callable, Dict, List, Optional, Tuple

from ..data import datasets, files
from ..features import join
from ..frame import begun, code, objects, resources
from ..frame.metrics import fitted
from ..frame.resources import Bundle
from ..frame.running import Run, running
from ..trackers import mlflow_model, wandb_run, wandb_trials
from ..train import trainers
from ..wire import spaces
from ..wire.metrics import finite_of, flattened
from ..wire.problems import ConfigurationProblem, WorkFailed
from . import search

# Of what Tune keeps of an experiment and its trials, and cannot change in them.
BEGUN_WITH = ("param_space", "num_samples", "metric", "mode", "searcher", "points_to_evaluate")
# Where Tune itself runs the trials; a Train loop gets its own anew each time.
BEGUN_WITH_TRAINABLE = ("failure_config", "checkpoint_config", "resources_per_trial")
# In which a function may have travelled.
WITH_CODE = ("trainer_args", "run_config", "scheduler", "searcher", "stop")


class TrialsFailed(WorkFailed):
    """More trials failed than ``max_failed_trials`` allows; a retry runs those again."""


def main() -> None:
    """Search, report while searching, and write the ``result`` record."""
    with running(wandb_run.begin, wandb_trials.begin, mlflow_model.check) as run:
        started = time.time()
        trainers.set_report_interval(run.config)
        # A metric may be missing from a report, and come late: Tune's check would end the experiment.
        os.environ.setdefault("TUNE_DISABLE_STRICT_METRIC_CHECKING", "1")
        value = _tune(run)
        value["seconds"] = round(time.time() - started, 3)
        run.records.write("result", value=value)


def _tune(run: Run) -> Dict[str, Any]:
    # Before the trainable, which reads the joined rows; every trial has the same.
    run.config["datasets"], joined = join.join_datasets(run, run.config.get("datasets") or {})
    wanted = _begun_with(run.config)
    for field in WITH_CODE:
        run.config[field] = code.author_fields(run, run.config.get(field), field)
    trainable, bundles = _trainable(run)
    import ray

    from ..frame import experiment
    from . import trials

    if not ray.is_initialized():
        ray.init()
    uri = files.join(files.storage_of(run.config), run.config["run_name"])
    base = run.config.get("train_loop_config") or {}
    experiment.OBSERVER = experiment.Observer(
        run, run.config.get("metric"), config_of=lambda trial: trials.merge(base, trial.config or {})
    )
    tuner = _tuner(run, trainable(uri), bundles, uri, wanted)
    grid = resources.run_when_it_fits(run, _resources_field(run), bundles, tuner.fit)
    value = _result(run, grid, uri)
    trainer = run.config.get("trainer") if run.config.get("train_loop") else None
    model = mlflow_model.log_best(run, value, trainer, run.config["datasets"])
    return {**value, "features": joined, "model": model or None}


def _begun_with(config: Dict[str, Any]) -> Dict[str, Any]:
    """Give what cannot change, as the author has written it: a function that travels is named by its file."""
    names = (*BEGUN_WITH, "train_loop_config") if config.get("train_loop") else (*BEGUN_WITH, *BEGUN_WITH_TRAINABLE)
    return {name: config.get(name) for name in names}


def _resources_field(run: Run) -> str:
    return "scaling_config" if run.config.get("train_loop") else "resources_per_trial"


def _trainable(run: Run) -> Tuple[Callable[[str], Any], List[Bundle]]:
    """Give what Tune runs, made from the experiment's URI, and what one trial of it needs."""
    config = run.config
    if not config.get("train_loop"):
        return _own_trainable(run)
    loop = code.author_callable(run, config["train_loop"], "train_loop")
    args = dict(config.get("trainer_args") or {})
    build = trainers.builder({**config, "trainer_args": args}, loop, args.pop("run_config", None))
    bundles = trainers.bundles(trainers.scaling(config), bool(config.get("datasets")))

    def trial(uri: str) -> Any:
        from . import trials

        # The trial itself only waits for its Train run, whose workers ask for their own resources, maybe for every CPU.
        # Tune refuses to reserve nothing; a byte is no share of a node.
        return _with_resources(trials.train_trial(config, build, uri), [{"memory": 1}])

    return trial, bundles


def _own_trainable(run: Run) -> Tuple[Callable[[str], Any], List[Bundle]]:
    """Give the author's function or class; what it says of its own needs holds where the task says nothing."""
    from ray.tune.execution.placement_groups import resource_dict_to_pg_factory

    function, asked = (
        code.author_callable(run, run.config["trainable"], "trainable"),
        run.config.get("resources_per_trial"),
    )
    own = None if asked else _own_resources(function)
    if own is not None:
        return (lambda uri: function), [dict(each) for each in getattr(own, "bundles", None) or [{"CPU": 1.0}]]
    bundles = [dict(each) for each in resource_dict_to_pg_factory(asked or {"CPU": 1.0}).bundles]
    return (lambda uri: _with_resources(function, bundles)), bundles


def _own_resources(function: Any) -> Any:
    """Give what ``tune.with_resources`` or the class says, if anything; it may depend on the trial's config."""
    if not inspect.isclass(function):
        return getattr(function, "_resources", None)
    try:
        return function.default_resource_request({})  # type: ignore[attr-defined]
    except Exception:  # it does
        return function


def _with_resources(function: Any, bundles: List[Bundle]) -> Any:
    from ray import tune

    return tune.with_resources(function, tune.PlacementGroupFactory(bundles))


def _tuner(run: Run, trainable: Any, bundles: List[Bundle], uri: str, wanted: Dict[str, Any]) -> Any:
    from ray import tune

    from ..frame import experiment

    datasets.read_all(run.config.get("datasets") or {})  # absent data fails here, not in every trial
    space = _space(run)
    is_begun = begun.is_begun(uri, wanted)
    try:
        # Also before a restore, which takes from what this writes how trials are run, scheduled and ended.
        tuner = tune.Tuner(
            trainable,
            param_space=space,
            tune_config=_tune_config(run, bundles, space),
            run_config=_run_config(run, trainable),
        )
        if not is_begun:
            return tuner
        run.records.tell("progress", message="the experiment at %s is restored" % uri, phase="start", restored=True)
        return experiment.restored(uri, trainable, space)
    except (TypeError, ValueError) as error:
        raise ConfigurationProblem("Tune refused the experiment: %s" % error) from error


def _space(run: Run) -> Dict[str, Any]:
    from ray.tune.search.variant_generator import parse_spec_vars

    built = search.space(run)
    _, domains, grids = parse_spec_vars(built)
    spec = run.config.get("searcher")
    if search.draws_itself(spec) and (domains or grids):
        raise ConfigurationProblem(
            "param_space: the searcher draws from the 'space' in its args; here may be constants only"
        )
    if grids:  # of a space that is an import path; another one is checked before it is sent
        search.check_grid(spec)
    return built


def _tune_config(run: Run, bundles: List[Bundle], space: Dict[str, Any]) -> Any:
    from ray import tune

    from . import concurrency, points, stopping, trials

    config = run.config
    spec, first = config.get("searcher"), config.get("points_to_evaluate")
    if not search.draws_itself(spec):
        first = points.points(space, first, search.is_tunes(spec))
    num_samples, limit = int(config.get("num_samples") or 1), config.get("max_concurrent_trials")
    stopping.WANTED = stopping.Wanted(config.get("stop"), config.get("time_budget_seconds"))
    stopping.unlimited(num_samples)
    concurrency.LIMIT = (lambda: int(limit)) if limit else None
    if not limit and config.get("train_loop"):
        # Of functions, Tune itself starts only as many as there is room for.
        concurrency.LIMIT = concurrency.Fitting(bundles, bool(config.get("fixed_size")), num_samples)
    made = search.searcher(spec, _has_grid(config), config["metric"], config["mode"], first)
    if not search.is_tunes(spec) and not search.draws_itself(spec):
        points.check_space(made, space, search.name_of(spec))
    return tune.TuneConfig(
        metric=config.get("metric"),
        mode=config.get("mode"),
        num_samples=num_samples,
        scheduler=search.scheduler(run, config.get("scheduler"), trials.saving),
        search_alg=concurrency.limited(made, bool(limit)),
    )


def _run_config(run: Run, trainable: Any = None) -> Any:
    from ray import tune

    from ..frame import experiment
    from . import stopping

    config = run.config
    path, filesystem = files.for_ray(files.storage_of(config))
    given = objects.fitted(tune.RunConfig, config.get("run_config") or {}, "run_config", (*trainers.OWN_OF_RUN, "stop"))
    if not config.get("train_loop"):
        given["failure_config"] = objects.called(
            tune.FailureConfig, config.get("failure_config") or {}, "failure_config"
        )
        given["checkpoint_config"] = _checkpoints(config.get("checkpoint_config") or {}, trainable)
    return tune.RunConfig(
        **{
            "verbose": 0,
            **given,
            "name": config["run_name"],
            "storage_path": path,
            "storage_filesystem": filesystem,
            "callbacks": [experiment.TrialProgress(), *(given.get("callbacks") or [])],
            "stop": stopping.Stopping(),
        }
    )


def _checkpoints(fields: Dict[str, Any], trainable: Any) -> Any:
    from ray import tune

    of_classes = [name for name in ("checkpoint_frequency", "checkpoint_at_end") if fields.get(name)]
    if of_classes and not inspect.isclass(trainable):
        raise ConfigurationProblem(
            "checkpoint_config.%s: a function reports its checkpoints itself; only of a class that inherits from "
            "ray.tune.Trainable Tune takes them" % of_classes[0]
        )
    return objects.called(tune.CheckpointConfig, fields, "checkpoint_config")


def _has_grid(config: Dict[str, Any]) -> bool:
    spec = config.get("param_space")
    return isinstance(spec, dict) and spaces.has_grid(spec)


def _result(run: Run, grid: Any, uri: str) -> Dict[str, Any]:
    from . import trials

    base = run.config.get("train_loop_config") or {}
    rows = trials.table(grid, base, uri, run.config["metric"])
    failed = [row for row in rows if row["status"] == "failed"]
    allowed = int(run.config.get("max_failed_trials") or 0)
    if len(failed) > allowed:
        first = _first(failed)
        raise TrialsFailed(
            "%d of %d trials failed, max_failed_trials allows %d; trial %s: %s"
            % (len(failed), len(rows), allowed, first["trial_id"], first["error"] or "unknown error")
        )
    best = _best(run, rows)
    value = {
        "run_name": run.config["run_name"],
        "uri": uri,
        **{"best_" + name: best and best[name] for name in ("config", "metrics", "checkpoint", "trial_id")},
        "best_checkpoint_metrics": best
        and best["checkpoint"]
        and trials.checkpoint_metrics(grid, best["trial_id"], best["checkpoint"], uri),
        "trials": rows,
        "trials_total": len(rows),
        "trials_failed": len(failed),
    }
    return fitted(value, "trials")


def _first(failed: List[Dict[str, Any]]) -> Dict[str, Any]:
    """Pick the trial that failed first in this attempt; of those that failed before it, any."""
    from ..frame import experiment

    order = experiment.OBSERVER.failed if experiment.OBSERVER else []
    return min(failed, key=lambda row: order.index(row["trial_id"]) if row["trial_id"] in order else len(order))


def _best(run: Run, rows: List[Dict[str, Any]]) -> Optional[Dict[str, Any]]:
    """Pick the trial whose last value is best, as Tune does by default; NaN and infinities are never best."""
    from ..frame import experiment

    metric, mode = run.config["metric"], run.config["mode"]
    finished = [row for row in rows if row["status"] == "finished"]
    usable = [(value, row) for row in finished if (value := finite_of(row["metrics"], metric)) is not None]
    if not usable:
        assert experiment.OBSERVER is not None
        experiment.OBSERVER.missing.judge({name for row in finished for name in flattened(row["metrics"])})
        return None
    pick = min if mode == "min" else max
    return pick(usable, key=lambda pair: pair[0])[1]

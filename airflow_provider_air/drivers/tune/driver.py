"""
Runs one Tune experiment: ``python -m air_drivers.tune``.

The same ``run_name`` and ``storage_path`` in a later attempt restore it: finished trials are kept,
unfinished and failed ones go on from their last checkpoint.
"""

from __future__ import annotations

import json
import os
import time
from typing import Any, Callable, Dict, List, Optional, Tuple

from ..data import datasets, files
from ..features import join
from ..frame import code, resources
from ..frame.metrics import fitted
from ..frame.resources import Bundle
from ..frame.running import Run, running
from ..trackers import mlflow_model, wandb_run, wandb_trials
from ..train import trainers
from ..wire import spaces
from ..wire.metrics import finite_of, flattened
from ..wire.problems import ConfigurationProblem, WorkFailed
from . import search

FINGERPRINT = "air_experiment.json"


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
    tuner = _tuner(run, trainable(uri), bundles, uri)
    grid = resources.run_when_it_fits(run, _resources_field(run), bundles, tuner.fit)
    value = _result(run, grid, uri)
    trainer = run.config.get("trainer") if run.config.get("train_loop") else None
    model = mlflow_model.log_best(run, value, trainer, run.config["datasets"])
    return {**value, "features": joined, "model": model or None}


def _resources_field(run: Run) -> str:
    return "scaling_config" if run.config.get("train_loop") else "resources_per_trial"


def _trainable(run: Run) -> Tuple[Callable[[str], Any], List[Bundle]]:
    """Give what Tune runs, made from the experiment's URI, and what one trial of it needs."""
    config = run.config
    if not config.get("train_loop"):
        function = code.author_callable(run, config["trainable"], "trainable")
        each: Bundle = dict(config.get("resources_per_trial") or {"CPU": 1.0})
        return (lambda uri: _with_resources(function, each)), [each]
    loop = code.author_callable(run, config["train_loop"], "train_loop")
    build = trainers.builder(config, loop)
    bundles = trainers.bundles(trainers.scaling(config), bool(config.get("datasets")))

    def trial(uri: str) -> Any:
        from . import trials

        # The trial itself only waits for its Train run, whose workers ask for their own resources.
        return _with_resources(trials.train_trial(config, build, uri), {"CPU": 0.001})

    return trial, bundles


def _with_resources(function: Any, bundle: Bundle) -> Any:
    from ray import tune

    return tune.with_resources(function, tune.PlacementGroupFactory([bundle]))


def _tuner(run: Run, trainable: Any, bundles: List[Bundle], uri: str) -> Any:
    from ray import tune

    from ..frame import experiment

    datasets.read_all(run.config.get("datasets") or {})  # absent data fails here, not in every trial
    space = search.space(run)
    if _restorable(run, uri):
        run.records.tell("progress", message="the experiment at %s is restored" % uri, phase="start", restored=True)
        return experiment.restored(uri, trainable, space)
    try:
        tune_config, run_config = _tune_config(run, bundles), _run_config(run)
        return tune.Tuner(trainable, param_space=space, tune_config=tune_config, run_config=run_config)
    except (TypeError, ValueError) as error:
        raise ConfigurationProblem("Tune refused the experiment: %s" % error) from error


def _tune_config(run: Run, bundles: List[Bundle]) -> Any:
    from ray import tune

    from . import trials

    config = run.config
    return tune.TuneConfig(
        metric=config.get("metric"),
        mode=config.get("mode"),
        num_samples=int(config.get("num_samples") or 1),
        scheduler=search.scheduler(run, config.get("scheduler"), trials.saving),
        search_alg=search.searcher(config.get("searcher"), _has_grid(config)),
        max_concurrent_trials=config.get("max_concurrent_trials") or _fitting(run, bundles),
        time_budget_s=config.get("time_budget_seconds"),
    )


def _run_config(run: Run) -> Any:
    from ray import tune

    from ..frame import experiment

    path, filesystem = files.for_ray(files.storage_of(run.config))
    return tune.RunConfig(
        name=run.config["run_name"],
        storage_path=path,
        storage_filesystem=filesystem,
        callbacks=[experiment.TrialProgress()],
        stop=run.config.get("stop"),
        verbose=0,
    )


def _has_grid(config: Dict[str, Any]) -> bool:
    spec = config.get("param_space")
    return isinstance(spec, dict) and spaces.has_grid(spec)


def _fitting(run: Run, bundles: List[Bundle]) -> Optional[int]:
    """How many Train trials fit at once: started in larger numbers, they would hold up each other."""
    if not run.config.get("train_loop"):
        return None  # Tune itself starts only as many functions as there is room for
    import ray

    asked: Bundle = {}
    for bundle in bundles:
        for name, amount in bundle.items():
            asked[name] = asked.get(name, 0.0) + amount
    total = ray.cluster_resources()
    return max(1, min([int(total.get(n, 0.0) / a) for n, a in asked.items() if a] or [1]))


def _restorable(run: Run, uri: str) -> bool:
    """Tell whether an earlier attempt left a state, and refuse one of another search."""
    filesystem, path = files.open_uri(uri, "storage_path")
    wanted = {name: run.config.get(name) for name in ("param_space", "num_samples", "metric", "mode")}
    text = json.dumps(wanted, sort_keys=True)
    mark = files.read(filesystem, path + "/" + FINGERPRINT)
    # Killed before Tune saved its first state, there is nothing to restore yet.
    saved = any(name.startswith("experiment_state-") for name in files.names(uri))
    if not saved:
        files.write(filesystem, path + "/" + FINGERPRINT, text.encode())
        return False
    if mark is not None and mark.decode() != text:
        raise ConfigurationProblem(
            "param_space: the experiment at %s was begun with another search (%s); Tune cannot resume it with a "
            "changed one. Start afresh, under another run name" % (uri, mark.decode()[:500])
        )
    return True


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

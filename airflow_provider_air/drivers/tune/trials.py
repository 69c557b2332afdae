"""Trials of a Tune experiment: what one runs, when their state is saved, and their table at the end."""

from __future__ import annotations

import concurrent.futures
from typing import Any, Callable, Dict, List, Optional, Set

import ray.tune

from ..data import datasets, files
from ..frame import experiment
from ..frame.metrics import plain
from ..train import trainers
from ..wire.failures import text_of
from ..wire.metrics import flattened, number_of
from ..wire.texts import shortened
from .search import has_metric

# Train runs of trials live beside Tune's own trial folders, one per trial id.
TRAIN_RUNS = "train_runs"


def saving(scheduler: type) -> type:
    """
    Make a scheduler save the experiment's state as soon as a trial ends.

    Tune saves it each 10 s or more: a driver killed in between would run finished trials again. The
    scheduler is the one public place that is handed Tune's controller. A report without the metric is passed over,
    which some schedulers raise at.
    Source: Ray 2.60, TuneController.checkpoint and _ExperimentCheckpointManager
    """

    def choose_trial_to_run(self: Any, tune_controller: Any, **kwargs: Any) -> Any:
        _save_when_ended(self, tune_controller)
        return scheduler.choose_trial_to_run(self, tune_controller, **kwargs)  # type: ignore[attr-defined]

    def on_trial_result(self: Any, tune_controller: Any, trial: Any, result: Dict[str, Any]) -> str:
        if not has_metric(self, result):
            return scheduler.CONTINUE  # type: ignore[attr-defined,no-any-return]
        return scheduler.on_trial_result(self, tune_controller, trial, result)  # type: ignore[attr-defined,no-any-return]

    ours = {"choose_trial_to_run": choose_trial_to_run, "on_trial_result": on_trial_result}
    return type(scheduler.__name__, (scheduler,), ours)


def _save_when_ended(scheduler: Any, tune_controller: Any) -> None:
    # A function of this module: what the scheduler's class itself names would be pickled with it.
    if experiment.OBSERVER and experiment.OBSERVER.ended != getattr(scheduler, "_air_saved", 0):
        scheduler._air_saved = experiment.OBSERVER.ended
        tune_controller.checkpoint(force=True)


def train_trial(config: Dict[str, Any], build: Callable[..., Any], experiment_uri: str) -> Callable[..., None]:
    """
    Make a trainable of a Train loop: each trial is a Train run that is named by its trial, so that it resumes.

    :param build: see :func:`air_drivers.train.trainers.builder`
    """
    specs = datasets.anchored(config.get("datasets") or {})
    base = config.get("train_loop_config") or {}

    def train(sampled: Dict[str, Any]) -> None:
        from ray.tune.integration.ray_train import TuneReportCallback

        trainers.set_report_interval(config)
        trial = ray.tune.get_context().get_trial_id()
        place = files.join(experiment_uri, TRAIN_RUNS)
        build(trial, place, [TuneReportCallback()], merge(base, sampled), datasets.read_all(specs)).fit()

    return train


def table(grid: Any, base: Dict[str, Any], experiment_uri: str, metric: str) -> List[Dict[str, Any]]:
    """
    Turn an experiment's results into rows, one per trial; those that wait still when its time is over have never run.

    :param base: the fixed part of every trial's config
    :param metric: what trials are compared by, by its flat name: a row has its last value, as Tune has it, also where
        the last report has none
    """
    last = _last_values(grid, metric)
    # Looking up a Train run's checkpoints is a request per trial.
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        waiting = _waiting(grid)
        ran = [result for result in grid if (result.metrics or {}).get("trial_id") not in waiting]
        rows = list(pool.map(lambda result: _row(result, base, experiment_uri), ran))
    for row in rows:
        if row["trial_id"] in last and number_of(flattened(row["metrics"]).get(metric)) is None:
            row["metrics"][metric] = last[row["trial_id"]]
    return rows


def _trials(grid: Any) -> List[Any]:
    # Source: Ray 2.60, ExperimentAnalysis.get_best_trial; the public Result has the last report only.
    return list(getattr(getattr(grid, "_experiment_analysis", None), "trials", None) or [])


def _waiting(grid: Any) -> Set[str]:
    """Name the trials that never began: random search has up to hundreds of them at hand when its time is over."""
    return {t.trial_id for t in _trials(grid) if t.status == t.TERMINATED and t.run_metadata.start_time is None}


def _last_values(grid: Any, metric: str) -> Dict[str, Any]:
    trials = [trial for trial in _trials(grid) if metric in trial.metric_analysis]
    return {trial.trial_id: plain(trial.metric_analysis[metric]["last"]) for trial in trials}


def _row(result: Any, base: Dict[str, Any], experiment_uri: str) -> Dict[str, Any]:
    metrics = result.metrics or {}
    trial = metrics.get("trial_id")
    return {
        "trial_id": trial,
        "status": "failed" if result.error else "finished",
        "config": plain(merge(base, result.config or {})),
        "metrics": experiment.user_metrics(metrics),
        "checkpoint": _last_checkpoint(result, trial, experiment_uri),
        "seconds": metrics.get("time_total_s"),
        "error": shortened(text_of(result.error), experiment.MAX_TRIAL_ERROR_CHARACTERS) if result.error else None,
    }


def _last_checkpoint(result: Any, trial: Optional[str], experiment_uri: str) -> Optional[str]:
    if result.checkpoint is not None:  # given to Tune by the function itself
        return files.join(experiment_uri, *str(result.checkpoint.path).rstrip("/").split("/")[-2:])
    uri = files.join(experiment_uri, TRAIN_RUNS, str(trial))
    names = [name for name in files.names(uri) if name.startswith("checkpoint_2")]
    return files.join(uri, max(names)) if names else None  # the names begin with their time


def checkpoint_metrics(grid: Any, trial: str, checkpoint: str, experiment_uri: str) -> Dict[str, Any]:
    """
    Give what a trial reported with its last checkpoint, which need not be its last report; empty where nobody knows.

    :param checkpoint: its URI, as in the trial's row
    """
    found = [result for result in grid if (result.metrics or {}).get("trial_id") == trial and result.best_checkpoints]
    pairs = found[0].best_checkpoints if found else _of_train_run(files.join(experiment_uri, TRAIN_RUNS, trial))
    name = _name_of(checkpoint)
    return next((experiment.user_metrics(metrics) for one, metrics in pairs if _name_of(one.path) == name), {})


def _of_train_run(uri: str) -> List[Any]:
    from ray.train import Result

    path, filesystem = files.for_ray(uri)
    try:
        return list(Result.from_path(path, filesystem).best_checkpoints or [])
    except RuntimeError:  # no such run: the trial was none
        return []


def _name_of(path: Any) -> str:
    return str(path).partition("?")[0].rstrip("/").rpartition("/")[2]


def merge(base: Dict[str, Any], over: Dict[str, Any]) -> Dict[str, Any]:
    """Lay a sampled config over the fixed one, dict by dict."""
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged

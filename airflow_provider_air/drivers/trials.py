"""
Trials of a Tune experiment as records while they run, and as a table at the end.

Tune's controller runs in the driver's own process, so callbacks write records directly. They are
pickled into the experiment's folder and come back from there on a restore, hence the module-level
:data:`OBSERVER` instead of a field.
"""

from __future__ import annotations

import collections
import concurrent.futures
import time
from typing import Any, Callable, Dict, List, Optional

import ray.tune
from ray.tune import Callback

from . import datasets, files, job, trainers
from .history import numbers, plain

# What Tune adds to every report and nobody wants to read.
TUNE_FIELDS = frozenset(
    [
        "timestamp",
        "done",
        "trial_id",
        "date",
        "time_this_iter_s",
        "time_total_s",
        "pid",
        "hostname",
        "node_ip",
        "config",
        "time_since_restore",
        "iterations_since_restore",
        "checkpoint_dir_name",
        "experiment_tag",
        "should_checkpoint",
        "checkpoint_path",
    ]
)
# A trial that reports faster is shown once in this time; its last report is always shown.
SHOW_EVERY_SECONDS = 1.0


class Observer:
    """
    Writes what happens to trials as records.

    :param metric: the metric that every trial must report, or None
    :param pick: what of a report is shown; by default everything that the author's code reported
    """

    def __init__(
        self, run: job.Run, metric: Optional[str], pick: Optional[Callable[[Dict[str, Any]], Dict[str, Any]]] = None
    ) -> None:
        self._run = run
        self._pick = pick or user_metrics
        self._metric = metric
        self._shown: Dict[str, float] = {}
        self.total: Optional[int] = None
        self.ended = 0  # grows with every trial that ends; the scheduler saves the experiment's state then
        self.problem: Optional[str] = None

    def check(self) -> None:
        """
        Raise what a trial's report has shown to be wrong; called in the driver's main thread.

        :raises job.ConfigurationProblem: the metric is not among what the trials report
        """
        if self.problem:
            raise job.ConfigurationProblem(self.problem)

    def reported(self, trial: Any, result: Dict[str, Any], last: bool = False) -> None:
        """Take one report of a trial."""
        values = self._pick(result)
        if not values and last:
            return  # the empty report that Tune adds when a function returns
        if self._metric is not None and self._metric not in result and not self.problem:
            self.problem = "metric: the trials do not report %r; they report %s" % (
                self._metric,
                ", ".join(map(repr, sorted(set(values) - {"training_iteration"}))) or "nothing",
            )
        now = time.monotonic()
        if last or now - self._shown.get(trial.trial_id, float("-inf")) >= SHOW_EVERY_SECONDS:
            self._shown[trial.trial_id] = now
            step = result.get("training_iteration")
            self._run.records.write("metric", values=numbers(values), step=step, trial=trial.trial_id)

    def changed(self, trials: List[Any], trial: Any, what: str) -> None:
        """Say that a trial started or ended, with the state of all."""
        states = collections.Counter(t.status.lower() for t in trials)
        done = states["terminated"] + states["error"]
        if what != "starts" and trial.status not in ("TERMINATED", "ERROR"):
            done += 1  # Tune tells us just before it sets the trial's state
        self._run.records.write(
            "progress",
            message="trial %s %s" % (trial.trial_id, what),
            phase="trials",
            trial=trial.trial_id,
            states=dict(states),
            done=done,
            total=max(self.total or 0, len(trials)),
        )


OBSERVER: Optional[Observer] = None


class TrialProgress(Callback):  # type: ignore[misc, unused-ignore]
    """Hands Tune's events to :data:`OBSERVER`; has no state of its own, so that it can be pickled."""

    def setup(self, stop: Any = None, num_samples: Any = None, total_num_samples: Any = None, **info: Any) -> None:
        """Learn how many trials there will be."""
        if OBSERVER and total_num_samples:
            OBSERVER.total = int(total_num_samples)

    def on_trial_start(self, iteration: int, trials: List[Any], trial: Any, **info: Any) -> None:
        """Say that a trial starts."""
        if OBSERVER:
            OBSERVER.changed(trials, trial, "starts")

    def on_trial_result(
        self, iteration: int, trials: List[Any], trial: Any, result: Dict[str, Any], **info: Any
    ) -> None:
        """Pass on a report."""
        if OBSERVER:
            OBSERVER.reported(trial, result)

    def on_trial_complete(self, iteration: int, trials: List[Any], trial: Any, **info: Any) -> None:
        """Say that a trial finished or was stopped early."""
        if OBSERVER:
            OBSERVER.ended += 1
            OBSERVER.reported(trial, trial.last_result or {}, last=True)
            OBSERVER.changed(trials, trial, "finished")

    def on_trial_error(self, iteration: int, trials: List[Any], trial: Any, **info: Any) -> None:
        """Say that a trial failed."""
        if OBSERVER:
            OBSERVER.ended += 1
            OBSERVER.changed(trials, trial, "failed")


def saving(scheduler: type) -> type:
    """
    Make a scheduler save the experiment's state as soon as a trial ends.

    Tune saves it each 10 s or more: a driver killed in between would run finished trials again. The
    scheduler is the one public place that is handed Tune's controller.
    Source: Ray 2.60, TuneController.checkpoint and _ExperimentCheckpointManager
    """

    def choose_trial_to_run(self: Any, tune_controller: Any, **kwargs: Any) -> Any:
        _save_when_ended(self, tune_controller)
        return scheduler.choose_trial_to_run(self, tune_controller, **kwargs)  # type: ignore[attr-defined]

    return type(scheduler.__name__, (scheduler,), {"choose_trial_to_run": choose_trial_to_run})


def _save_when_ended(scheduler: Any, tune_controller: Any) -> None:
    # A function of this module: what the scheduler's class itself names would be pickled with it.
    if OBSERVER and OBSERVER.ended != getattr(scheduler, "_air_saved", 0):
        scheduler._air_saved = OBSERVER.ended
        tune_controller.checkpoint(force=True)


def user_metrics(result: Dict[str, Any]) -> Dict[str, Any]:
    """Leave out what Tune adds to a report, but for ``training_iteration``."""
    return {key: plain(value) for key, value in result.items() if key not in TUNE_FIELDS and key != "config"}


# Train runs of trials live beside Tune's own trial folders, one per trial id.
TRAIN_RUNS = "train_runs"


def train_trial(config: Dict[str, Any], build: Callable[..., Any], experiment_uri: str) -> Callable[..., None]:
    """
    Make a trainable of a Train loop: each trial is a Train run that is named by its trial, so that it resumes.

    :param build: see :func:`air_drivers.trainers.builder`
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


def restored(experiment_uri: str, trainable: Any, space: Any) -> Any:
    """Go on with an earlier attempt's experiment: finished trials are kept, failed ones resume."""
    path, filesystem = files.for_ray(experiment_uri)
    return ray.tune.Tuner.restore(
        path, trainable=trainable, resume_errored=True, param_space=space, storage_filesystem=filesystem
    )


def table(grid: Any, base: Dict[str, Any], experiment_uri: str) -> List[Dict[str, Any]]:
    """
    Turn an experiment's results into rows, one per trial.

    :param base: the fixed part of every trial's config
    """
    # Looking up a Train run's checkpoints is a request per trial.
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        return list(pool.map(lambda result: _row(result, base, experiment_uri), grid))


def _row(result: Any, base: Dict[str, Any], experiment_uri: str) -> Dict[str, Any]:
    metrics = result.metrics or {}
    trial = metrics.get("trial_id")
    return {
        "trial_id": trial,
        "status": "failed" if result.error else "finished",
        "config": plain(merge(base, result.config or {})),
        "metrics": user_metrics(metrics),
        "checkpoint": _last_checkpoint(result, trial, experiment_uri),
        "seconds": metrics.get("time_total_s"),
        "error": str(result.error)[-2000:] if result.error else None,
    }


def _last_checkpoint(result: Any, trial: Optional[str], experiment_uri: str) -> Optional[str]:
    if result.checkpoint is not None:  # given to Tune by the function itself
        return files.join(experiment_uri, *str(result.checkpoint.path).rstrip("/").split("/")[-2:])
    uri = files.join(experiment_uri, TRAIN_RUNS, str(trial))
    names = [name for name in files.names(uri) if name.startswith("checkpoint_2")]
    return files.join(uri, max(names)) if names else None  # the names begin with their time


def merge(base: Dict[str, Any], over: Dict[str, Any]) -> Dict[str, Any]:
    """Lay a sampled config over the fixed one, dict by dict."""
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged

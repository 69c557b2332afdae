"""
Runs one Ray Train run: ``python -m air_drivers.train``.

The same ``run_name`` and ``storage_path`` in a later attempt resume from the last checkpoint.
"""

from __future__ import annotations

import concurrent.futures
import os
import time
from typing import Any, Dict, List, Optional, Tuple

from ..data import datasets, files
from ..features import join
from ..frame import code, resources
from ..frame.metrics import fitted, plain, tell_metrics
from ..frame.missing import MissingMetric
from ..frame.running import Run, running
from ..trackers import mlflow_model, wandb_run
from ..wire import outages
from ..wire.records import warn
from . import loops, trainers
from .history import History, Row


def main() -> None:
    """Train, report while training, and write the ``result`` record."""
    with running(wandb_run.begin, mlflow_model.check) as run:
        started = time.time()
        trainers.set_report_interval(run.config)
        run.records.write("result", value=_train(run, started))


def _train(run: Run, started: float) -> Dict[str, Any]:
    loop = code.author_callable(run, run.config["train_loop"], "train_loop")
    config, name = run.config, run.config["run_name"]
    for field in ("trainer_args", "run_config"):
        config[field] = code.author_fields(run, config.get(field), field)
    build = trainers.builder(config, loop, config["run_config"])
    import ray

    from . import reports

    storage_path = files.storage_of(config)
    with concurrent.futures.ThreadPoolExecutor(1) as beside:
        # Some requests to the storage, while Ray connects.
        earlier = beside.submit(_earlier, storage_path, name)
        if not ray.is_initialized():
            ray.init()
        specs, joined = join.join_datasets(run, config.get("datasets") or {})
        data = datasets.read_all(specs) if specs else {}  # Ray Data is slow to import
        history, resumed_from = earlier.result()
    report = _Reporter(run, files.join(storage_path, name))
    report.begin(resumed_from, len(history.rows))
    bundles = trainers.bundles(trainers.scaling(config), bool(data))
    with reports.mailbox() as mailbox:
        callbacks = reports.callbacks(mailbox, storage_path, name, history.rows)
        trainer = build(name, storage_path, callbacks, config.get("train_loop_config"), data)
        tick = reports.follow(mailbox, history, report.row, report.restart, report.workers)
        result = resources.run_when_it_fits(run, "scaling_config", bundles, lambda: _fit(trainer), tick)
    kept = _kept(result)
    for folder, metrics in kept:
        report.late(history.complete(folder, metrics))
    try:
        reports.save_history(history, storage_path, name)
    except Exception as error:  # all is trained, and the result has the rows that matter
        warn("the metrics history was not written: %s" % error)
    value = report.result(history, kept, resumed_from)
    value["history_uri"] = reports.history_uri(storage_path, name)
    value["features"] = joined
    value["model"] = mlflow_model.log_best(run, value, config.get("trainer"), specs) or None
    value["seconds"] = round(time.time() - started, 3)
    return fitted(value, "history", "checkpoints")


def _fit(trainer: Any) -> Any:
    from ray.train import TrainingFailedError

    try:
        return trainer.fit()
    except TrainingFailedError as error:
        raise loops.failure(error) from error


def _earlier(storage_path: str, name: str) -> Tuple[History, Optional[str]]:
    """Give what earlier attempts left, up to the checkpoint that Ray will resume from, and that one's URI."""
    from . import reports

    history = reports.load_history(storage_path, name)
    return history, _align(history, storage_path, name)


def _align(history: History, storage_path: str, name: str) -> Optional[str]:
    """Cut the history at the checkpoint that Ray will resume from, and return that one's URI."""
    from ray.train import Result

    path, filesystem = files.for_ray(files.join(storage_path, name))
    try:
        last = outages.patiently(
            lambda: Result.from_path(path, filesystem), "storage_path: cannot look for checkpoints in %s" % storage_path
        )
    except RuntimeError:  # nothing there: a first attempt, or one that never reached a checkpoint
        history.resume_at(None, None)
        return None
    if last.checkpoint is None:
        history.resume_at(None, None)
        return None
    folder = _folder(last.checkpoint)
    history.resume_at(folder, last.metrics)
    return files.join(storage_path, name, folder)


def _folder(checkpoint: Any) -> str:
    return os.path.basename(str(checkpoint.path).rstrip("/"))


def _kept(result: Any) -> List[Tuple[str, Dict[str, Any]]]:
    pairs = [(_folder(checkpoint), metrics) for checkpoint, metrics in result.best_checkpoints or []]
    if result.checkpoint is not None and _folder(result.checkpoint) not in [folder for folder, _ in pairs]:
        pairs.append((_folder(result.checkpoint), result.metrics or {}))
    return sorted(pairs, key=lambda pair: pair[0])  # the names begin with their time


class _Reporter:
    """Writes the records of a run and puts its result together."""

    def __init__(self, run: Run, run_uri: str) -> None:
        self._run = run
        self._uri = run_uri
        score = (run.config.get("checkpoint_config") or {}).get("checkpoint_score_attribute")
        order = (run.config.get("checkpoint_config") or {}).get("checkpoint_score_order", "max")
        self._metric: Optional[str] = run.config.get("metric") or score
        self._mode: str = run.config.get("mode") or ("max" if not score else order)
        self._missing = MissingMetric(self._metric)

    def begin(self, resumed_from: Optional[str], rows: int) -> None:
        """Say how the run starts."""
        message = "training starts"
        if resumed_from is not None:
            message = "training resumes from %s, after %d reports" % (resumed_from, rows)
        if not self._run.config.get("storage_path"):
            message += "; without storage_path, checkpoints stay on the head node at %s and go with it" % self._uri
        compared = {} if self._metric is None else {"metric": self._metric, "mode": self._mode}
        self._run.records.tell("progress", message=message, phase="start", resumed_from=resumed_from, **compared)

    def row(self, row: Row) -> None:
        """Write one report."""
        values = tell_metrics(self._run.records, row["metrics"], step=row["report"])
        if row["checkpoint"] is not None:
            uri = files.join(self._uri, row["checkpoint"])
            self._run.records.tell("checkpoint", uri=uri, values=values, step=row["report"])
        self._missing.note(row["metrics"])

    def restart(self, dropped: int) -> None:
        """Say that the workers start again: after a failure, a preemption, or with another number of them."""
        message = "the workers start again from the last checkpoint: %d reports after it come anew" % dropped
        self._run.records.tell("progress", message=message, phase="restart")

    def workers(self, count: int) -> None:
        """Say that so many workers start."""
        message = "%d %s" % (count, "worker starts" if count == 1 else "workers start")
        self._run.records.tell("progress", message=message, phase="workers", workers=count)

    def late(self, row: Optional[Row]) -> None:
        """Write what came for a checkpoint after its report."""
        if row is not None:
            tell_metrics(self._run.records, row["metrics"], step=row["report"])

    def result(
        self, history: History, kept: List[Tuple[str, Dict[str, Any]]], resumed_from: Optional[str]
    ) -> Dict[str, Any]:
        """Put the result together; what is too long for a record is named by URI."""
        uris = {folder: files.join(self._uri, folder) for folder, _ in kept}
        best = history.best(self._metric, self._mode) if self._metric is not None else None
        if self._metric is not None and best is None:
            self._missing.judge(history.metric_names())
        best_kept = self._best_kept(history, uris)
        of_best = {uris[row["checkpoint"]]: row["metrics"] for row in history.rows if row["checkpoint"] in uris}
        return {
            "run_name": self._run.config["run_name"],
            "uri": self._uri,
            "metrics": history.rows[-1]["metrics"] if history.rows else {},
            "best_metrics": best["metrics"] if best else None,
            "checkpoint": uris[kept[-1][0]] if kept else None,
            "best_checkpoint": best_kept,
            "best_checkpoint_metrics": best_kept and of_best[best_kept],
            "checkpoints": [{"uri": uris[f], "metrics": plain(m)} for f, m in kept],
            "history": [
                {"report": r["report"], "metrics": r["metrics"], "checkpoint": uris.get(r["checkpoint"] or "")}
                for r in history.rows
            ],
            "history_rows": len(history.rows),
            "resumed_from": resumed_from,
        }

    def _best_kept(self, history: History, uris: Dict[str, str]) -> Optional[str]:
        if self._metric is None:
            return None
        rows = History([row for row in history.rows if row["checkpoint"] in uris])
        best = rows.best(self._metric, self._mode)
        return uris[best["checkpoint"]] if best else None

"""Models on an actor pool: one author-side class or one of ours, built once per actor, called per batch."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import os
import tempfile
import uuid
from typing import Any, Dict, List, Optional

from ..data import checkpoints
from ..trackers import registered


class ColumnsMissing(Exception):
    """The input lacks columns that the model was trained with."""


class Board:
    """
    Counts rows while they pass, as an actor of no CPU; the driver looks at it for its progress.

    A map task that Ray runs again counts once: its rows replace those of its earlier try.
    """

    def __init__(self) -> None:
        self._tasks: Dict[Any, List[Any]] = {}

    def add(self, task: Any, attempt: str, rows: int) -> None:
        """Take one batch of one try of a task."""
        if self._tasks.get(task, [None])[0] != attempt:
            self._tasks[task] = [attempt, 0, 0]
        self._tasks[task][1] += rows
        self._tasks[task][2] += 1

    def look(self) -> Dict[str, int]:
        """Give rows and batches so far."""
        return {
            "rows": sum(count for _, count, _ in self._tasks.values()),
            "batches": sum(count for _, _, count in self._tasks.values()),
        }


class Predict:
    """
    What ``map_batches`` runs: loads the model, then calls it for each batch.

    Runs in an actor of Ray Data's pool.

    :param target: a class, built as ``target(model_folder, **args)`` or, without a checkpoint, as
        ``target(**args)``, whose instances are called with a batch; or a function ``target(batch, **args)``
    :param checkpoint: URI of a checkpoint, of a registered model, or None
    """

    def __init__(self, target: Any, checkpoint: Optional[str], args: Dict[str, Any], board: Any) -> None:
        self._board = board
        self._stack = contextlib.ExitStack()  # keeps a downloaded checkpoint while the actor lives
        self._task: Any = None
        self._attempt = ""
        if inspect.isclass(target):
            first = [] if checkpoint is None else [self._folder(checkpoint)]
            self._call: Any = target(*first, **args)
        else:
            self._call = lambda batch: target(batch, **args)

    def __call__(self, batch: Any) -> Any:
        """Predict one batch."""
        result = self._call(batch)
        self._count(_rows(batch))
        return result

    def _folder(self, checkpoint: str) -> str:
        if checkpoint.startswith(registered.SCHEMES):
            return registered.download(checkpoint, self._stack.enter_context(tempfile.TemporaryDirectory()))
        return self._stack.enter_context(checkpoints.local_folder(checkpoint))

    def _count(self, rows: int) -> None:
        import ray
        from ray.data._internal.execution.interfaces import TaskContext

        task = TaskContext.get_current()
        if task is None or task is not self._task:
            self._task, self._attempt = task, uuid.uuid4().hex
        key = self._attempt if task is None else task.task_idx
        ray.get(self._board.add.remote(key, self._attempt, rows))  # waited for, so that the sum is exact


def _rows(batch: Any) -> int:
    if isinstance(batch, dict):
        return len(next(iter(batch.values()))) if batch else 0
    return len(batch)


class LightGBM:
    """
    Predicts with a LightGBM booster that Ray's own report callback saved, or MLflow.

    :param features: columns in the model's order; by default the names it was trained with
    :param output_column: where the prediction goes, beside the input's columns
    """

    def __init__(
        self,
        folder: str,
        features: Optional[List[str]] = None,
        output_column: str = "prediction",
        file: str = "model.txt",
    ) -> None:
        import lightgbm

        saved = registered.saved_in(folder, "lightgbm")
        if saved is None:
            saved = lightgbm.Booster(model_file=os.path.join(folder, file))
        self._booster = getattr(saved, "booster_", saved)
        self._features = features or self._booster.feature_name()
        self._output = output_column

    def __call__(self, batch: Any) -> Any:
        """Add the prediction to a pandas batch."""
        frame = _select(batch, self._features)
        if not self._booster.pandas_categorical:
            frame = frame.astype("float64")  # arrow-backed columns are refused as they are
        batch[self._output] = self._booster.predict(frame)
        return batch


class XGBoost:
    """
    Predicts with an XGBoost booster that Ray's own report callback saved, or MLflow.

    :param features: columns in the model's order; by default the names it was trained with
    :param output_column: where the prediction goes, beside the input's columns
    """

    def __init__(
        self,
        folder: str,
        features: Optional[List[str]] = None,
        output_column: str = "prediction",
        file: str = "model.ubj",
    ) -> None:
        self._xgboost: Any = importlib.import_module("xgboost")
        saved = registered.saved_in(folder, "xgboost")
        if saved is None:
            saved = self._xgboost.Booster()
            saved.load_model(os.path.join(folder, file))
        self._booster = saved.get_booster() if hasattr(saved, "get_booster") else saved
        self._features = features or self._booster.feature_names
        self._output = output_column

    def __call__(self, batch: Any) -> Any:
        """Add the prediction to a pandas batch."""
        frame = _select(batch, self._features).astype("float64")
        batch[self._output] = self._booster.predict(self._xgboost.DMatrix(frame))
        return batch


class Mlflow:
    """
    Predicts with a model in MLflow's format, of any flavor.

    :param features: columns that the model takes; by default all
    :param output_column: where the prediction goes, beside the input's columns
    """

    def __init__(self, model: str, features: Optional[List[str]] = None, output_column: str = "prediction") -> None:
        import mlflow

        self._model = mlflow.pyfunc.load_model(model)
        self._features = features
        self._output = output_column

    def __call__(self, batch: Any) -> Any:
        """Add the prediction to a pandas batch."""
        batch[self._output] = self._model.predict(_select(batch, self._features or list(batch.columns)))
        return batch


# Short name -> class and the package it needs on the cluster. All take pandas batches.
PREDICTORS: Dict[str, Any] = {
    "lightgbm": (LightGBM, "lightgbm"),
    "xgboost": (XGBoost, "xgboost"),
    "mlflow": (Mlflow, "mlflow"),
}


def _select(frame: Any, columns: List[str]) -> Any:
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise ColumnsMissing(
            "the model needs the columns %s, which the input lacks; it has %s"
            % (", ".join(map(repr, missing)), ", ".join(map(repr, frame.columns)))
        )
    return frame[columns]

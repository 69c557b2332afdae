"""
The models that need no code of the author's. Each is built once per actor, and called per batch of pandas.

A folder is a checkpoint, or a model in MLflow's format, which names its file itself.
"""

from __future__ import annotations

import importlib
import os
import pickle
from typing import Any, Callable, Dict, List, Optional, Sequence

from ..trackers import registered


class ColumnsMissing(Exception):
    """The input lacks columns that the model was trained with."""


class ModelMissing(FileNotFoundError):
    """The checkpoint's folder has no file that looks like the model."""


class LightGBM:
    """
    Predicts with a LightGBM booster, such as Ray's own report callback saves, or MLflow.

    :param features: columns in the model's order; by default the names it was trained with
    :param output_column: where the prediction goes, beside the input's columns
    :param file: the model's name in the folder; by default ``model.txt``, as Ray saves it, or the like
    """

    def __init__(
        self,
        folder: str,
        features: Optional[List[str]] = None,
        output_column: str = "prediction",
        file: Optional[str] = None,
    ) -> None:
        import lightgbm

        saved = _saved(folder, "lightgbm", file, lambda path: lightgbm.Booster(model_file=path))
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
    Predicts with an XGBoost booster, such as Ray's own report callback saves, or MLflow.

    :param features: columns in the model's order; by default the names it was trained with
    :param output_column: where the prediction goes, beside the input's columns
    :param file: the model's name in the folder; by default ``model.ubj``, as Ray saves it, or the like
    """

    def __init__(
        self,
        folder: str,
        features: Optional[List[str]] = None,
        output_column: str = "prediction",
        file: Optional[str] = None,
    ) -> None:
        self._xgboost: Any = importlib.import_module("xgboost")
        saved = _saved(folder, "xgboost", file, lambda path: self._xgboost.Booster(model_file=path))
        self._booster = saved.get_booster() if hasattr(saved, "get_booster") else saved
        self._features = features or self._booster.feature_names
        self._output = output_column

    def __call__(self, batch: Any) -> Any:
        """Add the prediction to a pandas batch."""
        frame = _select(batch, self._features or list(batch.columns)).astype("float64")
        batch[self._output] = self._booster.predict(self._xgboost.DMatrix(frame))
        return batch


class Sklearn:
    """
    Predicts with an estimator or a pipeline of scikit-learn that was pickled, by joblib too.

    :param features: columns in the model's order; by default the names it was fitted with, else all
    :param output_column: where the prediction goes, beside the input's columns
    :param file: the model's name in the folder; by default ``model.pkl``, ``model.joblib`` or the like
    :param method: what of the estimator is called; of what gives several numbers a row is a list
    """

    def __init__(
        self,
        folder: str,
        features: Optional[List[str]] = None,
        output_column: str = "prediction",
        file: Optional[str] = None,
        method: str = "predict",
    ) -> None:
        self._model = _saved(folder, "sklearn", file, _unpickled)
        self._predict = getattr(self._model, method)
        self._features = features or getattr(self._model, "feature_names_in_", None)
        self._output = output_column

    def __call__(self, batch: Any) -> Any:
        """Add the prediction to a pandas batch."""
        names = list(batch.columns) if self._features is None else list(self._features)
        found = self._predict(_of_numpy(_select(batch, names)))
        batch[self._output] = list(found) if getattr(found, "ndim", 1) > 1 else found
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


# Names that a model's own library, Ray's callbacks and people give its file, the usual one first; by flavor.
FILES: Dict[str, Sequence[str]] = {
    "lightgbm": ("model.txt", "model.lgb"),
    "sklearn": ("model.pkl", "model.joblib", "model.pickle"),
    "xgboost": ("model.ubj", "model.json", "model.xgb", "model.bin"),
}

# Short name -> class and the package it needs on the cluster. All take pandas batches.
PREDICTORS: Dict[str, Any] = {
    "lightgbm": (LightGBM, "lightgbm"),
    "mlflow": (Mlflow, "mlflow"),
    "sklearn": (Sklearn, "sklearn"),
    "xgboost": (XGBoost, "xgboost"),
}


def _saved(folder: str, flavor: str, file: Optional[str], read: Callable[[str], Any]) -> Any:
    """
    Load a model as MLflow saved it, else by its file.

    :param flavor: how MLflow calls the library
    :param file: its name, where the author gives one
    :param read: loads the file of this path as the library does
    :raises ModelMissing: there is none; the message says what there is
    """
    saved = registered.saved_in(folder, flavor)
    return read(_model_file(folder, flavor, file)) if saved is None else saved


def _model_file(folder: str, flavor: str, file: Optional[str]) -> str:
    present = sorted(os.listdir(folder))
    names = [file] if file else [*_named_by_mlflow(folder, flavor), *FILES[flavor]]
    for name in names:
        if os.path.exists(os.path.join(folder, name)):
            return os.path.join(folder, name)
    raise ModelMissing(
        "checkpoint: no %s in the model's folder, which holds %s; name its file by predictor_args={'file': ...}"
        % (" or ".join(names), ", ".join(present) or "nothing")
    )


def _named_by_mlflow(folder: str, flavor: str) -> List[str]:
    path = os.path.join(folder, "MLmodel")
    if not os.path.exists(path):
        return []
    import yaml  # Ray itself needs it

    with open(path) as stream:
        told = (yaml.safe_load(stream).get("flavors") or {}).get(flavor) or {}
    return [str(told[key]) for key in ("data", "pickled_model") if told.get(key)]


def _unpickled(path: str) -> Any:
    try:
        joblib = importlib.import_module("joblib")
    except ImportError:
        with open(path, "rb") as stream:
            return pickle.load(stream)  # noqa: S301  # the author's own model
    return joblib.load(path)


def _of_numpy(frame: Any) -> Any:
    """Give columns of numbers and truth values as numpy has them, which scikit-learn expects; others as objects."""
    import pandas

    return pandas.DataFrame({name: _numpy_column(frame[name]) for name in frame.columns}, index=frame.index)


def _numpy_column(series: Any) -> Any:
    kind = getattr(series.dtype, "numpy_dtype", series.dtype)  # pandas' own nullable types, and Arrow's, have one
    if getattr(kind, "kind", "O") not in "fiubmM":
        return series.astype(object).where(series.notna(), None).to_numpy()
    if kind.kind in "fiub" and series.isna().any():
        return series.to_numpy("float64", na_value=float("nan"))
    return series.to_numpy(kind)


def _select(frame: Any, columns: List[str]) -> Any:
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise ColumnsMissing(
            "input: the model needs the columns %s, which the input lacks; it has %s"
            % (", ".join(map(repr, missing)), ", ".join(map(repr, frame.columns)))
        )
    return frame[columns]

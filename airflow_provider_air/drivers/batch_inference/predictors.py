"""
The models that need no code of the author's. Each is built once per actor, and called per batch of pandas.

Of several numbers a row, the prediction is a list; of a data frame with several columns, a struct.

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


class CategoriesMissing(Exception):
    """The model was trained on categories that it does not keep."""


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
        frame = _numbers(_select(batch, self._features), bool(self._booster.pandas_categorical))
        return _put(batch, self._output, self._booster.predict(frame))


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
        self._has_categories = "c" in (self._booster.feature_types or ())
        self._categories = _categories(self._booster) if self._has_categories else []

    def __call__(self, batch: Any) -> Any:
        """Add the prediction to a pandas batch."""
        frame = _numbers(_select(batch, self._features or list(batch.columns)), self._has_categories)
        for name in frame.select_dtypes("category"):
            if name not in self._categories:
                raise CategoriesMissing(
                    "checkpoint: the model keeps no categories of the column %r, so what its texts stand for is not "
                    "known; train it on a data frame with XGBoost 3.1 or newer, or give the numbers" % name
                )
        data = self._xgboost.DMatrix(frame, enable_categorical=True)
        return _put(batch, self._output, self._booster.predict(data))


class Sklearn:
    """
    Predicts with an estimator or a pipeline of scikit-learn that was pickled, by joblib too.

    :param features: columns in the model's order; by default the names it was fitted with, else all
    :param output_column: where the prediction goes, beside the input's columns
    :param file: the model's name in the folder; by default ``model.pkl``, ``model.joblib`` or the like
    :param method: what of the estimator is called
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
        return _put(batch, self._output, self._predict(_of_numpy(_select(batch, names))))


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
        found = self._model.predict(_select(batch, self._features or list(batch.columns)))
        return _put(batch, self._output, found)


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


def _put(batch: Any, output: str, found: Any) -> Any:
    """Add what a model gives to its batch: of one column the values."""
    if hasattr(found, "iloc") and found.ndim > 1 and found.shape[1] > 1:
        found = found.rename(columns=str).to_dict("records")
    elif getattr(found, "ndim", 1) > 1 and found.shape[1:] == (1,):
        found = found.iloc[:, 0] if hasattr(found, "iloc") else found[:, 0]
    if hasattr(found, "iloc"):
        found = found.array  # by position: its index is its own
    batch[output] = list(found) if getattr(found, "ndim", 1) > 1 else found
    return batch


def _numbers(frame: Any, has_categories: bool) -> Any:
    """
    Give columns of numbers as floats, since those of Arrow's are refused as they are.

    :param has_categories: of the model; then categories stay, and texts become some
    """
    import pandas

    def column(series: Any) -> Any:
        if not has_categories or pandas.api.types.is_numeric_dtype(series):
            return series.astype("float64")
        return series if series.dtype == "category" else series.astype(object).astype("category")

    return pandas.DataFrame({name: column(frame[name]) for name in frame.columns}, index=frame.index)


def _categories(booster: Any) -> List[str]:
    """Name the columns whose categories a booster of XGBoost keeps, as 3.1 does."""
    kept = booster.get_categories(export_to_arrow=True).to_arrow() if hasattr(booster, "get_categories") else ()
    return [name for name, values in kept if values is not None]


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

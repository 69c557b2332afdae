"""
The models that need no code of the author's. Each is built once per actor, and called per batch of pandas.

Of several numbers a row, the prediction is a list; of a data frame with several columns, a struct.

A folder is a checkpoint, or a model in MLflow's format, which names its file itself.
"""

from __future__ import annotations

import importlib
import os
from typing import Any, Callable, Dict, List, Optional, Sequence

import numpy

from ..trackers import registered


class ColumnsMissing(Exception):
    """The input lacks columns that the model was trained with."""


class CategoriesMissing(Exception):
    """The model was trained on categories that it does not keep, or that the input's values cannot be."""


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
        self._kept = [_values(values) for values in self._booster.pandas_categorical or ()]
        self._categorical = set(self._categorical_features()) if self._kept else set()

    def __call__(self, batch: Any) -> Any:
        """Add the prediction to a pandas batch."""
        # LightGBM (4.7) keeps a name's blanks as underscores.
        own = {str(name).replace(" ", "_"): name for name in batch.columns}
        frame = _select(batch, [name if name in batch.columns else own.get(name, name) for name in self._features])
        return _put(batch, self._output, self._booster.predict(_typed(frame, self._categories(frame))))

    def _categorical_features(self) -> List[str]:
        known = self._booster.dump_model(num_iteration=1)["feature_infos"]
        names = zip(self._booster.feature_name(), self._features)
        return [name for own, name in names if known.get(own, {}).get("values")]

    def _categories(self, frame: Any) -> Dict[str, Any]:
        """Find the columns whose categories are kept, since LightGBM (4.7) keeps them by their order alone."""
        if not self._kept:
            return {}
        texts = [name for name in frame.columns if not _is_number(frame[name])]
        # Ordered categories are numbers to the trees, and numbers that are categories by their codes are not kept.
        for names in ([name for name in frame.columns if name in {*texts, *self._categorical}], texts):
            if len(names) == len(self._kept):
                return dict(zip(names, self._kept))
        raise CategoriesMissing(
            "checkpoint: the model keeps the categories of %d columns, not saying of which, and those of the input may "
            "be %s; give just these columns as texts or dictionaries"
            % (len(self._kept), ", ".join(map(repr, texts)) or "none")
        )


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
        self._types = self._booster.feature_types or ()
        self._kept = _kept_categories(self._booster) if "c" in self._types else {}

    def __call__(self, batch: Any) -> Any:
        """Add the prediction to a pandas batch."""
        frame = _select(batch, self._features or list(batch.columns))
        for name, kind in zip(frame.columns, self._types):
            if kind == "c" and name not in self._kept and not _is_number(frame[name]):
                raise CategoriesMissing(
                    "checkpoint: the model keeps no categories of the column %r, so what its texts stand for is not "
                    "known; train it on a data frame with XGBoost 3.1 or newer, or give the numbers" % name
                )
        data = self._xgboost.DMatrix(_typed(frame, self._kept), enable_categorical=True)
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
        self._model = _saved(folder, "sklearn", file, registered.unpickled)
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
        frame = self._fitting(_select(batch, self._features or list(batch.columns)))
        return _put(batch, self._output, self._model.predict(frame))

    def _fitting(self, frame: Any) -> Any:
        """
        Give a frame's numbers as the signature has them.

        MLflow (3.17) takes no integers for doubles, and no floats for integers, which is what pandas makes of integers
        beside a null: the rows that a signature was read off may have had none.
        """
        for name, kind in self._numbers().items():
            if name not in frame.columns or not _is_number(frame[name]):
                continue
            values = frame[name].to_numpy("float64", na_value=float("nan"))
            if kind in ("integer", "long") and not (numpy.isfinite(values) & (values == values.round())).all():
                self._take_fractions(name)
                kind = "double"
            is_integer = frame[name].dtype.kind in "iu"
            if kind == "double" and (is_integer or frame[name].isna().any()):
                frame = frame.assign(**{name: values})
            elif kind in ("integer", "long") and not is_integer:
                frame = frame.assign(**{name: values.astype("int32" if kind == "integer" else "int64")})
        return frame

    def _numbers(self) -> Dict[str, str]:
        schema = self._model.metadata.get_input_schema()
        named = schema is not None and schema.has_input_names() and not schema.is_tensor_spec()
        return {str(each.name): str(getattr(each.type, "name", "")) for each in schema.inputs} if named else {}

    def _take_fractions(self, name: str) -> None:
        """Have MLflow take what is missing in a column of integers, as the model itself does."""
        types = importlib.import_module("mlflow.types")
        signature = self._model.metadata.signature
        columns = [
            types.ColSpec(types.DataType.double, name, required=False) if each.name == name else each
            for each in signature.inputs.inputs
        ]
        signature.inputs = types.Schema(columns)


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


def _typed(frame: Any, categories: Dict[str, Any]) -> Any:
    """
    Give columns of numbers and truth values as floats, since those of Arrow's are refused as they are.

    :param categories: of each column that holds some those that the model keeps, as Arrow has them
    """
    import pandas

    def column(name: str) -> Any:
        return _category(frame[name], categories[name]) if name in categories else frame[name].astype("float64")

    return pandas.DataFrame({name: column(name) for name in frame.columns}, index=frame.index)


def _category(series: Any, kept: Any) -> Any:
    """Give a column as categories of the type that the model keeps: of another type none would be found."""
    import pandas
    import pyarrow

    values = series.astype(object)
    if pyarrow.types.is_null(kept.type):
        return values.astype("category")
    try:
        values = pyarrow.array(values.where(series.notna(), None)).cast(kept.type)
    except pyarrow.ArrowException as error:
        raise CategoriesMissing(
            "input: the model's categories of the column %r are of the type %s, which its values are not: %s"
            % (series.name, kept.type, error)
        ) from None
    if values.null_count == len(values):  # XGBoost (3.2) takes no column without a category
        found = pandas.Categorical([None] * len(values), kept.to_pandas())
    else:
        found = values.dictionary_encode().to_pandas()
    return pandas.Series(found, index=series.index)


def _is_number(series: Any) -> bool:
    """Whether a column holds numbers, truth values, or nothing at all, and no categories."""
    from pandas.api import types

    if series.dtype == "category":
        return False
    is_empty = series.dtype == object and bool(series.isna().all())
    return is_empty or bool(types.is_numeric_dtype(series) or types.is_bool_dtype(series))


def _values(categories: List[Any]) -> Any:
    """Give categories as Arrow has them; those of several types are nulls."""
    import pyarrow

    try:
        return pyarrow.array(categories)
    except pyarrow.ArrowException:
        return pyarrow.nulls(len(categories))


def _kept_categories(booster: Any) -> Dict[str, Any]:
    """Give the categories of each column of which a booster of XGBoost keeps them, as 3.1 does."""
    kept = booster.get_categories(export_to_arrow=True).to_arrow() if hasattr(booster, "get_categories") else ()
    return {name: values for name, values in kept if values is not None}


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

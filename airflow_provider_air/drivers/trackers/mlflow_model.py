"""
The model of a run in MLflow's own format: ``mlflow`` itself logs it, in the driver's process, from the best checkpoint.

Whatever is in the way of it costs no work: then the checkpoint is registered as it is, and says why.
Source: MLflow 3.17, mlflow/models/model.py.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import os
import shutil
import sys
import warnings
from typing import Any, Dict, Iterator, List, Mapping, Optional

from ..data import checkpoints, datasets
from ..frame.running import Run
from ..wire import imports, outages
from ..wire.names import MLFLOW_AS_IT_IS, MLFLOW_MODEL_FILE
from ..wire.problems import ConfigurationProblem
from ..wire.texts import shortened
from . import model_code, registered

NAME = "model"
# By it a retry finds what an earlier attempt has logged.
CHECKPOINT_TAG = "air.checkpoint"
EXAMPLE_ROWS = 100
WHY_CHARACTERS = 300
# By the package of a model's class: MLflow's flavor of it, and how that one's save_model calls the model.
FLAVORS = {
    "catboost": ("catboost", "cb_model"),
    "lightgbm": ("lightgbm", "lgb_model"),
    "sklearn": ("sklearn", "sk_model"),
    "torch": ("pytorch", "pytorch_model"),
    "xgboost": ("xgboost", "xgb_model"),
}
# What Ray's own report callbacks write into a checkpoint (2.60), and what people call a pickled estimator.
FILES = {
    "lightgbm": ("model.txt",),
    "xgboost": ("model.ubj", "model.json"),
    "sklearn": ("model.pkl", "model.joblib"),
}
MLMODEL, PYFUNC = "MLmodel", "python_function"
TIMEOUT, UPLOAD_SECONDS = "MLFLOW_HTTP_REQUEST_TIMEOUT", "120"


class NoModel(Exception):
    """There is no model in MLflow's format, and the message says why."""


def check(run: Run) -> None:
    """
    See before the work that what the author has asked for can be done after it; opens nothing.

    :raises ConfigurationProblem: a flavor is named, and ``mlflow`` or what loads the checkpoint is not on the cluster
    """
    wish = _wish(run)
    flavor = wish.get("flavor") if wish else None
    if flavor is None or flavor == MLFLOW_AS_IT_IS:
        return
    if importlib.util.find_spec("mlflow") is None:
        raise ConfigurationProblem(
            "tracker.flavor: a model of the flavor %r is logged by mlflow, which is not on the cluster; add it to the "
            "image, or to runtime_env: {'pip': ['mlflow']}" % flavor
        )
    if flavor not in FILES:
        imports.by_path(flavor, "tracker.flavor")


def log_best(run: Run, result: Dict[str, Any], trainer: Optional[str], inputs: Mapping[str, Any]) -> Dict[str, Any]:
    """
    Log the model of the checkpoint that a result names as the best, or as the last.

    :param trainer: the name of the trainer that wrote the checkpoint, where there was one
    :param inputs: specs of the data sets that it was trained on, of which the signature is read
    :return: for the result: ``{"checkpoint", "uri", "id", "flavor", "signature"}``, or ``{"checkpoint", "why"}``;
        empty where nothing is to be registered
    """
    wish = _wish(run)
    checkpoint = result.get("best_checkpoint") or result.get("checkpoint")
    if wish is None or not checkpoint:
        return {}
    told: Dict[str, Any] = {"checkpoint": checkpoint}
    try:
        told.update(_logged(wish, str(checkpoint), trainer, inputs))
        message = "the model of %s is %s, of the flavor %s" % (checkpoint, told["uri"], told["flavor"])
    except Exception as error:
        told["why"] = shortened(outages.said(error), WHY_CHARACTERS)
        message = "%s is registered as it is, so mlflow cannot load it: %s" % (checkpoint, told["why"])
    run.records.tell("progress", message=message, phase="model", model=told, warning="why" in told)
    return told


def _wish(run: Run) -> Optional[Dict[str, Any]]:
    data = run.optional_payload(MLFLOW_MODEL_FILE)
    found: Optional[Dict[str, Any]] = None if data is None else json.loads(data)
    return found


def _logged(wish: Dict[str, Any], checkpoint: str, trainer: Optional[str], inputs: Mapping[str, Any]) -> Dict[str, Any]:
    if wish.get("flavor") == MLFLOW_AS_IT_IS:
        raise NoModel("its author wants it so (flavor=%r)" % MLFLOW_AS_IT_IS)
    if importlib.util.find_spec("mlflow") is None:
        raise NoModel("mlflow is not installed on the cluster")
    mlflow = importlib.import_module("mlflow")
    known = outages.patiently(lambda: _known(mlflow, wish["run_id"], checkpoint), "MLflow cannot be asked")
    if known is not None:
        return known
    with checkpoints.local_folder(checkpoint) as folder, _patient_client():
        found = _found(mlflow, folder, wish.get("flavor"), trainer)
        example = wish.get("input_example")
        signature = found.signature or (None if example else _signature(mlflow, found, inputs))
        if found.has_code:
            model_code.must_load_elsewhere(found.module, found.save_options(signature, None))
        info = mlflow.models.Model.log(
            None,
            found.module,
            name=NAME,
            run_id=wish["run_id"],
            tags={CHECKPOINT_TAG: checkpoint},
            flavor_name=found.flavor,
            **found.save_options(signature, _frame(example)),
        )
    return _told(info.model_id, found.flavor, signature is not None or info.signature is not None)


def _told(model_id: str, flavor: str, signature: bool) -> Dict[str, Any]:
    return {"uri": "models:/%s" % model_id, "id": model_id, "flavor": flavor, "signature": signature}


def _known(mlflow: Any, run_id: str, checkpoint: str) -> Optional[Dict[str, Any]]:
    """Find what an earlier attempt has logged of this checkpoint, whole."""
    client = mlflow.MlflowClient()
    outputs = client.get_run(run_id).outputs
    for output in outputs.model_outputs if outputs is not None else ():
        model = client.get_logged_model(output.model_id)
        if model.tags.get(CHECKPOINT_TAG) == checkpoint and str(model.status) == "READY":
            info = mlflow.models.get_model_info("models:/%s" % model.model_id)
            named = [name for name in info.flavors if name != PYFUNC] or [PYFUNC]
            return _told(model.model_id, named[0], info.signature is not None)
    return None


@contextlib.contextmanager
def _patient_client() -> Iterator[None]:
    """Let MLflow take its time for files: what the tracker sets is for the author's own calls amid the work."""
    before = os.environ.get(TIMEOUT)
    os.environ[TIMEOUT] = UPLOAD_SECONDS
    try:
        yield
    finally:
        os.environ.pop(TIMEOUT)
        if before is not None:
            os.environ[TIMEOUT] = before


class _Found:
    """
    A model, and how MLflow saves it.

    :param module: MLflow's module of the flavor
    :param options: of that one's ``save_model``: the model among them
    :param model: the model itself, where its class is that of a library
    """

    def __init__(self, flavor: str, module: Any, options: Dict[str, Any], model: Any = None) -> None:
        self.flavor = flavor
        self.module = module
        self.model = model
        self.signature: Any = None
        self.has_code = "code_paths" in options
        self._options = options

    def save_options(self, signature: Any, example: Any) -> Dict[str, Any]:
        """Give all options of ``save_model``."""
        if self.module is _AsItIs:
            return self._options
        return {"signature": signature, "input_example": example, **self._options}


class _AsItIs:
    """Saves what is in MLflow's format already."""

    @staticmethod
    def save_model(path: str, mlflow_model: Any, folder: str) -> None:
        """Copy it."""
        shutil.copytree(folder, path)


def _found(mlflow: Any, folder: str, flavor: Optional[str], trainer: Optional[str]) -> _Found:
    if flavor is not None and flavor not in FILES:
        return _by_author(mlflow, folder, flavor)
    if flavor is None and os.path.isfile(os.path.join(folder, MLMODEL)):
        saved = mlflow.models.Model.load(folder)
        named = [name for name in saved.flavors if name != PYFUNC] or [PYFUNC]
        found = _Found(named[0], _AsItIs, {"folder": folder})
        found.signature = saved.signature
        return found
    known = flavor or (trainer if trainer in FILES else None)
    there = [(kind, os.path.join(folder, name)) for kind in ([known] if known else FILES) for name in FILES[kind]]
    for kind, path in there:
        if os.path.isfile(path):
            model = _load(kind, path)
            is_authors = kind == "sklearn" and model_code.is_used_by(model)
            return _of_library(model, {"code_paths": model_code.paths()} if is_authors else {})
    raise NoModel(
        "the checkpoint holds none of %s; say by MlflowTracker's flavor='module:function' what loads it"
        % ", ".join(os.path.basename(path) for _, path in there)
    )


def _load(kind: str, path: str) -> Any:
    if kind == "lightgbm":
        return importlib.import_module("lightgbm").Booster(model_file=path)
    if kind == "xgboost":
        booster = importlib.import_module("xgboost").Booster()
        booster.load_model(path)
        return booster
    return registered.unpickled(path)


def _by_author(mlflow: Any, folder: str, path: str) -> _Found:
    """Load by the author's function or class; the author's code travels with the model."""
    loader = imports.by_path(path, "tracker.flavor")
    kind = mlflow.pyfunc.PythonModel
    if isinstance(loader, type) and issubclass(loader, kind):
        options = {"python_model": loader(), "artifacts": {"checkpoint": folder}}
        return _Found(PYFUNC, mlflow.pyfunc, {**options, "code_paths": model_code.paths(loader.__module__)})
    model = loader(folder)
    code = {"code_paths": model_code.paths(loader.__module__)}
    if isinstance(model, kind):
        return _Found(PYFUNC, mlflow.pyfunc, {"python_model": model, **code})
    return _of_library(model, code)


def _of_library(model: Any, options: Dict[str, Any]) -> _Found:
    for package in (kind.__module__.partition(".")[0] for kind in type(model).__mro__):
        if package in FLAVORS:
            flavor, argument = FLAVORS[package]
            module = importlib.import_module("mlflow.%s" % flavor)
            if not options:
                # Else MLflow finds them by loading the model in a process of its own, for many seconds.
                options = {"pip_requirements": module.get_default_pip_requirements()}
            elif flavor == "sklearn":
                # What MLflow (3.17) takes by default refuses classes of the author's.
                options = {"serialization_format": "cloudpickle", **options}
            return _Found(flavor, module, {argument: model, **options}, model)
    raise NoModel(
        "MLflow's flavor of a %s.%s is not known here; give it as an mlflow.pyfunc.PythonModel"
        % (type(model).__module__, type(model).__qualname__)
    )


def _signature(mlflow: Any, found: _Found, inputs: Mapping[str, Any]) -> Any:
    """Read the signature off some rows that the model was trained on, or off the names that it has; else None."""
    names = _feature_names(found.model)
    if not names:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            frame = _example(inputs, names)
            if frame is not None:
                return mlflow.models.infer_signature(frame, _predicted(found.model, frame))
    except Exception as error:
        print("the signature has no types of the data: %s" % error, file=sys.stderr, flush=True)
    if getattr(found.model, "pandas_categorical", None) or not hasattr(found.model, "save_model"):
        return None
    types = importlib.import_module("mlflow.types")
    columns = [types.ColSpec(types.DataType.double, name) for name in names]
    return mlflow.models.ModelSignature(inputs=types.Schema(columns))


def _feature_names(model: Any) -> List[str]:
    for attribute in ("feature_names_in_", "feature_name", "feature_names"):
        names = getattr(model, attribute, None)
        names = names() if callable(names) else names
        if names is not None:
            return [str(name) for name in names]
    return []


def _example(inputs: Mapping[str, Any], names: List[str]) -> Any:
    """Give some rows of what was trained on, where that has all that the model takes; else None."""
    if not inputs:
        return None
    name = "train" if "train" in inputs else next(iter(inputs))
    rows = datasets.read_one(datasets.spec_of(inputs[name]), "datasets.%s" % name).take(EXAMPLE_ROWS)
    frame = _frame(rows)
    return frame[names] if frame is not None and set(names) <= set(frame.columns) else None


def _frame(rows: Any) -> Any:
    return importlib.import_module("pandas").DataFrame(rows) if rows else None


def _predicted(model: Any, frame: Any) -> Any:
    package = type(model).__module__.partition(".")[0]
    if package == "xgboost" and not hasattr(model, "fit"):
        return model.predict(importlib.import_module("xgboost").DMatrix(frame))
    return model.predict(frame)

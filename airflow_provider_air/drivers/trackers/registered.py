"""
Registered models, ``models:/NAME/3`` or ``models:/NAME@champion``, as the files that they are; by ``mlflow`` itself.

Which server that is says the environment (``MLFLOW_TRACKING_URI``), such as a tracker's. Source: MLflow 3.17.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import pickle
from typing import Any, Callable, List, Optional

from ..wire import outages
from ..wire.problems import ConfigurationProblem

SCHEMES = ("models:", "runs:")
SERVERS = ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")
# What a tracker's version says of its files, where these are a checkpoint as it is.
FORMAT_TAG, BARE = "air.format", "checkpoint"
# What MLflow says where no later call can do better.
MISTAKES = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "PERMISSION_DENIED", "UNAUTHENTICATED", "NOT_FOUND")


def pinned(uri: str, flavor: Optional[str], field: str) -> str:
    """
    Say once, in the driver, what a registered model is: an alias may move while actors load it, a version does not.

    :param flavor: what it is to be loaded as: one of MLflow's flavors, ``mlflow`` for any, None for files alone
    :return: the URI of its files where these are a checkpoint in a bucket or on a shared disk, or
        ``models:/NAME/VERSION``, for :func:`download`
    :raises ConfigurationProblem: there is none, it cannot be loaded so, or ``mlflow`` or its server are not known here
    :raises Unavailable: the server is away
    """
    if importlib.util.find_spec("mlflow") is None:
        raise ConfigurationProblem(
            "%s: %s is a model of MLflow's registry, and mlflow is not on the cluster; add it to the image, or to "
            "runtime_env: {'pip': ['mlflow']}" % (field, uri)
        )
    if not any(os.environ.get(name) for name in SERVERS):
        raise ConfigurationProblem(
            "%s: %s is a model of MLflow's registry, and nothing says where that is; give "
            "tracker=MlflowTracker(...), or set %s in runtime_env" % (field, uri, SERVERS[0])
        )
    mlflow = importlib.import_module("mlflow")
    where = "%s: the model %s" % (field, uri)
    version = _asked(lambda: _version_of(mlflow, uri), where)
    if version is not None:
        uri = "models:/%s/%s" % (version.name, version.version)
        if version.tags.get(FORMAT_TAG) == BARE:
            return _bare(version, uri, flavor, field)
    if flavor is not None:
        there = _asked(lambda: list(mlflow.models.get_model_info(uri).flavors), where)
        if flavor not in there and flavor != "mlflow":
            raise ConfigurationProblem(
                "%s: the model %s has the flavors %s, and not %s; predictor='mlflow' takes any"
                % (field, uri, ", ".join(sorted(there)), flavor)
            )
    return uri


def _version_of(mlflow: Any, uri: str) -> Any:
    """Give the version that a URI names; None for a run's files, or a model that is not registered."""
    if not uri.startswith("models:"):
        return None
    models = importlib.import_module("mlflow.store.artifact.utils.models")
    client = mlflow.MlflowClient()
    named: List[str] = list(models.get_model_name_and_version(client, uri))
    return client.get_model_version(*named) if len(named) > 1 else None


def _bare(version: Any, uri: str, flavor: Optional[str], field: str) -> str:
    if flavor == "mlflow":
        raise ConfigurationProblem(
            "%s: the model %s is a checkpoint as it is, not in MLflow's format (%s); use the predictor that loads it"
            % (field, uri, version.tags.get("air.format.why", "it has no flavor"))
        )
    source = str(version.source)
    return uri if source.startswith(("mlflow-artifacts:", *SCHEMES)) else source


def download(uri: str, folder: str) -> str:
    """Bring a model's files to a folder of this node, and say where in it they are; in an actor of Ray's."""
    there: str = importlib.import_module("mlflow").artifacts.download_artifacts(artifact_uri=uri, dst_path=folder)
    return there


def saved_in(folder: str, flavor: str) -> Any:
    """Load a folder in MLflow's format as a flavor's own model; None for a checkpoint as it is, or without mlflow."""
    if not os.path.isfile(os.path.join(folder, "MLmodel")) or importlib.util.find_spec("mlflow") is None:
        return None
    return importlib.import_module("mlflow.%s" % flavor).load_model(folder)


def _asked(call: Callable[[], Any], problem: str) -> Any:
    try:
        return outages.asked(call, problem)
    except Exception as error:
        if getattr(error, "error_code", None) not in MISTAKES:
            raise
        raise ConfigurationProblem("%s: %s" % (problem, outages.said(error))) from error


def unpickled(path: str) -> Any:
    """Load what the author's own training has pickled, by joblib or without it."""
    try:
        joblib = importlib.import_module("joblib")
    except ImportError:
        with open(path, "rb") as stream:
            return pickle.load(stream)  # noqa: S301  # the author's own model
    return joblib.load(path)

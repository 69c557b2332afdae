"""Links to a run and to a model version in MLflow's pages."""

from __future__ import annotations

from typing import Any

from airflow_provider_air.links.ray import _StoredLink

MODEL_KEY = "mlflow_model_url"


class MlflowRunLink(_StoredLink):
    """To the run that the operator's tracker opened; no button without one."""

    name = "MLflow run"
    key = "mlflow_url"


class MlflowModelLink(_StoredLink):
    """To the model version that the task is about."""

    name = "MLflow model"
    key = MODEL_KEY


def push_model(ti: Any, url: str) -> None:
    """Store the URL of a model version; runs in the worker."""
    ti.xcom_push(key=MODEL_KEY, value=url)

"""Links to a run and to a model version in MLflow's pages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_air.links.ray import _StoredLink

MODEL_KEY = "mlflow_model_url"
GATE_KEY = "mlflow_gate"


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


def push_gate(ti: Any, verdict: Mapping[str, Any]) -> None:
    """
    Store what a gate said of a model version, also where it says no and the task has no result; runs in the worker.

    :param verdict: ``{"passed": bool, "why", "name", "version", "alias", "metric", "mode"}``
    """
    ti.xcom_push(key=GATE_KEY, value=dict(verdict))

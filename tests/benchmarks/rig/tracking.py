"""A real MLflow server for benchmarks, whose runs are in SQLite."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager

from mlflow_server import mlflow_server

from airflow_provider_air.attachments.mlflow.server import MlflowServer

MLFLOW_CONN_ID = "mlflow_bench"


@contextmanager
def mlflow() -> Iterator[MlflowServer]:
    """Have a server, to which the connection :data:`MLFLOW_CONN_ID` leads in this process."""
    name = f"AIRFLOW_CONN_{MLFLOW_CONN_ID.upper()}"
    with mlflow_server() as url:
        os.environ[name] = json.dumps({"conn_type": "mlflow", "host": url})
        try:
            yield MlflowServer(url)
        finally:
            del os.environ[name]


def steps_of(server: MlflowServer, experiment: str, metric: str, *, at_most: int) -> list[int]:
    """Give the steps of all points that the server has of a metric, in an experiment with one run."""
    found = server.call("GET", "experiments/get-by-name", experiment_name=experiment)["experiment"]
    (run,) = server.call("POST", "runs/search", {"experiment_ids": [found["experiment_id"]]})["runs"]
    points = server.call(
        "GET", "metrics/get-history", run_id=run["info"]["run_id"], metric_key=metric, max_results=at_most
    )
    return [int(point["step"]) for point in points["metrics"]]

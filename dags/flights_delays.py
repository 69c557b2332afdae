"""
How late will a flight arrive? Spark cleans a year of real flights; Ray searches, trains, predicts, judges and serves.

``make demo`` runs it. The Spark step is an ordinary task. Feast gives each flight what was known of its carrier and
route at its time; MLflow keeps the runs and the models, and a model that is no better than the one before is not
deployed. The tasks of the group share one Ray cluster, which a setup task starts and a teardown task deletes; all of
them wait without a worker slot.

Files lie in the folder that the Airflow Variable ``air_examples_storage`` names, by default ``/tmp``: the worker, where
Spark runs, and the Ray cluster see it by the same path.
"""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import dag, task

from airflow_provider_air import (
    FeastApplyOperator,
    FeastFeatures,
    FeastMaterializeOperator,
    LocalCluster,
    MlflowPromoteOperator,
    MlflowTracker,
    RayBatchInferenceOperator,
    RayClusterTaskGroup,
    RayServeDeployOperator,
    RayTrainOperator,
    RayTuneOperator,
    SharedFolder,
    SmokeTest,
)

CODE = str(Path(__file__).parent / "flights")
REPO = str(Path(__file__).parent / "flights" / "features")
MODEL = "flights_delays"
# A real flight: Delta 2119 from New York to Minneapolis, half an hour late at the gate.
FLIGHT = {"carrier": "DL", "origin": "LGA", "dest": "MSP", "dep_delay": 30, "sched_dep_minute": 450,
          "sched_arr_minute": 599, "distance": 1020, "weekday": 3, "hour": 7}  # fmt: skip
# Where the run keeps its files: what Spark writes, Ray reads.
FOLDER = (
    "{{ var.value.get('air_examples_storage', '/tmp') }}/flights_delays/"
    "{{ run_id | replace(':', '-') | replace('+', '-') }}"
)
# What the feature repository reads its places from.
WHERE: dict[str, Any] = {"env_vars": {"FLIGHTS_FOLDER": FOLDER}}


@dag(
    schedule=None,
    catchup=False,
    default_args={"retries": 1, "retry_delay": timedelta(seconds=10), "execution_timeout": timedelta(minutes=20)},
    doc_md=__doc__,
    tags=["demo"],
)
def flights_delays() -> None:
    """Clean, search, train, predict, judge, promote, serve, ask."""
    features = FeastFeatures(REPO, "delays_v1")
    tracker = MlflowTracker(experiment=MODEL)

    @task
    def clean(folder: str) -> dict[str, int]:
        from flights.clean_flights import clean_flights

        if "://" in folder:
            raise ValueError(f"Spark and Feast's stores want a folder here, so air_examples_storage cannot be {folder}")
        counts: dict[str, int] = clean_flights(Path(folder))
        return counts

    cleaned = clean(FOLDER)
    with RayClusterTaskGroup("ray", cluster=LocalCluster(num_cpus=4)) as ray:
        apply = FeastApplyOperator(task_id="apply", repo=REPO, runtime_env=WHERE)
        materialize = FeastMaterializeOperator(
            task_id="materialize",
            repo=REPO,
            runtime_env=WHERE,
            start="2013-01-01T00:00:00Z",
            end="2014-01-02T00:00:00Z",
        )
        tune = RayTuneOperator(
            task_id="tune",
            trainable="delays:search",
            working_dir=CODE,
            param_space={
                "flights": f"{FOLDER}/flights",
                "share": 0.25,
                "rounds": 100,
                "learning_rate": {"loguniform": [0.02, 0.2]},
                "num_leaves": {"choice": [15, 31, 63]},
            },
            metric="rmse",
            mode="min",
            num_samples=4,
            scheduler={"name": "asha", "args": {"time_attr": "round", "grace_period": 25, "max_t": 100}},
            max_concurrent_trials=2,
            storage=SharedFolder(FOLDER),
            tracker=tracker,
        )
        train = RayTrainOperator(
            task_id="train",
            trainer="lightgbm",
            train_loop="delays:train",
            working_dir=CODE,
            train_loop_config=tune.output["best_config"],
            datasets={
                "known": {"uri": [f"{FOLDER}/flights/part=learn", f"{FOLDER}/flights/part=choose"]},
                "unseen": f"{FOLDER}/flights/part=choose",
            },
            scaling_config={"num_workers": 1},
            checkpoint_config={"num_to_keep": 1},
            metric="round",
            mode="max",
            storage=SharedFolder(FOLDER),
            runtime_env=WHERE,
            features=features,
            tracker=MlflowTracker(experiment=MODEL, register_as=MODEL, tags={"data": "flights of 2013"}),
        )
        predict = RayBatchInferenceOperator(
            task_id="predict",
            predictor="delays:Predictor",
            working_dir=CODE,
            checkpoint=train.output["checkpoint"],
            input_uri=f"{FOLDER}/flights/part=judge",
            output_uri=f"{FOLDER}/predictions",
            batch_size=4096,
            storage=SharedFolder(FOLDER),
            runtime_env=WHERE,
            features=features,
            tracker=tracker,
        )

        @task.ray
        def judge(predictions: str) -> dict[str, Any]:
            """Compare errors in minutes, on flights that nothing above has seen."""
            import numpy as np
            import pandas as pd

            flights = pd.read_parquet(predictions)
            actual = flights["arr_delay"].to_numpy()

            def errors(predicted: Any) -> dict[str, float]:
                miss = actual - predicted
                return {"rmse": float(np.sqrt(np.mean(miss**2))), "mae": float(np.mean(np.abs(miss)))}

            return {
                "model": errors(flights["predicted_arr_delay"].to_numpy()),
                "departure_delay_only": errors(flights["by_line"].to_numpy()),
                "mean": errors(actual.mean()),
                "judged_on": len(flights),
            }

        promote = MlflowPromoteOperator(
            task_id="promote", model_name=MODEL, metric="rmse", mode="min", threshold=25, same_tag="data"
        )
        deploy = RayServeDeployOperator(
            task_id="deploy",
            import_path="endpoint:build",
            working_dir=CODE,
            application="delays",
            route_prefix="/delays",
            args={"checkpoint": train.output["checkpoint"]},
            runtime_env=WHERE,
            # Of the version that passed: training and serving cannot drift apart.
            features=FeastFeatures(REPO, "{{ ti.xcom_pull('ray.promote')['feature_service'] }}"),
            smoke_test=SmokeTest(body=[FLIGHT], regex="predicted_arr_delay", samples=3),
        )

        @task
        def ask(deployed: dict[str, Any], folder: str) -> list[dict[str, Any]]:
            """Send flights of the judged months to the endpoint, as a client would."""
            import httpx
            import pandas as pd

            flights = pd.read_parquet(f"{folder}/flights/part=judge").sample(5, random_state=2)
            rows = flights.drop(columns=["time_hour", "event_timestamp"]).to_json(orient="records")
            answer = httpx.post(deployed["url"], content=rows, headers={"Content-Type": "application/json"}, timeout=60)
            predicted = answer.raise_for_status().json()["predicted_arr_delay"]
            shown = flights[["carrier", "flight", "origin", "dest", "dep_delay", "arr_delay"]]
            return [
                {**row, "predicted_arr_delay": minutes}
                for row, minutes in zip(json.loads(shown.to_json(orient="records")), predicted, strict=True)
            ]

        apply >> tune >> train >> predict >> judge(predict.output["uri"]) >> promote >> deploy
        apply >> materialize >> deploy
        ask(deploy.output, FOLDER)

    cleaned >> ray


flights_delays()

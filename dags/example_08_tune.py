"""
Lesson 8: search settings with Ray Tune.

``param_space`` is plain JSON, so it can be templated. The result's ``best_config`` is an XCom of its own: hand
``output["best_config"]`` to the ``train_loop_config`` of a ``RayTrainOperator``. A retry restores the experiment:
finished trials are not run again.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import dag, task

from airflow_provider_air import RayTuneOperator

CODE = str(Path(__file__).parent / "airlines")
STORAGE = "{{ var.value.get('air_examples_storage', '/tmp') }}"
FOLDER = f"{STORAGE}/air_examples"


@dag(schedule=None, catchup=False, doc_md=__doc__, tags=["example"])
def example_08_tune() -> None:
    """Prepare the flights of one airline, search, show what was found."""

    @task.ray(working_dir=CODE)
    def flights_of(carrier: str, folder: str) -> int:
        from airlines import prepare

        return prepare(folder, [carrier])[carrier]

    tune = RayTuneOperator(
        task_id="tune",
        trainable="airlines:try_settings",
        working_dir=CODE,
        param_space={
            "flights": f"{FOLDER}/HA",
            "learning_rate": {"loguniform": [0.02, 0.5]},
            "num_leaves": {"grid_search": [7, 15]},
        },
        metric="rmse",
        mode="min",
        num_samples=1,
        max_concurrent_trials=2,
        storage=STORAGE,
        retries=2,
        execution_timeout=timedelta(minutes=20),
    )

    @task
    def show(config: dict[str, Any]) -> int:
        print("best settings:", config)
        return int(config["num_leaves"])

    flights_of("HA", FOLDER) >> tune
    show(tune.output["best_config"])


example_08_tune()

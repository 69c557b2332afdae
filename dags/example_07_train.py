"""
Lesson 7: train with Ray Train, and resume after a failure.

``RayTrainOperator`` builds the trainer on the cluster; your code is one function, named by its import path in
``working_dir``. Metrics stream into the task log and the ``progress`` XCom. ``storage`` outlives the cluster: a retry
continues from the last checkpoint there, and nothing of the metrics history is lost.

Where that is, the Airflow Variable ``air_examples_storage`` says: a folder that workers and the Ray cluster see by the
same path, or a bucket such as ``s3://ml/examples`` that the cluster may write. Without it: ``/tmp``, for one machine.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from airflow.sdk import dag, task

from airflow_provider_air import RayTrainOperator

CODE = str(Path(__file__).parent / "airlines")
STORAGE = "{{ var.value.get('air_examples_storage', '/tmp') }}"
FOLDER = f"{STORAGE}/air_examples"


@dag(schedule=None, catchup=False, doc_md=__doc__, tags=["example"])
def example_07_train() -> None:
    """Prepare the flights of one airline, then train."""

    @task.ray(working_dir=CODE)
    def flights_of(carrier: str, folder: str) -> int:
        from airlines import prepare

        return prepare(folder, [carrier])[carrier]

    train = RayTrainOperator(
        task_id="train",
        trainer="lightgbm",
        train_loop="airlines:train",
        working_dir=CODE,
        train_loop_config={"learning_rate": 0.2},
        datasets={"learn": f"{FOLDER}/AS/learn", "judge": f"{FOLDER}/AS/judge"},
        scaling_config={"num_workers": 1},
        metric="judge-rmse",
        mode="min",
        storage=STORAGE,
        retries=2,
        execution_timeout=timedelta(minutes=20),
    )
    flights_of("AS", FOLDER) >> train


example_07_train()

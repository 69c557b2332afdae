"""
Lesson 9: predict over a whole data set.

``RayBatchInferenceOperator`` reads with Ray Data, predicts in a pool of actors that load the model once each, and
writes. Output goes to a temporary prefix and is committed at the end, so that a retry leaves no half-written rows.
The predictor is ``lightgbm`` here, for a model that Ray's own callback saved; or a class of yours, ``module:Class``.
The event of its outlet says where the predictions lie, how many there are, and their columns.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from airflow.sdk import Asset, dag, task

from airflow_provider_air import RayBatchInferenceOperator

CODE = str(Path(__file__).parent / "airlines")
STORAGE = "{{ var.value.get('air_examples_storage', '/tmp') }}"
FOLDER = f"{STORAGE}/air_examples"


@dag(schedule=None, catchup=False, doc_md=__doc__, tags=["example"])
def example_09_batch_inference() -> None:
    """Make a small model, then predict with it."""

    @task.ray(working_dir=CODE)
    def model_of(carrier: str, folder: str) -> str:
        """Train without Ray Train, to have a model quickly; returns its folder."""
        import lightgbm
        import pandas as pd
        from airlines import FEATURES, TARGET, prepare
        from pyarrow.fs import FileSystem

        prepare(folder, [carrier])
        learn = pd.read_parquet(f"{folder}/{carrier}/learn")
        model = lightgbm.train({"verbosity": -1}, lightgbm.Dataset(learn[FEATURES], learn[TARGET]), 20)
        target = f"{folder}/{carrier}/model"
        files, path = FileSystem.from_uri(target)
        files.create_dir(path)
        with files.open_output_stream(f"{path}/model.txt") as file:
            file.write(model.model_to_string().encode())
        return target

    RayBatchInferenceOperator(
        task_id="predict",
        predictor="lightgbm",
        predictor_args={"output_column": "predicted_arr_delay"},
        checkpoint=model_of("F9", FOLDER),
        input_uri=f"{FOLDER}/F9/judge",
        output_uri=f"{FOLDER}/F9/predictions/" + "{{ run_id | replace(':', '-') | replace('+', '-') }}",
        batch_size=256,
        outlets=[Asset("flights://predictions")],
        retries=2,
        execution_timeout=timedelta(minutes=20),
    )


example_09_batch_inference()

"""
Lesson 9: predict over a whole data set.

``RayBatchInferenceOperator`` reads with Ray Data, predicts in a pool of actors that load the model once each, and
writes. Output goes to a temporary prefix and is committed at the end, so that a retry leaves no half-written rows.
The predictor is ``lightgbm`` here, for a model that Ray's own callback saved; or a class of yours, ``module:Class``.
"""

from __future__ import annotations

import tempfile
from datetime import timedelta
from pathlib import Path

from airflow.sdk import dag, task

from airflow_provider_air import LocalCluster, RayBatchInferenceOperator

CODE = str(Path(__file__).parent / "airlines")
FOLDER = str(Path(tempfile.gettempdir()) / "air_examples")
CLUSTER = LocalCluster(name="examples", num_cpus=2)


@dag(schedule=None, catchup=False, doc_md=__doc__, tags=["example"])
def example_09_batch_inference() -> None:
    """Make a small model, then predict with it."""

    @task.ray(cluster=CLUSTER, working_dir=CODE)
    def model_of(carrier: str, folder: str) -> str:
        """Train without Ray Train, to have a model quickly; returns its folder."""
        import lightgbm
        import pandas as pd
        from airlines import FEATURES, TARGET, prepare

        prepare(folder, [carrier])
        learn = pd.read_parquet(f"{folder}/{carrier}/learn")
        model = lightgbm.train({"verbosity": -1}, lightgbm.Dataset(learn[FEATURES], learn[TARGET]), 20)
        target = Path(folder) / carrier / "model"
        target.mkdir(exist_ok=True)
        model.save_model(str(target / "model.txt"))
        return str(target)

    RayBatchInferenceOperator(
        task_id="predict",
        cluster=CLUSTER,
        predictor="lightgbm",
        predictor_args={"output_column": "predicted_arr_delay"},
        checkpoint=model_of("F9", FOLDER),
        input_uri=f"{FOLDER}/F9/judge",
        output_uri=f"{FOLDER}/F9/predictions/" + "{{ run_id | replace(':', '-') | replace('+', '-') }}",
        batch_size=256,
        retries=2,
        execution_timeout=timedelta(minutes=20),
    )


example_09_batch_inference()

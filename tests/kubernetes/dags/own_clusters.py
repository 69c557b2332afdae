"""A job and a training, each on a cluster of its own: which, the connection ``ray_default`` says alone."""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_provider_air import RaySubmitJobOperator, RayTrainOperator

EPOCHS = 3


def epochs(config: dict[str, int]) -> None:
    """Report an epoch after the other."""
    import ray.train

    for epoch in range(config["epochs"]):
        ray.train.report({"epoch": epoch, "loss": 1 / (epoch + 1)})


with DAG("own_clusters", schedule=None, catchup=False):
    RaySubmitJobOperator(
        task_id="job",
        entrypoint=["python", "-c", "import socket; print('ran on', socket.gethostname(), flush=True)"],
        # What is deferred is what these runs are about.
        deferral_grace_seconds=0,
    )
    RayTrainOperator(
        task_id="train",
        train_loop=epochs,
        train_loop_config={"epochs": EPOCHS},
        scaling_config={"num_workers": 1, "resources_per_worker": {"CPU": 0.5}},
        metric="loss",
        mode="min",
        storage="{{ dag_run.conf['storage'] }}",
        deferral_grace_seconds=0,
    )

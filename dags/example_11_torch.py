"""
Lesson 11: train a torch model, data-parallel.

Needs torch on the Ray cluster (``pip install torch``), not in Airflow: the DAG file imports none. ``num_workers``
processes train together; ``prepare_model`` and ``prepare_data_loader`` do what is needed for that. On GPUs say
``scaling_config={"num_workers": 4, "use_gpu": True}``.
"""

from __future__ import annotations

import tempfile
from datetime import timedelta
from typing import Any

from airflow.sdk import dag

from airflow_provider_air import RayTrainOperator

STORAGE = "{{ var.value.get('air_examples_storage', '/tmp') }}"


def fit_a_line(config: dict[str, Any]) -> None:
    """Runs in each training worker; travels by value, so that it needs no file on the cluster."""
    import os

    import ray.train
    import ray.train.torch
    import torch

    torch.manual_seed(0)
    x = torch.linspace(-1, 1, 256).unsqueeze(1)
    data = torch.utils.data.TensorDataset(x, 3 * x + 1)
    loader = ray.train.torch.prepare_data_loader(torch.utils.data.DataLoader(data, batch_size=32, shuffle=True))
    model = ray.train.torch.prepare_model(torch.nn.Linear(1, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=config["lr"])
    for epoch in range(config["epochs"]):
        for inputs, targets in loader:
            loss = torch.nn.functional.mse_loss(model(inputs), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with tempfile.TemporaryDirectory() as folder:
            checkpoint = None
            if ray.train.get_context().get_world_rank() == 0:
                torch.save(model.state_dict(), os.path.join(folder, "model.pt"))
                checkpoint = ray.train.Checkpoint.from_directory(folder)
            ray.train.report({"epoch": epoch, "loss": float(loss)}, checkpoint=checkpoint)


@dag(schedule=None, catchup=False, doc_md=__doc__, tags=["example"])
def example_11_torch() -> None:
    """Two workers fit a line."""
    RayTrainOperator(
        task_id="train",
        trainer="torch",
        train_loop=fit_a_line,
        train_loop_config={"lr": 0.1, "epochs": 5},
        scaling_config={"num_workers": 2},
        metric="loss",
        mode="min",
        storage=STORAGE,
        retries=1,
        execution_timeout=timedelta(minutes=20),
    )


example_11_torch()

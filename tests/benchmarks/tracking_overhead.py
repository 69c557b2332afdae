"""What does a training pay for being tracked in MLflow?"""

from __future__ import annotations

import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_provider_air.attachments.mlflow.server import MlflowServer
from airflow_provider_air.attachments.mlflow.tracker import MlflowTracker
from airflow_provider_air.connections.ports import backend_of
from airflow_provider_air.ray_api.client import RayClient
from airflow_provider_air.ray_api.requests import get_job
from airflow_provider_air.ray_api.transport import Transport
from tests.benchmarks.rig import worker
from tests.benchmarks.rig.heads import real_head
from tests.benchmarks.rig.report import Report, alternated, ratios
from tests.benchmarks.rig.tracking import MLFLOW_CONN_ID, mlflow, steps_of
from tests.benchmarks.rig.triggers import CLUSTER

CODE = Path(__file__).parent / "code"
METRIC = "loss"
STEPS = 1000
QUICK_STEPS = 100
# Rows and columns of the matrix that each step multiplies by itself, for about 10 ms.
SIZE = 448
# As short as it may be: Ray's controller takes one report per look, and would hold up steps of 10 ms.
REPORT_INTERVAL_SECONDS = 0.01


def measure(*, quick: bool) -> Iterator[Report]:
    """The same training with and without a tracker, in turn."""
    steps = QUICK_STEPS if quick else STEPS
    report = Report(
        "tracking_overhead",
        f"seconds of a training of {steps} steps, each of which reports a metric, by RayTrainOperator (execute() in "
        "this process, deferrable=False) with an MlflowTracker, over the same without: from the first metric's time "
        "stamp to the last one's, and of the whole task; the MLflow server keeps its runs in SQLite",
        quick=quick,
    )
    with (
        tempfile.TemporaryDirectory() as storage,
        mlflow() as server,
        real_head("tracking") as (_, transport),
        worker.connected(transport),
    ):
        trainings = Trainings(transport, server, storage)
        trainings.run(10, tracked=True)  # the first of a kind starts what later ones share
        runs = alternated(
            1 if quick else 3,
            untracked=lambda: trainings.run(steps, tracked=False),
            tracked=lambda: trainings.run(steps, tracked=True),
        )
    for name in ("loop", "task"):
        seconds = {side: [getattr(run, name) for run in found] for side, found in runs.items()}
        for side, values in seconds.items():
            report.series(f"{side}.{name}", values, "s")
        ratio = report.series(f"{name}_ratio", ratios(seconds["tracked"], seconds["untracked"]), "1")
        if name == "loop":
            report.aim("median ratio of the loop's time", ratio, at_most=1.03)
    report.note(f"after each tracked training, MLflow had exactly {steps} points of the metric, one per step")
    yield report


@dataclass(frozen=True)
class Seconds:
    """What one training took."""

    loop: float
    task: float


class Trainings:
    """
    Runs the training on one cluster, tracked by one server or not.

    :param storage: a folder for all of them
    """

    def __init__(self, transport: Transport, server: MlflowServer, storage: str) -> None:
        self._transport = transport
        self._server = server
        self._storage = storage

    def run(self, steps: int, *, tracked: bool) -> Seconds:
        """Train once, and check that all reports have arrived."""
        experiment = f"bench-{uuid.uuid4().hex}"
        operator = self._operator(steps, MlflowTracker(MLFLOW_CONN_ID, experiment=experiment) if tracked else None)
        context = worker.new_context(operator)
        began = time.perf_counter()
        operator.execute(context)
        task = time.perf_counter() - began
        stamps = self._stamps(context["ti"].xcoms["submission_id"])
        _check_steps("the records", [step for step, _ in stamps], steps)
        if tracked:
            found = steps_of(self._server, experiment, METRIC, at_most=2 * steps)
            _check_steps("MLflow", found, steps)
        return Seconds(loop=stamps[-1][1] - stamps[0][1], task=task)

    def _operator(self, steps: int, tracker: MlflowTracker | None) -> Any:
        from airflow_provider_air import RayTrainOperator

        return RayTrainOperator(
            task_id="train",
            ray_conn_id=worker.RAY_CONN_ID,
            deferrable=False,
            train_loop="loops:steps",
            train_loop_config={"steps": steps, "size": SIZE},
            report_interval_seconds=REPORT_INTERVAL_SECONDS,
            working_dir=str(CODE),
            storage=self._storage,
            tracker=tracker,
        )

    def _stamps(self, submission_id: str) -> list[tuple[int, float]]:
        """Give step and time of each metric, as the driver has recorded it."""
        with RayClient(self._transport) as client:
            job = client.send(get_job(submission_id))
        assert job is not None
        records = backend_of(CLUSTER.backend).jobs(CLUSTER).records(job)
        return [(record["step"], record["t"]) for record in records if record["kind"] == "metric"]


def _check_steps(where: str, found: list[int], steps: int) -> None:
    if sorted(found) != list(range(steps)):
        raise RuntimeError(f"{where} should have one point for each of {steps} steps, but have {len(found)}")

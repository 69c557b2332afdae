"""Each workload's operator with a real MLflow: one run over adoption, failure and retry, closed at the end."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_provider_air import (
    MlflowTracker,
    RayBatchInferenceOperator,
    RayRLlibOperator,
    RayServeDeployOperator,
    RaySubmitJobOperator,
    RayTrainOperator,
    RayTuneOperator,
)
from airflow_provider_air.attachments.mlflow.server import MlflowServer
from airflow_provider_air.drivers.wire.names import records_name
from airflow_provider_air.drivers.wire.values import encode
from airflow_provider_air.errors import RemoteFailureError
from airflow_provider_air.runs import attached
from tests.deferrals import deferred, event_of, resume, write_records
from tests.fakes.chaos_proxy import ChaosProxy
from tests.fakes.ray_dashboard import FakeRayDashboard
from tests.fakes.task_context import Store, Supervisor, supervised, task_context

pytestmark = pytest.mark.integration

Make = Callable[[MlflowTracker], Any]
TRIALS = [
    {"trial_id": f"t{i}", "status": status, "config": {"x": i}, "metrics": {"loss": float(i)}, "checkpoint": None,
     "seconds": 1.0, "error": "boom" if status == "failed" else None}
    for i, status in enumerate(["finished", "failed", "finished"])
]  # fmt: skip
OPERATORS: dict[str, tuple[Make, dict[str, Any]]] = {
    "submit": (lambda t: RaySubmitJobOperator(task_id="w", entrypoint="true", records=True, tracker=t), {"loss": 1.0}),
    "train": (
        lambda t: RayTrainOperator(task_id="w", train_loop="c:f", tracker=t),
        {"run_name": "r", "uri": "/r", "metrics": {}, "best_metrics": None, "checkpoint": None, "best_checkpoint": None,
         "checkpoints": [], "history": [], "history_rows": 0, "history_uri": "", "resumed_from": None, "seconds": 1.0},
    ),
    "tune": (
        lambda t: RayTuneOperator(task_id="w", trainable="c:f", param_space={}, metric="loss", mode="min", tracker=t),
        {"run_name": "r", "uri": "/r", "best_config": {"x": 0}, "best_metrics": {"loss": 0.0}, "best_checkpoint": None,
         "best_trial_id": "t0", "trials": TRIALS, "trials_total": 3, "trials_failed": 1, "seconds": 1.0},
    ),
    "batch inference": (
        lambda t: RayBatchInferenceOperator(task_id="w", predictor="c:f", input_uri="/i", output_uri="/o", tracker=t),
        {"run_name": "r", "uri": "/o", "rows_read": 1, "rows_written": 1, "bytes_written": 1, "files": 1,
         "seconds": 1.0, "rows_per_second": 1.0},
    ),
    "rllib": (
        lambda t: RayRLlibOperator(task_id="w", algorithm="PPO", environment="CartPole-v1",
                                   stop={"training_iteration": 1}, tracker=t),
        {"run_name": "r", "uri": "/r", "metrics": {}, "checkpoint": None, "iterations": 1, "resumed_from": None,
         "seconds": 1.0},
    ),
    "serve": (
        lambda t: RayServeDeployOperator(task_id="w", import_path="m:app", tracker=t),
        {"http_port": 8000, "applications": {"default": {"application": "default", "route_prefix": "/", "url": None,
         "status": "RUNNING", "version": "v", "previous_version": None, "changed": True, "deployments": {}}}},
    ),
}  # fmt: skip


@pytest.fixture
def head(mlflow_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeRayDashboard]:
    with supervised(Supervisor()), FakeRayDashboard() as head:
        ray = {"conn_type": "ray", "host": head.url, "password": head.token}
        monkeypatch.setenv("AIRFLOW_CONN_RAY_DEFAULT", json.dumps(ray))
        monkeypatch.setenv("AIRFLOW_CONN_MLFLOW_DEFAULT", json.dumps({"conn_type": "mlflow", "host": mlflow_url}))
        monkeypatch.setenv("AIRFLOW__AIR__DEFERRAL_GRACE_SECONDS", "0")
        monkeypatch.setenv("AIRFLOW__AIR__DEFERRAL_SETTLE_SECONDS", "0")
        yield head


class Experiment:
    """What the server tells of one experiment's runs."""

    def __init__(self, url: str) -> None:
        self.name = f"tracked-{uuid.uuid4().hex}"
        self._server = MlflowServer(url)

    def runs(self) -> list[dict[str, Any]]:
        found = self._server.call("GET", "experiments/get-by-name", experiment_name=self.name)["experiment"]
        asked = {"experiment_ids": [found["experiment_id"]]}
        runs: list[dict[str, Any]] = self._server.call("POST", "runs/search", asked)["runs"]
        return runs

    def parents(self) -> list[str]:
        """Give the states of all runs but nested ones."""
        return [run["info"]["status"] for run in self.runs() if not _parent_of(run)]

    def nested(self) -> list[str]:
        """Give the states of the nested ones."""
        return sorted(run["info"]["status"] for run in self.runs() if _parent_of(run))

    def losses(self) -> list[float]:
        """Give the history of the metric ``loss`` of the only run."""
        (run,) = self.runs()
        asked = {"run_id": run["info"]["run_id"], "metric_key": "loss"}
        return [point["value"] for point in self._server.call("GET", "metrics/get-history", **asked).get("metrics", [])]


def _parent_of(run: dict[str, Any]) -> str | None:
    return next((tag["value"] for tag in run["data"]["tags"] if tag["key"] == "mlflow.parentRunId"), None)


def started(operator: Any, store: Store, **ti: Any) -> Any:
    return deferred(operator, task_context(store, **ti))


@pytest.mark.parametrize("workload", OPERATORS)
def test_one_run_is_gone_on_with_and_closed(head: FakeRayDashboard, mlflow_url: str, workload: str) -> None:
    make, result = OPERATORS[workload]
    experiment, store = Experiment(mlflow_url), Store()
    tracker = MlflowTracker(experiment=experiment.name)

    started(make(tracker), store)
    adopted = started(make(tracker), store, try_number=2)
    (first,) = head.jobs
    assert experiment.parents() == ["RUNNING"]

    head.set_status(first, "FAILED", message="exit code 1")
    with pytest.raises(RemoteFailureError):
        resume(make(tracker), task_context(store, try_number=2), adopted, event_of(adopted.trigger))
    assert experiment.parents() == ["FAILED"]

    again = started(make(tracker), store, try_number=3)
    second = next(name for name in head.jobs if name != first)
    assert experiment.parents() == ["RUNNING"]

    write_records(head, second, {"kind": "result", "value": encode(result)}, {"kind": "end", "status": "succeeded"})
    head.set_status(second, "SUCCEEDED")
    resume(make(tracker), task_context(store, try_number=3), again, event_of(again.trigger))
    assert experiment.parents() == ["FINISHED"]
    assert experiment.nested() == (["FAILED", "FINISHED", "FINISHED"] if workload == "tune" else [])


@pytest.mark.parametrize("workload", OPERATORS)
def test_a_person_who_stops_it_and_a_deadline_leave_no_run_open(
    head: FakeRayDashboard, mlflow_url: str, workload: str
) -> None:
    make, _ = OPERATORS[workload]
    experiment = Experiment(mlflow_url)
    tracker = MlflowTracker(experiment=experiment.name)

    stopped = started(make(tracker), Store(), run_id="stopped")
    with supervised(Supervisor("failed")):
        asyncio.run(stopped.trigger.on_kill())
    late_store = Store()
    late = started(make(tracker), late_store, run_id="late")
    late.trigger.step["until"] = 1.0
    context = task_context(late_store, run_id="late")
    with pytest.raises(Exception, match="execution_timeout"):
        resume(make(tracker), context, late, event_of(late.trigger))

    assert experiment.parents() == ["KILLED", "KILLED"]


async def test_metrics_are_there_while_the_job_runs_and_a_server_that_was_away_misses_none(
    head: FakeRayDashboard, mlflow_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attached, "HAND_OVER_SECONDS", 0.1)
    make, result = OPERATORS["train"]
    experiment, store = Experiment(mlflow_url), Store()

    def report(number: int, **record: Any) -> None:
        line = json.dumps({"v": 1, "seq": number, "t": 1e9 + number, **record})
        head.append_file(records_name(name), line + "\n")

    async def reached(count: int) -> None:
        while len(await asyncio.to_thread(experiment.losses)) < count:  # the server tells nobody
            await asyncio.sleep(0.05)

    with ChaosProxy(mlflow_url) as proxy:
        monkeypatch.setenv("AIRFLOW_CONN_MLFLOW_DEFAULT", json.dumps({"conn_type": "mlflow", "host": proxy.url}))
        operator = make(MlflowTracker(experiment=experiment.name))
        pause = await asyncio.to_thread(started, operator, store)
        (name,) = head.jobs
        head.set_status(name, "RUNNING")
        watch = asyncio.create_task(anext(pause.trigger.run()))
        report(0, kind="metric", values={"loss": 3.0}, step=0)
        await asyncio.wait_for(reached(1), 60)

        away = proxy.on("*", "", times=None, status=503)
        report(1, kind="metric", values={"loss": 2.0}, step=1)
        await asyncio.to_thread(away.wait_reached)
        report(2, kind="metric", values={"loss": 1.0}, step=2)
        report(3, kind="result", value=encode(result))
        report(4, kind="end", status="succeeded")
        head.set_status(name, "SUCCEEDED")
        event = json.loads(json.dumps((await asyncio.wait_for(watch, 120)).payload))
        away.cancel()
        await asyncio.to_thread(resume, operator, task_context(store), pause, event)

    assert experiment.losses() == [3.0, 2.0, 1.0]
    assert experiment.parents() == ["FINISHED"]

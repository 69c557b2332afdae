"""What the events of a task's outlets say: flat, bounded, without secrets, and never more than the task's success."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from airflow.sdk import Asset, AssetAlias
from airflow.sdk.execution_time.context import OutletEventAccessors
from airflow.sdk.log import mask_secret

from airflow_provider_air.operators.batch_inference import RayBatchInferenceOperator
from airflow_provider_air.operators.outlets import MOST_METRICS, extra_of, page_of
from airflow_provider_air.operators.serve import RayServeDeployOperator
from airflow_provider_air.operators.submit import RaySubmitJobOperator
from airflow_provider_air.operators.train import RayTrainOperator
from tests.fakes.task_context import FakeTaskInstance, Store, task_context

MODEL = Asset("model://delays")
FACTS = {
    "submission_id": "air-1",
    "outputs": [{"name": "output", "uri": "s3://out", "rows": 7, "schema": {"id": "int64", "score": "double"}}],
    "trackers": [
        {"kind": "mlflow", "run_id": "r1", "url": "http://mlflow/#/r1", "model": {"name": "delays", "version": 3}}
    ],
}
TRAINED = {
    "uri": "s3://runs/1",
    "checkpoint": "s3://runs/1/last",
    "best_checkpoint": "s3://runs/1/best",
    "metrics": {"rmse": 9.0},
    "best_checkpoint_metrics": {"rmse": 1.5, "nan": math.nan, "text": "x"},
}


def told(operator: Any, result: Any, facts: Any = FACTS, **ti: Any) -> dict[str, Any]:
    """Give what the event of the task's outlet has after its success."""
    context = task_context(Store())
    context["outlet_events"] = OutletEventAccessors()
    for name, value in ti.items():
        setattr(context["ti"], name, value)
    operator._facts = facts
    operator.done(context, result)
    extra: dict[str, Any] = context["outlet_events"][MODEL].extra
    json.dumps(extra, allow_nan=False)
    return extra


def test_a_trained_model_says_what_it_is() -> None:
    extra = told(RayTrainOperator(task_id="train", train_loop="a:b", outlets=[MODEL]), TRAINED)

    page = extra.pop("page")
    assert page.endswith("/dags/flights/runs/manual__1/tasks/train/plugin/ray")
    assert extra == {
        "uri": "s3://runs/1/best",
        "rows": 7,
        "schema": "id: int64, score: double",
        "metrics.rmse": 1.5,
        "model": "delays",
        "version": 3,
        "tracker": "mlflow",
        "tracker_run": "r1",
        "tracker_url": "http://mlflow/#/r1",
        "submission_id": "air-1",
    }


def test_predictions_say_where_they_are_and_how_many() -> None:
    operator = RayBatchInferenceOperator(
        task_id="predict", predictor="a:b", input_uri="s3://in", output_uri="s3://out", outlets=[MODEL]
    )
    extra = told(operator, {"uri": "s3://out", "rows_written": 0}, {**FACTS, "trackers": []})

    assert (extra["uri"], extra["rows"], extra["schema"]) == ("s3://out", 0, "id: int64, score: double")


def test_a_deployment_says_where_it_answers_and_which_version() -> None:
    operator = RayServeDeployOperator(task_id="deploy", import_path="a:b", outlets=[MODEL])
    first = {"application": "a--1", "route_prefix": "/", "url": "http://serve/", "version": "1"}
    extra = told(operator, {**first, "applications": {"a": first}}, {})

    assert (extra["uri"], extra["version"]) == ("http://serve/", "1")


def test_a_plain_job_says_who_made_it_and_takes_nothing_for_what_it_may_not_be() -> None:
    operator = RaySubmitJobOperator(task_id="train", entrypoint="true", outlets=[MODEL, AssetAlias("other")])

    assert set(told(operator, {"uri": "nonsense", "rows": "many"}, {"submission_id": "air-1"})) == {
        "submission_id",
        "page",
    }


def test_what_the_author_has_written_stays() -> None:
    operator = RayTrainOperator(task_id="train", train_loop="a:b", outlets=[MODEL])
    context = task_context(Store())
    context["outlet_events"] = OutletEventAccessors()
    context["outlet_events"][MODEL].extra["uri"] = "mine"
    operator.done(context, TRAINED)

    assert context["outlet_events"][MODEL].extra["uri"] == "mine"


def test_no_secret_is_told() -> None:
    mask_secret("hunter2-hunter2")
    result = {**TRAINED, "best_checkpoint": "s3://key:hunter2-hunter2@runs/best"}

    extra = told(RayTrainOperator(task_id="train", train_loop="a:b", outlets=[MODEL]), result)

    assert "hunter2" not in json.dumps(extra)


@pytest.mark.parametrize("facts", [{"outputs": 3}, {"trackers": [7]}, {"outputs": [{"schema": {"a": object()}}]}])
def test_odd_facts_fail_no_task(facts: Any) -> None:
    assert isinstance(told(RayTrainOperator(task_id="train", train_loop="a:b", outlets=[MODEL]), TRAINED, facts), dict)


def test_it_is_bounded() -> None:
    many = {f"metric-{number}" * 50: float(number) for number in range(5000)}
    wide = {f"column-{number}": "int64" for number in range(5000)}
    extra = extra_of({"uri": "x" * 10**6, "metrics": many}, {"outputs": [{"schema": wide}]})

    assert len(json.dumps(extra)) < 8000
    assert len([name for name in extra if name.startswith("metrics.")]) <= MOST_METRICS


@pytest.mark.parametrize(
    ("names", "page"),
    [
        ({}, "/dags/flights/runs/manual__1/tasks/train/plugin/ray"),
        ({"map_index": 3}, "/dags/flights/runs/manual__1/tasks/train/mapped/3/plugin/ray"),
        ({"map_index": 0}, "/dags/flights/runs/manual__1/tasks/train/mapped/0/plugin/ray"),
        (
            {"run_id": "manual__2026-01-01T00:00:00+00:00", "task_id": "a.b", "dag_id": "ä b"},
            "/dags/%C3%A4%20b/runs/manual__2026-01-01T00%3A00%3A00%2B00%3A00/tasks/a.b/plugin/ray",
        ),
    ],
)
def test_the_page_is_that_of_the_tasks_tab(names: dict[str, Any], page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example/team/")

    assert page_of(FakeTaskInstance(**names)) == f"https://airflow.example/team{page}"

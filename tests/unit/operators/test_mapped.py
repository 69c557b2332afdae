"""What mapped tasks have returned, as fields of the operators: map, then reduce."""

from __future__ import annotations

import json
from typing import Any

import pytest
from airflow.sdk import DAG, task

from airflow_provider_air.operators.batch_inference import RayBatchInferenceOperator
from airflow_provider_air.operators.train import RayTrainOperator
from airflow_provider_air.operators.tune import RayTuneOperator
from tests.deferrals import deferred
from tests.fakes.ray_dashboard import FakeRayDashboard
from tests.fakes.task_context import Store, Supervisor, task_context
from tests.unit.operators.test_features import files

PARTS = ["s3://b/day=1", "s3://b/day=2"]


def trained(parts: Any) -> Any:
    datasets = {"train": parts, "valid": {"uri": parts, "format": "csv"}}
    return RayTrainOperator(task_id="train", train_loop="code:train", datasets=datasets)


def tuned(parts: Any) -> Any:
    given: dict[str, Any] = {"param_space": {}, "metric": "m", "mode": "min"}
    datasets = {"train": parts, "valid": {"uri": parts, "format": "csv"}}
    return RayTuneOperator(task_id="train", train_loop="code:train", datasets=datasets, **given)


def predicted(parts: Any) -> Any:
    return RayBatchInferenceOperator(task_id="train", predictor="c:f", input_uri=parts, output_uri="s3://b/out")


@pytest.mark.parametrize(
    ("operator_of", "expected"),
    [
        (trained, {"datasets": {"train": PARTS, "valid": {"uri": PARTS, "format": "csv"}}}),
        (tuned, {"datasets": {"train": PARTS, "valid": {"uri": PARTS, "format": "csv"}}}),
        (predicted, {"input": PARTS}),
    ],
)
def test_uris_of_mapped_tasks_are_one_data_set(
    operator_of: Any, expected: Any, head: FakeRayDashboard, store: Store, supervisor: Supervisor
) -> None:
    supervisor.mapped = Supervisor(mapped={"part": list(PARTS)}).mapped
    with DAG("flights", schedule=None):
        part: Any = task(task_id="part")(lambda number: number).expand(number=[1, 2])
        operator = operator_of(part)
    context = task_context(store)
    operator.render_template_fields(context)

    deferred(operator, context)

    (job,) = head.jobs.values()
    (config,) = files(head, job, "config.json")
    assert expected.items() <= json.loads(config).items()


def test_a_resumed_task_does_not_ask_for_them_again(
    head: FakeRayDashboard, store: Store, supervisor: Supervisor
) -> None:
    """Its job has them; a thousand XComs are a thousand requests."""
    supervisor.mapped = Supervisor(mapped={"part": list(PARTS)}).mapped
    with DAG("flights", schedule=None):
        part: Any = task(task_id="part")(lambda number: number).expand(number=[1, 2])
        first, again = trained(part), RayTrainOperator(task_id="again", train_loop="code:train", datasets={"a": part})
    context = task_context(store)
    first.render_template_fields(context)
    deferred(first, context)
    supervisor.mapped.clear()
    again.render_template_fields(context)

    deferred(again, task_context(store, try_number=2))

    assert len(head.jobs) == 1

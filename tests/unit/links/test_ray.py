"""The buttons give back what the worker stored, after every slice of its work."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.sdk import BaseOperatorLink
from airflow.sdk.types import TaskInstanceKey

from airflow_provider_air.clusters.jobs_api.backend import JobsApi
from airflow_provider_air.contracts.clusters import ClusterRef
from airflow_provider_air.links.mlflow import MlflowRunLink
from airflow_provider_air.links.ray import GrafanaLink, RayDashboardLink, RayJobLink
from airflow_provider_air.operators.submit import RaySubmitJobOperator
from airflow_provider_air.ray_api.transport import Transport
from tests.fakes.task_context import FakeTaskInstance, Supervisor

KEY = TaskInstanceKey("flights", "train", "manual__1", 1, -1)


@pytest.mark.parametrize(
    ("link", "url"),
    [
        (RayDashboardLink(), "http://head:8265"),
        (RayJobLink(), "http://head:8265/#/jobs/air-1%2Fx"),
        (MlflowRunLink(), "http://mlflow/#/runs/1"),
        (GrafanaLink(), "https://grafana/d/ray"),
    ],
)
def test_a_link_gives_back_what_was_pushed(link: BaseOperatorLink, url: str, supervisor: Supervisor) -> None:
    ti = FakeTaskInstance()
    jobs = JobsApi(
        ClusterRef("existing", "ray_default"),
        lambda ref: Transport("http://head:8265"),
        grafana_url=lambda ref: "https://grafana/d/ray",
    )
    for name, page in {**jobs.pages("air-1/x"), "mlflow_url": "http://mlflow/#/runs/1"}.items():
        ti.xcom_push(name, page)
    task: Any = RaySubmitJobOperator(task_id="train", entrypoint="true")

    assert link.get_link(task, ti_key=KEY) == url
    assert link.xcom_key in ti.xcoms


@pytest.mark.parametrize("link", [RayDashboardLink(), RayJobLink(), GrafanaLink()])
def test_nothing_stored_hides_the_button(link: BaseOperatorLink, supervisor: Supervisor) -> None:
    task: Any = RaySubmitJobOperator(task_id="train", entrypoint="true")

    assert link.get_link(task, ti_key=KEY) == ""

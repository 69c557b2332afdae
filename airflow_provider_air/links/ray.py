"""
Links to the Ray dashboard and to the job in it.

The worker pushes the URL at submission, so the button works while the task waits. Airflow asks
``get_link`` again after every slice of work and stores the answer, so it must give back what was pushed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey

    from airflow_provider_air.contracts.clusters import ClusterRef

DASHBOARD_KEY = "ray_dashboard_url"
JOB_KEY = "ray_job_url"
GRAFANA_KEY = "grafana_url"
MADE_KEY = "air_cluster_made"
DELETED_KEY = "air_cluster_deleted"


class _StoredLink(BaseOperatorLink):
    key = ""

    @property
    def xcom_key(self) -> str:
        return self.key

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Give back the stored URL; empty hides the button."""
        from airflow.sdk.execution_time.xcom import XCom

        return XCom.get_value(ti_key=ti_key, key=self.key) or ""


class RayDashboardLink(_StoredLink):
    """To the cluster's dashboard."""

    name = "Ray dashboard"
    key = DASHBOARD_KEY


class RayJobLink(_StoredLink):
    """To the job's page in the dashboard."""

    name = "Ray job"
    key = JOB_KEY


class GrafanaLink(_StoredLink):
    """To the metrics of the cluster, where the connection or the spec says where they are shown."""

    name = "Grafana"
    key = GRAFANA_KEY


def push_made(ti: Any, ref: ClusterRef, *, created: bool, dashboard_url: str | None) -> None:
    """
    Note, for Airflow's pages, that a cluster is there which other tasks are to use; runs in the worker.

    :param created: the task has started it, and not found it there
    """
    told = {"version": 1, "cluster": ref.to_json(), "created": created, "dashboard_url": dashboard_url}
    ti.xcom_push(key=MADE_KEY, value=told)


def push_deleted(ti: Any, ref: ClusterRef) -> None:
    """Note, for Airflow's pages, that a cluster is gone; runs in the worker."""
    ti.xcom_push(key=DELETED_KEY, value={"version": 1, "cluster": ref.to_json()})

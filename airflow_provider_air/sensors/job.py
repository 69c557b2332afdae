"""Waits for a Ray job that somebody else submitted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import PokeReturnValue
from airflow.sdk.exceptions import AirflowSensorTimeout

from airflow_provider_air.connections.ports import backend_of, found_target_of
from airflow_provider_air.errors import JobLostError, ProtocolError
from airflow_provider_air.sensors.base import DeferrableSensor
from airflow_provider_air.triggers.deferring import not_before
from airflow_provider_air.waiting import patiently
from airflow_provider_air.workloads import fields

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_air.contracts.clusters import ClusterRef
    from airflow_provider_air.ray_api.models import JobDetails
    from airflow_provider_air.triggers.base import OneEventTrigger


class RayJobSensor(DeferrableSensor):
    """
    Wait until a job has succeeded; a job that failed, was stopped or is unknown fails the task.

    :param submission_id: the job
    :param cluster: the cluster's XCom or spec, where ``ray_conn_id`` does not name it
    """

    template_fields: Sequence[str] = ("submission_id", "cluster", "ray_conn_id")

    def __init__(
        self,
        *,
        submission_id: str,
        cluster: Any = None,
        ray_conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.submission_id = submission_id
        self.cluster = cluster
        self.ray_conn_id = ray_conn_id

    def look(self, context: Context) -> PokeReturnValue:
        """Look once."""
        ref = self._ref(context)
        jobs = backend_of(ref.backend).jobs(ref)
        job = patiently(lambda: jobs.look(self.submission_id)).job
        if job is not None and not job.status.is_terminal:
            return PokeReturnValue(is_done=False)
        return PokeReturnValue(is_done=True, xcom_value=self._success_of(job))

    def trigger(self, context: Context, until: float) -> OneEventTrigger:
        """Look together with all that wait for jobs of this cluster."""
        from airflow_provider_air.triggers.job_state import RayJobStateTrigger

        return RayJobStateTrigger(
            cluster=self._ref(context).to_json(),
            submission_id=self.submission_id,
            deadline=until,
            not_before=not_before(),
        )

    def judge(self, event: Any) -> str:
        """Give the job's id where it has succeeded."""
        from airflow_provider_air.runs.failures import failure_of_end

        if not isinstance(event, dict) or event.get("submission_id") != self.submission_id:
            raise ProtocolError(f"The trigger's event is not about job {self.submission_id}: {event!r}"[:500])
        outcome, message = event.get("outcome"), str(event.get("message") or "")
        from airflow_provider_air.ray_api.models import JobDetails

        job = JobDetails.from_json(event["job"]) if event.get("job") else None
        if outcome == "ended" and job is not None:
            return self._success_of(job)
        if outcome == "deadline":
            raise AirflowSensorTimeout(f"The job {self.submission_id} did not end within {self.timeout:g} s")
        raise failure_of_end(outcome, self.submission_id, job, message)

    def _ref(self, context: Context) -> ClusterRef:
        fields.submission_id(self.submission_id)
        return found_target_of(self, context)

    def _success_of(self, job: JobDetails | None) -> str:
        from airflow_provider_air.runs.failures import failure_of_end

        if job is None:
            raise JobLostError("The cluster does not know the job", where=self.submission_id)
        if job.status.value == "SUCCEEDED":
            return job.submission_id
        raise failure_of_end("ended", job.submission_id, job, "")

"""Runs any command as a Ray job, or stops one."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import BaseOperator

from airflow_provider_air.connections.ports import backend_of, found_target_of, read_fields
from airflow_provider_air.connections.raising import airflow_errors
from airflow_provider_air.errors import RemoteFailureError
from airflow_provider_air.operators.fields import exit_codes
from airflow_provider_air.operators.stored import RayStoredJobOperator
from airflow_provider_air.waiting import patiently
from airflow_provider_air.workloads import fields

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_air.contracts.jobs import JobRequest
    from airflow_provider_air.runs.plan import BuildInfo


class RaySubmitJobOperator(RayStoredJobOperator):
    """
    Submit a command to a Ray cluster, exactly once, and follow it to its end.

    The task's XCom is the submission id; with ``records=True`` it is the result that the script reported. With
    ``storage``, a result of more than 1 MiB is written there, and the XCom stands for it: see
    :func:`~airflow_provider_air.hooks.results.load_result`.

    :param entrypoint: the shell command, run by the cluster's shell in the job's working directory; or the list of its
        words, which no shell reads. In a command, what others write, such as ``{{ dag_run.conf[...] }}``, is an
        injection: give it as a word of a list, or by ``env_vars`` of ``runtime_env``, and write ``"$NAME"``
    :param working_dir: what to ship: a local folder, an archive, or a ``.py`` file, where a relative path starts at the
        DAG file's folder, or at its bundle's; or a URI that Ray loads (``s3://…/code.zip``)
    :param excludes: patterns of files that are not shipped, as Ray reads them
    :param runtime_env: Ray's runtime environment, in which ``pip``, ``uv`` and ``conda`` may name files that are read
        here, on the worker; never put secrets in, Ray shows it
    :param records: ship ``air_drivers`` so that the script can ``from air_drivers import report``
    :param entrypoint_num_cpus, entrypoint_num_gpus, entrypoint_memory, entrypoint_resources,
        entrypoint_label_selector: what the entrypoint itself reserves; memory is in bytes
    :param metadata: str to str, shown in Ray's job list
    :param wait: False submits, exactly once, and gives the submission id without waiting for the job's end: see
        :class:`~airflow_provider_air.sensors.job.RayJobSensor`. A clear stops such a job first, as any live one
    :param submission_id: the job's id, by default a new one for each attempt; later attempts of the same task instance
        get ``-2``, ``-3``, … behind it. A job of this id that is not this task's is never touched: the task fails
    :param skip_on_exit_code: the exit code, or codes, by which the entrypoint says that there was nothing to do: the
        task is skipped. By default none, as with Airflow's other operators for remote work
    :raises ConfigurationError: ``skip_on_exit_code`` is none
    """

    template_fields: Sequence[str] = (
        *RayStoredJobOperator.template_fields,
        "entrypoint",
        "working_dir",
        "runtime_env",
        "metadata",
        "excludes",
        "submission_id",
        "entrypoint_num_cpus",
        "entrypoint_num_gpus",
        "entrypoint_memory",
        "entrypoint_resources",
        "entrypoint_label_selector",
        "records",
        "wait",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {
        "entrypoint": "bash",
        "runtime_env": "json",
        "metadata": "json",
    }

    def __init__(
        self,
        *,
        entrypoint: str | PurePath | Sequence[str | float | PurePath],
        working_dir: str | PurePath | None = None,
        excludes: Sequence[str] = (),
        runtime_env: Mapping[str, Any] | None = None,
        records: bool = False,
        entrypoint_num_cpus: float | None = None,
        entrypoint_num_gpus: float | None = None,
        entrypoint_memory: int | None = None,
        entrypoint_resources: Mapping[str, float] | None = None,
        entrypoint_label_selector: Mapping[str, str] | None = None,
        metadata: Mapping[str, str] | None = None,
        wait: bool = True,
        submission_id: str | None = None,
        skip_on_exit_code: int | Collection[int] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.entrypoint = entrypoint
        self.working_dir = working_dir
        self.excludes = excludes
        self.runtime_env = runtime_env
        self.records = records
        self.entrypoint_num_cpus = entrypoint_num_cpus
        self.entrypoint_num_gpus = entrypoint_num_gpus
        self.entrypoint_memory = entrypoint_memory
        self.entrypoint_resources = entrypoint_resources
        self.entrypoint_label_selector = entrypoint_label_selector
        self.metadata = metadata
        self.wait = wait
        self.skip_on_exit_code = exit_codes(skip_on_exit_code, "skip_on_exit_code")
        self.submission_id = submission_id

    def build_job(self, context: Context, info: BuildInfo) -> JobRequest:
        """Give the command with what it ships and reserves."""
        from airflow_provider_air.contracts.jobs import EntrypointResources, JobRequest

        return JobRequest(
            entrypoint=self.entrypoint,
            working_dir=self.working_dir,
            excludes=self.excludes,
            runtime_env={} if self.runtime_env is None else self.runtime_env,
            resources=EntrypointResources(
                self.entrypoint_num_cpus,
                self.entrypoint_num_gpus,
                self.entrypoint_memory,
                self.entrypoint_resources,
                self.entrypoint_label_selector,
            ),
            metadata={} if self.metadata is None else self.metadata,
            payload={"config.json": b"{}"} if self.records else None,
            expects_result=self.records,
        )


class RayStopJobOperator(BaseOperator):
    """
    Stop a Ray job and wait for its end; a job that has ended or is unknown is fine.

    :param submission_id: the job
    :param cluster: the cluster's spec or XCom, where ``ray_conn_id`` does not name it
    :raises RemoteFailureError: Ray could not stop it (a job that waits for resources cannot be stopped)
    """

    template_fields: Sequence[str] = ("submission_id", "cluster", "ray_conn_id")

    def __init__(
        self, *, submission_id: str, cluster: Any = None, ray_conn_id: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.submission_id = submission_id
        self.cluster = cluster
        self.ray_conn_id = ray_conn_id

    def execute(self, context: Context) -> str:
        """Stop it; returns the job's last state, ``UNKNOWN`` where the cluster does not know it."""
        from airflow_provider_air.runs.asking import stop_and_wait
        from airflow_provider_air.runs.clock import RealClock

        with airflow_errors():
            read_fields(self)
            fields.submission_id(self.submission_id)
            # Found, not made: to stop a job is no reason to start a cluster.
            ref = found_target_of(self, context)
            jobs = backend_of(ref.backend).jobs(ref)
            job = patiently(lambda: jobs.look(self.submission_id)).job
            if job is not None and not job.status.is_terminal:
                job = stop_and_wait(jobs, job, RealClock())
            if job is not None and not job.status.is_terminal:
                raise RemoteFailureError(
                    f"Ray did not stop the job; it is still {job.status.value}: {job.message}",
                    where=self.submission_id,
                    hint="A job that waits for resources ends only after Ray's start time-out (900 s)",
                )
            return "UNKNOWN" if job is None else job.status.value

"""What the operators of our own drivers share: code and storage that travel, and results by key."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from airflow.sdk import Asset

from airflow_provider_air.attachments.checks import specs_of
from airflow_provider_air.connections.ports import code_folders
from airflow_provider_air.operators.stored import RayStoredJobOperator
from airflow_provider_air.workloads.data import refs_of

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_air.contracts.attachments import AttachmentSpec
    from airflow_provider_air.contracts.jobs import JobRequest
    from airflow_provider_air.runs.plan import BuildInfo

T = TypeVar("T")
# Of the checkpoint that counts, else of the run.
METRICS = ("best_checkpoint_metrics", "best_metrics", "metrics")


class RayDrivenOperator(RayStoredJobOperator):
    """
    Base of the operators whose work our own driver does on the cluster.

    :param working_dir: a local folder with the author's code, an archive, a ``.py`` file, or a URI that Ray loads
    :param excludes: patterns of files that are not shipped, as Ray reads them
    :param runtime_env: Ray's runtime environment; never put secrets in, Ray shows it
    :param storage: where runs keep what must outlive the cluster: ``SharedFolder``, ``S3Storage``, ``GcsStorage``, a
        path, or a URI that the cluster reaches by itself; without it a retry resumes only from the head's own disk
    :param driver_num_cpus: what the driver itself reserves; by default it runs on the head beside everything
    :param metadata: str to str, shown in Ray's job list
    """

    template_fields: Sequence[str] = (
        *RayStoredJobOperator.template_fields,
        "working_dir",
        "excludes",
        "runtime_env",
        "metadata",
        "driver_num_cpus",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"runtime_env": "json", "metadata": "json"}
    # Keys of the result that also become XComs of their own, for output["best_config"] in the next task.
    result_keys: ClassVar[tuple[str, ...]] = ()
    # Of the operators whose workload reads data sets.
    features: Any = None

    def __init__(
        self,
        *,
        working_dir: str | PurePath | None = None,
        excludes: Sequence[str] = (),
        runtime_env: Mapping[str, Any] | None = None,
        driver_num_cpus: float | None = None,
        metadata: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.working_dir = working_dir
        self.excludes = excludes
        self.runtime_env = runtime_env
        self.driver_num_cpus = driver_num_cpus
        self.metadata = metadata

    def attachments(self) -> Sequence[AttachmentSpec]:
        """Give the trackers, and the feature store that joins what the workload reads."""
        return (*super().attachments(), *specs_of(self.features, "features"))

    def spec_of(self, kind: type[T]) -> T:
        """Fill a workload's spec from the operator's fields of the same names."""
        return kind(**{field.name: getattr(self, field.name) for field in dataclasses.fields(kind)})  # type: ignore[arg-type]

    def driver_job(
        self,
        entrypoint: str,
        payload: Mapping[str, bytes],
        datasets: Mapping[str, Any] | None = None,
        outputs: Mapping[str, Any] | None = None,
    ) -> JobRequest:
        """
        Give the job that runs one of our drivers with this payload.

        :param datasets: what it reads, by name
        :param outputs: what it writes, by name
        """
        from airflow_provider_air.contracts.jobs import EntrypointResources, JobRequest

        return JobRequest(
            entrypoint=entrypoint,
            working_dir=self.working_dir,
            excludes=self.excludes,
            runtime_env={} if self.runtime_env is None else self.runtime_env,
            resources=EntrypointResources(num_cpus=self.driver_num_cpus),
            metadata=self.metadata or {},
            payload=payload,
            expects_result=True,
            inputs=refs_of(datasets or {}),
            outputs=refs_of(outputs or {}),
        )

    def storage_path(self, info: BuildInfo) -> str | None:
        """Give where runs are kept, as the cluster reaches it, or None; asks nobody."""
        if info.storage is None and self.retries:
            self.log.warning(
                "No storage= is given: a retry can resume only while the head's own disk is there. "
                "Give a folder or bucket that outlives the cluster."
            )
        return info.storage

    def code_folders(self, context: Context, *fields: Any) -> list[str]:
        """Give the folders whose modules travel by value with the callables that stand anywhere in these fields."""
        from airflow_provider_air.workloads.code import callables_in

        return code_folders(context, [f for f in callables_in(fields) if inspect.isroutine(f) or inspect.isclass(f)])

    def tracked_parameters(self) -> Mapping[str, Any]:
        """Give the settings that a tracker notes: of the operator's template fields, those that are its own."""
        from airflow_provider_air.workloads.code import told

        names = [name for name in self.template_fields if name not in RayDrivenOperator.template_fields]
        values = {name: told(getattr(self, name)) for name in names}
        return {
            k: dataclasses.asdict(v) if dataclasses.is_dataclass(v) and not isinstance(v, type) else v
            for k, v in values.items()
        }

    def told_of_asset(self, result: Any) -> Mapping[str, Any]:
        """Say what has come of it, by the keys that our drivers' results have."""
        if not isinstance(result, Mapping):
            return {}
        uri = next((result[key] for key in ("best_checkpoint", "checkpoint", "uri") if result.get(key)), None)
        metrics = next((result[key] for key in METRICS if isinstance(result.get(key), Mapping)), None)
        return {"uri": uri, "rows": result.get("rows_written"), "metrics": metrics}

    def push_result(self, context: Context, result: Any) -> None:
        """Store the result's keys as XComs of their own, and the features in the extra of the task's outlets."""
        for key in self.result_keys:
            if isinstance(result, Mapping) and result.get(key) is not None:
                context["ti"].xcom_push(key=key, value=result[key])
        if isinstance(result, Mapping) and result.get("features"):
            for outlet in self.outlets:
                if isinstance(outlet, Asset):
                    context["outlet_events"][outlet].extra["features"] = result["features"]

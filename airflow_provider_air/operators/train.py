"""Trains a model with Ray Train; a retry resumes from the last checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_air.operators.driven import RayDrivenOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_air.contracts.jobs import JobRequest
    from airflow_provider_air.runs.plan import BuildInfo, Collected


class RayTrainOperator(RayDrivenOperator):
    """
    Run Ray Train (v2) on the cluster and bring home metrics, history and checkpoints.

    The XCom is the JSON form of :class:`~airflow_provider_air.workloads.train.TrainResult`; ``metrics``,
    ``best_metrics``, ``checkpoint`` and ``best_checkpoint`` are XComs of their own as well.

    :param train_loop: what each worker runs: ``module:function`` in ``working_dir``, or a function
    :param trainer: ``lightgbm``, ``xgboost``, ``torch``, ``tensorflow``, ``jax``, ``data_parallel``, or the import path
        of a class
    :param trainer_args: further arguments of the trainer's class, such as ``torch_config`` and ``dataset_config``: a
        config class of Ray's is the dict of its fields, an import path, ``{"name": PATH, "args": {...}}``, or a
        function that makes it
    :param train_loop_config: the loop's argument; takes another task's ``output["best_config"]``
    :param scaling_config: fields of Ray's ScalingConfig; ``num_workers=(1, 4)`` is elastic
    :param failure_config: fields of Ray's FailureConfig: restarts within one attempt
    :param checkpoint_config: fields of Ray's CheckpointConfig
    :param run_config: further fields of Ray's RunConfig, written as ``trainer_args`` are: ``callbacks`` (beside ours),
        ``logging_config``, ``worker_runtime_env`` (no secrets: Ray shows it)
    :param datasets: name to URI, to several (a list, or the output of a mapped task), or to ``{"uri", "format",
        "columns", "split"}``; with ``features`` also to ``{"sql", "columns", "split"}``
    :param features: ``FeastFeatures``: the data is joined with a feature service first, each row as of its own time
    :param metric, mode: what says which report is best, ``val/acc`` for a nested metric; a report may lack it
    :param resources_timeout_seconds: how long a growing cluster may lack what the run needs
    :param report_interval_seconds: how often reports are collected: 0.2 by default, less often with more than 40
        workers; Ray's own 2 s hold up fast loops
    """

    workload = "train"
    result_keys = ("metrics", "best_metrics", "checkpoint", "best_checkpoint", "run_name")
    template_fields: Sequence[str] = (
        *RayDrivenOperator.template_fields,
        "features",
        "train_loop_config",
        "scaling_config",
        "datasets",
        "trainer_args",
        "trainer",
        "failure_config",
        "checkpoint_config",
        "run_config",
        "metric",
        "mode",
        "resources_timeout_seconds",
        "report_interval_seconds",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {
        **RayDrivenOperator.template_fields_renderers,
        "train_loop_config": "json",
        "datasets": "json",
    }

    def __init__(
        self,
        *,
        train_loop: str | Callable[..., Any],
        trainer: str = "data_parallel",
        trainer_args: Mapping[str, Any] | None = None,
        train_loop_config: Any = None,
        scaling_config: Mapping[str, Any] | None = None,
        failure_config: Mapping[str, Any] | None = None,
        checkpoint_config: Mapping[str, Any] | None = None,
        run_config: Mapping[str, Any] | None = None,
        datasets: Mapping[str, Any] | None = None,
        metric: str | None = None,
        mode: str | None = None,
        resources_timeout_seconds: float = 600.0,
        report_interval_seconds: float | None = None,
        features: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.features = features
        self.train_loop = train_loop
        self.trainer = trainer
        self.trainer_args = trainer_args
        self.train_loop_config = train_loop_config
        self.scaling_config = scaling_config
        self.failure_config = failure_config
        self.checkpoint_config = checkpoint_config
        self.run_config = run_config
        self.datasets = datasets
        self.metric = metric
        self.mode = mode
        self.resources_timeout_seconds = resources_timeout_seconds
        self.report_interval_seconds = report_interval_seconds

    def build_job(self, context: Context, info: BuildInfo) -> JobRequest:
        """Check the fields and pack them for the driver."""
        from airflow_provider_air.workloads.train import ENTRYPOINT, TrainSpec

        spec = self.spec_of(TrainSpec)
        payload = spec.payload(
            run_name=info.run_name,
            storage_path=self.storage_path(info),
            fixed_size=info.has_fixed_size,
            code_folders=self.code_folders(context, vars(spec)),
        )
        return self.driver_job(ENTRYPOINT, payload, self.datasets)

    def read_result(self, value: Any, where: Collected) -> Any:
        """Give the training's result as plain JSON."""
        from airflow_provider_air.workloads.train import TrainResult

        return TrainResult.from_value(value).to_json()

"""Predicts over a whole data set with Ray Data; what is committed is complete, and is not written twice."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_air.operators.driven import RayDrivenOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_air.contracts.jobs import JobRequest
    from airflow_provider_air.runs.plan import BuildInfo, Collected


class RayBatchInferenceOperator(RayDrivenOperator):
    """
    Read a data set, predict in a pool of actors, write the predictions.

    The XCom is the JSON form of :class:`~airflow_provider_air.workloads.batch_inference.BatchInferenceResult`.

    :param predictor: ``lightgbm``, ``xgboost``, ``sklearn``, ``mlflow``; or ``module:Class`` or ``module:function`` in
        ``working_dir``; or the class or function itself. It may be a generator, ``async``, or both
    :param input_uri: URI, several (a list, or the output of a mapped task), or ``{"uri", "format", "columns",
        "options"}``, or ``{"reader", "columns", "options"}``; with ``features`` also ``{"sql"}``
    :param output_uri: URI, or ``{"uri", "format", "columns", "partition_by", "min_rows_per_file",
        "max_rows_per_file"}``; written to a temporary prefix, then committed
    :param checkpoint: URI of the model: a checkpoint's folder, or a registered one, ``models:/name/3`` or
        ``models:/name@champion``, of the server of ``tracker=MlflowTracker(...)``; that version is used to the end
    :param predictor_args: plain arguments of the predictor
    :param features: ``FeastFeatures``: the data is joined with a feature service first, each row as of its own time
    :param batch_size: rows per call
    :param batch_format: ``pandas``, ``numpy`` or ``pyarrow``
    :param concurrency: how many actors, or ``[low, high]``
    :param resources_per_actor: one CPU by default
    :param resources_timeout_seconds: how long a growing cluster may lack what the actors need
    """

    workload = "batch_inference"
    result_keys = ("uri", "rows_written")
    template_fields: Sequence[str] = (
        *RayDrivenOperator.template_fields,
        "features",
        "input_uri",
        "output_uri",
        "checkpoint",
        "predictor_args",
        "batch_size",
        "batch_format",
        "concurrency",
        "resources_per_actor",
        "resources_timeout_seconds",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {
        **RayDrivenOperator.template_fields_renderers,
        "input_uri": "json",
        "output_uri": "json",
    }

    def __init__(
        self,
        *,
        predictor: str | Callable[..., Any],
        input_uri: str | list[str] | Mapping[str, Any],
        output_uri: str | Mapping[str, Any],
        checkpoint: Any = None,
        predictor_args: Mapping[str, Any] | None = None,
        batch_size: int = 1024,
        batch_format: str = "pandas",
        concurrency: int | list[int] = 1,
        resources_per_actor: Mapping[str, float] | None = None,
        resources_timeout_seconds: float = 600.0,
        features: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.features = features
        self.predictor = predictor
        self.input_uri = input_uri
        self.output_uri = output_uri
        self.checkpoint = checkpoint
        self.predictor_args = predictor_args
        self.batch_size = batch_size
        self.batch_format = batch_format
        self.concurrency = concurrency
        self.resources_per_actor = resources_per_actor
        self.resources_timeout_seconds = resources_timeout_seconds

    def build_job(self, context: Context, info: BuildInfo) -> JobRequest:
        """Check the fields and pack them for the driver."""
        from airflow_provider_air.workloads.batch_inference import ENTRYPOINT, BatchInferenceSpec

        spec = BatchInferenceSpec(
            predictor=self.predictor,
            input=self.input_uri,
            output=self.output_uri,
            checkpoint=self.checkpoint,
            predictor_args=self.predictor_args,
            batch_size=self.batch_size,
            batch_format=self.batch_format,
            concurrency=self.concurrency,
            resources_per_actor=self.resources_per_actor or {"CPU": 1.0},
            resources_timeout_seconds=self.resources_timeout_seconds,
        )
        functions = () if isinstance(self.predictor, str) else (self.predictor,)
        payload = spec.payload(
            run_name=info.run_name,
            fixed_size=info.has_fixed_size,
            code_folders=self.code_folders(context, *functions),
        )
        return self.driver_job(ENTRYPOINT, payload, {"input": self.input_uri}, {"output": self.output_uri})

    def read_result(self, value: Any, where: Collected) -> Any:
        """Give what was predicted as plain JSON."""
        from airflow_provider_air.workloads.batch_inference import BatchInferenceResult

        return BatchInferenceResult.from_value(value).to_json()

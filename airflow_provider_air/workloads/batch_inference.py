"""A batch inference: what the author says about it, what its driver is told, what comes home."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_air.errors import ConfigurationError
from airflow_provider_air.workloads import code, fields
from airflow_provider_air.workloads.train import payload_of, read_result

ENTRYPOINT = "python -m air_drivers.batch_inference"
PREDICTORS = ("lightgbm", "mlflow", "sklearn", "xgboost")
BATCH_FORMATS = ("numpy", "pandas", "pyarrow")
OUTPUT_KEYS = ("uri", "format", "columns", "partition_by", "min_rows_per_file", "max_rows_per_file")


@dataclass
class BatchInferenceSpec:
    """
    One batch inference.

    :param predictor: ``lightgbm``, ``xgboost``, ``sklearn`` or ``mlflow`` (a model that Ray's, its own library's or
        MLflow's code saved); or ``module:Class``, built once per actor as ``Class(model_folder, **predictor_args)`` and
        called per batch; or ``module:function``, called as ``function(batch, **predictor_args)``; or the class or
        function itself. What is called may be a generator, ``async``, or an asynchronous generator
    :param input: URI, a list of them, or a dict with ``uri``, ``format``, ``columns``, ``options``, or with ``reader``,
        ``columns``, ``options``
    :param output: URI, or a dict of :data:`OUTPUT_KEYS`; ``format`` is parquet by default
    :param checkpoint: URI of a checkpoint's folder, or of a registered model (``models:/name/3``,
        ``models:/name@champion``)
    :param predictor_args: plain arguments of the predictor
    :param batch_size: rows per call
    :param batch_format: what a call gets: ``pandas``, ``numpy`` (a dict of arrays) or ``pyarrow``
    :param concurrency: how many actors; ``[low, high]`` lets the pool grow
    :param resources_per_actor: one CPU by default
    """

    predictor: code.Code
    input: str | list[str] | Mapping[str, Any]
    output: str | Mapping[str, Any]
    checkpoint: str | None = None
    predictor_args: Mapping[str, Any] | None = None
    batch_size: int = 1024
    batch_format: str = "pandas"
    concurrency: int | list[int] = 1
    resources_per_actor: Mapping[str, float] = field(default_factory=lambda: {"CPU": 1.0})
    resources_timeout_seconds: float = 600.0

    def validate(self) -> None:
        """
        Check everything that can be checked without a cluster.

        :raises ConfigurationError: the first thing that is wrong, by the field's name
        """
        self._check_predictor()
        fields.dataset(self.input, "input")
        if isinstance(self.input, Mapping) and "split" in self.input:
            raise ConfigurationError("'input' has no 'split': one data set is predicted", hint="Leave it out")
        self._check_output()
        fields.number(self.batch_size, "batch_size", minimum=1, integer=True)
        if self.batch_format not in BATCH_FORMATS:
            raise ConfigurationError(
                f"'batch_format' must be one of {', '.join(BATCH_FORMATS)}, not {self.batch_format!r}"
            )
        sizes = self.concurrency if isinstance(self.concurrency, list) else [self.concurrency]
        for size in sizes:
            fields.number(size, "concurrency", minimum=1, integer=True)
        if len(sizes) not in (1, 2) or sizes != sorted(sizes):
            raise ConfigurationError(f"'concurrency' must be a number or [low, high], not {self.concurrency!r}")
        fields.mapping(self.resources_per_actor, "resources_per_actor")
        fields.number(self.resources_timeout_seconds, "resources_timeout_seconds", minimum=0)

    def payload(self, *, run_name: str, fixed_size: bool, code_folders: Sequence[str] = ()) -> dict[str, bytes]:
        """
        Give the payload files of the driver.

        :param run_name: stable over the attempts of a generation; what it has committed is not written again
        :param fixed_size: the cluster cannot grow, so that too large a wish fails at once
        :param code_folders: a callable's modules below one of these travel with it
        :raises ConfigurationError: something is wrong, by the field's name
        """
        self.validate()
        fields.run(run_name, None)
        output = {"uri": self.output} if isinstance(self.output, str) else dict(self.output)
        spec = dataclasses.replace(self, output=output)
        code_fields = () if self.predictor in PREDICTORS else ("predictor",)
        place = {"run_name": run_name, "fixed_size": fixed_size}
        return payload_of(spec, code_fields, place, code_folders)

    def _check_predictor(self) -> None:
        if self.predictor not in PREDICTORS:
            code.check(self.predictor, "predictor")
        elif not self.checkpoint:
            raise ConfigurationError(f"The predictor {self.predictor!r} needs a 'checkpoint'")
        if self.checkpoint is not None:
            fields.uri(self.checkpoint, "checkpoint")
        if self.predictor in PREDICTORS and self.batch_format != "pandas":
            raise ConfigurationError(f"The predictor {self.predictor!r} takes 'batch_format' pandas")
        fields.mapping(self.predictor_args, "predictor_args")

    def _check_output(self) -> None:
        if isinstance(self.output, str):
            fields.uri(self.output, "output")
            return
        fields.mapping(self.output, "output")
        fields.uri(self.output.get("uri"), "output.uri")
        fields.data_format(self.output.get("format"), "output.format", importable=False)
        if unknown := sorted(set(self.output) - set(OUTPUT_KEYS)):
            raise ConfigurationError(f"'output' has {', '.join(OUTPUT_KEYS)}, not {unknown[0]!r}")
        for key in ("columns", "partition_by"):
            fields.names(self.output.get(key), f"output.{key}")
        for key in ("min_rows_per_file", "max_rows_per_file"):
            fields.number(self.output.get(key), f"output.{key}", minimum=1, integer=True)
        by, columns = self.output.get("partition_by") or [], self.output.get("columns")
        if hidden := [name for name in by if name.startswith(("_", "."))]:
            raise ConfigurationError(f"'output.partition_by': readers pass over folders that begin like {hidden[0]!r}")
        if columns is not None and not set(columns) - set(by):
            raise ConfigurationError("'output.columns' leaves no column for the files beside 'output.partition_by'")
        low, high = (self.output.get(key) for key in ("min_rows_per_file", "max_rows_per_file"))
        if low and high and low > high:
            raise ConfigurationError(
                f"'output.min_rows_per_file' is {low}, more than 'output.max_rows_per_file', {high}"
            )


@dataclass(frozen=True)
class BatchInferenceResult:
    """
    What was predicted.

    :param uri: the output folder
    :param rows_read: rows that the predictor was given
    :param seconds: from the first read to the last write
    :param rows_per_second: rows read over ``seconds``
    :param features: as of :class:`~airflow_provider_air.workloads.train.TrainResult`
    """

    run_name: str
    uri: str
    rows_read: int
    rows_written: int
    bytes_written: int
    files: int
    seconds: float
    rows_per_second: float | None
    features: dict[str, Any] | None = None

    @classmethod
    def from_value(cls, value: Any) -> BatchInferenceResult:
        """
        Read the driver's decoded ``result`` record.

        :raises ProtocolError: it has another shape
        """
        return read_result(cls, value)

    def to_json(self) -> dict[str, Any]:
        """Give the XCom value."""
        return dataclasses.asdict(self)

"""A Ray Train run: what the author says about it, what its driver is told, what comes home."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from airflow_provider_air.errors import ConfigurationError, ProtocolError
from airflow_provider_air.workloads import code, fields

T = TypeVar("T")
ENTRYPOINT = "python -m air_drivers.train"
TRAINERS = ("data_parallel", "jax", "lightgbm", "tensorflow", "torch", "xgboost")
# What Ray's classes take, and an argument of ours says.
TRAINER_ARGUMENTS = {
    **{name: f"'{name}'" for name in ("train_loop_config", "scaling_config", "run_config", "datasets")},
    "train_loop_per_worker": "'train_loop'",
}
TRAIN_ARGUMENTS = {
    "name": "the task's own name",
    "storage_path": "'storage'",
    "storage_filesystem": "'storage'",
    "failure_config": "'failure_config'",
    "checkpoint_config": "'checkpoint_config'",
}


@dataclass
class TrainSpec:
    """
    One Ray Train run.

    :param train_loop: the function that each worker runs: ``module:function`` in the shipped code, or a callable
    :param trainer: short name (``data_parallel``, ``jax``, ``lightgbm``, ``tensorflow``, ``torch``, ``xgboost``) or
        import path of a class
    :param trainer_args: further arguments of the trainer's class, such as ``torch_config`` and ``dataset_config``: a
        config class of Ray's is the dict of its fields, an import path, ``{"name": PATH, "args": {...}}``, or a
        function that makes it
    :param train_loop_config: what the loop gets as its argument
    :param scaling_config: fields of Ray's ScalingConfig; ``num_workers`` is 1 by default, ``(1, 4)`` is elastic
    :param failure_config: fields of Ray's FailureConfig, such as ``max_failures`` within one attempt
    :param checkpoint_config: fields of Ray's CheckpointConfig, such as ``num_to_keep``
    :param run_config: further fields of Ray's RunConfig, written so too: ``callbacks``, ``logging_config``,
        ``worker_runtime_env``
    :param datasets: name to URI, to a list of them, or to a dict with ``uri``, ``format``, ``columns``, ``split`` ...
    :param metric: what says which report is best, ``val/acc`` for a nested one; a report may lack it
    :param mode: ``min`` or ``max``
    :param resources_timeout_seconds: how long a growing cluster may lack what the run needs
    :param report_interval_seconds: how often reports are collected; by default 0.2, and with more than 40 workers as
        many seconds as one call in 200 a second for each of them takes. Ray's own default of 2 s holds up fast loops
    """

    train_loop: code.Code
    trainer: str = "data_parallel"
    trainer_args: Mapping[str, Any] | None = None
    train_loop_config: Mapping[str, Any] | None = None
    scaling_config: Mapping[str, Any] | None = None
    failure_config: Mapping[str, Any] | None = None
    checkpoint_config: Mapping[str, Any] | None = None
    run_config: Mapping[str, Any] | None = None
    datasets: Mapping[str, Any] | None = None
    metric: str | None = None
    mode: str | None = None
    resources_timeout_seconds: float = 600.0
    report_interval_seconds: float | None = None

    def validate(self) -> None:
        """
        Check everything that can be checked without a cluster.

        :raises ConfigurationError: the first thing that is wrong, by the field's name
        """
        code.check(self.train_loop, "train_loop")
        trainer_fields(self)
        run_config_fields(self.run_config, TRAIN_ARGUMENTS)
        fields.metric(self.metric, self.mode, required=False)
        fields.number(self.resources_timeout_seconds, "resources_timeout_seconds", minimum=0)
        fields.number(self.report_interval_seconds, "report_interval_seconds", minimum=0.01)

    def payload(
        self, *, run_name: str, storage_path: str | None, fixed_size: bool, code_folders: Sequence[str] = ()
    ) -> dict[str, bytes]:
        """
        Give the payload files of the driver.

        :param run_name: stable over the attempts of a generation; the same name resumes
        :param storage_path: where checkpoints live; None is Ray's default on the head, gone with it
        :param fixed_size: the cluster cannot grow, so that too large a wish fails at once
        :param code_folders: a callable's modules below one of these travel with it
        :raises ConfigurationError: something is wrong, by the field's name
        """
        self.validate()
        fields.run(run_name, storage_path)
        place = {"run_name": run_name, "storage_path": storage_path, "fixed_size": fixed_size}
        return payload_of(self, ("train_loop",), place, code_folders)


def trainer_fields(spec: Any) -> None:
    """
    Check the fields that say how to train; Tune's Train trials have the same.

    :raises ConfigurationError: the first thing that is wrong, by the field's name
    """
    trainer = spec.trainer
    if trainer not in TRAINERS and not (isinstance(trainer, str) and code.IMPORT_PATH.match(trainer)):
        raise ConfigurationError(f"'trainer' must be one of {', '.join(TRAINERS)} or an import path, not {trainer!r}")
    for name in ("train_loop_config", "scaling_config", "failure_config", "checkpoint_config"):
        fields.mapping(getattr(spec, name), name)
    fields.object_mapping(spec.trainer_args, "trainer_args")
    _refuse_twins(spec.trainer_args, "trainer_args", TRAINER_ARGUMENTS)
    _check_workers((spec.scaling_config or {}).get("num_workers", 1))
    fields.datasets(spec.datasets)


def run_config_fields(given: Any, own: Mapping[str, str]) -> None:
    """
    Check the fields of Ray's RunConfig that an author gives.

    :param own: those that are said by another argument, and by which one
    :raises ConfigurationError: one of them is of these, or cannot travel
    """
    fields.object_mapping(given, "run_config")
    _refuse_twins(given, "run_config", own)
    callbacks = (given or {}).get("callbacks")
    if callbacks is not None and not isinstance(callbacks, (list, tuple)):
        raise ConfigurationError(f"'run_config.callbacks' must be a list, not {callbacks!r}")


def _refuse_twins(given: Any, field: str, own: Mapping[str, str]) -> None:
    for name in given or {}:
        if name in own:
            raise ConfigurationError(f"'{field}.{name}' cannot be given", hint=f"It is said by {own[name]}")


def _check_workers(workers: Any) -> None:
    if not isinstance(workers, (list, tuple)):
        fields.number(workers, "scaling_config.num_workers", minimum=1, integer=True)
        return
    for count in workers:
        fields.number(count, "scaling_config.num_workers", minimum=1, integer=True)
    if len(workers) != 2 or None in workers or workers[0] > workers[1]:
        raise ConfigurationError(f"'scaling_config.num_workers' is a number, or (least, most), not {workers!r}")


def payload_of(
    spec: Any, code_fields: Sequence[str], place: Mapping[str, Any], code_folders: Sequence[str]
) -> dict[str, bytes]:
    """
    Turn a spec's fields into ``config.json`` and the pickles that it names; what is None is left out.

    :param place: what the driver is told beside the author's fields
    :raises ConfigurationError: a callable cannot be pickled
    """
    config: dict[str, Any] = {name: value for name, value in place.items() if value is not None}
    files: dict[str, bytes] = {}
    for field in dataclasses.fields(spec):
        value = getattr(spec, field.name)
        if value is None:
            continue
        pack = code.pack if field.name in code_fields else code.pack_within
        value, pickles = pack(value, field.name, code_folders)
        files |= pickles
        config[field.name] = value
    return {"config.json": json.dumps(config).encode(), **files}


@dataclass(frozen=True)
class TrainResult:
    """
    What a training run brought.

    :param metrics: the last report
    :param best_metrics: the report with the best ``metric``, where one was named and came with a finite number
    :param checkpoint: URI of the last checkpoint
    :param best_checkpoint: URI of the best checkpoint that is kept
    :param best_checkpoint_metrics: what was reported with that one, which need not be the best report of all
    :param checkpoints: every kept one: ``{"uri", "metrics"}``
    :param history: the last reports, at most 1000: ``{"report", "metrics", "checkpoint"}``; all are at ``history_uri``
    :param history_rows: how many reports there are, over all attempts
    :param resumed_from: URI of the checkpoint that this attempt started from
    :param seconds: wall time of this attempt's driver
    :param features: what the data sets were joined with: ``feature_service``, ``feature_views``, ``project``,
        ``fingerprint`` of the definitions, and ``rows`` by data set
    :param model: what a tracker's ``register_as`` has made of the checkpoint: ``checkpoint``, and ``uri``
        (``models:/m-...``), ``id``, ``flavor``, ``signature`` (whether it has one) of a model in MLflow's format, or
        ``why`` there is none
    """

    run_name: str
    uri: str
    metrics: dict[str, Any]
    best_metrics: dict[str, Any] | None
    checkpoint: str | None
    best_checkpoint: str | None
    checkpoints: list[dict[str, Any]]
    history: list[dict[str, Any]]
    history_rows: int
    history_uri: str
    resumed_from: str | None
    seconds: float
    features: dict[str, Any] | None = None
    best_checkpoint_metrics: dict[str, Any] | None = None
    model: dict[str, Any] | None = None

    @classmethod
    def from_value(cls, value: Any) -> TrainResult:
        """
        Read the driver's decoded ``result`` record.

        :raises ProtocolError: it has another shape
        """
        return read_result(cls, value)

    def to_json(self) -> dict[str, Any]:
        """Give the XCom value."""
        return dataclasses.asdict(self)


def read_result(kind: type[T], value: Any) -> T:
    """
    Read a result record into its dataclass; unknown keys of a newer driver are ignored.

    :raises ProtocolError: a field is missing
    """
    known = dataclasses.fields(kind)  # type: ignore[arg-type]
    names = [f.name for f in known if f.default is dataclasses.MISSING]
    missing = [name for name in names if not isinstance(value, Mapping) or name not in value]
    if missing:
        raise ProtocolError(f"The driver's result lacks {', '.join(missing)}")
    return kind(**{f.name: value[f.name] for f in known if f.name in value})

"""A Ray Tune experiment: what the author says about it, what its driver is told, what comes home."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_air.drivers.wire import spaces as space
from airflow_provider_air.errors import ConfigurationError
from airflow_provider_air.workloads import code, fields
from airflow_provider_air.workloads.train import (
    TRAIN_ARGUMENTS,
    payload_of,
    read_result,
    run_config_fields,
    trainer_fields,
)

ENTRYPOINT = "python -m air_drivers.tune"
SCHEDULERS = ("asha", "bohb", "fifo", "hyperband", "median_stopping", "pb2", "pbt")
SEARCHERS = ("ax", "bayesopt", "bohb", "hebo", "hyperopt", "nevergrad", "optuna", "random", "zoopt")
# They copy a better trial's checkpoint into another, which a trial that is a Train run does not hand to Tune.
EXPLOITING = ("pb2", "pbt")
# Ray's own, by the names that Ray gives them, and of these what ends the experiment and not only trials.
STOPPERS = ("ExperimentPlateauStopper", "MaximumIterationStopper", "TimeoutStopper", "TrialPlateauStopper")
ENDING = ("ExperimentPlateauStopper", "TimeoutStopper")
RUN_ARGUMENTS = {
    "name": "the task's own name",
    "storage_path": "'storage'",
    "storage_filesystem": "'storage'",
    "failure_config": "'failure_config'",
    "checkpoint_config": "'checkpoint_config'",
    "stop": "'stop'",
}
TRAIN_ONLY = ("trainer_args", "train_loop_config", "scaling_config", "datasets", "report_interval_seconds")


@dataclass
class TuneSpec:
    """
    One Tune experiment over a function (``trainable``) or a Train loop (``train_loop``).

    :param param_space: plain JSON (``{"lr": {"loguniform": [1e-4, 1e-1]}}``), or an import path of a space
    :param metric: what trials are compared by, each by its last value; ``val/acc`` for a nested one
    :param mode: ``min`` or ``max``
    :param trainable: the function to tune, ``module:function`` or a callable; reports with ``ray.tune.report``
    :param train_loop: a Train loop instead; each trial is a Train run, with the fields of :class:`TrainSpec`
    :param num_samples: how many draws; grids multiply it; -1 draws until ``time_budget_seconds`` or ``stop`` ends it
    :param scheduler: name or ``{"name", "args"}``: asha, pbt, hyperband, median_stopping ..., or the import path of a
        class, or of a function that gives a scheduler
    :param searcher: so too: random, optuna, hyperopt ...; its ``args`` may name objects by import path
    :param points_to_evaluate: configs that are tried first
    :param max_concurrent_trials: by default as many as fit into the cluster, or into what it may grow to
    :param time_budget_seconds: the experiment stops after this, over all its attempts, and keeps what it has
    :param max_failed_trials: how many trials may fail before the task fails, judged when all are over
    :param resources_per_trial: of a ``trainable``; by default what it says itself, else one CPU
    :param stop: when a trial ends, as ``{metric: value}``; a stopper of Ray's by name, as ``{"name", "args"}``; the
        import path of a stopper or of a function of trial id and report; or a list of these
    :param failure_config, checkpoint_config: fields of Train's classes for a ``train_loop``, of Tune's for a
        ``trainable``
    :param run_config: further fields of Tune's RunConfig, such as ``callbacks`` and ``log_to_file``; that of each Train
        run is ``run_config`` in ``trainer_args``
    """

    param_space: Mapping[str, Any] | str
    metric: str
    mode: str
    trainable: code.Code | None = None
    train_loop: code.Code | None = None
    num_samples: int = 1
    scheduler: str | Mapping[str, Any] | None = None
    searcher: str | Mapping[str, Any] | None = None
    points_to_evaluate: Sequence[Mapping[str, Any]] | None = None
    max_concurrent_trials: int | None = None
    time_budget_seconds: float | None = None
    max_failed_trials: int = 0
    resources_per_trial: Mapping[str, float] | None = None
    stop: Any = None
    trainer: str = "data_parallel"
    trainer_args: Mapping[str, Any] | None = None
    train_loop_config: Mapping[str, Any] | None = None
    scaling_config: Mapping[str, Any] | None = None
    failure_config: Mapping[str, Any] | None = None
    checkpoint_config: Mapping[str, Any] | None = None
    run_config: Mapping[str, Any] | None = None
    datasets: Mapping[str, Any] | None = None
    resources_timeout_seconds: float = 600.0
    report_interval_seconds: float | None = None

    def validate(self) -> None:
        """
        Check everything that can be checked without a cluster.

        :raises ConfigurationError: the first thing that is wrong, by the field's name
        """
        self._check_what_runs()
        self._check_space()
        fields.points(self.points_to_evaluate)
        fields.metric(self.metric, self.mode, required=True)
        _check_named(self.scheduler, "scheduler", SCHEDULERS)
        self._check_judge()
        _check_named(self.searcher, "searcher", SEARCHERS)
        self._check_numbers()
        self._check_end()
        run_config_fields(self.run_config, RUN_ARGUMENTS)
        fields.mapping(self.resources_per_trial, "resources_per_trial")

    def payload(
        self, *, run_name: str, storage_path: str | None, fixed_size: bool, code_folders: Sequence[str] = ()
    ) -> dict[str, bytes]:
        """
        Give the payload files of the driver; parameters as for :meth:`TrainSpec.payload`.

        :raises ConfigurationError: something is wrong, by the field's name
        """
        self.validate()
        fields.run(run_name, storage_path)
        place = {"run_name": run_name, "storage_path": storage_path, "fixed_size": fixed_size}
        return payload_of(self, ("trainable", "train_loop"), place, code_folders)

    def _check_what_runs(self) -> None:
        if (self.trainable is None) == (self.train_loop is None):
            raise ConfigurationError("Give either 'trainable' (a function) or 'train_loop' (a Train loop)")
        if self.trainable is not None:
            code.check(self.trainable, "trainable")
            foreign = [name for name in TRAIN_ONLY if getattr(self, name) not in (None, {})]
            if self.trainer != "data_parallel":
                foreign.append("trainer")
            if foreign:
                raise ConfigurationError(
                    f"'{foreign[0]}' belongs to 'train_loop', not to 'trainable'",
                    hint="A trainable gets its settings by 'param_space', constants among them",
                )
            for name in ("failure_config", "checkpoint_config"):
                fields.mapping(getattr(self, name), name)
            return
        code.check(self.train_loop or "", "train_loop")
        if self.resources_per_trial:
            raise ConfigurationError(
                "'resources_per_trial' belongs to 'trainable', not to 'train_loop'", hint="Say it by 'scaling_config'"
            )
        args = dict(self.trainer_args or {})
        run_config_fields(args.pop("run_config", None), TRAIN_ARGUMENTS)
        trainer_fields(dataclasses.replace(self, trainer_args=args))
        if _name_of(self.scheduler) in EXPLOITING:
            raise ConfigurationError(
                f"The scheduler {_name_of(self.scheduler)!r} needs a 'trainable' that reports checkpoints to Tune"
            )

    def _check_judge(self) -> None:
        args = self.scheduler.get("args") if isinstance(self.scheduler, Mapping) else None
        for name in ("metric", "mode"):
            if isinstance(args, Mapping) and args.get(name) not in (None, getattr(self, name)):
                raise ConfigurationError(
                    f"The scheduler's {name!r} is another than the task's", hint="Leave it out of the scheduler's args"
                )

    def _check_numbers(self) -> None:
        if self.num_samples != -1:
            fields.number(self.num_samples, "num_samples", minimum=1, integer=True)
        fields.number(self.max_concurrent_trials, "max_concurrent_trials", minimum=1, integer=True)
        fields.number(self.max_failed_trials, "max_failed_trials", minimum=0, integer=True)
        fields.number(self.time_budget_seconds, "time_budget_seconds", minimum=1)
        fields.number(self.resources_timeout_seconds, "resources_timeout_seconds", minimum=0)
        fields.number(self.report_interval_seconds, "report_interval_seconds", minimum=0.01)

    def _check_end(self) -> None:
        stops = list(self.stop) if isinstance(self.stop, (list, tuple)) else [] if self.stop is None else [self.stop]
        for stop in stops:
            _check_stop(stop)
        may_end = any(not _is_thresholds(stop) and _ends_all(_name_of(stop)) for stop in stops)
        if self.num_samples == -1 and self.time_budget_seconds is None and not may_end:
            raise ConfigurationError(
                "'num_samples' -1 draws for ever, and nothing ends it",
                hint="Give 'time_budget_seconds', or a 'stop' that ends the experiment, such as "
                "{'name': 'ExperimentPlateauStopper', 'args': {'metric': ...}}",
            )

    def _check_space(self) -> None:
        if isinstance(self.param_space, str):
            code.check(self.param_space, "param_space")
            return
        fields.mapping(self.param_space, "param_space")
        try:
            space.check(self.param_space)
            grid = space.has_grid(self.param_space)
        except space.SpaceProblem as problem:
            raise ConfigurationError(str(problem)) from None
        if _name_of(self.searcher) in (None, "random"):
            return
        if grid:
            raise ConfigurationError(f"'param_space' holds a grid, which the searcher {self.searcher!r} cannot walk")
        if space.needs_basic(self.param_space):
            raise ConfigurationError(
                f"'param_space' has samplers in a list or a choice, which the searcher {self.searcher!r} cannot draw",
                hint="Name them one by one, or use Optuna's define-by-run: 'space' in the searcher's args",
            )


def _name_of(spec: Any) -> Any:
    return spec.get("name") if isinstance(spec, Mapping) else spec


def _check_named(spec: Any, field: str, known: tuple[str, ...]) -> None:
    if spec is None:
        return
    fields.objects(spec, field)
    name = _name_of(spec)
    is_path = isinstance(name, str) and code.IMPORT_PATH.match(name)
    if name not in known and not is_path and not callable(name):
        raise ConfigurationError(f"'{field}' must be one of {', '.join(known)} or an import path, not {name!r}")
    if isinstance(spec, Mapping):
        fields.object_mapping(spec.get("args"), f"{field}.args")
        if unknown := sorted(set(spec) - {"name", "args"}):
            raise ConfigurationError(f"'{field}' has 'name' and 'args', not {unknown[0]!r}")


def _is_thresholds(stop: Any) -> bool:
    return isinstance(stop, Mapping) and not (isinstance(stop.get("name"), str) or callable(stop.get("name")))


def _check_stop(stop: Any) -> None:
    if not _is_thresholds(stop):
        _check_named(stop, "stop", STOPPERS)
        return
    for name, value in stop.items():
        if not isinstance(name, str) or not isinstance(value, (int, float)):
            raise ConfigurationError(f"'stop' is {{metric: number}}, a stopper, or a list of these, not {stop!r}")


def _ends_all(name: Any) -> bool:
    """Tell whether a stopper may end the experiment; of one that is not Ray's own, the cluster says."""
    return name in ENDING or name not in STOPPERS


@dataclass(frozen=True)
class TuneResult:
    """
    What an experiment found.

    :param best_config: the whole config of the best trial; feeds ``train_loop_config`` of the next task. None, as all
        that is best, where no trial that finished has a finite number for the metric
    :param best_metrics: its last report, with the metric's last value
    :param best_checkpoint: URI of its last checkpoint, where it has one
    :param best_checkpoint_metrics: what was reported with that one, which need not be its last report
    :param trials: at most 1000 rows: ``trial_id``, ``status``, ``config``, ``metrics``, ``checkpoint``, ``error``
    :param seconds: wall time of this attempt's driver
    :param features: as of :class:`~airflow_provider_air.workloads.train.TrainResult`
    :param model: as of :class:`~airflow_provider_air.workloads.train.TrainResult`
    """

    run_name: str
    uri: str
    best_config: dict[str, Any] | None
    best_metrics: dict[str, Any] | None
    best_checkpoint: str | None
    best_trial_id: str | None
    trials: list[dict[str, Any]]
    trials_total: int
    trials_failed: int
    seconds: float
    features: dict[str, Any] | None = None
    best_checkpoint_metrics: dict[str, Any] | None = None
    model: dict[str, Any] | None = None

    @classmethod
    def from_value(cls, value: Any) -> TuneResult:
        """
        Read the driver's decoded ``result`` record.

        :raises ProtocolError: it has another shape
        """
        return read_result(cls, value)

    def to_json(self) -> dict[str, Any]:
        """Give the XCom value."""
        return dataclasses.asdict(self)

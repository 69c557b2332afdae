"""Searches hyperparameters with Ray Tune; a retry runs what is missing, not what is finished."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_air.operators.driven import RayDrivenOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_air.contracts.jobs import JobRequest
    from airflow_provider_air.runs.plan import BuildInfo, Collected


class RayTuneOperator(RayDrivenOperator):
    """
    Run a Tune experiment over a function (``trainable``) or over a Train loop (``train_loop``).

    The XCom is the JSON form of :class:`~airflow_provider_air.workloads.tune.TuneResult`; ``best_config``,
    ``best_metrics`` and ``best_checkpoint`` are XComs of their own: ``output["best_config"]`` is the next
    task's ``train_loop_config``. All three are None where no trial has a number for the metric. A failed trial fails
    the task, unless ``max_failed_trials`` allows it.

    :param param_space: plain JSON, ``{"lr": {"loguniform": [1e-4, 1e-1]}}``, or an import path
    :param metric, mode: what trials are compared by, ``val/acc`` for a nested metric; a report may lack it
    :param trainable: the function to tune, ``module:function`` or a function; reports with ``ray.tune.report``
    :param train_loop: a Train loop instead; then ``trainer``, ``scaling_config``, ``datasets`` and the others
        mean what they mean for :class:`~airflow_provider_air.operators.train.RayTrainOperator`
    :param num_samples: how many draws; grids multiply it; -1 draws until ``time_budget_seconds`` or ``stop`` ends it
    :param scheduler, searcher: a name, or ``{"name", "args"}``: asha, pbt, hyperband; optuna, hyperopt ...; or the
        import path of a class, or of a function that gives one. ``args`` may name objects by import path
    :param points_to_evaluate: configs that are tried first
    :param max_concurrent_trials: by default as many as fit, or as the cluster may grow to hold
    :param time_budget_seconds: the experiment stops after this, over all its attempts, and keeps what it has
    :param max_failed_trials: how many trials may fail before the task fails
    :param resources_per_trial: of a ``trainable``; by default what it says itself, else one CPU
    :param failure_config, checkpoint_config: fields of Tune's classes for a ``trainable``, of Train's for a
        ``train_loop``
    :param run_config: further fields of Tune's RunConfig: ``callbacks`` (beside ours), ``log_to_file`` ...; that of
        each Train run is ``run_config`` in ``trainer_args``
    :param features: ``FeastFeatures``: the data is joined with a feature service first, each row as of its own time
    :param stop: when a trial ends, as ``{metric: value}``; a stopper of Ray's, ``{"name": "TrialPlateauStopper",
        "args": {...}}``; the import path of a stopper, or of a function of trial id and report; or a list of these
    """

    workload = "tune"
    result_keys = ("best_config", "best_metrics", "best_checkpoint", "run_name")
    template_fields: Sequence[str] = (
        *RayDrivenOperator.template_fields,
        "features",
        "param_space",
        "train_loop_config",
        "scaling_config",
        "datasets",
        "trainer_args",
        "num_samples",
        "metric",
        "mode",
        "scheduler",
        "searcher",
        "points_to_evaluate",
        "max_concurrent_trials",
        "time_budget_seconds",
        "max_failed_trials",
        "resources_per_trial",
        "stop",
        "trainer",
        "failure_config",
        "checkpoint_config",
        "run_config",
        "resources_timeout_seconds",
        "report_interval_seconds",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {
        **RayDrivenOperator.template_fields_renderers,
        "param_space": "json",
        "train_loop_config": "json",
        "datasets": "json",
    }

    def __init__(
        self,
        *,
        param_space: Mapping[str, Any] | str,
        metric: str,
        mode: str,
        trainable: str | Callable[..., Any] | None = None,
        train_loop: str | Callable[..., Any] | None = None,
        num_samples: int = 1,
        scheduler: str | Mapping[str, Any] | None = None,
        searcher: str | Mapping[str, Any] | None = None,
        points_to_evaluate: Any = None,
        max_concurrent_trials: int | None = None,
        time_budget_seconds: float | None = None,
        max_failed_trials: int = 0,
        resources_per_trial: Mapping[str, float] | None = None,
        stop: Any = None,
        trainer: str = "data_parallel",
        trainer_args: Mapping[str, Any] | None = None,
        train_loop_config: Any = None,
        scaling_config: Mapping[str, Any] | None = None,
        failure_config: Mapping[str, Any] | None = None,
        checkpoint_config: Mapping[str, Any] | None = None,
        run_config: Mapping[str, Any] | None = None,
        datasets: Mapping[str, Any] | None = None,
        resources_timeout_seconds: float = 600.0,
        report_interval_seconds: float | None = None,
        features: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.features = features
        self.param_space = param_space
        self.metric = metric
        self.mode = mode
        self.trainable = trainable
        self.train_loop = train_loop
        self.num_samples = num_samples
        self.scheduler = scheduler
        self.searcher = searcher
        self.points_to_evaluate = points_to_evaluate
        self.max_concurrent_trials = max_concurrent_trials
        self.time_budget_seconds = time_budget_seconds
        self.max_failed_trials = max_failed_trials
        self.resources_per_trial = resources_per_trial
        self.stop = stop
        self.trainer = trainer
        self.trainer_args = trainer_args
        self.train_loop_config = train_loop_config
        self.scaling_config = scaling_config
        self.failure_config = failure_config
        self.checkpoint_config = checkpoint_config
        self.run_config = run_config
        self.datasets = datasets
        self.resources_timeout_seconds = resources_timeout_seconds
        self.report_interval_seconds = report_interval_seconds

    def build_job(self, context: Context, info: BuildInfo) -> JobRequest:
        """Check the fields and pack them for the driver."""
        from airflow_provider_air.workloads.tune import ENTRYPOINT, TuneSpec

        spec = self.spec_of(TuneSpec)
        payload = spec.payload(
            run_name=info.run_name,
            storage_path=self.storage_path(info),
            fixed_size=info.has_fixed_size,
            code_folders=self.code_folders(context, vars(spec)),
        )
        return self.driver_job(ENTRYPOINT, payload, self.datasets)

    def read_result(self, value: Any, where: Collected) -> Any:
        """Give the experiment's result as plain JSON."""
        from airflow_provider_air.workloads.tune import TuneResult

        return TuneResult.from_value(value).to_json()

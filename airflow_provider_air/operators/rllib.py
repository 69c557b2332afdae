"""Trains a reinforcement-learning algorithm with RLlib; needs torch and gymnasium on the cluster."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_air.operators.driven import RayDrivenOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_air.contracts.jobs import JobRequest
    from airflow_provider_air.runs.plan import BuildInfo, Collected


class RayRLlibOperator(RayDrivenOperator):
    """
    Run an RLlib algorithm until it is stopped by a criterion; a retry resumes from the last checkpoint.

    The XCom is the JSON form of :class:`~airflow_provider_air.workloads.rllib.RLlibResult`.

    :param algorithm: RLlib's name of it, such as ``PPO``, or the import path of an Algorithm's class; by default that
        of ``config``, where that gives an AlgorithmConfig
    :param environment: a registered Gymnasium name, or ``module:Class`` in ``working_dir``; by default that of
        ``config``
    :param stop: ``{"training_iteration": 50}`` or ``{"env_runners/episode_return_mean": 190}``
    :param config: RLlib's settings by their flat names, evaluation included; or a function, or its import path, that
        returns an AlgorithmConfig: policies, their mapping, callbacks, modules
    :param env_config: what the environment's class is built with
    :param checkpoint_frequency: every so many iterations
    :param checkpoints_to_keep: all of them by default
    :param resources_timeout_seconds: how long a growing cluster may lack what the run needs
    """

    workload = "rllib"
    result_keys = ("metrics", "checkpoint", "run_name")
    template_fields: Sequence[str] = (
        *RayDrivenOperator.template_fields,
        "algorithm",
        "environment",
        "config",
        "env_config",
        "stop",
        "checkpoint_frequency",
        "checkpoints_to_keep",
        "resources_timeout_seconds",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {
        **RayDrivenOperator.template_fields_renderers,
        "config": "json",
        "stop": "json",
    }

    def __init__(
        self,
        *,
        algorithm: str | Callable[..., Any] | None = None,
        environment: str | None = None,
        stop: Mapping[str, Any],
        config: Mapping[str, Any] | str | Callable[..., Any] | None = None,
        env_config: Mapping[str, Any] | None = None,
        checkpoint_frequency: int = 1,
        checkpoints_to_keep: int | None = None,
        resources_timeout_seconds: float = 600.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.algorithm = algorithm
        self.environment = environment
        self.stop = stop
        self.config = config
        self.env_config = env_config
        self.checkpoint_frequency = checkpoint_frequency
        self.checkpoints_to_keep = checkpoints_to_keep
        self.resources_timeout_seconds = resources_timeout_seconds

    def build_job(self, context: Context, info: BuildInfo) -> JobRequest:
        """Check the fields and pack them for the driver."""
        from airflow_provider_air.workloads.rllib import ENTRYPOINT, RLlibSpec

        spec = self.spec_of(RLlibSpec)
        payload = spec.payload(
            run_name=info.run_name,
            storage_path=self.storage_path(info),
            fixed_size=info.has_fixed_size,
            code_folders=self.code_folders(context, vars(spec)),
        )
        return self.driver_job(ENTRYPOINT, payload)

    def read_result(self, value: Any, where: Collected) -> Any:
        """Give the run's result as plain JSON."""
        from airflow_provider_air.workloads.rllib import RLlibResult

        return RLlibResult.from_value(value).to_json()

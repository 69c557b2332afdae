"""An RLlib run: what the author says about it, what its driver is told, what comes home."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_air.errors import ConfigurationError
from airflow_provider_air.workloads import code, fields
from airflow_provider_air.workloads.train import payload_of, read_result

ENTRYPOINT = "python -m air_drivers.rllib"


@dataclass
class RLlibSpec:
    """
    One RLlib run; the cluster needs torch and gymnasium.

    :param algorithm: RLlib's name of it, such as ``PPO``, or the import path of an Algorithm's class; that of
        ``config`` where that gives an AlgorithmConfig
    :param environment: a registered Gymnasium name, or ``module:Class`` in the shipped code, built with ``env_config``;
        that of ``config`` where that has one
    :param stop: when to stop, ``{"training_iteration": 50}`` or ``{"env_runners/episode_return_mean": 190}``
    :param config: RLlib's settings by their flat names (``lr``, ``num_env_runners``, ``evaluation_interval``); or a
        function, or its import path, that returns an AlgorithmConfig: policies, their mapping, callbacks, modules
    :param checkpoint_frequency: every so many iterations; a retry resumes from the last one
    :param checkpoints_to_keep: all of them by default
    """

    algorithm: code.Code | None
    environment: str | None
    stop: Mapping[str, Any]
    config: Mapping[str, Any] | code.Code | None = None
    env_config: Mapping[str, Any] | None = None
    checkpoint_frequency: int = 1
    checkpoints_to_keep: int | None = None
    resources_timeout_seconds: float = 600.0

    def validate(self) -> None:
        """
        Check everything that can be checked without a cluster.

        :raises ConfigurationError: the first thing that is wrong, by the field's name
        """
        self._check_what_trains()
        for name in ("stop", "env_config"):
            fields.mapping(getattr(self, name), name)
        if not self.stop:
            raise ConfigurationError("'stop' is empty: the run would never end")
        fields.number(self.checkpoint_frequency, "checkpoint_frequency", minimum=1, integer=True)
        fields.number(self.checkpoints_to_keep, "checkpoints_to_keep", minimum=1, integer=True)
        fields.number(self.resources_timeout_seconds, "resources_timeout_seconds", minimum=0)

    def _check_what_trains(self) -> None:
        is_made = self.config is not None and not isinstance(self.config, Mapping)
        if is_made:
            code.check(self.config, "config")  # type: ignore[arg-type]  # what is neither is refused
        else:
            fields.mapping(self.config, "config")
        is_name = isinstance(self.algorithm, str) and (
            self.algorithm.isidentifier() or code.IMPORT_PATH.match(self.algorithm)
        )
        if not (is_name or callable(self.algorithm) or (self.algorithm is None and is_made)):
            raise ConfigurationError(
                f"'algorithm' must be RLlib's name of one, such as 'PPO', or an import path, not {self.algorithm!r}"
            )
        if self.environment is None and is_made:
            return
        if not isinstance(self.environment, str) or not self.environment:
            raise ConfigurationError(f"'environment' must be a name or an import path, not {self.environment!r}")
        if ":" in self.environment:
            code.check(self.environment, "environment")

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
        return payload_of(self, (), place, code_folders)


@dataclass(frozen=True)
class RLlibResult:
    """
    What an RLlib run brought.

    :param metrics: the last report, flat (``env_runners/episode_return_mean``)
    :param checkpoint: URI of the last checkpoint
    :param seconds: wall time of this attempt's driver
    """

    run_name: str
    uri: str
    metrics: dict[str, Any]
    iterations: int | None
    checkpoint: str | None
    seconds: float

    @classmethod
    def from_value(cls, value: Any) -> RLlibResult:
        """
        Read the driver's decoded ``result`` record.

        :raises ProtocolError: it has another shape
        """
        return read_result(cls, value)

    def to_json(self) -> dict[str, Any]:
        """Give the XCom value."""
        return dataclasses.asdict(self)

"""What an author writes to have a run tracked in MLflow."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from airflow_provider_air.errors import ConfigurationError

if TYPE_CHECKING:
    from airflow_provider_air.attachments.mlflow.server import MlflowServer
    from airflow_provider_air.attachments.mlflow.tracking import MlflowTracking
    from airflow_provider_air.contracts.connections import Connections
    from airflow_provider_air.contracts.jobs import JobRequest


@dataclass
class MlflowTracker:
    """
    Track in MLflow: ``tracker=MlflowTracker(experiment="delays")`` on any workload operator.

    User code inside the job joins the same run through ``MLFLOW_RUN_ID``; in Tune, whose trials would all end
    up in it, the parent is named by ``RAY_AIRFLOW_MLFLOW_PARENT_RUN_ID`` instead, and each trial becomes a nested run.

    :param mlflow_conn_id: the ``mlflow`` connection: host, login and password, or a token
    :param experiment: created where it does not exist
    :param tags: more tags of the run, and of a version that is registered
    :param register_as: the model of which a run that succeeds makes a version, from its best or last checkpoint
    :param required: False lets the job run untracked where the server does not answer
    """

    kind: ClassVar[str] = "mlflow"
    # Also where the driver was killed.
    can_set_end_state: ClassVar[bool] = True
    template_fields: ClassVar[tuple[str, ...]] = ("mlflow_conn_id", "experiment", "tags", "register_as")

    mlflow_conn_id: str = "mlflow_default"
    experiment: str = "Default"
    tags: dict[str, str] = field(default_factory=dict)
    register_as: str | None = None
    required: bool = True

    def validate(self) -> None:
        """:raises ConfigurationError: a field is wrong; the message names it."""
        if not isinstance(self.experiment, str) or not self.experiment.strip():
            raise ConfigurationError(f"MlflowTracker's 'experiment' must be a name, not {self.experiment!r}")
        if self.register_as is not None and (not isinstance(self.register_as, str) or not self.register_as.strip()):
            raise ConfigurationError(f"MlflowTracker's 'register_as' must be a model's name, not {self.register_as!r}")
        for key, value in self.tags.items():
            if not isinstance(key, str) or not isinstance(value, str):
                raise ConfigurationError(f"MlflowTracker's 'tags' map str to str, but {key!r} maps to {value!r}")

    def check(self, request: JobRequest, workload: str, storage: str | None) -> Collection[str]:
        """Take every job."""
        return ()

    def open(self, connections: Connections) -> MlflowTracking:
        """
        Open the tracking server.

        :raises ConfigurationError: the connection is absent or malformed
        """
        from airflow_provider_air.attachments.mlflow.tracking import MlflowTracking

        server: MlflowServer = connections.open("mlflow", self.mlflow_conn_id)
        return MlflowTracking(server, self.experiment, tags=self.tags, register_as=self.register_as)

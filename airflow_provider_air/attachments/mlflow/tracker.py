"""What an author writes to have a run tracked in MLflow."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_air.drivers.wire.names import MLFLOW_AS_IT_IS
from airflow_provider_air.errors import ConfigurationError

if TYPE_CHECKING:
    from airflow_provider_air.attachments.mlflow.left_runs import LeftRuns
    from airflow_provider_air.attachments.mlflow.server import MlflowServer
    from airflow_provider_air.attachments.mlflow.tracking import MlflowTracking
    from airflow_provider_air.contracts.connections import Connections
    from airflow_provider_air.contracts.jobs import JobRequest


FLAVORS = (MLFLOW_AS_IT_IS, "lightgbm", "sklearn", "xgboost")
# Whose drivers log models: they have checkpoints, and know the best one.
LOGGING = ("train", "tune")


@dataclass
class MlflowTracker:
    """
    Track in MLflow: ``tracker=MlflowTracker(experiment="delays")`` on any workload operator.

    User code inside the job joins the same run through ``MLFLOW_RUN_ID``; in Tune, whose trials would all end
    up in it, the parent is named by ``RAY_AIRFLOW_MLFLOW_PARENT_RUN_ID`` instead, and each trial becomes a nested run.

    :param mlflow_conn_id: the ``mlflow`` connection: host, login and password, or a token
    :param experiment: created where it does not exist
    :param tags: more tags of the run, and of a version that is registered
    :param register_as: the model of which a run that succeeds makes a version, from its best or last checkpoint. Where
        ``mlflow`` is on the cluster, a training's or an experiment's driver logs it in MLflow's own format, with a
        signature, so that ``mlflow.pyfunc`` loads it
    :param flavor: how the checkpoint is loaded for that: ``lightgbm``, ``xgboost``, ``sklearn`` (``model.pkl`` or
        ``model.joblib``), or ``module:function`` in the working_dir, which gets the checkpoint's folder and gives the
        model of a library or an ``mlflow.pyfunc.PythonModel``; ``checkpoint`` for none at all. By default as the
        trainer or the checkpoint's files tell
    :param input_example: rows as ``{column: value}`` that are kept with the model, and of which its signature is read;
        by default it is read off what the model was trained on, of which nothing is kept
    :param required: False lets the job run untracked where the server does not answer
    """

    kind: ClassVar[str] = "mlflow"
    # Also where the driver was killed.
    can_set_end_state: ClassVar[bool] = True
    template_fields: ClassVar[tuple[str, ...]] = ("mlflow_conn_id", "experiment", "tags", "register_as", "flavor")

    mlflow_conn_id: str = "mlflow_default"
    experiment: str = "Default"
    tags: dict[str, str] = field(default_factory=dict)
    register_as: str | None = None
    required: bool = True
    flavor: str | None = None
    input_example: list[dict[str, Any]] = field(default_factory=list)

    def validate(self) -> None:
        """:raises ConfigurationError: a field is wrong; the message names it."""
        if not isinstance(self.experiment, str) or not self.experiment.strip():
            raise ConfigurationError(f"MlflowTracker's 'experiment' must be a name, not {self.experiment!r}")
        if self.register_as is not None and not _is_model_name(self.register_as):
            raise ConfigurationError(
                f"MlflowTracker's 'register_as' must be a model's name without '/' and ':', not {self.register_as!r}"
            )
        self._check_model()
        for key, value in self.tags.items():
            if not isinstance(key, str) or not isinstance(value, str):
                raise ConfigurationError(f"MlflowTracker's 'tags' map str to str, but {key!r} maps to {value!r}")

    def check(self, request: JobRequest, workload: str, storage: str | None) -> Collection[str]:
        """
        Take every job.

        :raises ConfigurationError: nobody would log a model of this workload
        """
        if (self.flavor or self.input_example) and workload not in LOGGING:
            raise ConfigurationError(
                f"MlflowTracker's 'flavor' and 'input_example' mean nothing to the workload {workload!r}",
                hint="Log the model in the job itself, by mlflow.<flavor>.log_model, which joins the run",
            )
        return ()

    def _check_model(self) -> None:
        flavor, example = self.flavor, self.input_example
        is_path = isinstance(flavor, str) and (":" in flavor or "." in flavor)
        if flavor is not None and flavor not in FLAVORS and not is_path:
            known = ", ".join(FLAVORS)
            raise ConfigurationError(
                f"MlflowTracker's 'flavor' must be one of {known}, or module:function, not {flavor!r}"
            )
        if not isinstance(example, list) or not all(isinstance(row, dict) and row for row in example):
            raise ConfigurationError(f"MlflowTracker's 'input_example' must be a list of rows, not {example!r}")
        if (flavor or example) and self.register_as is None:
            raise ConfigurationError("MlflowTracker's 'flavor' and 'input_example' are for 'register_as'")

    @classmethod
    def left_at(cls, conn_id: str, connections: Connections) -> LeftRuns:
        """
        Give the open runs at a connection's server, of all experiments.

        :raises ConfigurationError: the connection is absent or malformed
        """
        from airflow_provider_air.attachments.mlflow.left_runs import LeftRuns

        server: MlflowServer = connections.open("mlflow", conn_id)
        return LeftRuns(server)

    def open(self, connections: Connections) -> MlflowTracking:
        """
        Open the tracking server.

        :raises ConfigurationError: the connection is absent or malformed
        """
        from airflow_provider_air.attachments.mlflow.tracking import MlflowTracking

        server: MlflowServer = connections.open("mlflow", self.mlflow_conn_id)
        return MlflowTracking(
            server,
            self.experiment,
            tags=self.tags,
            register_as=self.register_as,
            model={"flavor": self.flavor, "input_example": self.input_example},
        )


def _is_model_name(value: Any) -> bool:
    """Tell whether MLflow (3.17) takes a model's name: it would refuse it only once the training is over."""
    if not isinstance(value, str) or not value.strip():
        return False
    return not set(value) & set("/:") and value != "." and not value.startswith("..")

"""
A run's notes in MLflow over its REST API; ``mlflow`` itself is not needed here.

One parent run per generation of a task instance, found again by its key on a retry. Metrics come from the
driver's records with their own time stamps, so a server that is away during training slows nothing.
Source: MLflow 3.18 REST API 2.0.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_air.attachments.mlflow.batches import Batches
from airflow_provider_air.attachments.mlflow.models import SERVICE_TAG, ModelRegistry
from airflow_provider_air.attachments.mlflow.names import pairs, tags_of
from airflow_provider_air.attachments.mlflow.registering import BEST_PREFIX, measured, registrable_of, tags_of_version
from airflow_provider_air.contracts.attachments import Additions, Outcome
from airflow_provider_air.contracts.names import digest
from airflow_provider_air.drivers.wire.metrics import metrics_of
from airflow_provider_air.drivers.wire.names import MLFLOW_MODEL_FILE
from airflow_provider_air.drivers.wire.texts import shortened
from airflow_provider_air.errors import ConfigurationError, ProtocolError

if TYPE_CHECKING:
    from airflow_provider_air.attachments.mlflow.server import MlflowServer
    from airflow_provider_air.contracts.runs import AttemptInfo

log = logging.getLogger(__name__)

MESSAGE_CHARACTERS = 6000
# The tag by which a run is found again. MLflow has no client token for run creation.
KEY_TAG = "air.key"
TRIAL_TAG = "air.trial_id"
# MLflow has no word for some of our outcomes.
OUTCOME_TAG = "air.outcome"
END_STATUS = {
    **dict.fromkeys(("SUCCEEDED", "SKIPPED"), "FINISHED"),
    **dict.fromkeys(("STOPPED", "DEADLINE", "ABANDONED"), "KILLED"),
}


class MlflowTracking:
    """
    The tracker of one run, with its server: an :class:`~airflow_provider_air.contracts.attachments.Attachment`.

    :param experiment: its name; created where it does not exist
    :param tags: more tags of the run, and of a version that is registered
    :param register_as: the model of which a run that succeeds makes a version, or None
    :param model: what the driver is told of how to log it: ``flavor``, ``input_example``
    """

    def __init__(
        self,
        server: MlflowServer,
        experiment: str,
        *,
        tags: Mapping[str, str],
        register_as: str | None = None,
        model: Mapping[str, Any] | None = None,
    ) -> None:
        self._server = server
        self._experiment_name = experiment
        self._more_tags = tags
        self._register_as = register_as
        self._model = dict(model or {})

    def probe(self) -> None:
        """Look for the experiment, which an address, credentials or an experiment that do not serve cannot pass."""
        self._find_experiment()

    def before_submit(self, attempt: AttemptInfo) -> Additions:
        """Find or make the parent run, and tell the job how to join it."""
        experiment_id = self._experiment()
        tags = self._tags(attempt)
        run_id = self._find(experiment_id, KEY_TAG, tags[KEY_TAG])
        if run_id is None:
            run_id = self._create(experiment_id, attempt.run_name, tags, KEY_TAG)
            known: list[str] = []
        else:
            self._server.call("POST", "runs/update", {"run_id": run_id, "status": "RUNNING"})
            self._batches(run_id).tags(tags)
            known = self._params_of(run_id)
        self._batches(run_id).params(_params(attempt.parameters), known)
        payload: dict[str, bytes] = {}
        if self._register_as is not None:
            payload[MLFLOW_MODEL_FILE] = json.dumps({"run_id": run_id, **self._model}).encode()
        variable = "RAY_AIRFLOW_MLFLOW_PARENT_RUN_ID" if attempt.workload == "tune" else "MLFLOW_RUN_ID"
        return Additions(
            env_vars={
                "MLFLOW_TRACKING_URI": self._server.base_url,
                "MLFLOW_EXPERIMENT_ID": experiment_id,
                variable: run_id,
                # A server that is away must not hold up the user's own mlflow calls for minutes.
                "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
                "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
                "MLFLOW_ENABLE_ASYNC_LOGGING": "true",
            },
            secrets=self._server.secrets,
            payload=payload,
            state={"run_id": run_id, "experiment_id": experiment_id, "metric": attempt.parameters.get("metric")},
            links={"mlflow_url": self._server.run_url(experiment_id, run_id)},
        )

    def on_records(self, attempt: AttemptInfo, state: Mapping[str, Any], records: Sequence[Mapping[str, Any]]) -> None:
        """Log metrics with the records' own time stamps; a point that is there already stays one point."""
        if not state.get("run_id"):
            return
        batches = self._batches(state["run_id"])
        batches.metrics([point for record in records if record["kind"] == "metric" for point in _points(record)])
        for record in records:
            if record["kind"] == "progress" and isinstance(record.get("features"), Mapping):
                batches.tags(_feature_tags(record["features"]))
        checkpoints = [record["uri"] for record in records if record["kind"] == "checkpoint"]
        if checkpoints:
            batches.tags({"air.checkpoint": str(checkpoints[-1])})

    def on_end(self, attempt: AttemptInfo, state: Mapping[str, Any], outcome: Outcome) -> None:
        """Set the run's end state, and note Tune's trials as nested runs."""
        if not state.get("run_id"):
            return
        if outcome.status == "SUCCEEDED" and isinstance(outcome.result, Mapping):
            for trial in outcome.result.get("trials") or []:
                self._note_trial(state, trial)
        message = {"air.message": shortened(outcome.message, MESSAGE_CHARACTERS)} if outcome.message else {}
        self._batches(state["run_id"]).tags({OUTCOME_TAG: outcome.status, **message})
        status = END_STATUS.get(outcome.status, "FAILED")
        body = {"run_id": state["run_id"], "status": status, "end_time": _now_ms()}
        self._server.call("POST", "runs/update", body)
        if self._register_as and outcome.status == "SUCCEEDED":
            self._register(self._register_as, attempt, state, outcome.result)

    def _register(self, name: str, attempt: AttemptInfo, state: Mapping[str, Any], result: Any) -> None:
        run_id, registry, model = str(state["run_id"]), ModelRegistry(self._server), registrable_of(result)
        metrics = model.metrics
        if metrics is None:
            # Such as a script's: what it has measured last is all that there is of its model.
            metrics = registry.last_metrics(run_id)
        else:
            stamp = _now_ms()
            points = [_point(BEST_PREFIX + key, number, stamp, 0) for key, number in metrics.items()]
            self._batches(run_id).metrics(points)
        tags = {key: value for key, value in self._tags(attempt).items() if not key.startswith("mlflow.")}
        if isinstance(result, Mapping) and isinstance(result.get("features"), Mapping):
            tags |= _feature_tags(result["features"])
        tags |= tags_of_version(model, metrics, state.get("metric"))
        version = registry.register(name, run_id=run_id, source=model.source, model_id=model.model_id, tags=tags)
        log.info("The run is version %d of the model %s", version.version, name)
        if model.model_id is None:
            log.warning(
                "The version is the checkpoint as it is, which MLflow itself cannot load: %s", model.why or "no flavor"
            )

    def _find_experiment(self) -> str | None:
        name = self._experiment_name
        found = self._server.call("GET", "experiments/get-by-name", experiment_name=name).get("experiment")
        if not found:
            return None
        if found.get("lifecycle_stage") == "deleted":
            raise ConfigurationError(
                f"The MLflow experiment {name!r} is deleted", hint="Restore it, or choose another name"
            )
        return str(found["experiment_id"])

    def _experiment(self) -> str:
        name = self._experiment_name
        for _ in range(2):
            found = self._find_experiment()
            if found is not None:
                return found
            try:
                return str(self._server.call("POST", "experiments/create", {"name": name})["experiment_id"])
            except ConfigurationError as error:
                # Another task made it in between: look again.
                if "RESOURCE_ALREADY_EXISTS" not in str(error):
                    raise
        raise ProtocolError(f"MLflow neither finds nor creates the experiment {name!r}")

    def _tags(self, attempt: AttemptInfo) -> dict[str, str]:
        key = attempt.key
        return tags_of(self._more_tags) | {
            KEY_TAG: digest(key.deployment, key, attempt.generation, length=24),
            "air.dag_id": key.dag_id,
            "air.run_id": key.run_id,
            "air.task_id": key.task_id,
            "air.map_index": str(key.map_index),
            "air.try_number": str(attempt.try_number),
            "air.generation": str(attempt.generation),
            "air.submission_id": attempt.submission_id,
            "air.cluster": attempt.cluster,
            "air.workload": attempt.workload,
            "mlflow.source.name": f"{key.dag_id}.{key.task_id}",
            "mlflow.source.type": "JOB",
        }

    def _find(self, experiment_id: str, tag: str, value: str) -> str | None:
        body = {"experiment_ids": [experiment_id], "filter": f"tags.`{tag}` = '{value}'", "max_results": 1}
        runs = self._server.call("POST", "runs/search", body).get("runs") or []
        return str(runs[0]["info"]["run_id"]) if runs else None

    def _create(self, experiment_id: str, name: str, tags: Mapping[str, str], key: str) -> str:
        body = {"experiment_id": experiment_id, "run_name": name, "start_time": _now_ms(), "tags": pairs(tags)}
        return self._server.create(
            "runs/create",
            body,
            made=lambda answer: str(answer["run"]["info"]["run_id"]),
            find=lambda: self._find(experiment_id, key, tags[key]),
        )

    def _batches(self, run_id: str) -> Batches:
        return Batches(self._server, run_id)

    def _params_of(self, run_id: str) -> list[str]:
        data = (self._server.call("GET", "runs/get", run_id=run_id).get("run") or {}).get("data") or {}
        return [str(param["key"]) for param in data.get("params") or []]

    def _note_trial(self, state: Mapping[str, Any], trial: Mapping[str, Any]) -> None:
        experiment_id = str(state["experiment_id"])
        marker = f"{state['run_id']}/{trial['trial_id']}"
        run_id = self._find(experiment_id, TRIAL_TAG, marker)
        if run_id is None:
            tags = {TRIAL_TAG: marker, "mlflow.parentRunId": str(state["run_id"])}
            run_id = self._create(experiment_id, f"trial {trial['trial_id']}", tags, TRIAL_TAG)
            self._batches(run_id).params(_params(trial.get("config") or {}))
        stamp = _now_ms()
        found = measured(trial.get("metrics") or {})
        self._batches(run_id).metrics([_point(name, number, stamp, 0) for name, number in found.items()])
        status = "FAILED" if trial.get("error") else "FINISHED"
        self._server.call("POST", "runs/update", {"run_id": run_id, "status": status, "end_time": stamp})


def _feature_tags(features: Mapping[str, Any]) -> dict[str, str]:
    """Name the features as Feast's own MLflow integration does, so that its tools find them (Feast 0.67)."""
    return {
        "feast.project": str(features.get("project")),
        SERVICE_TAG: str(features.get("feature_service")),
        "feast.feature_views": ",".join(map(str, features.get("feature_views") or [])),
        "air.features_fingerprint": str(features.get("fingerprint")),
    }


def _points(record: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for name, number in metrics_of(record["values"]).items():
        yield _point(name, number, int(record["t"] * 1000), record.get("step") or 0)


def _point(name: str, number: float, stamp: int, step: int) -> dict[str, Any]:
    return {"key": name, "value": _json_number(number), "timestamp": stamp, "step": step}


def _json_number(value: float) -> float | str:
    """Give what JSON has no number for by the name that MLflow reads."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def _params(parameters: Mapping[str, Any]) -> dict[str, str]:
    return {name: _text(value) for name, value in _flatten(parameters)}


def _flatten(parameters: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in parameters.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{name}.")
        elif value is not None:
            yield f"{prefix}{name}", value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _now_ms() -> int:
    return int(time.time() * 1000)

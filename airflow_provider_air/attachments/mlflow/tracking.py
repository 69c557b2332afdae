"""
A run's notes in MLflow over its REST API; ``mlflow`` itself is not needed here.

One parent run per generation of a task instance, found again by its key on a retry. Metrics come from the
driver's records with their own time stamps, so a server that is away during training slows nothing.
Source: MLflow 3.18 REST API 2.0.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_air.attachments.mlflow.batches import Batches
from airflow_provider_air.attachments.mlflow.left_runs import DEPLOYMENT_TAG, OUTCOME_TAG
from airflow_provider_air.attachments.mlflow.models import SERVICE_TAG, ModelRegistry
from airflow_provider_air.attachments.mlflow.names import pairs, tags_of
from airflow_provider_air.attachments.mlflow.points import flat_params, metric_point, points_of
from airflow_provider_air.attachments.mlflow.registering import BEST_PREFIX, registrable_of, tags_of_version
from airflow_provider_air.attachments.mlflow.trials import MESSAGE_CHARACTERS, MESSAGE_TAG, Trials
from airflow_provider_air.contracts.attachments import Additions, Outcome
from airflow_provider_air.contracts.names import digest
from airflow_provider_air.drivers.wire.names import MLFLOW_MODEL_FILE
from airflow_provider_air.drivers.wire.texts import shortened
from airflow_provider_air.errors import ConfigurationError, ProtocolError

if TYPE_CHECKING:
    from airflow_provider_air.attachments.mlflow.server import MlflowServer
    from airflow_provider_air.contracts.runs import AttemptInfo

log = logging.getLogger(__name__)

# The tag by which a run is found again. MLflow has no client token for run creation.
KEY_TAG = "air.key"
# How far the records of which job are in the run, so that what was handed over live is not sent again at the end.
SEEN_TAG = "air.next_record"
# MLflow has no word for some of our outcomes.
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
        self._trials: dict[str, Trials] = {}
        self._seen: dict[str, int] = {}

    def probe(self) -> None:
        """Look for the experiment, which an address, credentials or an experiment that do not serve cannot pass."""
        self._find_experiment()

    def before_submit(self, attempt: AttemptInfo) -> Additions:
        """
        Find or make the parent run, and tell the job how to join it.

        What replicas of a deployment get is the server's address alone: a password would be seen by whoever lists
        applications.
        """
        pins = ModelRegistry(self._server).pins(attempt.parameters)
        for alias, version in pins.items():
            log.info("%s is %s", alias, version)
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
        self._batches(run_id).params(flat_params(attempt.parameters), known)
        payload: dict[str, bytes] = {}
        if self._register_as is not None:
            payload[MLFLOW_MODEL_FILE] = json.dumps({"run_id": run_id, **self._model}).encode()
        variable = "RAY_AIRFLOW_MLFLOW_PARENT_RUN_ID" if attempt.workload == "tune" else "MLFLOW_RUN_ID"
        return Additions(
            env_vars={
                "MLFLOW_TRACKING_URI": self._server.base_url,
                **self._server.job_env,
                "MLFLOW_EXPERIMENT_ID": experiment_id,
                variable: run_id,
            },
            secrets=self._server.secrets,
            files=self._server.job_files,
            application_env={"MLFLOW_TRACKING_URI": self._server.base_url} if attempt.workload == "serve" else {},
            payload=payload,
            pins=pins,
            state={"run_id": run_id, "experiment_id": experiment_id, "metric": attempt.parameters.get("metric")},
            links={"mlflow_url": self._server.run_url(experiment_id, run_id)},
        )

    def on_records(self, attempt: AttemptInfo, state: Mapping[str, Any], records: Sequence[Mapping[str, Any]]) -> None:
        """
        Log metrics with the records' own time stamps; a point that is there already stays one point.

        Those of Tune's trials go to nested runs, one for each.
        """
        if not state.get("run_id"):
            return
        records = self._unseen(attempt, state, records)
        nested = attempt.workload == "tune"
        trials = [record for record in records if nested and record.get("trial") is not None]
        own = [record for record in records if not nested or record.get("trial") is None]
        batches = self._batches(state["run_id"])
        batches.metrics([point for record in own if record["kind"] == "metric" for point in points_of(record)])
        for record in own:
            if record["kind"] == "progress" and isinstance(record.get("features"), Mapping):
                batches.tags(_feature_tags(record["features"]))
        checkpoints = [record["uri"] for record in own if record["kind"] == "checkpoint"]
        if checkpoints:
            batches.tags({"air.checkpoint": str(checkpoints[-1])})
        if trials:
            self._trials_of(state).take(trials)
        self._note_seen(attempt, state, records)

    def on_end(self, attempt: AttemptInfo, state: Mapping[str, Any], outcome: Outcome) -> Mapping[str, Any] | None:
        """
        Set the run's end state, and that of the nested runs of Tune's trials.

        :return: ``{"model": {"name", "version", "url"}}`` where a version was registered
        """
        if not state.get("run_id"):
            return None
        status = END_STATUS.get(outcome.status, "FAILED")
        result = outcome.result if outcome.status == "SUCCEEDED" and isinstance(outcome.result, Mapping) else {}
        if attempt.workload == "tune" or result.get("trials"):
            self._trials_of(state).end(result.get("trials") or [], status)
        message = {MESSAGE_TAG: shortened(outcome.message, MESSAGE_CHARACTERS)} if outcome.message else {}
        self._batches(state["run_id"]).tags({OUTCOME_TAG: outcome.status, **message})
        body = {"run_id": state["run_id"], "status": status, "end_time": _now_ms()}
        self._server.call("POST", "runs/update", body)
        if self._register_as and outcome.status == "SUCCEEDED":
            return {"model": self._register(self._register_as, attempt, state, outcome.result)}
        return None

    def _trials_of(self, state: Mapping[str, Any]) -> Trials:
        run_id = str(state["run_id"])
        if run_id not in self._trials:
            self._trials[run_id] = Trials(self._server, str(state["experiment_id"]), run_id)
        return self._trials[run_id]

    def _unseen(
        self, attempt: AttemptInfo, state: Mapping[str, Any], records: Sequence[Mapping[str, Any]]
    ) -> Sequence[Mapping[str, Any]]:
        """Leave out the records that are in the run already, as it says itself."""
        job = attempt.submission_id
        if job not in self._seen:
            tags = self._data_of(state["run_id"]).get("tags") or []
            told, _, number = next((tag["value"] for tag in tags if tag["key"] == SEEN_TAG), "").rpartition(" ")
            self._seen[job] = int(number) if told == job and number.isdecimal() else 0
        return [record for record in records if record.get("seq", self._seen[job]) >= self._seen[job]]

    def _note_seen(self, attempt: AttemptInfo, state: Mapping[str, Any], records: Sequence[Mapping[str, Any]]) -> None:
        numbers = [record["seq"] for record in records if "seq" in record]
        # Where some were passed over, such as of a server that was away for long, the end brings all from there.
        if (
            not numbers
            or numbers[0] != self._seen[attempt.submission_id]
            or numbers[-1] - numbers[0] != len(numbers) - 1
        ):
            return
        tag = {"key": SEEN_TAG, "value": f"{attempt.submission_id} {numbers[-1] + 1}"}
        self._server.call("POST", "runs/set-tag", {"run_id": state["run_id"], **tag})
        self._seen[attempt.submission_id] = numbers[-1] + 1

    def _register(self, name: str, attempt: AttemptInfo, state: Mapping[str, Any], result: Any) -> dict[str, Any]:
        run_id, registry, model = str(state["run_id"]), ModelRegistry(self._server), registrable_of(result)
        metrics = model.metrics
        if metrics is None:
            # Such as a script's: what it has measured last is all that there is of its model.
            metrics = registry.last_metrics(run_id)
        else:
            stamp = _now_ms()
            points = [metric_point(BEST_PREFIX + key, number, stamp, 0) for key, number in metrics.items()]
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
        return {"name": name, "version": version.version, "url": self._server.model_url(name, version.version)}

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
            DEPLOYMENT_TAG: key.deployment,
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
        return [str(param["key"]) for param in self._data_of(run_id).get("params") or []]

    def _data_of(self, run_id: str) -> Mapping[str, Any]:
        run: Mapping[str, Any] = self._server.call("GET", "runs/get", run_id=run_id).get("run") or {}
        return run.get("data") or {}


def _feature_tags(features: Mapping[str, Any]) -> dict[str, str]:
    """Name the features as Feast's own MLflow integration does, so that its tools find them (Feast 0.67)."""
    return {
        "feast.project": str(features.get("project")),
        SERVICE_TAG: str(features.get("feature_service")),
        "feast.feature_views": ",".join(map(str, features.get("feature_views") or [])),
        "air.features_fingerprint": str(features.get("fingerprint")),
    }


def _now_ms() -> int:
    return int(time.time() * 1000)

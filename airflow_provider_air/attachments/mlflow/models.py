"""
MLflow's model registry over its REST API: versions, aliases, and the gate in front of a promotion.

Source: MLflow 3.17 REST API 2.0.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_air.attachments.mlflow.names import pairs
from airflow_provider_air.attachments.mlflow.registering import metrics_in, value_in
from airflow_provider_air.errors import ConfigurationError, UnavailableError

if TYPE_CHECKING:
    from airflow_provider_air.attachments.mlflow.server import MlflowServer

DAG_TAG, RUN_TAG = "air.dag_id", "air.run_id"
# What the version was trained with, by Feast's own name for it.
SERVICE_TAG = "feast.feature_service"
ALIASED = re.compile(r"models:/([^/@]+)@([^/@]+)")
PREVIOUS_ALIAS = "previous-{alias}"
# Below the run's own artefacts, since a server refuses local paths elsewhere as a version's source.
ARTIFACT_FOLDER = "checkpoint"


@dataclass(frozen=True)
class ModelVersion:
    """
    One version of a registered model.

    :param version: counts from 1
    :param source: URI of its files
    :param run_id: the MLflow run that made it
    :param model_id: the logged model that it is, where it is one
    """

    name: str
    version: int
    source: str
    run_id: str
    tags: Mapping[str, str] = field(default_factory=dict)
    model_id: str = ""

    @classmethod
    def from_answer(cls, data: Mapping[str, Any]) -> ModelVersion:
        """Read what the server tells of it."""
        tags = {tag["key"]: tag["value"] for tag in data.get("tags") or []}
        source, run_id, model_id = (str(data.get(key) or "") for key in ("source", "run_id", "model_id"))
        return cls(data["name"], int(data["version"]), source, run_id, tags, model_id)


@dataclass(frozen=True)
class Gate:
    """
    What a version must achieve before it takes an alias.

    :param metric: of the version itself, see :meth:`ModelRegistry.metrics`
    :param mode: ``min`` or ``max``: which is better
    :param threshold: the metric must be at least as good as this
    :param min_improvement: by how much it must be better than the version that has the alias; 0 takes an equal one
    :param same_tag: a tag that both versions must share, such as the data set that they were judged by
    """

    metric: str
    mode: str
    threshold: float | None = None
    min_improvement: float = 0.0
    same_tag: str | None = None

    def validate(self) -> None:
        """:raises ConfigurationError: a field is wrong; the message names it."""
        if not self.metric:
            raise ConfigurationError(
                "'metric' is empty", hint="Name a metric that the training reports with its checkpoints"
            )
        if self.mode not in ("min", "max"):
            raise ConfigurationError(f"'mode' must be min or max, not {self.mode!r}")
        for name, number in (("threshold", self.threshold), ("min_improvement", self.min_improvement)):
            if number is not None and not (_is_finite(number)):
                raise ConfigurationError(f"'{name}' must be a number, not {number!r}")
        if self.min_improvement < 0:
            raise ConfigurationError(f"'min_improvement' must not be negative, but is {self.min_improvement!r}")

    def objection(self, candidate: Mapping[str, float], champion: Mapping[str, float] | None) -> str | None:
        """
        Say why the candidate does not pass, or None.

        What is missing or not a number does not pass. A first version passes on the threshold alone.

        :param candidate: the version's metrics
        :param champion: those of the version that has the alias, if any has
        """
        value = value_in(candidate, self.metric)
        if value is None or not math.isfinite(value):
            return f"it has no finite metric {self.metric!r}, {_instead(candidate, value)}"
        if self.threshold is not None and self._gain(value, self.threshold) < 0:
            return f"{self.metric}={value:g} is worse than the threshold {self.threshold:g}"
        if champion is None:
            return None
        rival = value_in(champion, self.metric)
        if rival is None or not math.isfinite(rival):
            return (
                f"the current version has no finite metric {self.metric!r} to compare with, {_instead(champion, rival)}"
            )
        if self._gain(value, rival) < self.min_improvement:
            return f"{self.metric}={value:g} is not better than the current {rival:g} by {self.min_improvement:g}"
        return None

    def _gain(self, value: float, than: float) -> float:
        return than - value if self.mode == "min" else value - than


class ModelRegistry:
    """
    The registry of one tracking server; blocks.

    :param server: the server
    """

    def __init__(self, server: MlflowServer) -> None:
        self._server = server

    def register(
        self, name: str, *, run_id: str, source: str, tags: Mapping[str, str], model_id: str | None = None
    ) -> ModelVersion:
        """
        Make a version from a run's files, once: a run that has one of this name keeps it.

        :param source: URI of the files; a local folder is uploaded to the run's artefacts first
        :param model_id: of the logged model that the files are, or None
        :raises ConfigurationError: the server refuses it, or a local folder cannot be uploaded
        """
        found = self._of_run(name, run_id)
        if found is not None:
            return found
        self._ensure_model(name)
        if ":/" not in source:
            source = self._upload(run_id, Path(source))
        body = {"name": name, "source": source, "run_id": run_id, "tags": pairs(tags)}
        if model_id is not None:
            body["model_id"] = model_id
        return self._server.create(
            "model-versions/create",
            body,
            made=lambda answer: ModelVersion.from_answer(answer["model_version"]),
            find=lambda: self._of_run(name, run_id),
        )

    def _of_run(self, name: str, run_id: str) -> ModelVersion | None:
        return next(reversed(self.versions(name, run_id=run_id)), None)

    def versions(self, name: str, *, run_id: str | None = None) -> list[ModelVersion]:
        """Give a model's versions, oldest first; none where there is no such model."""
        quoted = name.replace("'", "''")
        wanted = f"name='{quoted}'" + (f" and run_id='{run_id}'" if run_id else "")
        answer = self._server.call("GET", "model-versions/search", filter=wanted, max_results=1000)
        return sorted(map(ModelVersion.from_answer, answer.get("model_versions") or []), key=lambda v: v.version)

    def version(self, name: str, version: int) -> ModelVersion:
        """:raises ConfigurationError: there is no such version."""
        answer = self._server.call("GET", "model-versions/get", name=name, version=str(version))
        if "model_version" not in answer:
            raise ConfigurationError(f"The model {name!r} has no version {version}", where=self._server.base_url)
        return ModelVersion.from_answer(answer["model_version"])

    def with_alias(self, name: str, alias: str) -> ModelVersion | None:
        """Give the version that has an alias, if any has."""
        try:
            answer = self._server.call("GET", "registered-models/alias", name=name, alias=alias)
        except ConfigurationError as error:
            # MLflow 3.17 answers 400, not 404, where a model has no such alias.
            if "INVALID_PARAMETER_VALUE" in str(error) and "not found" in str(error):
                return None
            raise
        return ModelVersion.from_answer(answer["model_version"]) if "model_version" in answer else None

    def look(self, name: str, alias: str | None, at_least: int) -> ModelVersion | None:
        """Give the version that has the alias, or the newest, if it is at least this one."""
        found = self.with_alias(name, alias) if alias else next(reversed(self.versions(name)), None)
        return found if found is not None and found.version >= at_least else None

    def pins(self, settings: Any) -> dict[str, str]:
        """
        Give the versions that the models named by an alias in somebody's settings are now.

        :return: such as ``{"models:/delays@champion": "models:/delays/3"}``; without those that this registry has not:
            they may be another's, and whoever loads them says so
        """
        named = {text: match.groups() for text in _texts_in(settings) if (match := ALIASED.fullmatch(text))}
        found = {text: self.with_alias(*names) for text, names in named.items()}
        return {text: f"models:/{version.name}/{version.version}" for text, version in found.items() if version}

    def metrics(self, version: ModelVersion) -> dict[str, float]:
        """
        Give the metrics that a version is judged by: those of the checkpoint that a tracker has registered.

        Of a version that somebody else has made: those of its logged model, or else its run's last values.
        """
        own = metrics_in(version.tags)
        return self._of_model(version.model_id) or self.last_metrics(version.run_id) if own is None else own

    def last_metrics(self, run_id: str) -> dict[str, float]:
        """Give the last value of each metric of a run."""
        if not run_id:
            return {}
        run = self._server.call("GET", "runs/get", run_id=run_id).get("run")
        return _values((run or {}).get("data", {}).get("metrics"))

    def _of_model(self, model_id: str) -> dict[str, float]:
        if not model_id:
            return {}
        data = (self._server.call("GET", f"logged-models/{model_id}").get("model") or {}).get("data") or {}
        return _values(data.get("metrics"))

    def promote(self, version: ModelVersion, alias: str, *, instead_of: ModelVersion | None) -> None:
        """
        Move an alias to a version; the one that had it gets the alias ``previous-<alias>``.

        The registry has no compare-and-set, so it is looked at once more right before.

        :raises UnavailableError: somebody else moved the alias meanwhile
        """
        now = self.with_alias(version.name, alias)
        if (now and now.version) != (instead_of and instead_of.version):
            raise UnavailableError(
                f"Somebody moved the alias {alias!r} of {version.name!r} to version {now and now.version} meanwhile",
                where=self._server.base_url,
                hint="Let one task at a time promote a model (a pool of one, or max_active_tis_per_dag=1)",
            )
        if instead_of is not None:
            self._set_alias(version.name, PREVIOUS_ALIAS.format(alias=alias), instead_of.version)
        self._set_alias(version.name, alias, version.version)
        story = f"{instead_of.version if instead_of else 'none'} -> {version.version}"
        tag = {"name": version.name, "version": str(version.version), "key": f"air.promoted.{alias}", "value": story}
        self._server.call("POST", "model-versions/set-tag", tag)

    def _set_alias(self, name: str, alias: str, version: int) -> None:
        self._server.call("POST", "registered-models/alias", {"name": name, "alias": alias, "version": str(version)})

    def _ensure_model(self, name: str) -> None:
        try:
            self._server.call("POST", "registered-models/create", {"name": name})
        except ConfigurationError as error:
            if "RESOURCE_ALREADY_EXISTS" not in str(error):
                raise

    def _upload(self, run_id: str, folder: Path) -> str:
        root = str(self._server.call("GET", "runs/get", run_id=run_id)["run"]["info"]["artifact_uri"])
        if not root.startswith("mlflow-artifacts:"):
            raise ConfigurationError(
                f"The checkpoint {folder} is a local folder, and this server takes no artefacts over HTTP ({root})",
                hint="Use S3Storage or GcsStorage, or start the server with --serve-artifacts",
            )
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        if not files:
            raise ConfigurationError(
                f"The checkpoint {folder} cannot be read on this worker, so it cannot be uploaded",
                hint="Use S3Storage or GcsStorage, or a SharedFolder that workers see, too",
            )
        for file in files:
            below = f"{ARTIFACT_FOLDER}/{file.relative_to(folder).as_posix()}"
            self._server.put_artifact(f"{root.partition(':')[2].lstrip('/')}/{below}", file)
        return f"{root}/{ARTIFACT_FOLDER}"


def newest_of_run(versions: Iterable[ModelVersion], dag_id: str, run_id: str) -> ModelVersion:
    """
    Give the newest version that a DAG run made.

    :raises ConfigurationError: it made none
    """
    mine = [v for v in versions if v.tags.get(DAG_TAG) == dag_id and v.tags.get(RUN_TAG) == run_id]
    if not mine:
        raise ConfigurationError(
            f"The run {run_id} of {dag_id} registered no version of this model",
            hint="Set register_as= on the tracker of an upstream task, or give version=",
        )
    return max(mine, key=lambda v: v.version)


def _texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (Mapping, list, tuple)):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _texts_in(item)


def _values(metrics: Iterable[Mapping[str, Any]] | None) -> dict[str, float]:
    return {metric["key"]: float(metric["value"]) for metric in metrics or ()}


def _instead(metrics: Mapping[str, float], value: float | None) -> str:
    """Say what there is instead of a finite metric."""
    return f"but {sorted(metrics) if value is None else value}"


def _is_finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)

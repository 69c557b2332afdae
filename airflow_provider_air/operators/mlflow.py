"""Promotes a registered model, if it passes the gate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator, BaseOperatorLink
from airflow.sdk.exceptions import AirflowSkipException

from airflow_provider_air.connections.ports import read_fields
from airflow_provider_air.connections.raising import airflow_errors
from airflow_provider_air.errors import ConfigurationError, ModelRejectedError
from airflow_provider_air.hooks.mlflow import MlflowHook
from airflow_provider_air.links.mlflow import MlflowModelLink, push_gate, push_model

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_air.attachments.mlflow.models import Gate, ModelRegistry, ModelVersion


class MlflowPromoteOperator(BaseOperator):
    """
    Give a model version an alias, if its metric passes; runs on the worker, by HTTP only.

    Judged is the version itself: what the training reported with the checkpoint that ``register_as`` has registered,
    which need not be its last report.

    The XCom is ``{"name", "version", "uri", "source", "feature_service", "alias", "previous", "promoted", "reason"}``;
    ``uri`` is ``models:/NAME/VERSION``, which stays this version wherever the alias goes; ``feature_service`` is what
    the version was trained with, or None. A retry after a promotion finds it done. For a person in front of it, put
    Airflow's ``ApprovalOperator`` upstream.

    :param model_name: the registered model
    :param version: the candidate; by default the newest that this DAG run registered
    :param metric, mode: what the gate looks at, of the version, and whether ``min`` or ``max`` is better
    :param threshold: the metric must be at least as good; all that a first version must pass
    :param min_improvement: by how much it must beat the version that has the alias
    :param same_tag: a tag of the versions without whose equality they are not compared
    :param alias: what is moved; who had it becomes ``previous-<alias>``
    :param on_rejection: ``skip`` this task and what depends on it, or ``fail``
    """

    template_fields: Sequence[str] = (
        "mlflow_conn_id",
        "model_name",
        "metric",
        "mode",
        "version",
        "threshold",
        "min_improvement",
        "same_tag",
        "alias",
        "on_rejection",
    )
    operator_extra_links: Sequence[BaseOperatorLink] = (MlflowModelLink(),)

    def __init__(
        self,
        *,
        model_name: str,
        metric: str,
        mode: str,
        version: int | str | None = None,
        threshold: float | None = None,
        min_improvement: float = 0.0,
        same_tag: str | None = None,
        alias: str = "champion",
        on_rejection: str = "skip",
        mlflow_conn_id: str = "mlflow_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model_name = model_name
        self.metric = metric
        self.mode = mode
        self.version = version
        self.threshold = threshold
        self.min_improvement = min_improvement
        self.same_tag = same_tag
        self.alias = alias
        self.on_rejection = on_rejection
        self.mlflow_conn_id = mlflow_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        """
        Compare, and move the alias.

        :raises AirflowFailException: a field, the connection or the model is wrong; not retried
        :raises AirflowSkipException: the gate says no
        """
        from airflow_provider_air.attachments.mlflow.models import ModelRegistry

        with airflow_errors():
            read_fields(self)
            gate = self._gate()
            server = MlflowHook(self.mlflow_conn_id).get_conn()
            registry = ModelRegistry(server)
            candidate = self._candidate(registry, context)
            push_model(context["ti"], server.model_url(candidate.name, candidate.version))
            champion = registry.with_alias(candidate.name, self.alias)
            if champion is not None and champion.version == candidate.version:
                self._push_verdict(context, candidate, None, "it has the alias already")
                return self._told(candidate, None, promoted=True, reason="it has the alias already")
            objection = _differs(candidate, champion, self.same_tag) or gate.objection(
                registry.metrics(candidate), None if champion is None else registry.metrics(champion)
            )
            self._push_verdict(context, candidate, objection)
            if objection is None:
                registry.promote(candidate, self.alias, instead_of=champion)
                self.log.info("%s is now version %d of %s", self.alias, candidate.version, candidate.name)
                return self._told(candidate, champion, promoted=True, reason="it passed")
            told = f"Version {candidate.version} of {candidate.name} is not promoted: {objection}"
            if self.on_rejection == "fail":
                raise ModelRejectedError(told, where=server.base_url)
        raise AirflowSkipException(told)

    def _gate(self) -> Gate:
        from airflow_provider_air.attachments.mlflow.models import Gate

        if self.on_rejection not in ("skip", "fail"):
            raise ConfigurationError(f"'on_rejection' must be skip or fail, not {self.on_rejection!r}")
        if not self.model_name or not self.alias:
            raise ConfigurationError("'model_name' and 'alias' must not be empty")
        threshold = None if self.threshold is None else _number("threshold", self.threshold)
        improvement = _number("min_improvement", self.min_improvement)
        gate = Gate(self.metric, self.mode, threshold, improvement, self.same_tag)
        gate.validate()
        return gate

    def _candidate(self, registry: ModelRegistry, context: Context) -> ModelVersion:
        from airflow_provider_air.attachments.mlflow.models import newest_of_run

        if self.version is None:
            run: Any = context["dag_run"]
            return newest_of_run(registry.versions(self.model_name), run.dag_id, run.run_id)
        try:
            number = int(self.version)
        except ValueError:
            raise ConfigurationError(f"'version' must be a number, not {self.version!r}") from None
        return registry.version(self.model_name, number)

    def _push_verdict(
        self, context: Context, version: ModelVersion, objection: str | None, why: str = "it passed"
    ) -> None:
        verdict = {"passed": objection is None, "why": objection or why, "name": version.name}
        verdict |= {"version": version.version, "alias": self.alias, "metric": self.metric, "mode": self.mode}
        push_gate(context["ti"], verdict)

    def _told(
        self, version: ModelVersion, previous: ModelVersion | None, *, promoted: bool, reason: str
    ) -> dict[str, Any]:
        from airflow_provider_air.attachments.mlflow.models import SERVICE_TAG

        return {
            "name": version.name,
            "version": version.version,
            "uri": f"models:/{version.name}/{version.version}",
            "source": version.source,
            "feature_service": version.tags.get(SERVICE_TAG),
            "alias": self.alias,
            "previous": previous and previous.version,
            "promoted": promoted,
            "reason": reason,
        }


def _differs(candidate: ModelVersion, champion: ModelVersion | None, tag: str | None) -> str | None:
    if tag is None or champion is None or (tag in candidate.tags and candidate.tags[tag] == champion.tags.get(tag)):
        return None
    return f"its tag {tag!r} is {candidate.tags.get(tag)!r} and the current version's is {champion.tags.get(tag)!r}"


def _number(name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ConfigurationError(f"'{name}' must be a number, not {value!r}") from None

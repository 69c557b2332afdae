"""
What is logged to one MLflow run, in calls that MLflow takes: of what it refuses, all the rest arrives.

Source: MLflow 3.17, mlflow/utils/validation.py, of one call of ``runs/log-batch``.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_air.attachments.mlflow.names import (
    PARAM_CHARACTERS,
    name_of,
    name_tags,
    pairs,
    tags_of,
    value_of,
)
from airflow_provider_air.attachments.mlflow.server import MlflowRefusal

if TYPE_CHECKING:
    from airflow_provider_air.attachments.mlflow.server import MlflowServer

log = logging.getLogger(__name__)

AT_ONCE = {"metrics": 1000, "params": 100, "tags": 100}
# When so many are refused one by one, it is not them: the run is deleted, or this is no run.
MOST_REFUSED = 20


class Batches:
    """
    Logs to one run; blocks.

    All raise :class:`~airflow_provider_air.errors.UnavailableError` where there is no usable answer, and
    :class:`~airflow_provider_air.errors.ConfigurationError` where credentials or the run itself are refused. What
    alone is refused is warned about.
    """

    def __init__(self, server: MlflowServer, run_id: str) -> None:
        self._server = server
        self._run_id = run_id
        self._refused: list[str] = []
        self._why = ""

    def metrics(self, points: Sequence[Mapping[str, Any]]) -> None:
        """
        Log points of metrics.

        :param points: ``{"key", "value", "timestamp", "step"}``, by the authors' own names
        """
        self.tags(name_tags(sorted({point["key"] for point in points})))
        self._log("metrics", [{**point, "key": name_of(point["key"])} for point in points])

    def params(self, values: Mapping[str, str], known: Collection[str] = ()) -> None:
        """
        Log parameters.

        :param values: by the authors' own names
        :param known: the names of those that the run has: MLflow lets nobody change one
        """
        self.tags(name_tags(sorted(values)))
        new = {name_of(name): value_of(value, PARAM_CHARACTERS) for name, value in values.items()}
        self._log("params", pairs({name: value for name, value in new.items() if name not in known}))

    def tags(self, values: Mapping[str, str]) -> None:
        """Set tags."""
        self._log("tags", pairs(tags_of(values)))

    def _log(self, kind: str, entries: list[dict[str, Any]]) -> None:
        most = AT_ONCE[kind]
        for start in range(0, len(entries), most):
            self._send(kind, entries[start : start + most])
        if self._refused:
            log.warning(
                "MLflow refused %d of %d %s, the others are there: %s: %s",
                len(self._refused),
                len(entries),
                kind,
                ", ".join(self._refused),
                self._why,
            )
            self._refused.clear()

    def _send(self, kind: str, entries: list[dict[str, Any]]) -> None:
        try:
            self._server.call("POST", "runs/log-batch", {"run_id": self._run_id, kind: entries})
        except MlflowRefusal as refusal:
            if len(self._refused) >= MOST_REFUSED:
                raise
            if len(entries) == 1:
                self._refused.append(str(entries[0]["key"]))
                self._why = str(refusal)
                return
            half = len(entries) // 2
            self._send(kind, entries[:half])
            self._send(kind, entries[half:])

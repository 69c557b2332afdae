"""Runs that stay RUNNING in MLflow since nobody has told it of their end; source: MLflow 3.17 REST API 2.0."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_air.attachments.mlflow.batches import Batches
from airflow_provider_air.attachments.mlflow.trials import MESSAGE_TAG, RUNNING, Trials
from airflow_provider_air.contracts.leftovers import Leftover
from airflow_provider_air.contracts.names import TaskKey
from airflow_provider_air.errors import ProtocolError

if TYPE_CHECKING:
    from airflow_provider_air.attachments.mlflow.server import MlflowServer

DEPLOYMENT_TAG = "air.deployment"
OUTCOME_TAG = "air.outcome"
PAGE = 1000
# Any run with the tag: MLflow has no word for that.
OURS_AND_OPEN = f"attributes.status = '{RUNNING}' and tags.`{DEPLOYMENT_TAG}` LIKE '%'"


class LeftRuns:
    """A :class:`~airflow_provider_air.contracts.leftovers.Neighbour`: one tracking server, in all its experiments."""

    def __init__(self, server: MlflowServer) -> None:
        self.where = f"MLflow at {server.base_url}"
        self._server = server
        self._experiments: dict[str, str] = {}

    def left(self) -> Iterator[Leftover]:
        """Give the open runs of all deployments; nested ones of Tune's trials go with the run that they are in."""
        for experiments in self._pages("experiments/search", {}, "experiments"):
            ids = [str(experiment["experiment_id"]) for experiment in experiments]
            if not ids:
                continue
            for runs in self._pages("runs/search", {"experiment_ids": ids, "filter": OURS_AND_OPEN}, "runs"):
                yield from (self._leftover(run) for run in runs)

    def use_of(self, item: Leftover) -> str:
        """Say that it is no longer open, where somebody has ended it meanwhile."""
        return "" if self._is_open(item.name) else "somebody has ended it meanwhile"

    def take(self, item: Leftover) -> str:
        """End it as killed, the nested runs of its trials first."""
        now = int(time.time() * 1000)
        Trials(self._server, self._experiments[item.name], item.name).end([], "KILLED")
        message = "Its DAG run was over and nobody had ended it: a clean-up did"
        Batches(self._server, item.name).tags({OUTCOME_TAG: "ABANDONED", MESSAGE_TAG: message})
        self._server.call("POST", "runs/update", {"run_id": item.name, "status": "KILLED", "end_time": now})
        return "it is KILLED now"

    def _leftover(self, run: Mapping[str, Any]) -> Leftover:
        run_id = str(run["info"]["run_id"])
        self._experiments[run_id] = str(run["info"]["experiment_id"])
        tags = {tag["key"]: tag["value"] for tag in (run.get("data") or {}).get("tags") or []}
        deployment = tags.get(DEPLOYMENT_TAG)
        key = None if deployment is None else _key_of(deployment, tags)
        users = () if key is None else (key,)
        return Leftover("run", run_id, f"run {self._server.base_url} {run_id}", deployment, users)

    def _is_open(self, run_id: str) -> bool:
        run: Mapping[str, Any] = self._server.call("GET", "runs/get", run_id=run_id).get("run") or {}
        return (run.get("info") or {}).get("status") == RUNNING

    def _pages(self, path: str, body: Mapping[str, Any], what: str) -> Iterator[list[Mapping[str, Any]]]:
        more: dict[str, str] = {}
        while True:
            answer = self._server.call("POST", path, {**body, "max_results": PAGE, **more})
            if not isinstance(found := answer.get(what) or [], list):
                raise ProtocolError(f"The address does not answer like MLflow to {path}", where=self._server.base_url)
            yield found
            if not answer.get("next_page_token"):
                return
            more = {"page_token": answer["next_page_token"]}


def _key_of(deployment: str, tags: Mapping[str, str]) -> TaskKey | None:
    names = [tags.get(f"air.{name}") for name in ("dag_id", "run_id", "task_id")]
    map_index = tags.get("air.map_index", "-1")
    if None in names or not map_index.removeprefix("-").isdecimal():
        return None
    dag_id, run_id, task_id = map(str, names)
    return TaskKey(deployment, dag_id, run_id, task_id, int(map_index))

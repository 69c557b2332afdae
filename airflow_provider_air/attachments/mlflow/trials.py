"""
Tune's trials as nested runs of their experiment's run, while they run and when it has failed.

They are made of the driver's records, so a server that is away holds up no trial, the cluster needs no ``mlflow``, and
whoever hands the records over again, or resumes the experiment, finds the runs that there are: by the trial's id.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_air.attachments.mlflow.batches import Batches
from airflow_provider_air.attachments.mlflow.names import name_of, pairs
from airflow_provider_air.attachments.mlflow.points import flat_params, metric_point, points_of
from airflow_provider_air.attachments.mlflow.registering import measured
from airflow_provider_air.drivers.wire.texts import shortened

if TYPE_CHECKING:
    from airflow_provider_air.attachments.mlflow.server import MlflowServer

# Both are MLflow's to find: the trial, within its experiment's run, and the run that it is nested in.
TRIAL_TAG, PARENT_TAG = "air.trial_id", "mlflow.parentRunId"
MESSAGE_TAG, MESSAGE_CHARACTERS = "air.message", 6000
RUNNING = "RUNNING"
STATUS = {"running": RUNNING, "finished": "FINISHED", "failed": "FAILED"}
PAGE = 1000


@dataclass
class Nested:
    """
    One trial's run.

    :param params: the names of those that it has
    """

    run_id: str
    status: str = RUNNING
    params: set[str] = field(default_factory=set)


class Trials:
    """
    The nested runs of one run; blocks. Remembers those that it has seen, so it is kept as long as records come.

    All raise as :class:`~airflow_provider_air.attachments.mlflow.server.MlflowServer` does.
    """

    def __init__(self, server: MlflowServer, experiment_id: str, parent: str) -> None:
        self._server = server
        self._experiment_id = experiment_id
        self._parent = parent
        self._known: dict[str, Nested] | None = None

    def take(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Take the records of trials: how each starts, what it reports, how it ends."""
        by_trial: dict[str, list[Mapping[str, Any]]] = {}
        for record in records:
            by_trial.setdefault(str(record["trial"]), []).append(record)
        for trial, mine in by_trial.items():
            self._take(trial, mine)

    def _take(self, trial: str, records: Sequence[Mapping[str, Any]]) -> None:
        run = self._run_of(trial, _stamp(records[0]))
        states = [record for record in records if record["kind"] == "progress" and record.get("trial_state") in STATUS]
        for record in states:
            if isinstance(record.get("config"), Mapping):
                self._params(run, record["config"])
        batches = Batches(self._server, run.run_id)
        batches.metrics([point for record in records if record["kind"] == "metric" for point in points_of(record)])
        if states:
            last = states[-1]
            self._set(run, STATUS[last["trial_state"]], _stamp(last), last.get("error"))

    def end(self, rows: Iterable[Mapping[str, Any]], status: str) -> None:
        """
        Bring all nested runs to their end: the experiment is over, or its job is.

        :param rows: of the result's ``trials``, where the job has one
        :param status: of those that no row tells of, and that have not ended by themselves
        """
        self._known = None
        now = int(time.time() * 1000)
        for row in rows:
            trial = str(row["trial_id"])
            is_new = trial not in self._runs()
            run = self._run_of(trial, now)
            if is_new:
                self._params(run, row.get("config") or {})
                reported = measured(row.get("metrics") or {})
                points = [metric_point(name, number, now, 0) for name, number in reported.items()]
                Batches(self._server, run.run_id).metrics(points)
            if run.status == RUNNING:
                self._set(run, "FAILED" if row.get("error") else "FINISHED", now, row.get("error"))
        for run in self._runs().values():
            if run.status == RUNNING:
                self._set(run, status, now)

    def _set(self, run: Nested, status: str, stamp: int, message: Any = None) -> None:
        if message:
            Batches(self._server, run.run_id).tags({MESSAGE_TAG: shortened(str(message), MESSAGE_CHARACTERS)})
        if status != run.status:
            end = {} if status == RUNNING else {"end_time": stamp}
            self._server.call("POST", "runs/update", {"run_id": run.run_id, "status": status, **end})
            run.status = status

    def _params(self, run: Nested, config: Mapping[str, Any]) -> None:
        params = flat_params(config)
        names = {name_of(name) for name in params}
        if names - run.params:
            Batches(self._server, run.run_id).params(params, run.params)
            run.params |= names

    def _run_of(self, trial: str, stamp: int) -> Nested:
        runs = self._runs()
        if trial not in runs:
            # Looked for once more: another process may hand over the same records at this moment.
            run_id = self._find(trial) or self._create(trial, stamp)
            runs[trial] = Nested(run_id)
        return runs[trial]

    def _runs(self) -> dict[str, Nested]:
        if self._known is None:
            self._known = {}
            for run in self._search(f"tags.`{PARENT_TAG}` = '{self._parent}'"):
                self._note(run, self._known)
        return self._known

    def _note(self, run: Mapping[str, Any], known: dict[str, Nested]) -> None:
        info, data = run["info"], run.get("data") or {}
        tags = {tag["key"]: tag["value"] for tag in data.get("tags") or []}
        prefix = f"{self._parent}/"
        if not tags.get(TRIAL_TAG, "").startswith(prefix):
            return  # the author's own
        trial = tags[TRIAL_TAG].removeprefix(prefix)
        if trial in known:
            # Two processes have made it at one time; the first is the one that all of them find.
            self._server.call("POST", "runs/delete", {"run_id": info["run_id"]})
            return
        params = {param["key"] for param in data.get("params") or []}
        known[trial] = Nested(str(info["run_id"]), str(info.get("status", RUNNING)), params)

    def _find(self, trial: str) -> str | None:
        first = next(self._search(f"tags.`{TRIAL_TAG}` = '{self._parent}/{trial}'"), None)
        return None if first is None else str(first["info"]["run_id"])

    def _search(self, wanted: str) -> Iterator[Mapping[str, Any]]:
        body = {"experiment_ids": [self._experiment_id], "filter": wanted, "max_results": PAGE}
        body["order_by"] = ["attributes.start_time ASC"]
        while True:
            answer = self._server.call("POST", "runs/search", body)
            yield from answer.get("runs") or []
            if not answer.get("next_page_token"):
                return
            body["page_token"] = answer["next_page_token"]

    def _create(self, trial: str, stamp: int) -> str:
        tags = {TRIAL_TAG: f"{self._parent}/{trial}", PARENT_TAG: self._parent}
        body = {"experiment_id": self._experiment_id, "run_name": f"trial {trial}", "start_time": stamp}
        return self._server.create(
            "runs/create",
            {**body, "tags": pairs(tags)},
            made=lambda answer: str(answer["run"]["info"]["run_id"]),
            find=lambda: self._find(trial),
        )


def _stamp(record: Mapping[str, Any]) -> int:
    return int(record["t"] * 1000)

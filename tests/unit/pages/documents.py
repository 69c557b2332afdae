"""Documents as the engine itself stores them."""

from __future__ import annotations

from typing import Any

from airflow_provider_air.contracts.names import TaskKey
from airflow_provider_air.pages.documents import TaskDocuments, TaskFacts
from airflow_provider_air.runs.history import RunHistory
from airflow_provider_air.runs.ledger import Ledger

KEY = TaskKey("here", "d", "r", "t")
CLUSTER = {"backend": "existing", "name": "ray_default", "details": {"ray_conn_id": "ray_default"}, "owned": False}


def facts(**fields: Any) -> TaskFacts:
    """Give what Airflow knows of a task of ours that runs."""
    known = {"operator": "RayTrainOperator", "state": "running", "try_number": 1, "last_try": 1, "is_ours": True}
    return TaskFacts("d", "r", "t", **{**known, **fields})


def attempt(phase: str = "submitted", submission_id: str = "air-1", **fields: Any) -> dict[str, Any]:
    """Give an attempt's stored form."""
    fields = {"cluster": CLUSTER, "steps": {"intended": 10.0, "cluster": 11.0, "sent": 20.0}, **fields}
    ledger = Ledger().intend(KEY, submission_id, phase=phase, **fields)
    stored: dict[str, Any] = ledger.to_json()["attempts"][0]
    return stored


def ledger(*attempts: dict[str, Any]) -> dict[str, Any]:
    """Give a ledger's stored form."""
    return {**Ledger().to_json(), "attempts": list(attempts)}


def history(records: list[dict[str, Any]], submission_id: str = "air-1", **steps: float) -> dict[str, Any]:
    """Give a history's stored form, made of records as a driver writes them."""
    made = RunHistory({"submission_id": submission_id, "workload": "train"})
    for name, at in steps.items():
        made.note_step(name, at)
    made.note_records([{"v": 1, "seq": number, "t": 100.0 + number, **record} for number, record in enumerate(records)])
    return made.to_json()


def documents(*attempts: dict[str, Any], of: TaskFacts | None = None, **stored: Any) -> TaskDocuments:
    """Give all that is stored of a task instance."""
    return TaskDocuments(of or facts(), ledger=ledger(*attempts) if attempts else None, **stored)

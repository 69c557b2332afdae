"""What is read of a task instance's stored documents, before anything is made of it for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class TaskFacts:
    """
    What Airflow itself knows of one try of a task instance. Times are epoch seconds.

    :param map_index: -1 where the task is not mapped
    :param state: Airflow's; None where it waits to be scheduled
    :param try_number: of the try that is shown
    :param last_try: the number of the newest one
    :param is_ours: the operator is one of the provider's
    """

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1
    operator: str | None = None
    state: str | None = None
    try_number: int = 0
    last_try: int = 0
    started_at: float | None = None
    ended_at: float | None = None
    is_ours: bool = False


@dataclass(frozen=True)
class TaskDocuments:
    """
    All that is stored of a task instance, as it is stored: JSON of any version, or None.

    :param ledger: the state store's, see :class:`airflow_provider_air.runs.ledger.Ledger`
    :param about: what was known of the attempt before it was sent, while it runs
    :param progress: the XCom of the newest try, see :mod:`airflow_provider_air.runs.progress`
    :param live: the XCom with the history of the attempt that runs, see :mod:`airflow_provider_air.runs.history`
    :param kept: the history of an attempt that has ended, from the state store
    :param earlier: what is left of the history of the attempt before that, see
        :func:`airflow_provider_air.runs.history.shortened`
    :param result: the task's XCom
    :param gate: what a gate said of a model, see :func:`airflow_provider_air.links.mlflow.push_gate`
    :param links: addresses of pages, by their XComs' keys
    :param notes: what could not be read, and why, for people
    """

    facts: TaskFacts
    ledger: Any = None
    about: Any = None
    progress: Any = None
    live: Any = None
    kept: Any = None
    earlier: Any = None
    result: Any = None
    gate: Any = None
    links: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

"""An Airflow worker in this process: runs an operator's ``execute`` against a real cluster, without Airflow's parts."""

from __future__ import annotations

import itertools
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from airflow_provider_air.ray_api.transport import Transport
from tests.fakes.task_context import Store, Supervisor, supervised, task_context

RAY_CONN_ID = "ray_bench"
_RUNS = itertools.count(1)


@contextmanager
def connected(transport: Transport) -> Iterator[Supervisor]:
    """Let the connection :data:`RAY_CONN_ID` lead to this cluster, and XComs to the supervisor that is given."""
    fields = {"conn_type": "ray", "host": transport.base_url, "password": transport.token}
    with with_connection(RAY_CONN_ID, fields) as supervisor:
        yield supervisor


@contextmanager
def with_connection(conn_id: str, fields: Mapping[str, Any]) -> Iterator[Supervisor]:
    """Have a connection, in Airflow's JSON form, and XComs go to the supervisor that is given."""
    name = f"AIRFLOW_CONN_{conn_id.upper()}"
    os.environ[name] = json.dumps(fields)
    try:
        with supervised(Supervisor()) as supervisor:
            yield supervisor
    finally:
        del os.environ[name]


def new_context(operator: Any, *, store: Store | None = None, run_id: str = "", try_number: int = 1) -> Any:
    """Give the context of a try; of a new run's first one, unless ``store`` and ``run_id`` are of an earlier try."""
    run = run_id or f"bench__{os.getpid()}_{next(_RUNS)}"
    return task_context(store or Store(), run_id=run, task_id=operator.task_id, try_number=try_number)


def run(operator: Any) -> float:
    """Execute an operator as a new run's first try, and give the seconds."""
    context = new_context(operator)
    began = time.perf_counter()
    operator.execute(context)
    return time.perf_counter() - began

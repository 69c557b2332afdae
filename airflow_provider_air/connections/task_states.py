"""What Airflow says of a task instance's state, and what that makes of a kill."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

import httpx
from airflow.sdk import conf

# All that a signal handler may ask of Airflow is over by then, answered or not.
ANSWER_SECONDS = 0.5
# A task instance that nobody has stopped: this try's own, or another try that goes on with it by now.
GOING_ON = ("scheduled", "queued", "running", "deferred", "up_for_retry", "up_for_reschedule")


def state_of(task: Mapping[str, Any]) -> str | None:
    """
    Ask for a task instance's state, by the line to the supervisor; None where there is no such task instance. Blocks.

    :param task: ``dag_id``, ``run_id``, ``task_id``, ``map_index``
    """
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    states = RuntimeTaskInstance.get_task_states(
        dag_id=task["dag_id"], task_ids=[task["task_id"]], run_ids=[task["run_id"]], map_index=task["map_index"]
    )
    mapped = task["task_id"] if task["map_index"] < 0 else f"{task['task_id']}_{task['map_index']}"
    state: str | None = states.get(task["run_id"], {}).get(mapped)
    return state


class KillQuestion:
    """
    Whether a worker's kill was a person's act; made when the task begins, asked inside its signal handler.

    Airflow ends a task also when its heartbeats fail since the api-server is away, when its host was frozen until
    another try had taken over, and when its worker shuts down: nobody has stopped it then.

    :param task: ``dag_id``, ``run_id``, ``task_id``, ``map_index`` of the task instance that the worker runs
    """

    def __init__(self, task: Mapping[str, Any]) -> None:
        self._task = dict(task)
        self._health = _health_request(_execution_api_url())

    def is_wanted(self) -> bool:
        """
        Tell whether it was, or nobody can tell: the api-server answers, and the state cannot be read. Never raises.

        Asks in threads, since the signal may have come in the middle of a request on the same line, and a name server
        knows no haste.
        """
        answers: SimpleQueue[tuple[str, Any]] = SimpleQueue()
        for what, ask in (("state", lambda: state_of(self._task)), ("health", self._health)):
            Thread(target=_answer, args=(answers, what, ask), daemon=True).start()
        end, is_there = time.monotonic() + ANSWER_SECONDS, False
        while (left := end - time.monotonic()) > 0:
            with suppress(Empty):
                what, said = answers.get(timeout=left)
                if what == "state":
                    return said not in GOING_ON
                is_there = True
        return is_there


def _answer(answers: SimpleQueue[tuple[str, Any]], what: str, ask: Callable[[], Any]) -> None:
    # Whatever it raises: no answer is an answer of its own.
    with suppress(Exception):
        answers.put((what, ask()))


def _execution_api_url() -> str:
    """Give where Airflow's api-server listens for workers, as its executors find it (3.3)."""
    base: str = conf.get("api", "base_url", fallback="") or "/"
    base = f"http://localhost:8080{base}" if base.startswith("/") else base
    url: str = conf.get("core", "execution_api_server_url", fallback="") or f"{base.rstrip('/')}/execution/"
    return url


def _health_request(url: str) -> Callable[[], Any]:
    """Give the one request that the api-server answers to anybody, and that asks no database; raises where it fails."""
    if url.startswith("https:"):
        # Its certificates are Airflow's affair.
        from airflow.sdk.api.client import Client

        client: httpx.Client = Client(base_url=url, token="", timeout=ANSWER_SECONDS)
    else:
        client = httpx.Client(base_url=url, timeout=ANSWER_SECONDS, verify=False)  # noqa: S501  # there is no TLS
    # Sent as it is: Airflow's own client asks again for half a minute.
    request = client.build_request("GET", "health")
    return lambda: client.send(request).raise_for_status()

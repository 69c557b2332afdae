"""A running Airflow through its public REST API: the calls that the demo and the tests make."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import Any, TypeVar, cast
from urllib.parse import quote

import httpx

T = TypeVar("T")
# With SQLite, a call that finds the database locked has done nothing and answers 500: it is sent again. So is a read
# of which a busy server has dropped the connection.
ASKED_AT_MOST, ASKED_AGAIN_SECONDS = 12, 0.5
FINISHED_RUN_STATES = frozenset({"success", "failed"})
FINISHED_TASK_STATES = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})

# Another file's import error may be reported before this DAG's file is parsed.
IMPORT_ERROR_PATIENCE_SECONDS = 20.0


class AirflowApiError(AssertionError):
    """Airflow refused a call, or what was waited for did not come."""


class AirflowApi:
    """
    Talks to one API server, as an administrator of a deployment without passwords.

    Every ``wait_`` method returns what it waited for, and raises :class:`AirflowApiError` with the state
    seen last when ``timeout_seconds`` are over. ``map_index`` is -1 for a task that is not mapped.

    :param base_url: the API server's address, without a final slash
    """

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self._client = httpx.Client(base_url=base_url, timeout=300, trust_env=False)

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    def call(self, method: str, path: str, **options: Any) -> Any:
        """
        Send one request to ``/api/v2`` and return its JSON, for what has no method of its own.

        :param options: what :meth:`httpx.Client.request` takes
        :raises AirflowApiError: the answer is no success
        """
        response = self._send(method, path, **options)
        if not response.is_success:
            raise AirflowApiError(f"{method} {path}: {response.status_code} {response.text[:2000]}")
        return response.json() if response.content else None

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        if "Authorization" not in self._client.headers:
            token = self._client.get("/auth/token").raise_for_status().json()["access_token"]
            self._client.headers["Authorization"] = f"Bearer {token}"
        for asks_left in reversed(range(ASKED_AT_MOST)):
            try:
                response = self._client.request(method, f"/api/v2{path}", **options)
            except httpx.TransportError:
                if method != "GET" or not asks_left:
                    raise
            else:
                if response.status_code != httpx.codes.INTERNAL_SERVER_ERROR:
                    break
            time.sleep(ASKED_AGAIN_SECONDS)
        return response

    def health(self) -> dict[str, dict[str, Any]]:
        """Give the status and the last heartbeat of each component; empty while the API server starts."""
        try:
            response = self._client.get("/api/v2/monitor/health", timeout=10)
        except httpx.TransportError:
            return {}
        return cast("dict[str, dict[str, Any]]", response.json()) if response.is_success else {}

    def wait_dag(self, dag_id: str, timeout_seconds: float = 120) -> None:
        """Wait until the DAG is known; import errors end the wait soon, as one of them may be this DAG's."""
        patience_ends = time.monotonic() + IMPORT_ERROR_PATIENCE_SECONDS

        def known() -> bool:
            response = self._send("GET", f"/dags/{dag_id}")
            if response.is_success:
                return not response.json()["is_stale"]
            errors = self.call("GET", "/importErrors")["import_errors"]
            if errors and time.monotonic() > patience_ends:
                traces = "\n".join(f"{error['filename']}:\n{error['stack_trace']}" for error in errors)
                raise AirflowApiError(f"DAG {dag_id} is unknown, and DAG files have import errors:\n{traces}")
            return False

        wait_for(known, bool, f"DAG {dag_id} is parsed", timeout_seconds)

    def unpause(self, dag_id: str) -> None:
        """Let the DAG's runs start; needed only where DAGs are paused at creation."""
        self.call("PATCH", f"/dags/{dag_id}", json={"is_paused": False})

    def trigger(self, dag_id: str, conf: dict[str, Any] | None = None, run_id: str | None = None) -> str:
        """Start a run and return its run id."""
        body = {"logical_date": None, "conf": conf or {}} | ({"dag_run_id": run_id} if run_id else {})
        return cast("str", self.call("POST", f"/dags/{dag_id}/dagRuns", json=body)["dag_run_id"])

    def run(self, dag_id: str, run_id: str) -> dict[str, Any]:
        """Give the run as the API shows it."""
        return cast("dict[str, Any]", self.call("GET", _run_path(dag_id, run_id)))

    def run_state(self, dag_id: str, run_id: str) -> str:
        """Give the run's state: queued, running, success or failed."""
        return cast("str", self.run(dag_id, run_id)["state"])

    def wait_run(
        self,
        dag_id: str,
        run_id: str,
        states: Collection[str] = FINISHED_RUN_STATES,
        timeout_seconds: float = 300,
    ) -> str:
        """Wait until the run has one of the states, and return it."""
        return wait_for(
            lambda: self.run_state(dag_id, run_id),
            states.__contains__,
            f"run {dag_id}/{run_id} is {' or '.join(sorted(states))}",
            timeout_seconds,
            lambda _: str({_label(ti): ti["state"] for ti in self.task_instances(dag_id, run_id)}),
        )

    def set_run_state(self, dag_id: str, run_id: str, state: str) -> None:
        """Do what "mark as failed", "mark as success" or "queue" on a run does in the UI."""
        self.call("PATCH", _run_path(dag_id, run_id), json={"state": state})

    def task_instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Give all task instances of a run, mapped ones included."""
        answer = self.call("GET", f"{_run_path(dag_id, run_id)}/taskInstances", params={"limit": 1000})
        return cast("list[dict[str, Any]]", answer["task_instances"])

    def task_instance(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> dict[str, Any]:
        """Give one task instance: ``state``, ``try_number``, ``pid``, ``trigger`` and more."""
        return cast("dict[str, Any]", self.call("GET", _task_path(dag_id, run_id, task_id, map_index)))

    def wait_task_state(
        self,
        dag_id: str,
        run_id: str,
        task_id: str,
        states: Collection[str] = FINISHED_TASK_STATES,
        timeout_seconds: float = 180,
        map_index: int = -1,
        min_try_number: int = 0,
    ) -> dict[str, Any]:
        """
        Wait until the task instance has one of the states, and return it.

        A task that ended in another state ends the wait at once, where that state cannot change by itself.

        :param min_try_number: the try that must have been reached, to see past the state before a clear
        """
        run = f"{dag_id}/{run_id}/{task_id}"

        def reached(instance: dict[str, Any]) -> bool:
            state, current = instance["state"], instance["try_number"] >= min_try_number
            if current and state in FINISHED_TASK_STATES and state not in states:
                raise AirflowApiError(
                    f"{run} ended as {state}, wanted {' or '.join(sorted(states))}\n"
                    + self.log_text(dag_id, run_id, task_id, instance["try_number"], map_index)[-6000:]
                )
            return current and state in states

        return wait_for(
            lambda: self.task_instance(dag_id, run_id, task_id, map_index),
            reached,
            f"{run} is {' or '.join(sorted(states))}",
            timeout_seconds,
            lambda instance: f"{instance['state']}, try {instance['try_number']}",
        )

    def set_task_state(
        self, dag_id: str, run_id: str, task_id: str, state: str = "failed", map_index: int = -1
    ) -> None:
        """Do what "mark as failed" (or success, skipped) on a task instance does in the UI."""
        self.call("PATCH", _task_path(dag_id, run_id, task_id, map_index), json={"new_state": state})

    def clear(
        self,
        dag_id: str,
        run_id: str,
        task_ids: list[str | tuple[str, int]] | None = None,
        *,
        only_failed: bool = False,
        downstream: bool = False,
    ) -> list[str]:
        """Do what "clear" in the UI does, for these tasks or the whole run; return the tasks cleared."""
        body = {
            "dry_run": False,
            "dag_run_id": run_id,
            "task_ids": task_ids,
            "only_failed": only_failed,
            "include_downstream": downstream,
            "reset_dag_runs": True,
        }
        answer = self.call("POST", f"/dags/{dag_id}/clearTaskInstances", json=body)
        return [_label(instance) for instance in answer["task_instances"]]

    def log_lines(self, dag_id: str, run_id: str, task_id: str, try_number: int = 1, map_index: int = -1) -> list[str]:
        """Give the messages of a try's whole log, worker's and triggerer's merged, as the UI shows them."""
        path = f"{_run_path(dag_id, run_id)}/taskInstances/{quote(task_id)}/logs/{try_number}"
        query = {"full_content": True, "map_index": map_index}
        content = self.call("GET", path, params=query, headers={"Accept": "application/json"})["content"]
        return [entry if isinstance(entry, str) else str(entry.get("event", "")) for entry in content]

    def log_text(self, dag_id: str, run_id: str, task_id: str, try_number: int = 1, map_index: int = -1) -> str:
        """Give :meth:`log_lines` as one text."""
        return "\n".join(self.log_lines(dag_id, run_id, task_id, try_number, map_index))

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str = "return_value", map_index: int = -1) -> Any:
        """Give an XCom's value, or None where there is none; readable while the task is deferred."""
        path = f"{_run_path(dag_id, run_id)}/taskInstances/{quote(task_id)}/xcomEntries/{quote(key)}"
        query = {"map_index": map_index, "deserialize": False, "stringify": False}
        response = self._send("GET", path, params=query)
        if response.status_code == httpx.codes.NOT_FOUND:
            return None
        if not response.is_success:
            raise AirflowApiError(f"GET {path}: {response.status_code} {response.text[:2000]}")
        return response.json()["value"]

    def state_store(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> dict[str, Any]:
        """Give all that the task state store keeps for a task instance."""
        path = f"{_run_path(dag_id, run_id)}/taskInstances/{quote(task_id)}/state-store"
        answer = self.call("GET", path, params={"map_index": map_index, "limit": 1000})
        entries = next(value for value in answer.values() if isinstance(value, list))
        return {entry["key"]: entry["value"] for entry in entries}

    def links(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> dict[str, str | None]:
        """Give the task's extra links by name."""
        path = f"{_run_path(dag_id, run_id)}/taskInstances/{quote(task_id)}/links"
        answer = self.call("GET", path, params={"map_index": map_index})
        return cast("dict[str, str | None]", answer["extra_links"])

    def task_url(self, dag_id: str, run_id: str, task_id: str) -> str:
        """Give the task instance's page in the UI."""
        return f"{self.run_url(dag_id, run_id)}/tasks/{quote(task_id)}"

    def run_url(self, dag_id: str, run_id: str) -> str:
        """Give the run's page in the UI."""
        return f"{self.base_url}/dags/{dag_id}/runs/{quote(run_id)}"


def wait_for(
    look: Callable[[], T],
    accept: Callable[[T], bool],
    what: str,
    timeout_seconds: float,
    describe: Callable[[T], str] = str,
    poll_interval_seconds: float = 0.25,
) -> T:
    """
    Look again and again until what is seen is acceptable, and return it.

    :param what: the sentence that should have become true, for the error message
    :param describe: says what was seen last, for the error message
    :raises AirflowApiError: nothing acceptable was seen within ``timeout_seconds``
    """
    end = time.monotonic() + timeout_seconds
    while True:
        seen = look()
        if accept(seen):
            return seen
        if time.monotonic() >= end:
            raise AirflowApiError(f"after {timeout_seconds:g} s not true: {what}; last seen: {describe(seen)}")
        time.sleep(poll_interval_seconds)


def _run_path(dag_id: str, run_id: str) -> str:
    return f"/dags/{dag_id}/dagRuns/{quote(run_id)}"


def _task_path(dag_id: str, run_id: str, task_id: str, map_index: int) -> str:
    path = f"{_run_path(dag_id, run_id)}/taskInstances/{quote(task_id)}"
    return path if map_index < 0 else f"{path}/{map_index}"


def _label(instance: dict[str, Any]) -> str:
    index = instance.get("map_index", -1)
    return str(instance["task_id"]) if index < 0 else f"{instance['task_id']}[{index}]"

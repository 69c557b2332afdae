"""Runs of one Ray job each, on a real Airflow and a real Ray head, and what became of them."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from airflow_api import AirflowApi, AirflowApiError, wait_for

from airflow_provider_air.contracts.clusters import ClusterRef
from airflow_provider_air.ray_api.client import RayClient
from airflow_provider_air.ray_api.models import JobDetails
from airflow_provider_air.ray_api.requests import list_jobs
from airflow_provider_air.ray_api.transport import Transport
from airflow_provider_air.runs.ledger import LEDGER_KEY
from airflow_provider_air.runs.names import TASK
from tests.fakes.chaos_proxy import ChaosProxy

Scenario = Callable[["RayLab"], None]
PATIENCE_SECONDS = 420.0
OUTAGE_SECONDS = 30.0
TASK_ID = "job"


@dataclass
class Case:
    """
    One run of a DAG of ``dags/ray_once.py``, with a ledger and a way to its cluster of its own.

    :param proxy: stands between this run's Airflow side and Ray's dashboard
    :param folder: holds the ledger and what the job waits for
    """

    api: AirflowApi
    dag_id: str
    folder: Path
    proxy: ChaosProxy
    transport: Transport
    run_id: str = ""

    def start(self, *, run_id: str | None = None, **conf: int) -> None:
        """
        Start the run.

        :param conf: ``lines`` and ``chatter`` of the job
        """
        told: dict[str, Any] = {"folder": str(self.folder), "ray_conn_id": self.folder.name, **conf}
        self.run_id = self.api.trigger(self.dag_id, told, run_id)

    # What the job is told and what it tells

    def ledger(self) -> list[str]:
        """Give the ledger's lines: every start, stop and end of every job of this run."""
        with contextlib.suppress(FileNotFoundError):
            return (self.folder / "ledger").read_text().splitlines()
        return []

    def wait_ledger(self, *lines: str) -> None:
        """Wait until exactly this has happened."""
        wait_for(
            self.ledger, list(lines).__eq__, f"the ledger of {self} says {lines}", PATIENCE_SECONDS, self._describe
        )

    def release(self, number: int = 1, *, exit_code: int = 0) -> None:
        """Let the job of this number end."""
        draft = self.folder / f"draft-{number}"
        draft.write_text(str(exit_code))
        draft.rename(self.folder / f"release-{number}")

    # What Airflow says

    def wait_state(self, *states: str, try_number: int = 0) -> dict[str, Any]:
        """Wait until the task is in one of the states, in this try or a later one."""
        return self.api.wait_task_state(
            self.dag_id, self.run_id, TASK_ID, states, PATIENCE_SECONDS, min_try_number=try_number
        )

    def wait_watched(self) -> None:
        """
        Wait until a trigger watches the job, which has to chatter.

        A trigger that has not begun hears nothing of a person's word (3.3.2).
        """
        # The worker may have shown the first lines itself, and there was an earlier trigger if the cluster was awaited.
        self.wait_logged("job 1 is here")
        self.wait_state("deferred")
        self.wait_more_lines(20)

    def wait_run_end(self) -> None:
        """Wait until the run has ended, too: Airflow may forget a task that is cleared just before that."""
        self.api.wait_run(self.dag_id, self.run_id, timeout_seconds=PATIENCE_SECONDS)

    def log_lines(self, try_number: int = 1, task_id: str = TASK_ID) -> list[str]:
        """Give the lines of a try's task log, each error as class and message; none before it begins."""
        if self.api.task_instance(self.dag_id, self.run_id, task_id)["try_number"] < try_number:
            return []
        path = f"/dags/{self.dag_id}/dagRuns/{self.run_id}/taskInstances/{task_id}/logs/{try_number}"
        options: dict[str, Any] = {"params": {"full_content": True}, "headers": {"Accept": "application/json"}}
        try:
            answer = self.api.call("GET", path, timeout=PATIENCE_SECONDS, **options)
        except AirflowApiError as error:
            # Airflow has just given the try another number.
            if "TaskInstance not found" in str(error):
                return []
            raise
        lines: list[str] = []
        for entry in answer["content"]:
            errors = entry.get("error_detail") or []
            lines += [*entry["event"].split("\n"), *(f"{error['exc_type']}: {error['exc_value']}" for error in errors)]
        return lines

    def log(self, try_number: int = 1, task_id: str = TASK_ID) -> str:
        """Give :meth:`log_lines` as one text."""
        return "\n".join(self.log_lines(try_number, task_id))

    def last_try(self, task_id: str = TASK_ID) -> int:
        """Give the number of the task's last try; 0 before the first one."""
        return int(self.api.task_instance(self.dag_id, self.run_id, task_id)["try_number"] or 0)

    def logs_from(self, try_number: int, task_id: str = TASK_ID) -> str:
        """Give :meth:`log` of this try and all later ones: on a busy machine, Airflow itself may need one more."""
        return "\n".join(self.log(number, task_id) for number in range(try_number, self.last_try(task_id) + 1))

    def wait_logged(self, text: str, try_number: int = 1) -> None:
        """Wait until the task log holds a text, in this try or a later one."""
        wait_for(
            lambda: self.logs_from(try_number),
            lambda log: text in log,
            f"the log of {self} says {text!r}",
            PATIENCE_SECONDS,
            self._describe,
            poll_interval_seconds=1.0,
        )

    def shown_ranges(self) -> list[tuple[int, int]]:
        """
        Give the ranges of the job's numbered lines, first and last, in the order of the task log.

        They are those of the last try that shows any: each try that adopts a job shows its log from the start.
        """
        tries = range(self.last_try(), 0, -1)
        return next(filter(None, (_ranges(self.log_lines(number)) for number in tries)), [])

    def last_shown_line(self) -> int:
        """Give the number of the last numbered line that the task log shows now."""
        return max((last for _, last in self.shown_ranges()), default=0)

    def wait_shown(self, last: int) -> list[tuple[int, int]]:
        """
        Wait until the task log shows this numbered line, and give :meth:`shown_ranges`.

        Airflow may write the last lines of a trigger after the task's end.
        """
        wait_for(
            self.last_shown_line,
            lambda shown: shown >= last,
            f"the log of {self} shows line {last}",
            PATIENCE_SECONDS,
            self._describe,
            poll_interval_seconds=2.0,
        )
        return self.shown_ranges()

    def wait_more_lines(self, count: int = 60) -> None:
        """Wait until this many more numbered lines are shown than now."""
        wanted = self.last_shown_line() + count
        wait_for(
            self.last_shown_line,
            lambda shown: shown >= wanted,
            f"the log of {self} shows line {wanted}",
            PATIENCE_SECONDS,
            self._describe,
            poll_interval_seconds=1.0,
        )

    def printed_lines(self) -> int:
        """Give how many numbered lines the released job printed, as it tells itself."""
        return int((self.folder / "printed-1").read_text())

    def run_generation(self) -> int:
        """Give the generation whose storage the task uses now."""
        return int(self._stored()["run_generation"])

    def attempts(self) -> list[dict[str, Any]]:
        """Give the attempts as the task's state store has them."""
        return list(self._stored()["attempts"])

    def _stored(self) -> dict[str, Any]:
        value = self.api.state_store(self.dag_id, self.run_id, TASK_ID)[LEDGER_KEY]
        return dict(json.loads(value) if isinstance(value, str) else value)

    def clear(self) -> None:
        """Do what a person does who wants the task to run again."""
        assert self.api.clear(self.dag_id, self.run_id, [TASK_ID]) == [TASK_ID]

    def mark_failed(self) -> None:
        """Do what a person does who has seen enough."""
        self.api.set_task_state(self.dag_id, self.run_id, TASK_ID, "failed")

    # What is broken

    def kill_worker(self) -> None:
        """Kill the process that runs the task, as the kernel does when memory is short."""
        pid = self.api.task_instance(self.dag_id, self.run_id, TASK_ID)["pid"]
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(psutil.NoSuchProcess, psutil.TimeoutExpired):
            psutil.Process(pid).wait(10)

    def break_api(self, *, status: int | None) -> None:
        """For 30 s, let all of Ray's API answer with this status, or nothing of it (None); returns afterwards."""
        broken: dict[str, Any] = {"hold": True, "drop": True} if status is None else {"status": status}
        rule = self.proxy.on("*", "", times=None, **broken)
        rule.wait_reached(PATIENCE_SECONDS)
        time.sleep(OUTAGE_SECONDS)
        rule.cancel()

    def start_into_broken_api(self, *, status: int | None) -> None:
        """Start the run; from its submission on, the API is broken for 30 s; returns afterwards."""
        post = self.proxy.on("POST", "^/api/jobs/$", hold=True, drop=True)
        self.start()
        post.wait_reached(PATIENCE_SECONDS)
        breaking = threading.Thread(target=self.break_api, kwargs={"status": status})
        breaking.start()
        post.release()
        breaking.join()

    # What Ray says

    def jobs(self) -> list[JobDetails]:
        """Give all jobs that the cluster knows of this run, whoever's they are."""
        with RayClient(self.transport) as client:
            return [job for job in client.send(list_jobs()) if job.metadata.get(TASK) == str(self)]

    def judge(self, *ledger: str, state: str = "success", says: str = "", try_number: int = 1) -> None:
        """
        Wait for the task's end and check what every scenario must leave behind.

        :param ledger: all that may have happened
        :param state: the task's final state
        :param says: what its last log must tell
        :param try_number: the try that must have been reached; on a busy machine, Airflow itself may need one more
        """
        self.wait_state(state, try_number=try_number)
        wait_for(
            self.jobs,
            lambda jobs: all(job.status.is_terminal for job in jobs),
            f"no job of {self} is left running",
            PATIENCE_SECONDS,
        )
        assert self.ledger() == list(ledger), self._describe(self.ledger())
        if says:
            # The triggerer's lines may come after the task's end.
            self.wait_logged(says, try_number)

    def _describe(self, seen: object) -> str:
        state = self.api.task_instance(self.dag_id, self.run_id, TASK_ID)["state"]
        logs = "\n".join(f"--- try {n}\n" + self.log(n)[-4000:] for n in range(1, self.last_try() + 1))
        return f"{str(seen)[-4000:]!r}; task {state}, jobs {self.jobs()}\n{logs}"

    def __str__(self) -> str:
        return f"{self.dag_id}/{self.run_id}/{TASK_ID}"


@dataclass
class RayLab:
    """
    One Airflow and one Ray head for many cases; thread-safe.

    :param folder: where the cases' folders go
    """

    api: AirflowApi
    cluster: ClusterRef
    transport: Transport
    folder: Path
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def new_folder(self) -> Path:
        """Make a folder that no other run uses."""
        with self._lock:
            folder = self.folder / f"case_{next(self._numbers)}"
        folder.mkdir()
        return folder

    @contextmanager
    def case(self, dag_id: str = "once_deferred", *, api: AirflowApi | None = None) -> Iterator[Case]:
        """
        Prepare a run, with a proxy that can be given its rules before :meth:`Case.start`.

        :param api: another Airflow than the lab's
        """
        api = api or self.api
        folder = self.new_folder()
        name = folder.name
        with ChaosProxy(self.transport.base_url) as proxy:
            connection = {"conn_type": "ray", "host": proxy.url, "password": self.transport.token}
            api.call("POST", "/connections", json={"connection_id": name, **connection})
            api.wait_dag(dag_id)
            yield Case(api, dag_id, folder, proxy, self.transport)


def _ranges(lines: Iterable[str]) -> list[tuple[int, int]]:
    ranges: list[tuple[int, int]] = []
    for line in lines:
        if not line.startswith("line "):
            continue
        number = int(line.removeprefix("line "))
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1] = (ranges[-1][0], number)
        else:
            ranges.append((number, number))
    return ranges

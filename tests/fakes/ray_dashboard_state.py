"""What the double of Ray's dashboard remembers: jobs as Ray describes them, and the planned faults."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from typing import Any

TERMINAL = frozenset({"SUCCEEDED", "FAILED", "STOPPED"})
SETTING_UP = "Job has not started yet. It may be waiting for the runtime environment to be set up."
NO_RESOURCES = (
    "Job has not started yet. "
    "It may be waiting for resources (CPUs, GPUs, memory, custom resources) to become available."
)
MESSAGES = {
    "PENDING": SETTING_UP,
    "RUNNING": "Job is currently running.",
    "SUCCEEDED": "Job finished successfully.",
    "STOPPED": "Job was intentionally stopped.",
    "FAILED": "Job entrypoint command failed with exit code 1, last available logs (truncated to 20,000 chars):\n",
}
EXIT_CODES = {"SUCCEEDED": 0, "FAILED": 1}


def log_name(submission_id: str) -> str:
    """Name of a job's driver log in the node's log folder."""
    return f"job-driver-{submission_id}.log"


@dataclass
class FakeJob:
    """
    One job record, in the fields of Ray's ``JobDetails``.

    :param unschedulable: stays PENDING whatever is asked of it, as a job that wants more than there is.
    """

    submission_id: str
    entrypoint: str = "true"
    status: str = "PENDING"
    message: str = SETTING_UP
    error_type: str | None = None
    job_id: str | None = None
    metadata: dict[str, str] | None = None
    runtime_env: dict[str, Any] | None = None
    entrypoint_resources: dict[str, Any] = field(default_factory=dict)
    start_time: int = field(default_factory=lambda: int(time.time() * 1000))
    end_time: int | None = None
    driver_exit_code: int | None = None
    unschedulable: bool = False

    def move_to(self, status: str, message: str | None, error_type: str | None, exit_code: int | None) -> None:
        """Change the status with everything that changes with it in Ray."""
        self.status = status
        self.message = MESSAGES[status] if message is None else message
        self.error_type = error_type or ("JOB_ENTRYPOINT_COMMAND_ERROR" if status == "FAILED" else None)
        self.driver_exit_code = EXIT_CODES.get(status) if exit_code is None else exit_code
        self.end_time = int(time.time() * 1000) if status in TERMINAL else None

    def details(self, agent_url: str, node_id: str) -> dict[str, Any]:
        """The record as ``GET /api/jobs/{id}`` shows it. Source: ray 2.60 modules/job/pydantic_models.py."""
        placed = self.status != "PENDING"
        driver = {"id": self.job_id, "node_ip_address": "127.0.0.1", "pid": "1"} if self.job_id else None
        return {
            "type": "SUBMISSION",
            "job_id": self.job_id,
            "submission_id": self.submission_id,
            "driver_info": driver,
            "status": self.status,
            "entrypoint": self.entrypoint,
            "message": self.message,
            "error_type": self.error_type,
            "start_time": self.start_time,
            "end_time": self.end_time,
            "metadata": self.metadata,
            "runtime_env": self.runtime_env,
            "driver_agent_http_address": agent_url if placed else None,
            "driver_node_id": node_id if placed else None,
            "driver_exit_code": self.driver_exit_code,
        }


@dataclass
class Fault:
    """
    A planned failure of the next ``times`` requests that match.

    :param path: regular expression searched in the path (without the query).
    :param times: how many requests it hits; None: every one until :meth:`cancel`.
    :param status: answer this instead of the real reply, with ``body``.
    :param drop: close the connection without a reply.
    :param act_first: carry the request out before answering ``status`` or dropping: the lost reply.
    :param delay_seconds: wait before anything else.
    """

    method: str
    path: str
    times: int | None = 1
    status: int | None = None
    body: str = "planned fault"
    drop: bool = False
    act_first: bool = False
    delay_seconds: float = 0.0
    hits: int = 0

    def takes(self, method: str, path: str) -> bool:
        """Say whether this request is hit, and count it."""
        spent = self.times is not None and self.hits >= self.times
        if spent or self.method not in ("*", method) or not re.search(self.path, path):
            return False
        self.hits += 1
        return True

    def cancel(self) -> None:
        """Hit nothing any more."""
        self.times = 0

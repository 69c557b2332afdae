"""What a head's dashboard and job agent tell its supervisor and its backend; one short question at a time."""

from __future__ import annotations

import http.client
import json
from typing import Any

_LIVE_JOB = ("PENDING", "RUNNING")
_STOP = "/api/job_agent/jobs/air-probe/stop"


class HeadProbe:
    """
    Ask one head on this host. No answer is an answer (None or False), never an exception.

    Plain ``http.client``: the supervisor stays small, and no proxy of the environment gets in between.

    :param ports: the head's ports, by use
    :param token: its bearer token
    """

    def __init__(self, ports: Any, token: str, *, timeout_seconds: float = 10.0) -> None:
        self._ports = ports
        self._token = token
        self._timeout_seconds = timeout_seconds

    def answers(self) -> bool:
        """Tell whether the dashboard answers and lets us in."""
        return self.session_name() is not None

    def session_name(self) -> str | None:
        """Give the name of Ray's session, which a restarted head changes; None where nobody answers."""
        told = self._get("/api/version")
        return str(told.get("session_name", "")) if isinstance(told, dict) else None

    def missing(self) -> str | None:
        """
        Say what a head lacks to take a job without delay, or None if nothing.

        The head's job agent connects to Ray when it is first asked for something (1.3-5 s, Ray 2.60): asking
        it to stop a job that is not there makes it do so now, and its 404 says that it is done.
        """
        if not self.answers():
            return "the dashboard does not answer"
        status, _ = self._ask("agent", "POST", _STOP)
        if status != 404:
            return f"the job agent does not take jobs (HTTP status {status})"
        return None if self._node_is_alive() else "the node is not alive"

    def refuses_strangers(self) -> bool | None:
        """Tell whether dashboard and job agent refuse who shows no token; None where one of them says nothing."""
        doors = (("dashboard", "GET", "/api/version"), ("agent", "POST", _STOP))
        told = [self._ask(*door, with_token=False)[0] for door in doors]
        if any(status is not None and status < 500 and status not in (401, 403) for status in told):
            return False
        return None if any(status not in (401, 403) for status in told) else True

    def _node_is_alive(self) -> bool:
        answer = self._get("/api/v0/nodes?limit=100")
        nodes = _dig(answer, "data", "result", "result")
        return isinstance(nodes, list) and any(_dig(node, "state") == "ALIVE" for node in nodes)

    def last_activity(self, now: float) -> float | None:
        """
        Say when somebody last worked here: now, if a job, driver or Serve lives; else the last job's end.

        :return: seconds since the epoch; now, if the head does not answer, since that is no proof of idleness;
            None if there never was a job
        """
        jobs = self._get("/api/jobs/")
        if not isinstance(jobs, list):
            return now
        if any(_dig(job, "status") in _LIVE_JOB for job in jobs) or self._serve_is_alive():
            return now
        ends = [end for job in jobs if isinstance(end := _dig(job, "end_time"), int | float)]
        return max(ends) / 1000 if ends else None

    def _serve_is_alive(self) -> bool:
        """Look for Serve's controller, an actor that needs no driver; asking Serve itself would start it."""
        answer = self._get(
            "/api/v0/actors?limit=1"
            "&filter_keys=class_name&filter_predicates=%3D&filter_values=ServeController"
            "&filter_keys=state&filter_predicates=%3D&filter_values=ALIVE"
        )
        return bool(_dig(answer, "data", "result", "result"))

    def _get(self, path: str) -> Any:
        status, body = self._ask("dashboard", "GET", path)
        if status != 200:
            return None
        try:
            return json.loads(body)
        except ValueError:
            return None

    def _ask(self, use: str, method: str, path: str, *, with_token: bool = True) -> tuple[int | None, bytes]:
        headers = {"Authorization": f"Bearer {self._token}"} if with_token else {}
        connection = http.client.HTTPConnection("127.0.0.1", self._ports[use], timeout=self._timeout_seconds)
        try:
            connection.request(method, path, headers=headers)
            response = connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException):
            return None, b""
        finally:
            connection.close()


def _dig(value: Any, *keys: str) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value

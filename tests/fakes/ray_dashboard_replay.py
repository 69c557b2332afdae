"""The double of the dashboard as a process: many running jobs with slowly growing logs, for benchmarks."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import signal
import threading
import time

from aiohttp import web

from tests.fakes.ray_dashboard import FakeRayDashboard
from tests.fakes.ray_dashboard_state import TERMINAL, FakeJob, log_name

SLICES = 50
CONTROL_PREFIX = "/__fake__"


class ReplayDashboard(FakeRayDashboard):
    """
    A dashboard full of running jobs that a benchmark steers over HTTP, without a token, under ``/__fake__``.

    ``GET stats`` gives the number of requests and reply bytes so far and this process's CPU seconds;
    ``POST finish/{submission_id}`` ends a job and says when (epoch seconds); ``POST log/{submission_id}``
    appends the body to its log. A job that is submitted as ``true`` or ``sleep SECONDS`` ends well after
    that long.

    :param jobs: how many run, named ``replay-0000`` and up.
    :param log_interval_seconds: each job logs one line this often.
    """

    def __init__(self, jobs: int, log_interval_seconds: float, port: int = 0, agent_port: int = 0) -> None:
        super().__init__(port=port, agent_port=agent_port)
        self._names = [f"replay-{number:04d}" for number in range(jobs)]
        self._log_interval_seconds = log_interval_seconds
        self.control_url = ""

    async def _open(self) -> None:
        await super()._open()
        control = web.Application()
        control.router.add_get(f"{CONTROL_PREFIX}/stats", self._stats)
        control.router.add_post(f"{CONTROL_PREFIX}/finish/{{id}}", self._finish)
        control.router.add_post(f"{CONTROL_PREFIX}/log/{{id}}", self._log)
        _, port = await self._listen(control)
        self.control_url = f"http://127.0.0.1:{port}{CONTROL_PREFIX}"

    def replay(self) -> None:
        """Fill the dashboard and let the logs grow."""
        for name in self._names:
            self.add_job(name, log="Running entrypoint\n")
        self.call(lambda: self._spawn(self._grow()))

    def submit(self, job: FakeJob) -> None:
        """Accept a POSTed job, in the server's thread."""
        super().submit(job)
        if found := re.fullmatch(r"true|sleep ([0-9.]+)", job.entrypoint):
            self._later((self.starts_after_seconds or 0.0) + float(found[1] or 0.0), lambda: self._succeed(job))

    def _succeed(self, job: FakeJob) -> None:
        if job.status not in TERMINAL:
            job.move_to("SUCCEEDED", None, None, None)

    async def _grow(self) -> None:
        """Write one line for every job per interval, a slice at a time so that no request waits long."""
        for turn in range(2**62):
            for name in self._names[turn % SLICES :: SLICES]:
                if self.jobs[name].status == "RUNNING":
                    self.append_file(log_name(name), f"{time.time():.3f} step {turn // SLICES} of {name}\n")
            await asyncio.sleep(self._log_interval_seconds / SLICES)

    async def _stats(self, request: web.Request) -> web.Response:
        counts = {"requests": self.request_count, "reply_bytes": self.reply_bytes}
        return web.json_response({**counts, "cpu_seconds": time.process_time(), "at": time.time()})

    async def _finish(self, request: web.Request) -> web.Response:
        self.jobs[request.match_info["id"]].move_to(request.query.get("status", "SUCCEEDED"), None, None, None)
        return web.json_response({"at": time.time()})

    async def _log(self, request: web.Request) -> web.Response:
        self.append_log(request.match_info["id"], await request.read())
        return web.json_response({"at": time.time()})


def main() -> None:
    """Serve until SIGTERM or Ctrl-C, after one line of JSON on stdout with the addresses and the token."""
    parser = argparse.ArgumentParser(prog="python -m tests.fakes.ray_dashboard", description=__doc__)
    parser.add_argument("--jobs", type=int, default=1000, help="how many running jobs to replay")
    parser.add_argument("--log-interval-seconds", type=float, default=5.0, help="one log line per job this often")
    parser.add_argument("--port", type=int, default=0, help="dashboard port; 0: a free one")
    parser.add_argument("--agent-port", type=int, default=0, help="agent port; 0: a free one")
    given = parser.parse_args()
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    with ReplayDashboard(given.jobs, given.log_interval_seconds, given.port, given.agent_port) as head:
        head.replay()
        addresses = {"url": head.url, "agent_url": head.agent_url, "control_url": head.control_url}
        ready = {
            **addresses,
            "token": head.token,
            "jobs": given.jobs,
            "pid": os.getpid(),
            "node_id": head.node_id,
        }
        print(json.dumps(ready), flush=True)
        ended.wait()


if __name__ == "__main__":
    main()

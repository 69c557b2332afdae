"""Ray heads for benchmarks: a real one of this machine, and one that is replayed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from airflow_provider_air.contracts.clusters import ClusterRef
from airflow_provider_air.ray_api.transport import Transport
from tests.benchmarks.rig.fresh import REPOSITORY
from tests.clusters import local_cluster


@contextmanager
def real_head(name: str, **spec: Any) -> Iterator[tuple[ClusterRef, Transport]]:
    """Have a local cluster in a home of its own; ``spec`` are fields of LocalCluster."""
    home = tempfile.mkdtemp(prefix="air-", dir="/tmp")  # short: Ray's sockets lie below it
    before = os.environ.get("AIR_LOCAL_HOME")
    os.environ["AIR_LOCAL_HOME"] = home
    try:
        with local_cluster(name, **spec) as cluster:
            yield cluster
    finally:
        if before is None:
            del os.environ["AIR_LOCAL_HOME"]
        else:
            os.environ["AIR_LOCAL_HOME"] = before
        shutil.rmtree(home, ignore_errors=True)


@dataclass
class ReplayedHead:
    """
    A double of Ray's dashboard in a process of its own, full of running jobs.

    :param jobs: their ids
    """

    transport: Transport
    control: httpx.Client
    jobs: list[str]

    def stats(self) -> dict[str, float]:
        """Give ``requests``, ``reply_bytes``, ``cpu_seconds`` so far, and ``at`` (epoch seconds)."""
        return dict(self.control.get("/stats").raise_for_status().json())

    def finish(self, submission_id: str) -> float:
        """End a job, and say when (epoch seconds)."""
        return float(self.control.post(f"/finish/{submission_id}").raise_for_status().json()["at"])

    def log(self, submission_id: str, data: bytes) -> None:
        """Let a job write to its log."""
        piece = 512 * 1024  # the control port takes bodies up to 1 MiB
        for start in range(0, len(data), piece):
            self.control.post(f"/log/{submission_id}", content=data[start : start + piece]).raise_for_status()


@contextmanager
def replayed_head(jobs: int, log_interval_seconds: float) -> Iterator[ReplayedHead]:
    """Replay this many running jobs, each of which logs a line this often."""
    options = ["--jobs", str(jobs), "--log-interval-seconds", str(log_interval_seconds)]
    command = [sys.executable, "-m", "tests.fakes.ray_dashboard", *options]
    process = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        with httpx.Client(base_url=ready["control_url"], trust_env=False, timeout=60) as control:
            names = [f"replay-{number:04d}" for number in range(jobs)]
            yield ReplayedHead(Transport(ready["url"], token=ready["token"]), control, names)
    finally:
        process.terminate()
        process.communicate(timeout=30)

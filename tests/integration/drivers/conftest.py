"""One Ray head for all driver tests, and a way to run a driver on it as Airflow would, by plain REST."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from airflow_provider_air.contracts.clusters import ClusterRef
from airflow_provider_air.contracts.jobs import JobRequest
from airflow_provider_air.drivers.wire.values import decode
from airflow_provider_air.ray_api.client import RayClient
from airflow_provider_air.ray_api.models import JobDetails, JobStatus
from airflow_provider_air.ray_api.packages import upload
from airflow_provider_air.ray_api.requests import get_job, submit_job
from airflow_provider_air.ray_api.transport import Transport
from airflow_provider_air.runs.ends import encoded_result_of
from airflow_provider_air.waiting import wait_until
from airflow_provider_air.workloads.job import prepare
from tests.clusters import BACKEND, local_cluster

CODE = Path(__file__).parent / "code"
JOB_SECONDS = 240.0


@dataclass(frozen=True)
class DriverJob:
    """One submitted driver."""

    submission_id: str
    transport: Transport

    def details(self) -> JobDetails:
        """Ask for the job."""
        with RayClient(self.transport) as client:
            details = client.send(get_job(self.submission_id))
        assert details is not None
        return details

    def ended(self) -> DriverJob:
        """Wait for the job's end."""
        wait_until(
            lambda: True if self.details().status.is_terminal else None,
            what=f"the end of {self.submission_id}",
            timeout_seconds=JOB_SECONDS,
            last_state=lambda: f"{self.details()}",
        )
        return self

    def succeeded(self) -> Any:
        """Wait for success, and give the result."""
        details = self.ended().details()
        assert details.status is JobStatus.SUCCEEDED, details.message
        return decode(encoded_result_of(self.records(), where=self.submission_id))

    def problem(self) -> str:
        """Wait for the end by a configuration error, and give its one message."""
        return self._told(64, "ConfigurationProblem")

    def outage(self) -> str:
        """Wait for the end by what is away still, and give its one message."""
        return self._told(69, "Unavailable")

    def _told(self, code: int, kind: str) -> str:
        details = self.ended().details()
        end = self.records()[-1]
        assert (details.exit_code, end["kind"], end["error"]["type"]) == (code, "end", kind), details.message
        return str(end["error"]["message"])

    def records(self) -> list[dict[str, Any]]:
        """Read the records so far, from the node that the driver runs on."""
        address = self.details().agent_address
        if not address:
            return []
        url = f"{address}/logs/air-records-{self.submission_id}.jsonl"
        answer = httpx.get(url, headers=self.transport.request_headers(), timeout=60)
        return [json.loads(line) for line in answer.text.splitlines(keepends=True) if line.endswith("\n")] * (
            answer.status_code == 200
        )

    def of_kind(self, kind: str) -> list[dict[str, Any]]:
        """Give the records of one kind so far."""
        return [record for record in self.records() if record["kind"] == kind]

    def kill(self) -> None:
        """Kill the driver as a crash would, without a word to anybody."""
        for process in psutil.process_iter(["name"]):
            try:
                mine = process.environ().get("AIR_SUBMISSION_ID") == self.submission_id
                if mine and any(part.startswith("air_drivers.") for part in process.cmdline()[:3]):
                    process.kill()
            except psutil.Error:
                continue
        self.ended()


Submit = Callable[..., DriverJob]


@pytest.fixture(scope="session")
def cluster() -> Iterator[ClusterRef]:
    """One head of four logical CPUs, in a home of its own."""
    folder = Path(tempfile.mkdtemp(prefix="air-", dir="/tmp"))  # short: Ray's sockets lie below it
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIR_LOCAL_HOME", str(folder))
        with local_cluster("drivers", num_cpus=4) as (ref, _):
            yield ref
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def head(cluster: ClusterRef) -> Transport:
    """How to reach the head."""
    return BACKEND.open_transport(cluster)


@pytest.fixture(scope="session")
def submit(head: Transport) -> Submit:
    """Give the function that starts a driver: its entrypoint and its payload."""
    count = iter(range(1000))

    def start(
        entrypoint: str,
        payload: Mapping[str, bytes],
        *,
        env_vars: Mapping[str, str] | None = None,
        secrets: Mapping[str, str] | None = None,
        folders: Mapping[str, Path] | None = None,
    ) -> DriverJob:
        name = f"drivers-{next(count)}"
        request = JobRequest(
            entrypoint,
            working_dir=str(CODE),
            payload=payload,
            folders=folders or {},
            expects_result=True,
            driver_env=env_vars or {},
            secrets=secrets or {},
        )
        prepared = prepare(request, name, metadata={}, not_after=None)
        with RayClient(head) as client:
            for package in prepared.packages:
                upload(client, package)
            assert client.send(submit_job(prepared.submission))
        return DriverJob(name, head)

    return start

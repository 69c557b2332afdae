"""The same jobs by Ray's REST alone, with tight polling: what everything here is compared with."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from typing import Any

import httpx

from airflow_provider_air.ray_api.transport import Transport
from airflow_provider_air.tls import context_for

POLL_SECONDS = 0.02
ENDED = ("SUCCEEDED", "FAILED", "STOPPED")
JOB_SECONDS = 600.0


class RawRest:
    """Submits to one cluster and waits, as a shell script with curl would; a context manager."""

    def __init__(self, transport: Transport, *, poll_seconds: float = POLL_SECONDS) -> None:
        self._poll_seconds = poll_seconds
        self._http = httpx.Client(
            base_url=transport.base_url,
            headers=transport.request_headers(),
            verify=context_for(transport.base_url, transport.verify),
            trust_env=False,
            timeout=60,
        )

    def __enter__(self) -> RawRest:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._http.close()

    def submit(self, entrypoint: str, **fields: Any) -> str:
        """Start a job and give its id; ``fields`` are those of Ray's submission."""
        name = f"raw-{uuid.uuid4().hex[:12]}"
        answer = self._http.post("/api/jobs/", json={"entrypoint": entrypoint, "submission_id": name, **fields})
        answer.raise_for_status()
        return name

    def submit_when_ready(self, entrypoint: str) -> str:
        """Start a job as soon as the head takes one, and give its id."""
        end = time.monotonic() + JOB_SECONDS
        while True:
            try:
                return self.submit(entrypoint)
            except httpx.HTTPError:
                if time.monotonic() > end:
                    raise
                time.sleep(self._poll_seconds)

    def details(self, submission_id: str) -> dict[str, Any]:
        """Give what Ray says of a job."""
        return dict(self._http.get(f"/api/jobs/{submission_id}").raise_for_status().json())

    def log(self, submission_id: str) -> str:
        """Give a job's whole log."""
        return str(self._http.get(f"/api/jobs/{submission_id}/logs").raise_for_status().json()["logs"])

    def wait(self, submission_ids: Sequence[str]) -> list[dict[str, Any]]:
        """
        Wait until all have succeeded, and give their details.

        :raises RuntimeError: one has not
        """
        end = time.monotonic() + JOB_SECONDS
        ended = []
        for name in submission_ids:
            while (job := self.details(name))["status"] not in ENDED:
                if time.monotonic() > end:
                    raise RuntimeError(f"{name} is still {job['status']} after {JOB_SECONDS:g} s")
                time.sleep(self._poll_seconds)
            if job["status"] != "SUCCEEDED":
                raise RuntimeError(f"{name}: {job['message'][-2000:]}")
            ended.append(job)
        return ended

    def run(self, entrypoint: str, **fields: Any) -> float:
        """Run one job from submission to success, and give its seconds."""
        began = time.perf_counter()
        self.wait([self.submit(entrypoint, **fields)])
        return time.perf_counter() - began

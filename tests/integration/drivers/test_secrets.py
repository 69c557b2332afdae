"""Secrets reach every process of a job, and nobody who only looks at the cluster."""

from __future__ import annotations

import os
from pathlib import Path

import httpx

from airflow_provider_air.clusters.host import base_folder
from airflow_provider_air.ray_api.transport import Transport
from airflow_provider_air.workloads.function import ENTRYPOINT, function_payload
from tests.integration.drivers.conftest import Submit

CANARY = "canary-5f1d0c"
LISTINGS = (
    "/api/jobs/",
    "/api/v0/jobs?detail=1",
    "/api/v0/workers?detail=1",
    "/api/v0/runtime_envs?detail=1",
    "/api/v0/actors?detail=1",
    "/api/v0/tasks?detail=1",
    "/logical/actors",
)


def who_knows() -> dict[str, str | None]:
    import ray

    def look() -> str | None:
        return os.environ.get("AIR_TEST_TOKEN")

    class Holder:
        def look(self) -> str | None:
            return look()

    actor = ray.remote(Holder).options(runtime_env={"env_vars": {"MORE": "1"}}).remote()
    return {"driver": look(), "task": ray.get(ray.remote(look).remote()), "actor": ray.get(actor.look.remote())}


def test_secrets_reach_every_process_and_no_listing_or_log(head: Transport, submit: Submit) -> None:
    payload = function_payload(who_knows, (), {}, code_folders=[str(Path(__file__).parent)])

    job = submit(ENTRYPOINT, payload, secrets={"AIR_TEST_TOKEN": CANARY})

    assert job.succeeded() == {"driver": CANARY, "task": CANARY, "actor": CANARY}
    for path in LISTINGS:
        answer = httpx.get(head.base_url + path, headers=head.request_headers(), timeout=60)
        assert answer.status_code == 200, path
        assert CANARY not in answer.text, path
    jobs = httpx.get(head.base_url + "/api/jobs/", headers=head.request_headers(), timeout=60).text
    assert job.submission_id in jobs
    logs = base_folder().glob("*/ray/session_*/logs/**/*")
    told = [file for file in logs if file.is_file() and CANARY in file.read_text(errors="replace")]
    records = f"air-records-{job.submission_id}.jsonl"
    assert {file.name for file in told} == {records}, "the result is all that may tell"

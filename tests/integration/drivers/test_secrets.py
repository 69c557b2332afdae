"""Secrets reach every process of a job, and nobody who only looks at the cluster."""

from __future__ import annotations

import os
from pathlib import Path

import httpx

from airflow_provider_air import WandbTracker
from airflow_provider_air.clusters.host import base_folder
from airflow_provider_air.contracts.names import TaskKey
from airflow_provider_air.contracts.runs import AttemptInfo
from airflow_provider_air.ray_api.transport import Transport
from airflow_provider_air.waiting import wait_until
from airflow_provider_air.workloads import tune
from airflow_provider_air.workloads.function import ENTRYPOINT, function_payload
from airflow_provider_air.workloads.tune import TuneSpec
from tests.fakes.attachment import FakeConnections
from tests.integration.drivers.conftest import Submit
from tests.wandb_files import read_runs

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


def shown_by(head: Transport) -> list[str]:
    """Give the listings that show the canary."""
    found = []
    for path in LISTINGS:
        answer = httpx.get(head.base_url + path, headers=head.request_headers(), timeout=60)
        assert answer.status_code == 200, path
        found += [path] * (CANARY in answer.text)
    return found


def test_an_experiment_that_is_tracked_in_wandb_shows_its_key_to_nobody(
    head: Transport, submit: Submit, tmp_path: Path
) -> None:
    marks, gate = tmp_path / "marks", tmp_path / "gate"
    marks.mkdir()
    info = AttemptInfo(TaskKey("here", "d", "r", "t"), "air-t", "tracked", 1, 1, "tune", "c")
    tracker = WandbTracker(mode="offline", offline_dir=str(tmp_path)).open(FakeConnections())
    space = {"x": {"grid_search": [0, 1]}, "marks": str(marks), "held": [1], "gate": str(gate)}
    spec = TuneSpec(space, "loss", "min", trainable="loops:objective", max_concurrent_trials=2)
    payload = spec.payload(run_name="tracked", storage_path=str(tmp_path), fixed_size=True)
    env_vars = tracker.before_submit(info).env_vars
    job = submit(tune.ENTRYPOINT, payload, env_vars=env_vars, secrets={"WANDB_API_KEY": CANARY})
    wait_until(lambda: any(marks.glob("1-*")) or None, what="the trial that is held", timeout_seconds=420)

    assert shown_by(head) == []
    gate.touch()
    job.succeeded()

    assert shown_by(head) == []
    runs = read_runs(tmp_path)
    assert sorted((run.config["x"], run.exit_code, len(run.history)) for run in runs) == [(0, 0, 2), (1, 0, 2)]
    assert {run.group for run in runs} == {"d__r"}


def test_secrets_reach_every_process_and_no_listing_or_log(head: Transport, submit: Submit) -> None:
    payload = function_payload(who_knows, (), {}, code_folders=[str(Path(__file__).parent)])

    job = submit(ENTRYPOINT, payload, secrets={"AIR_TEST_TOKEN": CANARY})

    assert job.succeeded() == {"driver": CANARY, "task": CANARY, "actor": CANARY}
    assert shown_by(head) == []
    jobs = httpx.get(head.base_url + "/api/jobs/", headers=head.request_headers(), timeout=60).text
    assert job.submission_id in jobs
    logs = base_folder().glob("*/ray/session_*/logs/**/*")
    told = [file for file in logs if file.is_file() and CANARY in file.read_text(errors="replace")]
    records = f"air-records-{job.submission_id}.jsonl"
    assert {file.name for file in told} == {records}, "the result is all that may tell"

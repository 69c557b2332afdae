"""What a job keeps in Google Cloud Storage it reaches by a token, in all its processes, and a retry by a new one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pandas
import pytest

from airflow_provider_air.connections.airflow import AirflowConnections
from airflow_provider_air.drivers.wire import names
from airflow_provider_air.errors import JobFailedError
from airflow_provider_air.ray_api.transport import Transport
from airflow_provider_air.runs.failures import failure_of_end
from airflow_provider_air.storage.gcs import GcsStorage
from airflow_provider_air.waiting import wait_until
from airflow_provider_air.workloads import batch_inference, train, tune
from airflow_provider_air.workloads.batch_inference import BatchInferenceResult, BatchInferenceSpec
from airflow_provider_air.workloads.train import TrainResult, TrainSpec
from airflow_provider_air.workloads.tune import TuneResult, TuneSpec
from tests.fakes.chaos_proxy import ChaosProxy
from tests.fakes.google_tokens import GoogleTokens
from tests.integration.drivers.conftest import DriverJob, Submit
from tests.object_stores import gcs_client, gcs_server

pytestmark = pytest.mark.integration
ROOT = "gs://models/runs"


@dataclass
class Store:
    """A bucket, as the jobs reach it, and what lets them in."""

    url: str
    proxy: ChaosProxy
    tokens: GoogleTokens
    submit: Submit

    def start(self, entrypoint: str, payload: Mapping[str, bytes]) -> tuple[DriverJob, str]:
        """Start a driver with a new token, and give both."""
        storage = GcsStorage("google", ROOT, credentials="session")
        access = storage.open(AirflowConnections()).access(lifetime=timedelta(minutes=20))
        env_vars = {**access.env_vars, "CLOUD_STORAGE_EMULATOR_ENDPOINT": self.proxy.url}
        self.proxy.call(self.proxy.requests.clear)
        job = self.submit(entrypoint, payload, env_vars=env_vars, secrets=access.secrets)
        return job, access.secrets[names.GCS_TOKEN]

    def askers(self) -> set[str]:
        """Who has asked since the last start."""
        return {request.authorization for request in self.proxy.requests_to("*", "")}

    def put(self, path: str, data: bytes) -> None:
        """Put an object there, as somebody else."""
        gcs_client(self.url).bucket("models").blob(path).upload_from_string(data)

    def kept(self, prefix: str) -> dict[str, bytes]:
        """Give all objects below a folder, but for those by which Arrow marks folders."""
        blobs = list(gcs_client(self.url).list_blobs("models", prefix=prefix))
        return {blob.name: blob.download_as_bytes() for blob in blobs if not blob.name.endswith("/")}


@pytest.fixture(scope="module")
def store(submit: Submit) -> Iterator[Store]:
    with gcs_server() as url, ChaosProxy(url) as proxy, GoogleTokens() as tokens, pytest.MonkeyPatch.context() as patch:
        gcs_client(url).create_bucket("models")
        patch.setenv("AIRFLOW_CONN_GOOGLE", tokens.connection())
        yield Store(url, proxy, tokens, submit)


@pytest.mark.full  # test_s3.py does the like in the quick suite, and the contract suites speak to this store
def test_a_training_whose_token_expires_says_so_and_resumes_from_the_bucket_with_a_new_one(
    store: Store, head: Transport, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    spec = TrainSpec(
        "loops:epochs", train_loop_config={"epochs": 6, "checkpoint_every": 2, "hold_at": 5, "gate": str(gate)}
    )
    payload = spec.payload(run_name="run", storage_path=ROOT, fixed_size=True)

    first, old = store.start(train.ENTRYPOINT, payload)
    wait_until(lambda: first.of_kind("checkpoint")[1:] or None, what="two checkpoints", timeout_seconds=420)
    assert store.askers() == {f"Bearer {old}"}
    expired = store.proxy.on("*", "", times=None, status=401, body="{}")
    gate.touch()
    error = failure_of_end("ended", first.submission_id, first.ended().details(), "", first.records())
    assert isinstance(error, JobFailedError)
    assert "credentials seem to have expired: a retry gets new ones" in str(error)
    expired.cancel()
    second, new = store.start(train.ENTRYPOINT, payload)
    result = TrainResult.from_value(second.succeeded())

    assert (result.resumed_from or "").startswith(f"{ROOT}/run/checkpoint_")
    assert [row["metrics"]["epoch"] for row in result.history] == list(range(6))
    kept = {f"gs://models/{name.rpartition('/')[0]}" for name in store.kept("runs/run/")}
    assert kept >= {checkpoint["uri"] for checkpoint in result.checkpoints}
    assert store.askers() == {f"Bearer {new}"}
    jobs = httpx.get(head.base_url + "/api/jobs/", headers=head.request_headers(), timeout=60).text
    assert "CLOUD_STORAGE_EMULATOR_ENDPOINT" in jobs
    assert [token for token in (old, new) if token in jobs] == []


@pytest.mark.full
def test_inference_reads_data_and_a_checkpoint_and_writes_by_the_token(store: Store, tmp_path: Path) -> None:
    pandas.DataFrame({"x": range(100)}).to_parquet(tmp_path / "x.parquet")
    store.put("data/x.parquet", (tmp_path / "x.parquet").read_bytes())
    store.put("checkpoint/state.json", b'{"epoch": 7}')
    spec = BatchInferenceSpec("loops:Epoch", "gs://models/data", "gs://models/out", checkpoint="gs://models/checkpoint")

    job, token = store.start(batch_inference.ENTRYPOINT, spec.payload(run_name="infer", fixed_size=True))
    result = BatchInferenceResult.from_value(job.succeeded())

    assert result.rows_written == 100
    parts = [name for name in store.kept("out/") if name.endswith(".parquet")]
    assert [part for part in parts if "_air_staging" in part] == []
    (tmp_path / "part.parquet").write_bytes(store.kept("out/")[parts[0]])
    assert set(pandas.read_parquet(tmp_path / "part.parquet")["epoch"]) == {7}
    assert store.askers() == {f"Bearer {token}"}


@pytest.mark.full
@pytest.mark.parametrize("kind", ["function", "train loop"])
def test_a_killed_experiment_is_restored_by_a_new_token(store: Store, tmp_path: Path, kind: str) -> None:
    (tmp_path / "marks").mkdir()
    gate, name = tmp_path / "gate", kind.replace(" ", "-")
    first, old = store.start(tune.ENTRYPOINT, SPECS[kind](tmp_path, gate).payload(**place(name)))

    # Killed while it saves the first trial's end, Tune (2.60) would wait for that trial's place for ten minutes.
    wait_until(lambda: said(first, "starts")[1:] or None, what="the second trial", timeout_seconds=420)
    first.kill()
    second, new = store.start(tune.ENTRYPOINT, SPECS[kind](tmp_path, gate).payload(**place(name)))
    wait_until(lambda: said(second, "restored") or None, what="the restored experiment", timeout_seconds=420)
    gate.touch()
    result = TuneResult.from_value(second.succeeded())

    assert (result.trials_total, result.trials_failed) == (2, 0)
    assert store.askers() == {f"Bearer {new}"}
    assert [n for n, data in store.kept("runs/").items() for token in (old, new) if token.encode() in data] == []


def said(job: DriverJob, end: str) -> list[str]:
    return [r["message"] for r in job.of_kind("progress") if r["message"].endswith(end)]


def place(name: str) -> dict[str, Any]:
    return {"run_name": name, "storage_path": ROOT, "fixed_size": True}


def of_functions(folder: Path, gate: Path) -> TuneSpec:
    space = {"x": {"grid_search": [0, 1]}, "marks": str(folder / "marks"), "held": [1], "gate": str(gate)}
    return TuneSpec(space, "loss", "min", trainable="loops:objective", max_concurrent_trials=1)


def of_train_loops(folder: Path, gate: Path) -> TuneSpec:
    return TuneSpec(
        {"hold_at": {"grid_search": [None, 2]}},
        "loss",
        "min",
        train_loop="loops:epochs",
        train_loop_config={"epochs": 4, "checkpoint_every": 2, "gate": str(gate)},
        scaling_config={"num_workers": 1},
        max_concurrent_trials=1,
    )


SPECS: dict[str, Callable[[Path, Path], TuneSpec]] = {"function": of_functions, "train loop": of_train_loops}

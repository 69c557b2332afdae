"""W&B runs as the real ``wandb`` writes them, offline, by our drivers as the processes that they are."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_air import WandbTracker, drivers
from airflow_provider_air.attachments.mlflow.tracker import MlflowTracker
from airflow_provider_air.attachments.wandb.tracker import WandbSite
from airflow_provider_air.contracts.attachments import Attachment, AttachmentSpec, Outcome
from airflow_provider_air.contracts.names import TaskKey
from airflow_provider_air.contracts.runs import AttemptInfo
from airflow_provider_air.errors import ConfigurationError
from airflow_provider_air.hooks.wandb import WandbHook
from airflow_provider_air.workloads.function import function_payload
from tests.fakes.attachment import FakeConnections
from tests.wandb_files import read_runs

pytestmark = pytest.mark.integration
KEY = "wandb-canary-key"
Drive = Callable[..., subprocess.CompletedProcess[str]]


def attempt(workload: str = "train", *, generation: int = 1, number: int = 1) -> AttemptInfo:
    key = TaskKey("here", "flights", "manual__1", "train")
    name = f"air-{generation}-{number}"
    return AttemptInfo(
        *(key, name, f"train-g{generation}", generation, number, workload, "ray_default"), parameters={"rounds": 5}
    )


def train(losses: list[float], first_step: int = 0, problem: str | None = None) -> str:
    """Report as a training does; travels as a pickle."""
    from air_drivers import report

    for step, loss in enumerate(losses, first_step):
        report.metric({"loss": loss}, step=step)
    if problem:
        raise ValueError(problem)
    return "done"


@pytest.fixture
def drive(tmp_path: Path) -> Drive:
    """Run a function by its driver, as Ray would, with the environment that the tracker gives."""
    source = Path(drivers.__path__[0])
    shutil.copytree(source, tmp_path / "air_drivers", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "payload").mkdir()
    (tmp_path / "logs").mkdir()

    def run(spec: WandbTracker, of: AttemptInfo, *args: Any, **more: str) -> subprocess.CompletedProcess[str]:
        payload = function_payload(train, args, {}, code_folders=[str(Path(__file__).parent)])
        for name, data in payload.items():
            (tmp_path / "payload" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "payload" / name).write_bytes(data)
        ours = {"AIR_SUBMISSION_ID": of.submission_id, "AIR_PAYLOAD": "payload", "AIR_RECORDS_DIR": "logs"}
        base = {"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path), "HOME": str(tmp_path)}
        env = {**base, **ours, **spec.open(FakeConnections()).before_submit(of).env_vars, **more}
        command = [sys.executable, "-m", "air_drivers.function"]
        return subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)

    return run


class Airflow:
    """The connections of this test's environment."""

    def open(self, kind: str, conn_id: str) -> Any:
        return {"wandb": WandbHook}[kind](conn_id).get_conn()


def offline(folder: Path) -> WandbTracker:
    return WandbTracker(project="delays", mode="offline", offline_dir=str(folder), tags=["nightly"])


def test_the_driver_writes_the_run_and_a_retry_goes_on_in_it(drive: Drive, tmp_path: Path) -> None:
    failed = drive(offline(tmp_path), attempt(), [3.0, 2.0], 0, "out of luck")
    done = drive(offline(tmp_path), attempt(number=2), [1.0], 2)

    assert (failed.returncode, done.returncode) == (1, 0), failed.stderr + done.stderr
    first, second = read_runs(tmp_path)
    assert first.run_id == second.run_id
    assert (first.exit_code, second.exit_code) == (1, 0)
    assert first.history == [{"loss": 3.0, "_step": 0}, {"loss": 2.0, "_step": 1}]
    assert second.history == [{"loss": 1.0, "_step": 2}]
    assert (first.group, first.job_type, first.project) == ("flights__manual__1", "train", "delays")
    assert first.tags == ["nightly"]
    assert first.config["rounds"] == 5
    assert first.config["airflow"]["dag_id"] == "flights"


def test_a_clear_that_starts_afresh_gets_another_run(tmp_path: Path) -> None:
    tracking = offline(tmp_path).open(FakeConnections())
    ids = [tracking.before_submit(attempt(generation=number)).env_vars["WANDB_RUN_ID"] for number in (1, 1, 2)]
    assert ids[0] == ids[1] != ids[2]


def test_without_wandb_on_the_cluster_nothing_is_trained(drive: Drive, tmp_path: Path) -> None:
    (tmp_path / "wandb.py").write_text("raise ImportError('no wandb here')")

    done = drive(offline(tmp_path), attempt(), [1.0])

    assert done.returncode == 64
    assert "wandb is not installed on the cluster" in done.stderr


def test_trials_are_runs_of_one_group_and_none_is_the_parents(tmp_path: Path) -> None:
    env_vars = offline(tmp_path).open(FakeConnections()).before_submit(attempt("tune")).env_vars

    assert (env_vars["RAY_AIRFLOW_WANDB"], env_vars["WANDB_RUN_GROUP"]) == ("trials", "flights__manual__1")
    assert "WANDB_RUN_ID" not in env_vars


def test_the_key_travels_out_of_sight_and_a_link_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    extra = {"entity": "team"}
    monkeypatch.setenv("AIRFLOW_CONN_SITE", json.dumps({"conn_type": "wandb", "password": KEY, "extra": extra}))

    tracking = WandbTracker("site", project="delays").open(Airflow())
    added = tracking.before_submit(attempt())

    assert added.secrets == {"WANDB_API_KEY": KEY}
    assert KEY not in f"{added}{added.env_vars}{added.state}{added.links}{WandbSite(api_key=KEY)}"
    assert added.links["wandb_url"] == f"https://wandb.ai/team/delays/runs/{added.state['run_id']}"
    assert not [name for name in added.env_vars if name.startswith("AIR_")]
    tracking.on_end(attempt(), added.state, Outcome("STOPPED"))
    assert isinstance(tracking, Attachment)


def test_what_a_tracker_cannot_do_is_declared(tmp_path: Path) -> None:
    assert isinstance(offline(tmp_path), AttachmentSpec)
    assert (MlflowTracker.can_set_end_state, WandbTracker.can_set_end_state) == (True, False)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"project": " "}, "'project'"),
        ({"project": "a/b"}, "'project'"),
        ({"mode": "shared"}, "'mode' must be online or offline"),
        ({"mode": "offline"}, "'offline_dir' is not set"),
        ({"tags": "nightly"}, "'tags' must be a list"),
    ],
    ids=["blank", "slash", "mode", "no folder", "text"],
)
def test_bad_input_names_the_field(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        WandbTracker(**fields).validate()


@pytest.mark.parametrize(
    ("connection", "message"),
    [(None, "no Airflow connection 'site'"), ({"conn_type": "wandb"}, "no password")],
    ids=["absent", "no key"],
)
def test_a_connection_that_cannot_be_used_says_why(
    connection: dict[str, Any] | None, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if connection is not None:
        monkeypatch.setenv("AIRFLOW_CONN_SITE", json.dumps(connection))
    with pytest.raises(ConfigurationError, match=message):
        WandbTracker("site").open(Airflow()).probe()


def test_a_dead_server_fails_the_connections_test(monkeypatch: pytest.MonkeyPatch) -> None:
    dead = {"conn_type": "wandb", "host": "http://127.0.0.1", "port": 9, "password": KEY}
    monkeypatch.setenv("AIRFLOW_CONN_SITE", json.dumps(dead))
    is_fine, message = WandbHook("site").test_connection()
    assert is_fine is False
    assert "does not answer" in message
    assert offline(Path("/shared")).open(FakeConnections()).before_submit(attempt()).secrets == {}

"""The driver of Feast in tests: in this process, as each import of Feast costs ten seconds, or as its own."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from airflow_provider_air import FeastFeatures, drivers
from airflow_provider_air.contracts.jobs import JobRequest
from airflow_provider_air.contracts.names import TaskKey
from airflow_provider_air.contracts.runs import AttemptInfo
from airflow_provider_air.drivers.features import driver, join
from airflow_provider_air.drivers.wire.feature_names import FEAST_REPO
from airflow_provider_air.drivers.wire.names import records_name
from airflow_provider_air.drivers.wire.problems import ConfigurationProblem
from airflow_provider_air.drivers.wire.records import RecordBuffer
from airflow_provider_air.drivers.wire.values import decode
from airflow_provider_air.runs.ends import encoded_result_of
from airflow_provider_air.runs.plan import BuildInfo
from airflow_provider_air.workloads.data import refs_of
from tests.fakes.attachment import FakeConnections

INFO = BuildInfo(run_name="r")
# What the drivers of other workloads do first.
ACTIONS = {"workload": lambda run: join.join_datasets(run, run.config["datasets"])}


class Done:
    """What a driver's action gave, or why it refused."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []
        self.result: Any = None
        self.problem = ""

    def write(self, kind: str, **fields: Any) -> None:
        """Keep a record, as the driver's file of records would."""
        self.records.append({"kind": kind, **fields})

    tell = write


def act(repo: Path, payload: Mapping[str, bytes]) -> Done:
    """Do one of the driver's actions in the repository, in this process; what is no refusal is raised."""
    done = Done()
    config = json.loads(payload["config.json"])
    run: Any = SimpleNamespace(config=config, records=done, optional_payload=payload.get)
    with contextlib.chdir(repo):
        try:
            done.result = (ACTIONS | driver.ACTIONS)[config["action"]](run)
        except ConfigurationProblem as problem:
            done.problem = str(problem)
    return done


def run_driver(place: Path, payload: Mapping[str, bytes]) -> Any:
    """Run the driver as the process that it is, in ``repo`` below the place, and give its result."""
    shutil.copytree(drivers.__path__[0], place / "air_drivers", ignore=shutil.ignore_patterns("__pycache__"))
    (place / "payload").mkdir()
    (place / "payload" / "config.json").write_bytes(payload["config.json"])
    ours = {"AIR_SUBMISSION_ID": "feast", "AIR_PAYLOAD": "payload", "AIR_RECORDS_DIR": str(place)}
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(place), "HOME": str(place), **ours}
    command = [sys.executable, "-m", "air_drivers.features"]
    done = subprocess.run(
        command, env=env, cwd=place / "repo", capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    records = RecordBuffer().feed((place / records_name("feast")).read_bytes())
    return decode(encoded_result_of(records, where="feast"))


def workload_payload(
    place: Path, joined: FeastFeatures, datasets: Mapping[str, Any], run_name: str
) -> dict[str, bytes]:
    """Give what a workload's driver would find."""
    storage, inputs = str(place / "runs"), refs_of(datasets)
    joined.validate()
    joined.check(JobRequest("true", payload={}, inputs=inputs), "train", storage)
    key = TaskKey("here", "flights", "manual__1", "train")
    attempt = AttemptInfo(key, "air-1", run_name, 1, 1, "train", "ray_default", storage, inputs=inputs)
    config = {"action": "workload", "run_name": run_name, "datasets": datasets}
    added = joined.open(FakeConnections()).before_submit(attempt)
    return {"config.json": json.dumps(config).encode(), **added.payload}


def unpacked(place: Path) -> Path:
    """Give the folder where the repository lies as on a cluster, where Ray has unpacked it."""
    folder = place / "unpacked"
    folder.mkdir(exist_ok=True)
    if not (folder / FEAST_REPO).exists():
        (folder / FEAST_REPO).symlink_to(place / "repo")
    return folder

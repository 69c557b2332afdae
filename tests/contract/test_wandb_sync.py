"""Offline runs, as the real ``wandb`` writes them, uploaded by our driver with the real ``wandb sync`` to a double."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_air import drivers
from airflow_provider_air.drivers.trackers.wandb_sync import offline_files
from airflow_provider_air.workloads.wandb import sync_payload
from tests.fakes.wandb import ENTITY, KEY, FakeWandb

pytestmark = pytest.mark.integration

# "long" does not fit into one block of the file; "twice" is a training and its retry, which went on from before the
# last row: W&B counts its steps on.
WRITE = """
import sys, time, wandb
def write(run_id, losses, first=0, code=0):
    about = dict(resume="allow", group="flights__manual__1", job_type="train", config={"rounds": 5}, tags=["nightly"])
    run = wandb.init(project="delays", id=run_id, mode="offline", dir=sys.argv[1], **about)
    for step, loss in enumerate(losses, first):
        run.log({"loss": loss}, step=step)
    run.finish(exit_code=code)
write("twice", [3.0, 2.0], code=1)
write("long", range(400))
write("short", [7.0, 6.0, 5.0])
time.sleep(1)
write("twice", [1.0, 0.5, 0.25], first=1)
"""
TWICE = [(0, 3.0), (1, 2.0), (2, 1.0), (3, 0.5), (4, 0.25)]
LONG = [(step, float(step)) for step in range(400)]
SHORT = [(0, 7.0), (1, 6.0), (2, 5.0)]
END_BYTES = 50  # less than the end and the last row together


@dataclass
class Done:
    """How one run of the driver ended."""

    code: int
    errors: str
    result: dict[str, Any]
    messages: list[str]

    @property
    def synced(self) -> list[str]:
        """The ids of the pieces that were uploaded, in order."""
        return [told["run_id"] for told in self.result["synced"]]


Sync = Callable[..., Done]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("offline")
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "WANDB_SILENT": "true"}
    subprocess.run([sys.executable, "-c", WRITE, str(folder)], env=env, check=True, timeout=120)
    return folder / "wandb"


@pytest.fixture
def take(written: Path, tmp_path: Path) -> Callable[..., Path]:
    """Lay runs of the given ids into a folder of this test's own."""

    def lay(*run_ids: str) -> Path:
        for folder in written.glob("offline-run-*"):
            if folder.name.rpartition("-")[2] in run_ids:
                shutil.copytree(folder, tmp_path / "off" / "wandb" / folder.name)
        return tmp_path / "off"

    return lay


@pytest.fixture
def server() -> Iterator[FakeWandb]:
    with FakeWandb() as double:
        yield double


@pytest.fixture
def sync(tmp_path: Path, server: FakeWandb) -> Sync:
    """Run the driver as Ray would, with what the operator gives it."""
    source = Path(drivers.__path__[0])
    shutil.copytree(source, tmp_path / "air_drivers", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "payload").mkdir()
    (tmp_path / "logs").mkdir()

    def run(offline: Path, *, url: str = "", key: str = KEY, **fields: Any) -> Done:
        given = {"project": None, "entity": None, "clean": False, "settle_seconds": 600, **fields}
        for name, data in sync_payload(offline_dir=str(offline), **given).items():
            (tmp_path / "payload" / name).write_bytes(data)
        ours = {"AIR_SUBMISSION_ID": "air-1", "AIR_PAYLOAD": "payload", "AIR_RECORDS_DIR": "logs"}
        base = {"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path), "HOME": str(tmp_path)}
        env = {**base, **ours, "WANDB_BASE_URL": url or server.url, "WANDB_API_KEY": key, "WANDB_SILENT": "true"}
        command = [sys.executable, "-m", "air_drivers.trackers.wandb_sync"]
        ended = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
        path = tmp_path / "logs" / "air-records-air-1.jsonl"
        records = [json.loads(line) for line in path.read_text().splitlines()]
        path.unlink()
        assert KEY not in ended.stdout + ended.stderr + json.dumps(records)
        result: dict[str, Any] = next((record["value"] for record in records if record["kind"] == "result"), {})
        messages = [record["message"] for record in records if record["kind"] == "progress"]
        return Done(ended.returncode, ended.stderr, result, messages)

    return run


def rows(server: FakeWandb, run_id: str, project: str = "delays", entity: str = ENTITY) -> list[tuple[int, float]]:
    return [(row["_step"], row["loss"]) for row in server.runs[f"{entity}/{project}/{run_id}"].history]


def file_of(offline: Path, run_id: str, number: int = 0) -> Path:
    return sorted(offline.glob(f"wandb/*/run-{run_id}.wandb"))[number]


def kill(path: Path) -> bytes:
    """Leave of a file what its writer's sudden death leaves; gives what it was."""
    whole = path.read_bytes()
    path.write_bytes(whole[:-END_BYTES])
    return whole


def test_every_row_arrives_once_and_in_order_and_a_second_sync_sends_nothing(
    take: Any, sync: Sync, server: FakeWandb
) -> None:
    offline = take("twice", "long")
    done = sync(offline)

    assert done.code == 0, done.errors
    assert (rows(server, "twice"), rows(server, "long")) == (TWICE, LONG)
    run = server.runs[f"{ENTITY}/delays/twice"]
    assert (run.group, run.job_type, run.tags) == ("flights__manual__1", "train", ["nightly"])
    assert (run.config["rounds"], run.ends) == (5, [1, 0])
    assert "requirements.txt" in run.uploads
    assert done.synced == ["twice", "twice", "long"]
    folder = str(file_of(offline, "twice").parent)
    assert done.result["synced"][0] == {"run_id": "twice", "project": "delays", "folder": folder}
    assert done.messages == ["run twice: uploaded", "run twice: uploaded", "run long: uploaded"]

    before = server.requests
    again = sync(offline)

    assert (again.result["synced"], again.result["already_synced"]) == ([], 3)
    assert server.requests == before


def test_a_broken_upload_holds_up_no_other_and_a_retry_sends_only_what_is_left(
    take: Any, sync: Sync, server: FakeWandb
) -> None:
    offline = take("twice", "short")
    server.breaks = {"twice": [1, 3]}
    failed = sync(offline, clean=True)

    assert failed.code == 1
    assert "2 of 3 could not be uploaded; the first: " in failed.errors
    assert "Fatal error while uploading data" in failed.errors
    assert (rows(server, "twice"), rows(server, "short")) == (TWICE[:1], SHORT)
    assert "run twice: not uploaded: an earlier part of the run is not uploaded" in failed.messages
    assert {path.name for path in offline.glob("wandb/*/*.wandb")} == {"run-twice.wandb"}

    failed = sync(offline)

    assert "1 of 2 could not be uploaded" in failed.errors
    assert rows(server, "twice") == TWICE[:3]

    done = sync(offline, clean=True)

    assert done.code == 0, done.errors
    assert (done.synced, done.result["removed"]) == (["twice"], 2)
    assert rows(server, "twice") == TWICE
    assert not list(offline.glob("wandb/offline-run-*"))


def test_a_file_beside_the_rows_that_is_refused_is_a_failure_and_no_row_goes_twice(
    take: Any, sync: Sync, server: FakeWandb
) -> None:
    offline = take("short")
    server.upload_statuses = {"requirements.txt": 403}
    failed = sync(offline)

    assert failed.code == 1
    assert "file transfer: upload: failed to upload" in failed.errors

    server.upload_statuses = {}
    assert sync(offline).synced == ["short"]
    assert rows(server, "short") == SHORT
    assert "requirements.txt" in server.runs[f"{ENTITY}/delays/short"].uploads


def test_a_run_that_may_still_be_written_is_left_whole(take: Any, sync: Sync, server: FakeWandb) -> None:
    offline = take("twice")
    kill(file_of(offline, "twice", 1))

    done = sync(offline, clean=True)

    assert (done.code, done.result["synced"], done.result["unfinished"]) == (0, [], 2)
    assert server.requests == 0
    assert len(list(offline.glob("wandb/*/*.wandb"))) == 2


def test_a_killed_run_is_uploaded_as_failed_and_what_it_writes_later_follows(
    take: Any, sync: Sync, server: FakeWandb
) -> None:
    offline = take("long")
    path = file_of(offline, "long")
    whole = kill(path)
    done = sync(offline, settle_seconds=0, project="archive", entity="others")

    assert done.code == 0, done.errors
    assert done.result["synced"][0]["project"] == "archive"
    assert rows(server, "long", "archive", "others") == LONG[:-1]
    assert server.runs["others/archive/long"].ends == [1]

    path.write_bytes(whole)
    done = sync(offline, clean=True, project="archive", entity="others")

    assert done.synced == ["long"], done.errors
    assert rows(server, "long", "archive", "others") == LONG
    assert server.runs["others/archive/long"].ends == [1, 0]
    assert not path.exists()


def test_a_refused_key_is_for_the_author_to_fix(take: Any, sync: Sync) -> None:
    offline = take("short")
    done = sync(offline, key="not-" + KEY)

    assert done.code == 64
    assert "refuses the API key; put a valid one into the wandb connection" in done.errors
    assert not list(offline.glob("wandb/*/*.synced"))


def test_a_dead_server_is_worth_a_retry(take: Any, sync: Sync, tmp_path: Path) -> None:
    patience = tmp_path / "air_drivers" / "wire" / "outages.py"
    patience.write_text(patience.read_text().replace("PATIENCE_SECONDS = 60.0", "PATIENCE_SECONDS = 4.0"))
    offline = take("short")
    done = sync(offline, url="http://127.0.0.1:9")

    assert done.code == 69
    assert "asking again" in done.errors
    assert "W&B at http://127.0.0.1:9 does not answer" in done.errors
    assert not list(offline.glob("wandb/*/*.synced"))


def test_a_damaged_file_is_named_and_holds_up_no_other(take: Any, sync: Sync, server: FakeWandb) -> None:
    offline = take("short", "long")
    path = file_of(offline, "long")
    data = bytearray(path.read_bytes())
    data[40_000] ^= 255
    path.write_bytes(data)
    done = sync(offline)

    assert done.code == 1
    assert f"1 of 2 could not be uploaded; the first: {path.parent}: the file is damaged" in done.errors
    assert rows(server, "short") == SHORT


def test_no_folder_is_a_mistake_and_a_folder_without_runs_is_none(sync: Sync, tmp_path: Path) -> None:
    absent = sync(tmp_path / "nowhere")
    (tmp_path / "empty" / "wandb" / "offline-run-20260101_000000-x").mkdir(parents=True)
    # What a writer leaves that is killed at once.
    (tmp_path / "empty" / "wandb" / "offline-run-20260101_000000-x" / "run-x.wandb").write_bytes(b":W&B\xe1\xbe\0")
    empty = sync(tmp_path / "empty", settle_seconds=0)

    assert absent.code == 64
    assert "offline_dir: there is no folder" in absent.errors
    assert empty.code == 0
    nothing = {"synced": [], "already_synced": 0, "unfinished": 0, "empty": 1, "removed": 0, "failed": []}
    assert empty.result == nothing


def test_without_wandb_on_the_cluster_or_with_an_old_one_it_says_so(take: Any, sync: Sync, tmp_path: Path) -> None:
    offline = take("short")
    (tmp_path / "wandb-0.19.1.dist-info").mkdir()
    (tmp_path / "wandb-0.19.1.dist-info" / "METADATA").write_text("Name: wandb\nVersion: 0.19.1\n")
    old = sync(offline)
    (tmp_path / "wandb.py").write_text("raise ImportError('no wandb here')")
    absent = sync(offline)

    assert (old.code, absent.code) == (64, 64)
    assert "wandb 0.19.1 is on the cluster, but 0.31 is needed" in old.errors
    assert "wandb is not installed on the cluster" in absent.errors


def test_what_is_left_of_a_file_reads_as_wandb_wrote_it(take: Any, tmp_path: Path) -> None:
    path = file_of(take("long"), "long")
    offline_files.write_rest(str(path), str(tmp_path / "same.wandb"), 0)
    offline_files.write_rest(str(path), str(tmp_path / "rest.wandb"), 150)

    assert (tmp_path / "same.wandb").read_bytes() == path.read_bytes()
    assert offline_files.read(str(tmp_path / "rest.wandb")).rows == 250

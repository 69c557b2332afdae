"""Outputs that are committed on object stores, through pyarrow and over real HTTP, as on a local folder."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from airflow_provider_air.drivers.data import files, lease
from airflow_provider_air.drivers.data.staging import INTENT, LOCKS, MANIFEST, STAGING, StagedOutput
from tests.object_stores import REGION, STATIC_KEY, STATIC_SECRET, gcs_client, gcs_server, s3_client, s3_server


@pytest.fixture(scope="module", params=["s3", "gcs", "folder"])
def root(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where outputs are, as a URI."""
    if request.param == "folder":
        yield str(tmp_path_factory.mktemp("outputs"))
        return
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "s3":
            with s3_server() as url:
                s3_client(url).create_bucket(Bucket="models")
                patch.setenv("AWS_ACCESS_KEY_ID", STATIC_KEY)
                patch.setenv("AWS_SECRET_ACCESS_KEY", STATIC_SECRET)
                yield f"s3://models/outputs?scheme=http&region={REGION}&endpoint_override={urlsplit(url).netloc}"
        else:
            with gcs_server() as url:
                gcs_client(url).create_bucket("models")
                yield f"gs://anonymous@models/outputs?scheme=http&endpoint_override={urlsplit(url).netloc}"


@pytest.fixture
def uri(root: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(lease, "POLL_SECONDS", 0.02)
    return files.join(root, "".join(letter for letter in request.node.name if letter.isalnum()))


class Waits(lease.Clock):
    """A clock on which nothing takes time but pauses, which take half a minute."""

    time = 0.0

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += 30.0


def staged(
    uri: str, run_name: str, names: tuple[str, ...], clock: lease.Clock | None = None
) -> tuple[StagedOutput, list[dict[str, Any]]]:
    """Write some files as an attempt does, into a folder of hive's at that."""
    output = StagedOutput(uri, run_name, clock)
    assert output.begin() is None
    parts = [{"file": f"day={name}/part-{output.attempt}"} for name in names]
    for part in parts:
        filesystem, path = files.located(files.join(output.staging_uri, part["file"]))
        files.write(filesystem, path, run_name.encode())
    return output, parts


def present(uri: str) -> dict[str, bytes | None]:
    filesystem, path = files.located(uri)
    return {name: files.read(filesystem, f"{path}/{name}") for name in files.files_below(filesystem, path)}


def manifest(uri: str) -> Any:
    return json.loads(present(uri)[MANIFEST] or b"")


def test_each_run_replaces_the_one_before_and_leaves_nothing_else(uri: str) -> None:
    for run_name, names in (("monday", ("1", "2")), ("tuesday", ("2", "3"))):
        output, parts = staged(uri, run_name, names)
        output.commit(parts, {"run": run_name})
        found = present(uri)
        assert {name: found[name] for name in found if name != MANIFEST} == {
            part["file"]: run_name.encode() for part in parts
        }
    again = StagedOutput(uri, "tuesday").begin()
    assert again is not None
    assert again["result"] == {"run": "tuesday"}


def test_a_commit_that_was_killed_is_finished_or_undone(uri: str) -> None:
    output, parts = staged(uri, "monday", ("1",))
    output.commit(parts, {})
    filesystem, path = files.located(uri)
    for run_name, lost in (("tuesday", False), ("wednesday", True)):
        killed, parts = staged(uri, run_name, ("2", "3"))
        intent = {"run_name": run_name, "attempt": killed.attempt, "files": [p["file"] for p in parts], "result": {}}
        intent["remove"] = manifest(uri)["files"]
        files.write(filesystem, f"{path}/{INTENT}", json.dumps(intent).encode())
        filesystem.create_dir(f"{path}/day=2", recursive=True)
        filesystem.move(f"{path}/{STAGING}/{killed.attempt}/{parts[0]['file']}", f"{path}/{parts[0]['file']}")
        if lost:
            filesystem.delete_file(f"{path}/{STAGING}/{killed.attempt}/{parts[1]['file']}")
        done = StagedOutput(uri, run_name).begin()
        assert (done is None) is lost
    assert manifest(uri)["run_name"] == "tuesday"
    assert set(present(uri)) == {MANIFEST, *manifest(uri)["files"]}


def test_runs_that_commit_at_once_do_so_one_after_the_other(uri: str) -> None:
    outputs = [staged(uri, run_name, ("1", "2")) for run_name in ("monday", "tuesday", "wednesday")]
    failures: list[BaseException] = []

    def commit(output: StagedOutput, parts: list[dict[str, Any]]) -> None:
        try:
            output.commit(parts, {})
        except BaseException as error:  # noqa: BLE001  # told by the test
            failures.append(error)

    threads = [threading.Thread(target=commit, args=output) for output in outputs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    last = manifest(uri)
    assert set(present(uri)) == {MANIFEST, *last["files"]}
    assert {present(uri)[name] for name in last["files"]} == {last["run_name"].encode()}


def test_a_claim_of_a_process_that_is_no_more_is_passed_over(uri: str) -> None:
    filesystem, path = files.located(uri)
    files.write(filesystem, f"{path}/{LOCKS}/0.json", b'{"holder": "monday"}')
    clock = Waits()
    output, parts = staged(uri, "tuesday", ("1",), clock)
    output.commit(parts, {})
    assert clock.time > lease.EXPIRES_SECONDS
    assert set(present(uri)) == {MANIFEST, parts[0]["file"]}

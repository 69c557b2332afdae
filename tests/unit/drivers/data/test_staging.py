"""Output that is there once and whole, whenever an attempt is killed."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from airflow_provider_air.drivers.data.staging import EXPIRED_SECONDS, INTENT, MANIFEST, STAGING, StagedOutput
from airflow_provider_air.drivers.wire.problems import ConfigurationProblem

RESULT = {"rows_written": 2}


def staged(folder: Path, run_name: str = "run", names: tuple[str, ...] = ("a", "b")) -> StagedOutput:
    """An attempt that has written its files but has not committed."""
    output = StagedOutput(str(folder), run_name)
    place = folder / STAGING / output.attempt
    place.mkdir(parents=True)
    for name in names:
        (place / f"{name}-{output.attempt}").write_text(name)
    return output


def parts(output: StagedOutput, *names: str) -> list[dict[str, object]]:
    return [{"file": f"{name}-{output.attempt}", "rows": 1} for name in names]


def content(folder: Path) -> list[str]:
    return sorted(path.read_text() for path in folder.iterdir() if not path.name.startswith("_"))


def test_a_commit_moves_the_files_and_leaves_only_the_manifest(tmp_path: Path) -> None:
    output = staged(tmp_path)
    output.commit(parts(output, "a", "b"), RESULT)
    assert content(tmp_path) == ["a", "b"]
    assert {path.name for path in tmp_path.iterdir() if path.name.startswith("_")} == {MANIFEST}


def test_a_later_attempt_of_the_same_run_finds_the_committed_result(tmp_path: Path) -> None:
    output = staged(tmp_path)
    output.commit(parts(output, "a", "b"), RESULT)
    manifest = StagedOutput(str(tmp_path), "run").begin()
    assert manifest is not None
    assert manifest["result"] == RESULT


def test_what_a_killed_attempt_staged_is_cleared(tmp_path: Path) -> None:
    staged(tmp_path)
    assert StagedOutput(str(tmp_path), "run").begin() is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("moved", [0, 1, 2])
def test_a_commit_that_was_killed_is_finished_by_the_next_attempt(tmp_path: Path, moved: int) -> None:
    old = staged(tmp_path, "earlier", ("old",))
    old.commit(parts(old, "old"), {})
    output = staged(tmp_path)
    names = [str(part["file"]) for part in parts(output, "a", "b")]
    intent = {"run_name": "run", "attempt": output.attempt, "files": names, "result": RESULT}
    intent["remove"] = json.loads((tmp_path / MANIFEST).read_text())["files"]
    (tmp_path / INTENT).write_text(json.dumps(intent))
    for name in names[:moved]:
        (tmp_path / STAGING / output.attempt / name).rename(tmp_path / name)

    manifest = StagedOutput(str(tmp_path), "run").begin()
    assert manifest is not None
    assert manifest["result"] == RESULT
    assert content(tmp_path) == ["a", "b"]


def test_another_run_replaces_what_the_earlier_one_wrote(tmp_path: Path) -> None:
    first = staged(tmp_path, "monday")
    first.commit(parts(first, "a", "b"), {})
    assert StagedOutput(str(tmp_path), "tuesday").begin() is None
    second = staged(tmp_path, "tuesday", ("c",))
    second.commit(parts(second, "c"), {})
    assert content(tmp_path) == ["c"]


def test_files_of_somebody_else_are_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "precious.csv").write_text("1")
    with pytest.raises(ConfigurationProblem, match=r"output\.uri.*precious\.csv"):
        StagedOutput(str(tmp_path), "run").begin()
    assert (tmp_path / "precious.csv").exists()


def test_a_staged_file_that_vanished_is_no_success(tmp_path: Path) -> None:
    output = staged(tmp_path)
    with pytest.raises(OSError, match="is gone"):
        output.commit(parts(output, "a", "lost"), RESULT)
    assert not (tmp_path / MANIFEST).exists()


@pytest.mark.parametrize("lost", ["a", "b"])
def test_a_commit_whose_files_are_gone_is_undone(tmp_path: Path, capsys: pytest.CaptureFixture[str], lost: str) -> None:
    old = staged(tmp_path, "earlier", ("old",))
    old.commit(parts(old, "old"), {})
    killed = staged(tmp_path)
    names = [str(part["file"]) for part in parts(killed, "a", "b")]
    intent = {"run_name": "run", "attempt": killed.attempt, "files": names, "result": RESULT, "remove": []}
    (tmp_path / INTENT).write_text(json.dumps(intent))
    (tmp_path / STAGING / killed.attempt / names[0]).rename(tmp_path / names[0])  # as far as it came
    (tmp_path / (names[0] if lost == "a" else f"{STAGING}/{killed.attempt}/{names[1]}")).unlink()

    for run_name in ("run", "another"):
        assert StagedOutput(str(tmp_path), run_name).begin() is None
    assert content(tmp_path) == ["old"]
    assert not (tmp_path / INTENT).exists()
    assert "what was there before stays" in capsys.readouterr().err


def test_what_another_run_stages_is_left_alone_until_nobody_works_on_it(tmp_path: Path) -> None:
    other = staged(tmp_path, "other")
    assert StagedOutput(str(tmp_path), "run").begin() is None
    mine = staged(tmp_path, "run", ("c",))
    mine.commit(parts(mine, "c"), {})
    assert StagedOutput(str(tmp_path), "other").begin() is None  # a retry: what the try before staged goes
    assert not (tmp_path / STAGING).exists()

    other = staged(tmp_path, "other")
    other.commit(parts(other, "a", "b"), {})
    assert content(tmp_path) == ["a", "b"]
    staged(tmp_path, "gone")
    long_ago = time.time() - EXPIRED_SECONDS - 60
    for path in (tmp_path / STAGING).rglob("*"):
        os.utime(path, (long_ago, long_ago))
    assert StagedOutput(str(tmp_path), "run").begin() is None
    assert not (tmp_path / STAGING).exists()


def test_the_staged_files_of_an_attempt_that_a_later_one_has_cleared_are_no_loss_of_what_was_there(
    tmp_path: Path,
) -> None:
    old = staged(tmp_path, "earlier", ("old",))
    old.commit(parts(old, "old"), {})
    still_runs = staged(tmp_path)
    StagedOutput(str(tmp_path), "run").begin()  # cleared by a person, meanwhile
    with pytest.raises(FileNotFoundError, match="by a later attempt of this run"):
        still_runs.commit(parts(still_runs, "a", "b"), RESULT)
    assert content(tmp_path) == ["old"]
    assert (tmp_path / MANIFEST).exists()


def test_what_a_late_attempt_has_left_beside_the_manifest_is_replaced(tmp_path: Path) -> None:
    late = StagedOutput(str(tmp_path), "run")
    (tmp_path / f"part-{late.attempt}-0").write_text("late")
    output = staged(tmp_path, "another")
    assert output.begin() is None
    output = staged(tmp_path, "another")
    output.commit(parts(output, "a", "b"), RESULT)
    assert content(tmp_path) == ["a", "b"]


def test_folders_of_partitions_come_and_go_with_their_files(tmp_path: Path) -> None:
    for run_name, day in (("monday", "2026-01-05"), ("tuesday", "2026-01-06")):
        output = StagedOutput(str(tmp_path), run_name)
        assert output.begin() is None
        name = f"day={day}/part-{output.attempt}"
        place = tmp_path / STAGING / output.attempt / name
        place.parent.mkdir(parents=True)
        place.write_text(day)
        output.commit([{"file": name}], RESULT)
        assert [path.read_text() for path in tmp_path.glob("day=*/*")] == [day]
        assert {path.name for path in tmp_path.iterdir()} == {f"day={day}", MANIFEST}
    (tmp_path / "day=2026-01-06" / "precious").write_text("1")
    with pytest.raises(ConfigurationProblem, match="precious"):
        StagedOutput(str(tmp_path), "wednesday").begin()

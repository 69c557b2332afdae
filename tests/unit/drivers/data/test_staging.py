"""Output that is there once and whole, whenever an attempt is killed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from airflow_provider_air.drivers.data.staging import INTENT, MANIFEST, STAGING, StagedOutput
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

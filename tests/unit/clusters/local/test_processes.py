from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from airflow_provider_air.clusters.local import processes
from airflow_provider_air.clusters.local.head import MARKER

SLEEPER = [sys.executable, "-c", "print(flush=True); import time; time.sleep(300)"]


def start(folder: Path, **options: object) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own, as a job that wants to escape would."""
    process = subprocess.Popen(SLEEPER, start_new_session=True, stdout=subprocess.PIPE, **options)  # type: ignore[call-overload]
    assert process.stdout.readline()
    return process  # type: ignore[no-any-return]


def test_marked_processes_and_those_that_work_in_the_folder_die_and_no_others(tmp_path: Path) -> None:
    folder, other = tmp_path / "a", tmp_path / "ab"
    folder.mkdir()
    other.mkdir()
    mine = [start(folder, env={MARKER: str(folder)}), start(folder, cwd=folder)]
    others = [start(other, env={MARKER: str(other)}), start(other, cwd=other)]
    try:
        assert {process.pid for process in processes.of_cluster(folder)} == {child.pid for child in mine}
        assert processes.kill_cluster(folder) == []
        assert all(child.wait(30) is not None for child in mine)
        assert all(child.poll() is None for child in others)
    finally:
        for child in (*mine, *others):
            child.kill()
            child.communicate()

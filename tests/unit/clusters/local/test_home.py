from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from airflow_provider_air.clusters.host import base_folder
from airflow_provider_air.clusters.local.home import (
    ClusterHome,
    ClusterRecord,
    StateRecord,
    SupervisorRecord,
    host_id,
    list_clusters,
)
from airflow_provider_air.errors import ConfigurationError


def record(name: str) -> ClusterRecord:
    return ClusterRecord(name=name, host="here", fingerprint="f", spec={}, owner={}, ports={"gcs": 1}, created_at=1.5)


def make(name: str) -> ClusterHome:
    home = ClusterHome.of(name)
    home.folder.mkdir()
    record(name).write(home.cluster_file)
    return home


def test_a_record_reads_back_as_it_was_written_and_is_private(base: Path) -> None:
    home = make("a")
    assert home.cluster() == record("a")
    assert home.cluster_file.stat().st_mode & 0o777 == 0o600


def test_what_is_not_there_or_not_readable_reads_as_none(base: Path) -> None:
    home = ClusterHome.of("a")
    assert (home.cluster(), home.lease(), home.state(), home.supervisor(), home.token()) == (None,) * 5
    home.folder.mkdir()
    home.state_file.write_text('{"state": ')
    home.lease_file.write_text('{"of_another_version": 1}')
    assert (home.state(), home.lease()) == (None, None)


def test_a_record_of_a_later_version_is_read_as_far_as_it_is_known(base: Path) -> None:
    home = ClusterHome.of("a")
    home.folder.mkdir()
    home.state_file.write_text('{"state": "ready", "of_a_later_version": 1}')
    assert home.state() == StateRecord(state="ready")


def test_a_base_has_one_word_whoever_asks_first(base: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        words = list(pool.map(host_id, [base] * 32))
    assert len(set(words)) == 1
    assert words[0]
    assert os.listdir(base) == ["host"]


def test_writing_replaces_the_file_and_leaves_no_draft(base: Path) -> None:
    home = make("a")
    StateRecord(state="starting").write(home.state_file)
    StateRecord(state="ready").write(home.state_file)
    assert home.state() == StateRecord(state="ready")
    assert sorted(os.listdir(home.folder)) == ["cluster.json", "state.json"]


def test_clusters_are_listed_until_they_are_removed(base: Path) -> None:
    first, second = make("first"), make("second")
    assert {home.folder for home in list_clusters()} == {first.folder, second.folder}
    first.remove()
    first.remove()
    assert [home.folder for home in list_clusters()] == [second.folder]
    assert not first.folder.exists()


def test_only_one_at_a_time_holds_the_lock(base: Path) -> None:
    home = ClusterHome.of("a")
    with home.lock() as held, home.lock(wait=False) as held_twice:
        assert (held, held_twice) == (True, False)
    with home.lock(wait=False) as held:
        assert held


def test_a_lock_whose_file_was_removed_meanwhile_is_taken_anew(base: Path) -> None:
    home = ClusterHome.of("a")
    held_by_the_other: list[bool] = []

    def other() -> None:
        with home.lock(), home.lock(wait=False) as again:
            held_by_the_other.append(not again)

    with home.lock():
        thread = threading.Thread(target=other)
        thread.start()
        home.remove_lock()
    thread.join(30)
    assert held_by_the_other == [True]
    assert home.lock_file.exists()


def test_a_supervisor_is_told_from_a_later_process_of_the_same_id(base: Path) -> None:
    me = psutil.Process()
    assert SupervisorRecord(pid=me.pid, create_time=me.create_time()).process() == me
    assert SupervisorRecord(pid=me.pid, create_time=me.create_time() - 3600).process() is None


def test_the_base_is_made_private(base: Path) -> None:
    base.rmdir()
    assert base_folder() == base
    assert base.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("path", ["/tmp/" + "a" * 40, "relative/path", "/dev/null/air", "/dev/null"])
def test_a_base_that_cannot_work_is_refused(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIR_LOCAL_HOME", path)
    with pytest.raises(ConfigurationError, match="AIR_LOCAL_HOME"):
        base_folder()


def test_a_base_that_others_can_write_to_is_refused(base: Path) -> None:
    base.chmod(0o777)
    with pytest.raises(ConfigurationError, match="tamper"):
        base_folder()


def test_a_base_behind_a_symbolic_link_is_refused(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = base / "link"
    link.symlink_to(base)
    monkeypatch.setenv("AIR_LOCAL_HOME", str(link))
    with pytest.raises(ConfigurationError, match="tamper"):
        base_folder()

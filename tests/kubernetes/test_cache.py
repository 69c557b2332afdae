"""What is built once: whole or not at all, by one process, under the hash of what it is made from."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
import threading
import time
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.kubernetes.node import binaries, cache, machine, ray_image
from tests.kubernetes.node.archives import ImageConfig, write_archive


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


def test_it_is_made_once_and_found_again() -> None:
    made: list[Path] = []

    def make(folder: Path) -> None:
        made.append(folder)
        (folder / "file").write_text("whole")

    first, again = cache.made("thing", "1", make), cache.made("thing", "1", make)
    assert first == again == cache.place("thing", "1")
    assert len(made) == 1
    assert made[0] != first, "it is filled elsewhere and moved"
    assert cache.made("thing", "2", make) != first


def test_what_fails_or_is_killed_leaves_nothing_that_counts() -> None:
    def fail(folder: Path) -> None:
        (folder / "half").touch()
        raise RuntimeError("no network")

    with pytest.raises(RuntimeError, match="no network"):
        cache.made("thing", "1", fail)
    assert [path.name for path in cache.root().iterdir()] == [".thing.lock"]
    (cache.root() / ".thing-1.part").mkdir()
    (cache.root() / ".thing-1.part" / "half").touch()
    assert list(cache.made("thing", "1", lambda folder: None).iterdir()) == []


def test_two_at_once_make_it_once() -> None:
    made: list[int] = []

    def make(folder: Path) -> None:
        made.append(1)
        time.sleep(0.2)

    threads = [threading.Thread(target=cache.made, args=("thing", "1", make)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [1]


def test_what_nobody_used_for_long_goes_when_its_successor_comes() -> None:
    old, young = (cache.made("thing", key, lambda folder: None) for key in ("old", "young"))
    os.utime(old, (0, time.time() - cache.UNUSED_SECONDS - 1))
    cache.made("thing", "new", lambda folder: None)
    assert (old.exists(), young.exists()) == (False, True)


def test_a_hash_tells_parts_apart() -> None:
    made_from: list[list[str | bytes]] = [["ab", "c"], ["a", "bc"], ["abc"], [b"ab", "c", ""]]
    keys = {cache.key_of(parts) for parts in made_from}
    assert len(keys) == 4
    assert len({binary.key() for binary in binaries.ALL}) == len(binaries.ALL)
    assert ray_image.requirements()[0] == f"ray[default,serve,data,train,tune]=={version('ray')}"


def test_an_archive_is_an_image(home: Path) -> None:
    rootfs = home / "rootfs"
    (rootfs / "etc").mkdir(parents=True)
    (rootfs / "etc/hosts").write_text("x")
    write_archive(rootfs, ImageConfig("localhost/a:1", ("/a",), user="7:8"), home / "image.tar")
    with tarfile.open(home / "image.tar") as image:
        image.extractall(home / "image", filter="data")
    (manifest,) = json.loads((home / "image/manifest.json").read_text())
    config = json.loads((home / "image" / manifest["Config"]).read_text())
    assert manifest["RepoTags"] == ["localhost/a:1"]
    assert (config["config"]["Entrypoint"], config["config"]["User"]) == (["/a"], "7:8")
    layer = gzip.decompress((home / "image" / manifest["Layers"][0]).read_bytes())
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(layer).hexdigest()}"]
    with tarfile.open(fileobj=io.BytesIO(layer)) as files:
        assert files.getnames() == ["etc", "etc/hosts"]


def test_a_machine_says_all_that_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    missing = machine.missing()
    assert missing[:2] == ["root", "Go 1.25 or newer"]
    assert missing[-1].startswith("apt install conntrack containerd ")

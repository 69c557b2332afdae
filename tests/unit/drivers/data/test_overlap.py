"""
Several runs, and several attempts of one, that write to one folder at once, and are killed anywhere.

Each is a thread that takes its next step, a call of the file system or the end of a pause, when a seeded scheduler says
so; between two steps the folder is looked at as a reader would.
"""

from __future__ import annotations

import itertools
import json
import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.fs
import pytest

from airflow_provider_air.drivers.data import files, lease, staging
from airflow_provider_air.drivers.data.staging import MANIFEST, STAGING, StagedOutput
from airflow_provider_air.drivers.wire.problems import Unavailable

STEP_SECONDS = 0.05


class Killed(BaseException):
    """What a process feels that is no more."""


class World:
    """Whose turn it is, and what time."""

    def __init__(
        self, seed: int, kill_share: float, look: Callable[[random.Random], None] = lambda chance: None
    ) -> None:
        self.chance = random.Random(seed)
        self.time = 0.0
        self.kill_share = kill_share
        self.look = look
        self._changed = threading.Condition()
        self._live: set[str] = set()
        self._dead: set[str] = set()
        self._due: dict[str, float] = {}
        self._threads: list[threading.Thread] = []
        self.failures: list[BaseException] = []

    def start(self, name: str, work: Callable[[str], Any], tries: int) -> None:
        """Let a process work, and another after it where it was killed or failed, as Airflow does."""
        self._live.add(f"{name}/0")
        thread = threading.Thread(target=self._tries, args=(name, work, tries), daemon=True)
        self._threads.append(thread)
        thread.start()

    def _tries(self, name: str, work: Callable[[str], Any], tries: int) -> None:
        for number in range(tries):
            try:
                work(f"{name}/{number}")
                again = False
            except (Killed, FileNotFoundError, Unavailable):
                again = number + 1 < tries
            except BaseException as error:  # noqa: BLE001  # raised again by the test
                self.failures.append(error)
                again = False
            with self._changed:
                if again:
                    self._live.add(f"{name}/{number + 1}")
                self._live.discard(f"{name}/{number}")
                self._changed.notify_all()
            if not again:
                return

    def turn(self, process: str, pause: float = 0.0) -> None:
        """Wait for one's turn."""
        with self._changed:
            if process not in self._dead:
                self._due[process] = self.time + pause
                self._changed.notify_all()
                self._changed.wait_for(lambda: process not in self._due)
            if process in self._dead:
                raise Killed

    def run(self) -> None:
        """Give turns until all have ended."""
        while True:
            with self._changed:
                assert self._changed.wait_for(lambda: all(name in self._due for name in self._live), timeout=30)
                if not self._live:
                    break
                self.look(self.chance)
                ready = sorted(name for name, due in self._due.items() if due <= self.time)
                if not ready:
                    self.time = min(self._due.values())
                    continue
                process = self.chance.choice(ready)
                if self.chance.random() < self.kill_share:
                    self._dead.add(process)
                self.time += STEP_SECONDS
                del self._due[process]
                self._changed.notify_all()
        for thread in self._threads:
            thread.join()
        if self.failures:
            raise self.failures[0]


class Clock(lease.Clock):
    """The world's time."""

    def __init__(self, world: World, process: str) -> None:
        self._world = world
        self._process = process

    def now(self) -> float:
        return self._world.time

    def sleep(self, seconds: float) -> None:
        self._world.turn(self._process, seconds)


class Stepped:
    """A local file system of which each call waits for its turn."""

    type_name = "local"

    def __init__(self, world: World, process: str) -> None:
        self._world = world
        self._process = process
        self._real = pyarrow.fs.LocalFileSystem()

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._real, name)

        def stepped(*args: Any, **kwargs: Any) -> Any:
            self._world.turn(self._process)
            return call(*args, **kwargs)

        return stepped


class Reader:
    """Looks at the manifest and what it names, at any time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.committed: list[str] = []

    def look_and_lose(self, chance: random.Random) -> None:
        """Look, and lose a staged file at times, as by a rule of the bucket."""
        self.look()
        staged = sorted((self._folder / STAGING).rglob("*part-*"))
        if staged and chance.random() < 0.02:
            chance.choice(staged).unlink()

    def look(self, chance: random.Random | None = None) -> None:
        """The manifest names one attempt's whole output, and once there is one, there always is."""
        place = self._folder / MANIFEST
        if not place.exists():
            assert not self.committed
            return
        manifest = json.loads(place.read_text())
        attempt, count = manifest["result"]["attempt"], manifest["result"]["files"]
        texts = sorted((self._folder / name).read_text() for name in manifest["files"])
        assert texts == sorted(f"{attempt} {number}" for number in range(count))
        if self.committed[-1:] != [attempt]:
            self.committed.append(attempt)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staging, "MOVE_THREADS", 1)  # so that a seed is one history
    monkeypatch.setattr(staging, "RENEW_SECONDS", 1e6)


def written(world: World, folder: Path, run_name: str, process: str) -> None:
    """Write one output as a driver does."""
    output = StagedOutput(str(folder), run_name, Clock(world, process))
    if output.begin() is not None:
        return
    place = folder / STAGING / output.attempt
    count = world.chance.randrange(4)
    names = []
    for number in range(count):
        world.turn(process)
        name = f"day={number % 2}/part-{output.attempt}-{number}" if count == 3 else f"part-{output.attempt}-{number}"
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(f"{output.attempt} {number}")
        names.append(name)
    output.commit([{"file": name} for name in names], {"attempt": output.attempt, "files": count})


def run_all(patch: pytest.MonkeyPatch, world: World, folder: Path, names: list[str], tries: int) -> None:
    """Run some processes at once; a digit at the end tells two of one run apart: a person has cleared the first."""
    local = threading.local()

    def opened(uri: str, field: str) -> tuple[Any, str]:
        return Stepped(world, local.process), uri

    def work(process: str) -> None:
        local.process = process
        written(world, folder, process.split("/")[0].rstrip("0123456789"), process)

    patch.setattr(files, "open_uri", opened)
    for name in names:
        world.start(name, work, tries)
    world.run()


@pytest.mark.parametrize("seeds", [range(8), pytest.param(range(8, 200), marks=pytest.mark.full)], ids=str)
@pytest.mark.usefixtures("quick")
def test_a_reader_finds_one_whole_output_and_no_run_wedges(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seeds: range
) -> None:
    for seed in seeds:
        folder = tmp_path / str(seed)
        folder.mkdir()
        reader = Reader(folder)
        run_all(
            monkeypatch, World(seed, 0.03, reader.look_and_lose), folder, ["monday1", "tuesday", "monday2"], tries=3
        )
        run_all(monkeypatch, World(seed, 0.0, reader.look), folder, ["last"], tries=1)
        reader.look()
        manifest = json.loads((folder / MANIFEST).read_text())
        assert manifest["run_name"] == "last", seed
        seen = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
        assert {name for name in seen if not name.startswith("_")} == set(manifest["files"]), seed
        assert {name for name in seen if name.startswith("_")} - {MANIFEST} == {
            name for name in seen if name.startswith(STAGING) or name.endswith(".part")
        }, seed


@pytest.mark.usefixtures("quick")
def test_who_holds_the_folder_holds_it_alone(tmp_path: Path) -> None:
    inside: list[str] = []
    for seed in range(40):
        world = World(seed, kill_share=0.01)

        def work(process: str, world: World = world) -> None:
            with lease.Lease(Stepped(world, process), str(tmp_path / "locks"), process, Clock(world, process)) as held:
                inside.append(process)
                for _ in range(5):
                    held.keep()
                assert inside == [process]
                inside.clear()

        def guarded(process: str, work: Callable[[str], None] = work) -> None:
            try:
                work(process)
            except Killed:
                if inside == [process]:
                    inside.clear()
                raise

        for name in ("a", "b", "c"):
            world.start(name, guarded, tries=2)
        world.run()
    assert not inside


def test_a_folder_that_others_keep_for_too_long_is_told(tmp_path: Path) -> None:
    class Busy(lease.Clock):
        """Of the one that waits; the other renews whenever it is looked at."""

        time = 0.0

        def now(self) -> float:
            return self.time

        def sleep(self, seconds: float) -> None:
            self.time += 60
            (tmp_path / "0.json").write_text(f'{{"holder": "monday", "beat": {next(beats)}}}')

    beats = itertools.count()
    (tmp_path / "0.json").write_text('{"holder": "monday"}')
    waits = lease.Lease(pyarrow.fs.LocalFileSystem(), str(tmp_path), "tuesday", Busy())
    with pytest.raises(Unavailable, match=r"another run's.*monday"), waits:
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["0.json"]

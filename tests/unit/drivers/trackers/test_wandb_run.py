"""A tracker that is away: the work waits for it, goes without it, or is left to the next attempt."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow_stack import held_port

from airflow_provider_air.drivers.frame.running import Run
from airflow_provider_air.drivers.trackers import wandb_run
from airflow_provider_air.drivers.wire import outages
from airflow_provider_air.drivers.wire.problems import ConfigurationProblem, Unavailable
from airflow_provider_air.drivers.wire.records import RecordBuffer
from tests.fakes.wandb import KEY, FakeWandb
from tests.kinds import parameters
from tests.kinds.outages import TRACKERS, Tracked
from tests.unit.drivers.conftest import Process, records, ship

OPENED, NAMES = parameters(TRACKERS)
CODES: dict[type[Exception], int] = {ConfigurationProblem: 64, Unavailable: 69}
# What wandb 0.31 says after its own time, and at once.
WORDS = {
    0: "Timed out while retrying: Post: connection refused",
    503: "Timed out while retrying: HTTP 503: m",
    403: "m",
}


@pytest.fixture
def nowhere() -> Iterator[str]:
    """An address where nobody listens."""
    with held_port() as port:
        yield f"http://127.0.0.1:{port}"


def opening(status: int) -> Any:
    """What opens a run at a server that answers so."""
    import wandb.errors

    def init(**options: Any) -> Any:
        raise wandb.errors.CommError(WORDS[status])

    return SimpleNamespace(init=init)


@pytest.mark.parametrize("tracked", OPENED, ids=NAMES)
def test_a_run_that_cannot_be_opened(tracked: Tracked, by_hand: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AIRFLOW_WANDB", "run")
    for name, value in tracked.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(wandb_run, "_wandb", lambda: opening(tracked.status))

    if tracked.code:
        with pytest.raises((ConfigurationProblem, Unavailable)) as raised:
            wandb_run.begin(by_hand)
        assert CODES[raised.type] == tracked.code
        return
    assert wandb_run.begin(by_hand) is None
    (told,) = RecordBuffer().feed(Path(by_hand.records.path).read_bytes())
    assert "going on without W&B: tracker: W&B does not open the run" in told["message"]


def test_a_driver_goes_on_without_a_real_wandb_that_reaches_nobody(folder: Any, run: Process, nowhere: str) -> None:
    pytest.importorskip("wandb")
    ship(folder, lambda: 7)
    done = run(
        "-m",
        "air_drivers.function",
        RAY_AIRFLOW_WANDB="run",
        RAY_AIRFLOW_WANDB_OPTIONAL="1",
        WANDB_BASE_URL=nowhere,
        WANDB_API_KEY="k" * 40,
        WANDB_INIT_TIMEOUT="1",
        WANDB_MODE="online",
        WANDB_SILENT="true",
        WANDB_PROJECT="p",
        WANDB_ENTITY="e",
        WANDB_DIR=str(folder),
        HOME=str(folder),
    )

    assert done.returncode == 0, done.stderr
    kinds = [(record["kind"], record.get("phase")) for record in records(folder)]
    assert kinds == [("progress", "tracker"), ("result", None), ("end", None)]


# Tune's trials have runs of their own, which are opened elsewhere: W&B is only asked


@pytest.fixture
def trials(monkeypatch: pytest.MonkeyPatch, nowhere: str) -> None:
    monkeypatch.setenv("RAY_AIRFLOW_WANDB", "trials")
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("WANDB_BASE_URL", nowhere)
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setattr(wandb_run, "_wandb", lambda: None)
    monkeypatch.setattr(outages, "PATIENCE_SECONDS", 0.0)


def test_trials_wait_for_a_tracker_that_is_away(trials: None, by_hand: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Unavailable, match=r"tracker: W&B cannot be asked: .*does not answer"):
        wandb_run.begin(by_hand)
    monkeypatch.setenv("RAY_AIRFLOW_WANDB_OPTIONAL", "1")
    assert wandb_run.begin(by_hand) is None


def test_trials_are_not_begun_with_a_key_that_is_refused(
    trials: None, by_hand: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeWandb() as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        assert wandb_run.begin(by_hand) is None
        monkeypatch.setenv("WANDB_API_KEY", "another")
        with pytest.raises(ConfigurationProblem, match="refuses the API key"):
            wandb_run.begin(by_hand)


def test_offline_nobody_is_asked(trials: None, by_hand: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    del os.environ["WANDB_API_KEY"]

    assert wandb_run.begin(by_hand) is None

"""Steps in whatever order, as the real wandb writes them, offline."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_air.drivers.frame.running import Run
from airflow_provider_air.drivers.trackers import wandb_trials
from airflow_provider_air.drivers.trackers.wandb_run import WandbRun
from tests.wandb_files import OfflineRun, read_runs


@dataclass(frozen=True)
class Logged:
    """
    :param told: steps with values, in this order
    :param history: W&B's rows
    :param late: metrics whose X axis is the step that they were reported for
    """

    told: list[tuple[int | None, dict[str, Any]]]
    history: list[dict[str, Any]]
    late: tuple[str, ...] = ()


LOSSES: list[tuple[int | None, dict[str, Any]]] = [(step, {"loss": 8 - step}) for step in range(4)]
CURVE = [{"loss": 8 - step, "_step": step} for step in range(4)]
CASES = {
    "in order": Logged([*LOSSES, (3, {"acc": 1})], [*CURVE[:3], {"loss": 5, "acc": 1, "_step": 3}]),
    "without steps": Logged([(None, {"a": 1}), (None, {"a": 2})], [{"a": 1, "_step": 0}, {"a": 2, "_step": 1}]),
    "a validation that comes late": Logged(
        [*LOSSES, (2, {"acc": 1}), (4, {"loss": 4})],
        [*CURVE[:3], {"loss": 5, "acc": 1, "reported_step": 2, "_step": 3}, {"loss": 4, "_step": 4}],
        ("acc",),
    ),
    "validations after all reports": Logged(
        [*LOSSES, (1, {"acc": 1}), (2, {"acc": 2}), (3, {"acc": 3})],
        [
            *CURVE[:3],
            {"loss": 5, "acc": 1, "reported_step": 1, "_step": 3},
            {"acc": 2, "reported_step": 2, "_step": 4},
            {"acc": 3, "reported_step": 3, "_step": 5},
        ],
        ("acc",),
    ),
    "two late validations before a report": Logged(
        [*LOSSES, (1, {"acc": 1}), (2, {"acc": 2}), (4, {"loss": 4}), (5, {"loss": 3})],
        [
            *CURVE[:3],
            {"loss": 5, "acc": 1, "reported_step": 1, "_step": 3},
            {"acc": 2, "reported_step": 2, "_step": 4},
            # W&B's own counter is ahead now.
            {"loss": 4, "_step": 5},
            {"loss": 3, "_step": 6},
        ],
        ("acc",),
    ),
    "epochs beside batches": Logged(
        [(100, {"loss": 3}), (1, {"acc": 1}), (200, {"loss": 2}), (2, {"acc": 2})],
        [
            {"loss": 3, "acc": 1, "reported_step": 1, "_step": 100},
            {"loss": 2, "acc": 2, "reported_step": 2, "_step": 200},
        ],
        ("acc",),
    ),
    "a validation that is in time again": Logged(
        [*LOSSES, (2, {"acc": 1}), (4, {"loss": 4, "acc": 2})],
        [
            *CURVE[:3],
            {"loss": 5, "acc": 1, "reported_step": 2, "_step": 3},
            {"loss": 4, "acc": 2, "reported_step": 4, "_step": 4},
        ],
        ("acc",),
    ),
    "reports that come anew": Logged(
        [*LOSSES, (1, {"loss": 9}), (2, {"loss": 9}), (3, {"loss": 5}), (4, {"loss": 4})],
        [*CURVE, {"loss": 4, "_step": 4}],
    ),
    "a late name that is a pattern to W&B": Logged(
        [*LOSSES, (2, {"a*b": 1})], [*CURVE[:3], {"loss": 5, "a*b": 1, "reported_step": 2, "_step": 3}]
    ),
}


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    wandb = pytest.importorskip("wandb")
    for name, value in {"MODE": "offline", "DIR": str(tmp_path), "SILENT": "true", "PROJECT": "p"}.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    yield tmp_path
    wandb.teardown()


def written(folder: Path) -> OfflineRun:
    import wandb

    wandb.teardown()
    (run,) = read_runs(folder)
    return run


def metric(values: dict[str, Any], step: int | None) -> dict[str, Any]:
    return {"kind": "metric", "values": values, **({} if step is None else {"step": step})}


@pytest.mark.parametrize("logged", CASES.values(), ids=list(CASES))
def test_nothing_is_lost_whatever_order_the_steps_come_in(logged: Logged, offline: Path) -> None:
    import wandb

    run = WandbRun(wandb.init())
    for step, values in logged.told:
        run.take(metric(values, step))
    run.finish(0)

    found = written(offline)
    assert found.history == logged.history
    assert found.x_axes == dict.fromkeys(logged.late, "reported_step")


def test_a_trial_loses_nothing_either(by_hand: Run, offline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AIRFLOW_WANDB", "trials")
    monkeypatch.setenv("RAY_AIRFLOW_WANDB_TRIALS", "af-0")
    trials = wandb_trials.begin(by_hand)
    assert trials is not None
    by_hand.records.tell("progress", message="", trial="a", trial_state="running")
    for step, values in CASES["a validation that comes late"].told:
        by_hand.records.tell("metric", values=values, step=step, trial="a")
    trials.finish(0)

    assert written(offline).history == CASES["a validation that comes late"].history

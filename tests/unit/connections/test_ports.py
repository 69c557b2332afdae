"""What a run gets of the process that it lives in."""

from __future__ import annotations

import math
from typing import Any

import pytest

from airflow_provider_air.connections.ports import XComBoard, run_ports, task_key_of, task_of, try_of
from tests.fakes.task_context import Store, Supervisor, task_context

TASK = {"dag_id": "flights", "run_id": "manual__1", "task_id": "train", "map_index": -1}


class NoLog:
    """Takes whatever is logged."""

    def info(self, message: str, /, *args: Any) -> None: ...

    def warning(self, message: str, /, *args: Any) -> None: ...


@pytest.mark.parametrize(("map_index", "expected"), [(-1, -1), (0, 0), (7, 7), (None, -1)])
def test_a_task_is_named_by_its_context(map_index: int | None, expected: int) -> None:
    context = task_context(Store(), map_index=map_index)
    key = task_key_of(context)

    assert (key.dag_id, key.run_id, key.task_id, key.map_index) == ("flights", "manual__1", "train", expected)
    assert key.deployment
    assert task_of(context) == {**TASK, "map_index": expected}


@pytest.mark.parametrize(("try_number", "max_tries", "has_next"), [(1, 0, False), (1, 1, True), (2, 1, False)])
def test_a_try_knows_whether_another_one_may_come(try_number: int, max_tries: int, has_next: bool) -> None:
    this = try_of(task_context(Store(), try_number=try_number, max_tries=max_tries))

    assert this.has_next is has_next


def test_a_worker_and_a_triggerer_share_the_board(supervisor: Supervisor) -> None:
    of_worker = run_ports(task_context(Store()), NoLog()).board
    of_triggerer = XComBoard(TASK)

    of_worker.write("progress", {"done": 1})
    assert of_triggerer.read("progress") == {"done": 1}
    of_triggerer.write("progress", {"done": 2})
    assert of_worker.read("progress") == {"done": 2}
    assert of_worker.read("nothing") is None


@pytest.mark.parametrize("value", [math.nan, {"a": [math.inf]}], ids=str)
def test_the_line_to_airflow_takes_no_nan(value: Any, supervisor: Supervisor) -> None:
    """As Airflow's own does: this is what keeps the tests above honest."""
    with pytest.raises(ValueError, match="JSON"):
        XComBoard(TASK).write("progress", value)

"""Rows predicted, as Ray Data's executor knows them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_air.drivers.batch_inference import progress


class Records:
    def __init__(self) -> None:
        self.told: list[int] = []

    def tell(self, kind: str, **fields: Any) -> None:
        self.told.append(fields["done"])


def executor(**rows: int) -> Any:
    return SimpleNamespace(
        _topology=[
            SimpleNamespace(name=name, metrics=SimpleNamespace(rows_task_outputs_generated=count))
            for name, count in rows.items()
        ]
    )


def test_what_is_new_is_told_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PROGRESS_SECONDS", 0.0)
    records = Records()
    found = progress.Progress(records)  # type: ignore[arg-type]
    found.tick()
    for done in (10, 10, 25):
        found.look(executor(Read=100, Predict=done, Write=1))
        found.tick()
    assert records.told == [10, 25]
    monkeypatch.setattr(progress, "PROGRESS_SECONDS", 60.0)
    for done in (30, 40):
        found.look(executor(Predict=done))
        found.tick()
    assert records.told == [10, 25, 30]
    found.tick(is_last=True)
    assert records.told == [10, 25, 30, 40]


def test_an_executor_of_another_shape_fails_nothing() -> None:
    found = progress.Progress(Records())  # type: ignore[arg-type]
    for odd in (object(), SimpleNamespace(_topology=None), SimpleNamespace(_topology=[object()])):
        found.look(odd)
    found.watch(SimpleNamespace(context=object()))
    assert found.rows == 0

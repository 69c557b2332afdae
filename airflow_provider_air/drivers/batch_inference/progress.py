"""How far a batch inference is, as Ray Data itself knows it: no actor counts, and nothing waits for the counting."""

from __future__ import annotations

import time
from typing import Any, Dict, List

from ..wire.records import RecordWriter

try:
    from ray.data._internal.execution.execution_callback import ExecutionCallback
except ImportError:  # another Ray: no progress
    ExecutionCallback = object

PROGRESS_SECONDS = 1.0
# In the name of the operator that predicts.
PREDICTS = "Predict"


class Progress:
    """
    Reports the rows predicted, about once a second, while the driver calls :meth:`tick`.

    Source: Ray 2.60, which calls back in its scheduling loop. A Ray that does not reports nothing until the end.
    """

    def __init__(self, records: RecordWriter) -> None:
        self._records = records
        self._next = 0.0
        self._told = 0
        self._counts: Dict[str, int] = {}
        self.rows = 0

    def watch(self, dataset: Any) -> None:
        """Follow the execution of a data set that is not executed yet."""
        classes = getattr(dataset.context, "custom_execution_callback_classes", None)
        if classes is not None and ExecutionCallback is not object:
            _watching.append(self)
            classes.append(Follower)

    def look(self, executor: Any) -> None:
        """Take the rows so far; never fails the execution."""
        try:
            predicting = [operator for operator in executor._topology if PREDICTS in operator.name]
            self.rows = max([self.rows, *(each.metrics.rows_task_outputs_generated for each in predicting)])
            for operator in predicting:
                self._count(operator)
        except Exception:  # of no use to anybody but progress
            return

    def _count(self, operator: Any) -> None:
        counts = {
            "blocks": operator.metrics.num_task_outputs_generated,
            # What Ray Data expects by what it has seen so far.
            "total_rows": operator.num_output_rows_total(),
            "total_blocks": operator.num_outputs_total(),
        }
        self._counts.update({name: int(count) for name, count in counts.items() if count})

    def tick(self, is_last: bool = False) -> None:
        """Report, where there is something new; the last time whenever it is."""
        if self.rows > self._told and (is_last or time.monotonic() >= self._next):
            self._told, self._next = self.rows, time.monotonic() + PROGRESS_SECONDS
            batch = {**self._counts, "rows": self.rows}
            self._records.tell("progress", message="rows predicted", done=self.rows, phase="predict", batch=batch)


class Follower(ExecutionCallback):  # type: ignore[misc, unused-ignore]
    """What Ray Data builds and calls in the driver; it travels to its workers with its context, and is idle there."""

    def on_execution_step(self, executor: Any) -> None:
        """Look once."""
        for progress in _watching:
            progress.look(executor)


_watching: List[Progress] = []

"""
The metrics of a training run across its attempts: one row per report, kept beside the checkpoints.

What came after the last checkpoint is dropped when a run resumes, because the loop reports it again.
Ray itself keeps only the metrics of checkpoints (``checkpoint_manager_snapshot.json``).
"""

from __future__ import annotations

import json
import time
from typing import Any, Dict, List, Optional

from ..frame.metrics import plain
from ..wire.metrics import finite_of, metrics_of

FILE = "air_metrics_history.jsonl"

Row = Dict[str, Any]


class History:
    """
    Rows ``{"report": N, "t": SECONDS, "metrics": {...}, "checkpoint": FOLDER NAME or None}``.

    :param rows: what earlier attempts left
    """

    def __init__(self, rows: Optional[List[Row]] = None) -> None:
        self.rows: List[Row] = list(rows or [])

    def add(self, metrics: Dict[str, Any], checkpoint: Optional[str]) -> Row:
        """Append one report and return its row."""
        row = {"report": len(self.rows), "t": time.time(), "metrics": plain(metrics), "checkpoint": checkpoint}
        self.rows.append(row)
        return row

    def rewind(self) -> int:
        """Drop what came after the last checkpoint, and return how many rows are left."""
        while self.rows and self.rows[-1]["checkpoint"] is None:
            self.rows.pop()
        return len(self.rows)

    def resume_at(self, checkpoint: Optional[str], metrics: Optional[Dict[str, Any]]) -> None:
        """
        Bring the rows in line with the checkpoint that Ray resumes from.

        :param checkpoint: folder name of that checkpoint; None when there is none and all starts again
        :param metrics: what was reported with it; fills the row that a kill kept from being written
        """
        if checkpoint is None:
            self.rows.clear()
            return
        for index, row in enumerate(self.rows):
            if row["checkpoint"] == checkpoint:
                del self.rows[index + 1 :]
                return
        # Ray writes its own list first: killed in between, the last row is missing here, not earlier ones.
        self.add(metrics or {}, checkpoint)

    def complete(self, checkpoint: str, metrics: Dict[str, Any]) -> Optional[Row]:
        """
        Take what came for a checkpoint after its report, such as of a validation beside the training.

        :return: a row of what is new of it, or None
        """
        for row in self.rows:
            if row["checkpoint"] == checkpoint:
                late = {name: value for name, value in plain(metrics).items() if name not in row["metrics"]}
                row["metrics"].update(late)
                return {**row, "metrics": late} if late else None
        return None

    def best(self, metric: str, mode: str) -> Optional[Row]:
        """Find the row with the best value of ``metric``, by its flat name; NaN and infinities are never best."""
        found = [(value, row) for row in self.rows if (value := finite_of(row["metrics"], metric)) is not None]
        if not found:
            return None
        pick = min if mode == "min" else max
        return pick(found, key=lambda pair: pair[0])[1]

    def metric_names(self) -> List[str]:
        """List every metric that was ever reported, by its flat name."""
        return sorted({name for row in self.rows for name in metrics_of(row["metrics"])})

    def dump(self) -> bytes:
        """Give the file's content."""
        return b"".join(json.dumps(row, separators=(",", ":")).encode() + b"\n" for row in self.rows)

    @classmethod
    def parse(cls, data: bytes) -> History:
        """Read the file's content; a line that a kill cut short ends it."""
        rows: List[Row] = []
        for line in data.splitlines():
            try:
                rows.append(json.loads(line))
            except ValueError:
                break
        return cls(rows)

"""What Feast's own join is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from airflow_provider_air.drivers.features import entities, feast_join


@pytest.mark.parametrize(
    ("stores", "asked"), [(["7", "3000000000"], [7, 3_000_000_000]), (["0042", "7"], ["0042", "7"]), (["a"], ["a"])]
)
def test_a_key_that_partitions_tell_is_a_number_where_all_are_written_so(
    tmp_path: Path, stores: list[str], asked: list[Any]
) -> None:
    for store in stores:
        (tmp_path / f"store={store}").mkdir()
        pyarrow.parquet.write_table(pyarrow.table({"t": ["2026-01-01"]}), tmp_path / f"store={store}" / "1.parquet")

    with entities.opened({"uri": str(tmp_path), "format": "parquet"}, "rows") as rows:
        frame, _ = feast_join._asked(rows, ["store"], "t", "rows")

    assert sorted(frame["store"].tolist()) == sorted(asked)

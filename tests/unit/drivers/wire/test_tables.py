"""Tables as parquet: only what is read as what was written."""

from __future__ import annotations

import functools
from typing import Any

import numpy
import pandas
import pyarrow
import pyarrow.parquet
import pytest

from airflow_provider_air.drivers.wire.tables import from_parquet, to_parquet
from airflow_provider_air.drivers.wire.values import TAG, Undecoded, decode, encode


@pytest.mark.parametrize(
    ("column", "comes_back"),
    [
        ([1, 2.5, 3, 4.5, 5], True),
        ([b"a", b"b", b"c", b"d", "e"], False),
        ([{"x": 1}, {"x": 2}, {"x": 3}, {"x": 4}, {"y": 5}], False),
        ([[0.5, 1.5], [], [float("nan")], None, [1.0]], True),
        ([(1, 2), [[3, None]], [], None, [5]], False),
        ([[2**53 + 1, None], [1], [], None, [2]], True),
        ([pandas.Timestamp(1, unit="ns"), None, None, None, pandas.Timestamp(0)], False),
    ],
    ids=["numbers", "the last is text", "the last has another key", "curves", "lists of others", "ids", "fine times"],
)
@pytest.mark.parametrize("labels", [range(5), range(10, 0, -2), list("abcde"), [1, 1, 2, 2, 3]], ids=str)
@pytest.mark.parametrize("rows", [2, 100], ids=["in parts", "at once"])
def test_each_value_of_a_frame_comes_back_or_it_has_no_file(
    column: list[Any], comes_back: bool, labels: Any, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = functools.partial(pyarrow.parquet.write_table, row_group_size=rows)
    monkeypatch.setattr(pyarrow.parquet, "write_table", write)
    frame = pandas.DataFrame({"a": pandas.Series(column, labels, dtype=object)}).assign(b=range(5))

    data = to_parquet("pandas", frame)

    assert (data is not None) == comes_back
    if data is not None:
        found = from_parquet("pandas", data)
        assert (found.index.equals(frame.index), found["b"].tolist()) == (True, list(range(5)))
        assert encode([item.tolist() if isinstance(item, numpy.ndarray) else item for item in found["a"]]) == encode(
            column
        )


@pytest.mark.parametrize("error", [TypeError, ValueError, KeyError, pyarrow.ArrowInvalid, ImportError])
def test_a_table_that_no_library_here_reads_stays_as_it_travelled(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as that of another version of pandas: nothing is lost of a job that has succeeded."""
    travelled = encode({"table": pandas.DataFrame({"a": [1]}), "n": 1})

    def read(table: Any, **_: Any) -> Any:
        raise error("of another version")

    monkeypatch.setattr("airflow_provider_air.drivers.wire.tables._frame_of", read)
    found = decode(travelled)

    assert found == travelled
    assert isinstance(found["table"], Undecoded)
    assert decode({TAG: "table", "library": "of another version", "value": ""}) == {
        TAG: "table",
        "library": "of another version",
        "value": "",
    }

"""Parts of a data set: blocks of it as Ray Data's tasks are given them, split differently each time."""

from __future__ import annotations

import datetime
import itertools
import random
from collections.abc import Callable
from typing import Any

import numpy
import pyarrow
import pytest

from airflow_provider_air.drivers.data import splits
from airflow_provider_air.drivers.wire.problems import ConfigurationProblem

ROWS = 4000
SHARES = {"valid": 0.1, "test": 0.2}


class Blocks:
    """What of Ray's data set a split needs: blocks, and functions on them."""

    def __init__(self, blocks: list[pyarrow.Table]) -> None:
        self.blocks = blocks

    def map_batches(self, function: Callable[..., Any], fn_kwargs: dict[str, Any], **options: Any) -> Blocks:
        return Blocks([function(block, **fn_kwargs) for block in self.blocks])

    def select_columns(self, names: list[str]) -> Blocks:
        return Blocks([block.select(names) for block in self.blocks])

    def iter_batches(self, **options: Any) -> list[pyarrow.Table]:
        return self.blocks

    def values(self, name: str = "id") -> list[Any]:
        return [value for block in self.blocks for value in block.column(name).to_pylist()]


def table(rows: int = ROWS) -> pyarrow.Table:
    chance = numpy.random.default_rng(0)
    start = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    return pyarrow.table(
        {
            "id": pyarrow.array(range(rows)),
            "x": chance.normal(size=rows),
            "name": [None if row % 7 == 0 else f"n{row}" for row in range(rows)],
            "tags": [[f"t{row % 5}", None] for row in range(rows)],
            "user": pyarrow.array([None if row % 11 == 0 else row % 200 for row in range(rows)]),
            "at": pyarrow.array([start + datetime.timedelta(minutes=row // 4) for row in range(rows)]),
        }
    )


def cut(whole: pyarrow.Table, seed: int) -> Blocks:
    """The rows in another order, in other blocks."""
    chance = random.Random(seed)
    order = list(range(whole.num_rows))
    chance.shuffle(order)
    ends = sorted({0, whole.num_rows, *(chance.randrange(whole.num_rows) for _ in range(6))})
    shuffled = whole.take(pyarrow.array(order))
    return Blocks([shuffled.slice(low, high - low) for low, high in itertools.pairwise(ends)])


@pytest.mark.parametrize(("how", "by"), [("random", None), ("hash", "user"), ("hash", "name"), ("order", "at")])
def test_a_row_goes_to_the_same_part_whatever_the_order_and_the_blocks(how: str, by: str | None) -> None:
    whole = table()
    found = [
        {name: sorted(rows.values()) for name, rows in splits.parts(cut(whole, seed), SHARES, how, by, 3, "d").items()}
        for seed in range(3)
    ]
    assert found[0] == found[1] == found[2]
    assert sorted(row for rows in found[0].values() for row in rows) == list(range(ROWS))
    sizes = {name: len(rows) / ROWS for name, rows in found[0].items()}
    # The hash of a few hundred keys, and of few that are null in a tenth of all rows, is not that even.
    near = 0.13 if by == "user" or by == "name" else 0.02
    assert sizes == {
        "": pytest.approx(0.7, abs=near),
        "valid": pytest.approx(0.1, abs=near),
        "test": pytest.approx(0.2, abs=near),
    }


def test_another_seed_is_another_split() -> None:
    first, second = (splits.parts(Blocks([table()]), SHARES, "random", None, seed, "d") for seed in (0, 1))
    assert first["valid"].values() != second["valid"].values()


@pytest.mark.parametrize(
    "kind",
    [pyarrow.float64(), pyarrow.int32(), pyarrow.uint64()],
    ids=str,
)
def test_a_key_stays_together_where_files_have_it_in_several_types(kind: pyarrow.DataType) -> None:
    whole = table()
    other = whole.set_column(0, "id", pyarrow.array(range(ROWS, 2 * ROWS)))
    other = other.set_column(other.column_names.index("user"), "user", other.column("user").cast(kind))
    found = splits.parts(Blocks([whole, other]), SHARES, "hash", "user", 0, "d")
    users = [set(map(str, (None if u is None else int(u) for u in rows.values("user")))) for rows in found.values()]
    assert not users[0] & users[1]
    assert not users[1] & users[2]
    assert not users[0] & users[2]


def test_texts_stay_together_where_some_are_of_a_dictionary() -> None:
    whole = table()
    other = whole.set_column(2, "name", whole.column("name").dictionary_encode())
    found = splits.parts(Blocks([whole, other]), SHARES, "hash", "name", 0, "d")
    names = [set(rows.values("name")) for rows in found.values()]
    assert not names[0] & names[1]
    assert not names[1] & names[2]


def test_the_newest_rows_are_the_last_part_and_one_time_is_never_in_two() -> None:
    whole = table()
    found = splits.parts(cut(whole, 1), SHARES, "order", "at", 0, "d")
    train, valid, test = (found[name].values("at") for name in ("", "valid", "test"))
    assert max(train) < min(valid)
    assert max(valid) < min(test)
    assert [len(train), len(valid), len(test)] == [2800, 400, 800]


def test_rows_without_a_time_are_the_oldest() -> None:
    whole = pyarrow.table({"id": range(6), "at": pyarrow.array([None, 1, 2, None, 3, 4])})
    found = splits.parts(Blocks([whole]), {"test": 0.25}, "order", "at", 0, "d")
    assert {name: rows.values() for name, rows in found.items()} == {"": [0, 1, 2, 3, 4], "test": [5]}


@pytest.mark.parametrize(("values", "parts"), [([1, 1, 1, 2], {"": 3, "test": 1}), ([1, 2, 2, 2], {"": 1, "test": 3})])
def test_no_part_by_order_is_empty(values: list[int], parts: dict[str, int]) -> None:
    blocks = Blocks([pyarrow.table({"id": range(4), "at": values})])
    found = splits.parts(blocks, {"test": 0.5}, "order", "at", 0, "d")
    assert {name: len(rows.values()) for name, rows in found.items()} == parts


@pytest.mark.parametrize("values", [[5, 5, 5], [None, None], []])
def test_too_few_values_have_no_order_to_split_by(values: list[Any]) -> None:
    blocks = Blocks([pyarrow.table({"at": pyarrow.array(values, pyarrow.int64())})])
    with pytest.raises(ConfigurationProblem, match=r"datasets\.train\.split_by: .*too few for 2 parts"):
        splits.parts(blocks, {"test": 0.5}, "order", "at", 0, "datasets.train")


def test_many_values_are_counted_as_they_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(splits, "MOST_VALUES", 100)
    whole = table()
    found = splits.parts(cut(whole, 1), SHARES, "order", "at", 0, "d")
    assert len(found["test"].values()) == 800


def test_what_has_no_order_is_told() -> None:
    blocks = Blocks([pyarrow.table({"at": [[1], [2], [3]]})])
    with pytest.raises(ConfigurationProblem, match="cannot sort by 'at'"):
        splits.parts(blocks, {"test": 0.5}, "order", "at", 0, "d")

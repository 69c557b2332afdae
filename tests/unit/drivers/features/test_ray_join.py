"""A join over several tasks, each of which is run here, one after another, without a cluster."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from airflow_provider_air.drivers.features import ray_join
from airflow_provider_air.drivers.features.plan import JoinPlan, ViewPlan
from airflow_provider_air.drivers.features.row_join import Wish
from airflow_provider_air.drivers.wire.problems import ConfigurationProblem

PARTITIONS = 3
EARLY, LATE = datetime.date(2026, 1, 1), datetime.date(2026, 1, 2)


def write(path: Path, **columns: Any) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    return str(path)


def view(name: str, uri: str, key: str) -> ViewPlan:
    """Plan a view of one feature, by its own name."""
    return ViewPlan(name, uri, "", [[key, key]], "t", None, 0.0, [[name, "f"]])


def planned(*views: ViewPlan) -> JoinPlan:
    return JoinPlan("p", "s", "f", True, list(views), [], [[each.view, each.view] for each in views])


def met(pieces: Sequence[pyarrow.Table]) -> list[pyarrow.Table]:
    """Bring pieces together by their partitions, as Ray Data does."""
    table = pyarrow.concat_tables(pieces)
    numbers = table.column("partition").unique().to_pylist()
    return [table.filter(pyarrow.compute.equal(table.column("partition"), number)) for number in sorted(numbers)]


def joined(uri: str, plan: JoinPlan) -> list[pyarrow.Table]:
    """Give what each of the last tasks has joined."""
    wish = Wish("/repo", "s", timestamp="t", num_partitions=PARTITIONS)
    reading, stages = ray_join._stages(wish, plan, ray_join._rows(wish, plan, {"uri": uri}, "rows"))
    cut: list[pyarrow.Table] = []
    for read, stage in zip(reading, stages, strict=True):
        files = pyarrow.Table.from_pylist(read.files()).to_batches(max_chunksize=1)
        groups = met([*cut, *(piece for batch in files for piece in read(batch))])
        if stage.following is None:
            return [ray_join.Written(stage, plan, "", "").finished(stage.joined(group)) for group in groups]
        cut = [stage.cut(group) for group in groups]
    raise AssertionError("no stage is the last")


def test_what_partitions_tell_meets_the_integers_that_are_written_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for store in ("7", "0042", "8"):
        write(tmp_path / "rows" / f"store={store}" / "1.parquet", t=[LATE], user=["a"], x=[store])
    stores = view("stores", write(tmp_path / "stores.parquet", store=[7, 42, 8], t=[EARLY] * 3, f=[1, 2, 3]), "store")
    users = view(
        "users", write(tmp_path / "users" / "user=a" / "1.parquet", t=[EARLY], f=[5]).rpartition("/user=")[0], "user"
    )

    found = pyarrow.concat_tables(joined(str(tmp_path / "rows"), planned(stores, users)))

    assert found.schema.field("store").type == pyarrow.string()
    assert sorted(
        zip(*(found.column(name).to_pylist() for name in ("x", "store", "stores", "users")), strict=True)
    ) == [
        ("0042", "0042", None, 5),
        ("7", "7", 1, 5),
        ("8", "8", 3, 5),
    ]
    told = "the key store of feature view stores: the partition's text 0042 equals no integer, not 42 either"
    assert capsys.readouterr().err.count(told) == 1, "once for all tasks"


@pytest.mark.parametrize(
    ("folder", "keys", "is_told"), [("07", [7], True), ("7", [7], False), ("07", ["7"], False), ("a", [7], False)]
)
def test_a_padded_integer_of_a_partition_is_told_where_integers_are_compared_with_it(
    tmp_path: Path, folder: str, keys: list[Any], is_told: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = write(tmp_path / "rows.parquet", store=keys, t=[LATE])
    write(tmp_path / "stores" / "store=9" / "1.parquet", t=[EARLY], f=[9])
    write(tmp_path / "stores" / f"store={folder}" / "1.parquet", t=[EARLY], f=[1])

    joined(rows, planned(view("stores", str(tmp_path / "stores"), "store")))

    assert ("text 07 equals no integer, not 7 either" in capsys.readouterr().err) is is_told


def test_columns_of_a_source_that_nobody_reads_may_differ_over_its_files(tmp_path: Path) -> None:
    rows = write(tmp_path / "rows.parquet", store=[7, 8], t=[LATE] * 2)
    for number, note in ((7, "a"), (8, 1)):
        write(tmp_path / "stores" / f"{number}.parquet", store=[number], t=[EARLY], f=[number], note=[note])

    found = pyarrow.concat_tables(joined(rows, planned(view("stores", str(tmp_path / "stores"), "store"))))

    assert sorted(found.column("stores").to_pylist()) == [7, 8]


def test_a_folder_overwrites_nothing_that_a_file_has(tmp_path: Path) -> None:
    write(tmp_path / "rows" / "store=8" / "1.parquet", store=[7], t=[EARLY])
    write(tmp_path / "rows" / "store=9" / "1.parquet", t=[EARLY])
    write(tmp_path / "stores" / f"t={EARLY}" / "1.parquet", store=[7, 9], t=[LATE, EARLY], f=[1, 2])
    stores = view("stores", str(tmp_path / "stores"), "store")

    found = pyarrow.concat_tables(joined(str(tmp_path / "rows"), planned(stores)))

    assert sorted(zip(found.column("store").to_pylist(), found.column("stores").to_pylist(), strict=True)) == [
        (7, None),
        (9, 2),
    ]


def test_a_service_without_views_joins_nothing_in_as_many_tasks(tmp_path: Path) -> None:
    uri = write(tmp_path / "rows.parquet", t=[LATE] * 4, x=[1, 2, 3, 4])

    found = joined(uri, planned())

    assert [table.num_rows for table in found] == [2, 1, 1]
    assert sorted(pyarrow.concat_tables(found).column("x").to_pylist()) == [1, 2, 3, 4]


class Dataset:
    """Fails as Ray Data does: with what a task has raised, in an error of Ray's."""

    def __init__(self, cause: Exception) -> None:
        self._cause = cause

    def take_all(self) -> Any:
        import ray.exceptions

        raise ray.exceptions.RayTaskError("join", "Traceback ...", self._cause).as_instanceof_cause()


def test_a_tasks_mistake_is_told_in_its_own_words() -> None:
    pytest.importorskip("ray")
    with pytest.raises(ConfigurationProblem) as problem:
        ray_join._taken(Dataset(ConfigurationProblem("feature view v has several values")))
    assert str(problem.value) == "feature view v has several values"
    with pytest.raises(KeyError) as missing:
        ray_join._taken(Dataset(KeyError("x")))
    assert type(missing.value) is KeyError

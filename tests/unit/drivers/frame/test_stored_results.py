"""Results that travel as a record, results that go to storage, and both read back."""

from __future__ import annotations

import collections
import json
import logging
import sys
import types
from pathlib import Path
from typing import Any

import numpy
import pandas
import pyarrow
import pyarrow.parquet
import pytest

from airflow_provider_air import SharedFolder, load_result
from airflow_provider_air.connections.values import carried
from airflow_provider_air.drivers.frame import stored_results
from airflow_provider_air.drivers.wire import names
from airflow_provider_air.drivers.wire.records import RecordWriter
from airflow_provider_air.drivers.wire.stored_results import STORED, is_stored
from airflow_provider_air.drivers.wire.values import decode, encode
from airflow_provider_air.errors import ConfigurationError, ResultLostError
from tests.fakes.task_context import FakeTaskInstance
from tests.kinds.values import is_same

BIG = "x" * (stored_results.MAX_INLINE_BYTES + 1)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "storage"


@pytest.fixture
def stored(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What an XCom holds of a large result."""
    monkeypatch.setenv(names.STORAGE, str(place))
    return written(tmp_path, BIG)


def written(folder: Path, value: Any) -> Any:
    """Report a value as a driver does, and give what comes home."""
    writer = RecordWriter(str(folder / "records"))
    stored_results.write(writer, "air-1", value, "the return value")
    writer.close()
    return json.loads((folder / "records").read_text().splitlines()[-1])["value"]


def test_a_small_result_travels_although_there_is_a_storage(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(names.STORAGE, str(place))
    assert written(tmp_path, {"rmse": 1.5}) == {"rmse": 1.5}
    assert not place.exists()


def test_a_result_up_to_a_records_size_travels_where_there_is_no_storage(tmp_path: Path) -> None:
    assert written(tmp_path, BIG) == BIG


@pytest.mark.parametrize("value", [10**5000, {"of": [-(10**5000)]}, {10**5000: "many digits"}], ids=["1", "2", "3"])
def test_a_number_of_more_digits_than_python_writes_travels(value: Any, tmp_path: Path) -> None:
    assert decode(written(tmp_path, value)) == value


def test_a_larger_one_without_storage_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(stored_results.TooLarge, match="give the task storage="):
        written(tmp_path, "x" * 4 * 1024 * 1024)


def test_a_large_result_is_in_the_storage_and_what_comes_home_stands_for_it(stored: Any, place: Path) -> None:
    assert is_stored(stored)
    assert Path(stored[STORED]) == place / "results" / "air-1.json"
    assert stored["bytes"] == Path(stored[STORED]).stat().st_size
    assert len(json.dumps(stored)) < 1000


@pytest.mark.parametrize("named", [True, False], ids=["storage named", "storage known by the path"])
def test_a_worker_reads_it(stored: Any, place: Path, named: bool) -> None:
    assert load_result(stored, SharedFolder(str(place)) if named else None) == BIG
    assert load_result({"plain": 1}) == {"plain": 1}


def test_types_survive_the_storage(tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(names.STORAGE, str(place))
    table = numpy.arange(200_000, dtype="float64").reshape(-1, 2)
    value = load_result(written(tmp_path, {"table": table, "names": ("a", "b")}))
    assert (value["table"] == table).all()
    assert value["names"] == ("a", "b")


def test_arguments_are_read_wherever_they_stand(stored: Any) -> None:
    assert stored_results.fetched((1, [stored], {"deep": {"er": stored}})) == (1, [BIG], {"deep": {"er": BIG}})


@pytest.mark.parametrize("value", [b"\0x", 2**70, {"__air__": "mine"}, (b"a", [b"b"])], ids=repr)
def test_arguments_are_themselves_again_where_an_xcom_does_not_carry_them(value: Any, stored: Any) -> None:
    """The XCom of ``@task.ray``, as Airflow hands it to the next ``@task.ray``."""
    xcom = carried(value, logging.getLogger())

    assert stored_results.fetched((1, {"of": [xcom, stored]})) == (1, {"of": [value, BIG]})


def test_a_worker_reads_what_stands_inside(stored: Any) -> None:
    assert load_result({"blob": carried(b"x", logging.getLogger()), "large": [stored]}) == {
        "blob": b"x",
        "large": [BIG],
    }


def test_a_file_that_is_gone_or_another_one_is_no_result(stored: Any, place: Path) -> None:
    file = Path(stored[STORED])
    file.write_text('"another"')
    with pytest.raises(ResultLostError, match="is not what was written there"):
        load_result(stored)
    with pytest.raises(ValueError, match="is not what was written there"):
        stored_results.fetched(stored)
    file.unlink()
    with pytest.raises(ResultLostError, match="is gone"):
        load_result(stored)
    with pytest.raises(FileNotFoundError, match="clear the task that made it"):
        stored_results.fetched([stored])


def test_a_result_is_read_from_its_own_storage_only(stored: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="does not lie in"):
        load_result(stored, SharedFolder(str(tmp_path / "another")))
    with pytest.raises(ConfigurationError, match="lies in a bucket"):
        load_result({**stored, STORED: "s3://models/results/air-1.json"})


# Tables

LARGE = pandas.DataFrame({"id": numpy.arange(200_000), "score": numpy.random.default_rng(1).random(200_000)})


def all_of(folder: Path, value: Any) -> tuple[Any, list[dict[str, Any]]]:
    """Report a value as a driver does, and give its XCom and all records."""
    found = written(folder, value)
    task = FakeTaskInstance()
    task.xcom_push("return_value", carried(decode(found), logging.getLogger()))
    records = [json.loads(line) for line in (folder / "records").read_text().splitlines()]
    return task.xcoms["return_value"], records


@pytest.mark.parametrize(
    ("value", "tables"),
    [
        (LARGE, 1),
        ({"predictions": LARGE, "auc": 0.9, "more": [(LARGE,)]}, 2),
        ({"predictions": LARGE, "text": BIG, "blob": b"x"}, 1),
        (pyarrow.Table.from_pandas(LARGE), 1),
        ({7: LARGE}, 1),
        ({"small": LARGE[:3], "large": LARGE}, 1),
    ],
    ids=["alone", "inside", "inside of what is large itself", "of Arrow", "under another key", "beside a small one"],
)
def test_large_tables_are_parquet_in_the_storage(
    value: Any, tables: int, tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(names.STORAGE, str(place))
    xcom, records = all_of(tmp_path, value)

    assert len(str(xcom)) < 10_000
    files = sorted(place.glob("results/*.parquet"))
    assert [file.name for file in files] == [f"air-1-{number + 1}.parquet" for number in range(tables)]
    assert pandas.read_parquet(files[0]).equals(LARGE)
    assert is_same(load_result(xcom), value)
    assert is_same(stored_results.fetched(((xcom,), {"of": xcom})), ((value,), {"of": value}))
    assert not isinstance(value, dict) or "auc" not in value or xcom["auc"] == 0.9
    assert any("is at" in record.get("message", "") for record in records)


def test_a_large_dict_stays_one_and_what_is_large_in_it_is_in_the_storage(
    tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(names.STORAGE, str(place))
    value = {"metrics": {"rmse": 1.5}, "rows": [BIG], "table": LARGE, "more": {"of": LARGE, "text": BIG}, "small": 7}

    xcom, _ = all_of(tmp_path, value)

    assert (xcom["metrics"], xcom["small"]) == ({"rmse": 1.5}, 7)
    assert len(str(xcom)) < 10_000
    assert sorted(file.name for file in place.glob("results/*")) == [
        "air-1-1.parquet",
        "air-1-2.parquet",
        "air-1-3.json",
        "air-1-4.json",
    ]
    assert is_same(load_result(xcom), value)
    assert is_same(load_result(xcom["more"]), value["more"])
    assert is_same(stored_results.fetched(xcom), value)


@pytest.mark.parametrize(
    "value", [{str(number): "x" * 100 for number in range(20_000)}, {7: BIG}, [BIG]], ids=["many", "numbered", "a list"]
)
def test_what_few_files_do_not_make_small_is_one_file(
    value: Any, tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(names.STORAGE, str(place))

    xcom, _ = all_of(tmp_path, value)

    assert is_stored(xcom)
    assert [file.name for file in place.glob("results/*")] == ["air-1.json"]
    assert load_result(xcom) == value


def test_a_large_table_without_storage_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(stored_results.TooLarge, match="give the task storage="):
        written(tmp_path, pandas.concat([LARGE] * 4))


def test_a_table_without_its_library_here_says_so(tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(names.STORAGE, str(place))
    xcom, _ = all_of(tmp_path, LARGE)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(ConfigurationError, match=r"needs 'pyarrow\.parquet'"):
        load_result(xcom)


def test_a_table_passes_a_worker_without_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    travelled = encode({"table": LARGE[:3]})
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "pyarrow.parquet", None)
        xcom = carried(decode(travelled), logging.getLogger())

    assert xcom == travelled
    assert is_same(load_result(xcom), {"table": LARGE[:3]})


class PolarsFrame:
    """Polars is not installed here: a table with its way to a file and back."""

    def __init__(self, table: Any) -> None:
        self.table = table

    def write_parquet(self, file: Any) -> None:
        pyarrow.parquet.write_table(self.table, file)

    def equals(self, other: PolarsFrame) -> bool:
        return bool(self.table.equals(other.table))


class PolarsSeries:
    def to_list(self) -> list[Any]:
        return [1, None]


def test_tables_of_polars_come_home(tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    polars = types.ModuleType("polars")
    polars.DataFrame = PolarsFrame  # type: ignore[attr-defined]
    polars.Series = PolarsSeries  # type: ignore[attr-defined]
    polars.read_parquet = lambda file: PolarsFrame(pyarrow.parquet.read_table(file))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "polars", polars)
    monkeypatch.setenv(names.STORAGE, str(place))
    small, large = PolarsFrame(pyarrow.table({"a": [1, 2]})), PolarsFrame(pyarrow.Table.from_pandas(LARGE))

    xcom, _ = all_of(tmp_path, {"small": small, "large": large, "series": PolarsSeries()})

    assert is_same(load_result(xcom), {"small": small, "large": large, "series": [1, None]})
    assert [file.name for file in place.glob("results/*")] == ["air-1-1.parquet"]
    assert is_same(stored_results.fetched(xcom["small"]), small)


def test_an_argument_keeps_its_own_type() -> None:
    given = collections.defaultdict(list, a=[1])

    assert type(stored_results.fetched((given,))[0]) is collections.defaultdict

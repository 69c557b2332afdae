"""Results that travel as a record, results that go to storage, and both read back."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy
import pytest

from airflow_provider_air import SharedFolder, load_result
from airflow_provider_air.connections.values import carried
from airflow_provider_air.drivers.frame import stored_results
from airflow_provider_air.drivers.wire import names
from airflow_provider_air.drivers.wire.records import RecordWriter
from airflow_provider_air.drivers.wire.stored_results import STORED, is_stored
from airflow_provider_air.errors import ConfigurationError, ResultLostError

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

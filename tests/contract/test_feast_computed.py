"""On-demand views against Feast's own: the same values, of the types in their schemas, whatever rows come together."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pandas
import pyarrow
import pyarrow.parquet
import pytest

from airflow_provider_air import FeastJoinOperator
from tests.fakes.task_context import Store, task_context
from tests.feature_driver import INFO, act
from tests.feature_repo import CONFIG, apply_repo, day

pytestmark = pytest.mark.integration

DEFINITIONS = """
import pandas
from feast import Entity, FeatureService, FeatureView, Field, FileSource
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Array, Bool, Float64, Int64, String, UnixTimestamp

user = Entity(name="user", join_keys=["user"])

def view(name):
    source = FileSource(path="{root}/" + name + ".parquet", timestamp_field="event_timestamp")
    return FeatureView(name=name, entities=[user], schema=[Field(name="clicks", dtype=Int64)], source=source)

web, app = view("web"), view("app")
SCHEMA = {{
    "twice": Int64, "half": Float64, "said": String, "many": Bool, "since": UnixTimestamp, "pair": Array(Int64),
}}

@on_demand_feature_view(sources=[web], schema=[Field(name=name, dtype=kind) for name, kind in SCHEMA.items()])
def typed(rows: pandas.DataFrame) -> pandas.DataFrame:
    clicks = rows["clicks"]
    return pandas.DataFrame({{
        "twice": clicks * 2,
        "half": clicks / 2,
        "said": ["%d clicks" % n if n == n else None for n in clicks],
        "many": [n > 5 if n == n else None for n in clicks],
        "since": pandas.to_datetime(clicks, unit="D", utc=True),
        "pair": [[int(n), 0] if n == n else None for n in clicks],
    }})

@on_demand_feature_view(sources=[web], schema=[Field(name="plus", dtype=Int64)], mode="python")
def plus(rows):
    return {{"plus": [None if n is None else n + 1 for n in rows["clicks"]]}}

@on_demand_feature_view(sources=[app], schema=[Field(name="less", dtype=Int64)], mode="python")
def less(rows):
    return {{"less": [None if n is None else n - 1 for n in rows["clicks"]]}}

@on_demand_feature_view(sources=[web, app], schema=[Field(name="more", dtype=Int64)], mode="python")
def more(rows):
    pairs = zip(rows["app__clicks"], rows["web__clicks"])
    return {{"more": [None if None in pair else pair[0] - pair[1] for pair in pairs]}}

@on_demand_feature_view(sources=[web], schema=[Field(name="third", dtype=Int64)])
def broken(rows: pandas.DataFrame) -> pandas.DataFrame:
    return pandas.DataFrame({{"third": rows["clicks"].where(rows["clicks"] != 10, 2.5)}})

only_typed = FeatureService(name="typed", features=[typed])
both = FeatureService(name="both", features=[web, plus, less, more])
third = FeatureService(name="third", features=[broken])
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Any:
    root = tmp_path_factory.mktemp("computed")
    (root / "repo").mkdir()
    for name, clicks in (("web", [3, 10]), ("app", [103, 110])):
        write(root / f"{name}.parquet", ["a", "b"], clicks=clicks)
    (root / "repo" / "definitions.py").write_text(DEFINITIONS.format(root=root))
    online = f"{{type: sqlite, path: {root}/online.db}}"
    config = CONFIG.format(registry=f"{root}/registry.db", online=online)
    (root / "repo" / "feature_store.yaml").write_text(config)
    return apply_repo(root / "repo")


def write(path: Path, users: list[str], at: datetime | None = None, **columns: Any) -> None:
    table = pyarrow.table({"user": users, "event_timestamp": [at or day(1)] * len(users), **columns})
    pyarrow.parquet.write_table(table, path)


def join(store: Any, rows: Path, service: str, **fields: Any) -> pyarrow.Table:
    """Join the rows by the driver."""
    output = rows.parent / "joined"
    operator = FeastJoinOperator(
        task_id="join",
        repo=str(store.repo_path),
        feature_service=service,
        entities_uri=str(rows),
        output_uri=str(output),
        **fields,
    )
    done = act(Path(store.repo_path), operator.payload(task_context(Store()), INFO))
    assert not done.problem, done.problem
    return pyarrow.parquet.read_table(output)


def asked_of_feast(store: Any, users: list[str], service: str, **fields: Any) -> pandas.DataFrame:
    frame = pandas.DataFrame({"user": users, "event_timestamp": [day(2)] * len(users)})
    retrieval = store.get_historical_features(entity_df=frame, features=store.get_feature_service(service), **fields)
    found: pandas.DataFrame = retrieval.to_df().set_index("user").loc[users]
    return found


def values(column: Any) -> list[Any]:
    """Give values as Python has them, what is missing as None."""
    listed = [each.tolist() if hasattr(each, "tolist") else each for each in column]
    return [None if not isinstance(each, list) and pandas.isna(each) else each for each in listed]


TYPES = {
    "twice": pyarrow.int64(),
    "half": pyarrow.float64(),
    "said": pyarrow.string(),
    "many": pyarrow.bool_(),
    "since": pyarrow.timestamp("us", "UTC"),
    "pair": pyarrow.list_(pyarrow.int64()),
}


@pytest.mark.parametrize(
    "files", [["ab"], ["ab", "na"], ["n", "ab"], ["a", "n", "b"], ["n"]], ids=lambda files: "-".join(files)
)
def test_values_are_feasts_and_types_those_of_the_schema_whatever_rows_come_together(
    store: Any, tmp_path: Path, files: list[str]
) -> None:
    (tmp_path / "rows").mkdir()
    users = [f"{user}" for users in files for user in users]
    for number, some in enumerate(files):
        write(tmp_path / "rows" / f"{number}.parquet", list(some), day(2))
    write(tmp_path / "rows" / "9.parquet", ["a"], day(2))  # else no row has any value

    joined = join(store, tmp_path / "rows", "typed")
    expected = asked_of_feast(store, sorted({*users, "a"}), "typed")

    assert {name: joined.schema.field(name).type for name in TYPES} == TYPES
    assert joined.column("user").to_pylist() == [*users, "a"]
    for name in TYPES:
        assert joined.column(name).to_pylist() == values(expected.loc[[*users, "a"], name]), name


@pytest.mark.parametrize("full", [False, True])
def test_a_view_reads_its_own_inputs_whatever_other_columns_are_called(store: Any, tmp_path: Path, full: bool) -> None:
    """Feast does so by full names alone: by others, it takes the first column that is called as an input."""
    users = ["a", "n", "b"]
    write(tmp_path / "rows.parquet", users, day(2), app__clicks=[0.5] * 3)

    joined = join(store, tmp_path / "rows.parquet", "both", full_feature_names=full)
    expected = asked_of_feast(store, users, "both", full_feature_names=True)

    names = ["web__clicks", "plus__plus", "less__less", "more__more"]
    ours = names if full else [name.partition("__")[2] for name in names]
    assert joined.column_names == ["user", "event_timestamp", "app__clicks", *ours]
    assert joined.column("app__clicks").to_pylist() == [0.5] * 3
    for name, other in zip(ours, names, strict=True):
        assert joined.column(name).to_pylist() == values(expected[other]), name


def test_rows_may_have_a_column_that_is_called_as_an_input_that_is_not_served(store: Any, tmp_path: Path) -> None:
    """Feast computes by that column, which is the future of a row where it is its label."""
    write(tmp_path / "rows.parquet", ["a"], day(2), clicks=[7.5])

    joined = join(store, tmp_path / "rows.parquet", "typed")

    assert joined.column("clicks").to_pylist() == [7.5]
    assert joined.column("twice").to_pylist() == [6]


def test_values_that_are_not_of_the_type_in_the_schema_are_refused(store: Any, tmp_path: Path) -> None:
    write(tmp_path / "rows.parquet", ["b"], day(2))

    with pytest.raises(
        AssertionError, match=r"view 'broken' gives values of 'third' that are not of the type in its sch"
    ):
        join(store, tmp_path / "rows.parquet", "third")

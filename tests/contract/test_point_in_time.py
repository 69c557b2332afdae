"""Our join of files against Feast's own, on random tables: the same value for every row, whatever keys and times."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas
import pyarrow
import pyarrow.compute
import pyarrow.parquet
import pytest

from airflow_provider_air.drivers.features import compiling, entities, feast_store, plan
from airflow_provider_air.drivers.features.row_join import Wish, tables
from tests.feature_repo import CONFIG, apply_repo

pytestmark = pytest.mark.integration

DEFINITIONS = """
from datetime import timedelta
import pandas
from feast import Entity, FeatureService, FeatureView, Field, FileSource, RequestSource
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float64, Int64, String

user = Entity(name="user", join_keys=["user"])
place = Entity(name="place", join_keys=["place"])
root = "{root}/"
plain = FeatureView(
    name="plain", entities=[user], ttl=timedelta(0), schema=[Field(name="clicks", dtype=Int64)],
    source=FileSource(path=root + "plain.parquet", timestamp_field="at"),
)
young = FeatureView(
    name="young", entities=[user, place], ttl=timedelta(hours=30), schema=[Field(name="score", dtype=Float64)],
    source=FileSource(
        path=root + "young.parquet", timestamp_field="event_timestamp", created_timestamp_column="created",
        field_mapping={{"raw_score": "score"}},
    ),
)
texts = FeatureView(
    name="texts", entities=[place], ttl=timedelta(days=3), schema=[Field(name="word", dtype=String)],
    source=FileSource(path=root + "texts.parquet", timestamp_field="event_timestamp"),
)

@on_demand_feature_view(
    sources=[young, RequestSource(name="asked", schema=[Field(name="factor", dtype=Float64)])],
    schema=[Field(name="scaled", dtype=Float64)],
)
def scaled(rows: pandas.DataFrame) -> pandas.DataFrame:
    return pandas.DataFrame({{"scaled": rows["score"] * rows["factor"]}})

words = [texts.with_name("words").with_join_key_map({{"place": "origin"}})]  # else a view of the module
every = FeatureService(name="every", features=[plain, young, *words, scaled])
only_plain = FeatureService(name="plain", features=[plain])
only_young = FeatureService(name="young", features=[young])
only_words = FeatureService(name="words", features=words)
"""
ZONES = [None, "UTC", "Asia/Kolkata", "America/New_York"]
UNITS = ["ms", "us", "ns"]
START = datetime(2026, 3, 27, tzinfo=UTC)  # summer time begins in Europe, and has begun in America


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Any:
    root = tmp_path_factory.mktemp("point-in-time")
    repo = root / "repo"
    repo.mkdir()
    write_sources(root, random.Random(0))
    (repo / "definitions.py").write_text(DEFINITIONS.format(root=root))
    online = f"{{type: sqlite, path: {root}/online.db}}"
    (repo / "feature_store.yaml").write_text(CONFIG.format(registry=f"{root}/registry.db", online=online))
    return apply_repo(repo)


def moments(draw: random.Random, count: int) -> pyarrow.Array:
    """Draw times of few hours, so that many are equal, in some unit and zone."""
    values = [START + timedelta(hours=draw.randrange(120)) for _ in range(count)]
    instants = pyarrow.array(values, pyarrow.timestamp("us", "UTC"))
    zone = draw.choice(ZONES)
    naive = instants.cast(pyarrow.timestamp("us")).cast(pyarrow.timestamp(draw.choice(UNITS)))
    return naive if zone is None else naive.cast(pyarrow.int64()).cast(pyarrow.timestamp(naive.type.unit, zone))


def written(draw: random.Random, count: int) -> pyarrow.Array:
    """Draw times as :func:`moments` does, or a nanosecond beside, as ISO 8601 texts."""
    instants = moments(draw, count).cast(pyarrow.timestamp("ns", "UTC")).cast(pyarrow.int64()).to_pylist()
    near = pyarrow.array([instant + draw.choice([-1, 0, 1]) for instant in instants], pyarrow.timestamp("ns", "UTC"))
    return pyarrow.compute.strftime(near, "%Y-%m-%dT%H:%M:%SZ")


def some(draw: random.Random, values: list[Any], count: int, *, missing: float = 0.1) -> list[Any]:
    return [None if draw.random() < missing else draw.choice(values) for _ in range(count)]


USERS, PLACES = [1, 2, 3, 4, 5, 70_000], ["a", "ab", "b", ""]


def write_sources(root: Path, draw: random.Random) -> None:
    """Write the sources anew; one value of a key and time, unless a creation time tells which one counts."""
    count = draw.choice([0, 1, 7, 60])
    write(root / "plain.parquet", {"user": some(draw, USERS, count), "at": moments(draw, count)}, ["user", "at"])
    both = {"user": some(draw, USERS, 3 * count), "place": some(draw, PLACES, 3 * count)}
    both |= {"event_timestamp": moments(draw, 3 * count), "created": moments(draw, 3 * count)}
    write(root / "young.parquet", both, [*both], raw_score=pyarrow.float64())
    texts = {"place": some(draw, PLACES, count), "event_timestamp": moments(draw, count)}
    write(root / "texts.parquet", texts, [*texts], word=pyarrow.string())


def write(path: Path, columns: dict[str, Any], unique: list[str], **feature: Any) -> None:
    (name, kind), *_ = [*feature.items()] or [("clicks", pyarrow.int64())]
    types = {"user": pyarrow.int64(), "place": pyarrow.string()}
    table = pyarrow.table({c: pyarrow.array(v, types[c]) if c in types else v for c, v in columns.items()})
    first = table.append_column("n", pyarrow.array(range(table.num_rows))).group_by(unique).aggregate([("n", "min")])
    table = table.take(first.column("n_min"))
    values = [None if n % 11 == 5 else n for n in range(table.num_rows)]
    table = table.append_column(name, pyarrow.array(values).cast(kind) if values else pyarrow.array([], kind))
    pyarrow.parquet.write_table(table, path, row_group_size=max(1, table.num_rows // 3))


def in_utc(root: Path) -> None:
    """Write the sources' times as UTC: where no row matches, Feast fails to compare those without a zone."""
    for path in root.glob("*.parquet"):
        table = pyarrow.parquet.read_table(path)
        for number, field in enumerate(table.schema):
            if pyarrow.types.is_timestamp(field.type):
                instants = table.column(number).cast(pyarrow.timestamp("us", field.type.tz)).cast(pyarrow.int64())
                table = table.set_column(number, field.name, instants.cast(pyarrow.timestamp("us", "UTC")))
        pyarrow.parquet.write_table(table, path)


def asked_of_feast(store: Any, rows: pyarrow.Table, view: plan.ViewPlan) -> list[Any]:
    """Ask Feast for one view, as it gives fewer rows of several, and each entity and time once."""
    keys = [key for key, _ in view.keys]
    frame = rows.select([*keys, "event_timestamp"]).to_pandas()
    frame["event_timestamp"] = pandas.to_datetime(frame["event_timestamp"], utc=True)
    frame["row"] = frame.groupby([*keys, "event_timestamp"], dropna=False, sort=False).ngroup()
    service = store.get_feature_service(view.view)
    found = store.get_historical_features(entity_df=frame.drop_duplicates("row"), features=service).to_df()
    values = found.set_index("row")[view.features[0][0]].reindex(frame["row"])
    return [None if pandas.isna(value) else value for value in values]


@pytest.mark.parametrize("seed", range(30))
def test_every_row_gets_what_feast_gives_it(store: Any, tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    root = Path(store.repo_path).parent
    write_sources(root, draw)
    count = draw.choice([1, 9, 200])
    rows = pyarrow.table(
        {
            "label": range(count),
            "user": pyarrow.array(some(draw, [*USERS, 99], count), pyarrow.int64()),
            "event_timestamp": (moments if seed % 5 else written)(draw, count),
            "place": pyarrow.array(some(draw, [*PLACES, "z"], count), pyarrow.string()),
            "origin": pyarrow.array(some(draw, PLACES, count), pyarrow.string()),
            "factor": [draw.random() for _ in range(count)],
        }
    )
    pyarrow.parquet.write_table(rows, tmp_path / "rows.parquet")

    made = compiling.compiled(store, "every")
    with entities.opened({"uri": str(tmp_path / "rows.parquet")}, "rows") as opened:
        wish, lazily = Wish(str(store.repo_path), "every"), feast_store.Lazily(str(store.repo_path))
        joined = pyarrow.concat_tables(tables(wish, lazily, made, opened, "rows"))

    in_utc(root)
    assert made.by_files
    assert joined.select(rows.column_names).equals(rows)
    for view in made.views:
        assert joined.column(view.features[0][0]).to_pylist() == asked_of_feast(store, rows, view), view.view
    scores, factors = joined.column("score").to_pylist(), rows.column("factor").to_pylist()
    products = [None if score is None else score * factor for score, factor in zip(scores, factors, strict=True)]
    assert joined.column("scaled").to_pylist() == pytest.approx(products, nan_ok=True)

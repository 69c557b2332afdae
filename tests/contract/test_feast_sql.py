"""Entities by SQL in our driver: real Feast, whose offline store and registry are a real Postgres."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas
import pyarrow.parquet
import pytest

from airflow_provider_air import FeastApplyOperator, FeastFeatures, FeastJoinOperator
from airflow_provider_air.drivers.data import datasets
from airflow_provider_air.drivers.features import sql_join
from airflow_provider_air.drivers.wire import outages
from airflow_provider_air.drivers.wire.problems import ConfigurationProblem, Unavailable
from airflow_provider_air.workloads.features import join_payload
from tests.fakes.task_context import Store, task_context
from tests.feature_driver import INFO, Done, act, run_driver, unpacked, workload_payload
from tests.feature_repo import day, write_entities
from tests.postgres_server import USER, connect, initdb, postgres_server
from tests.requirements import needs

pytestmark = [
    pytest.mark.integration,
    needs("postgres", initdb() is not None),
]

DEFINITIONS = """
from datetime import timedelta
from feast import Entity, FeatureService, FeatureView, Field
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float64, Int64

carrier, start, end = [Entity(name=name, join_keys=[name]) for name in ("carrier", "start", "finish")]

def view(name, entities, feature, table, **more):
    source = PostgreSQLSource(name=name, query="SELECT * FROM " + table, timestamp_field="event_timestamp", **more)
    schema = [Field(name=feature, dtype=Float64)]
    return FeatureView(name=name, entities=entities, ttl=timedelta(days=2), schema=schema, source=source)

delays = view("delays", [carrier], "mean_delay", "delays")
naive = view("naive", [carrier], "mean_delay", "delays_without_zone")
twice = view("twice", [carrier], "mean_delay", "delays_twice")
corrected = view("corrected", [carrier], "mean_delay", "delays_twice", created_timestamp_column="created")
legs = view("legs", [start, end], "minutes", "legs")

@on_demand_feature_view(sources=[delays], schema=[Field(name="double", dtype=Float64)])
def computed(inputs):
    return inputs[["mean_delay"]].rename(columns={"mean_delay": "double"})

delay_v1 = FeatureService(name="delay_v1", features=[delays])
delay_naive = FeatureService(name="delay_naive", features=[naive])
delay_twice = FeatureService(name="delay_twice", features=[twice])
delay_corrected = FeatureService(name="delay_corrected", features=[corrected])
leg_v1 = FeatureService(name="leg_v1", features=[legs])
renamed = [naive.with_name("origin").with_join_key_map({"carrier": "start_carrier"})]
delay_renamed = FeatureService(name="delay_renamed", features=renamed)
delay_both = FeatureService(name="delay_both", features=[delays, *renamed, computed])
delays_and_legs = FeatureService(name="delays_and_legs", features=[delays, legs])
delay_computed = FeatureService(name="delay_computed", features=[delays, computed])
"""
CONFIG = """
project: flights
provider: local
registry: {{registry_type: sql, path: 'postgresql+psycopg://{user}@127.0.0.1:{port}/postgres'}}
online_store: {{type: sqlite, path: {root}/online.db}}
offline_store:
  {{type: postgres, host: 127.0.0.1, port: {port}, database: postgres, user: {user}, password: '', sslmode: disable}}
entity_key_serialization_version: 3
"""
# The values of tests/feature_repo.py: AA's 99 of day 5 is the future of every row.
TABLES = """
CREATE ROLE reader LOGIN;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
CREATE TABLE delays (carrier text, event_timestamp timestamptz, mean_delay float8);
INSERT INTO delays VALUES
  ('AA', '2026-01-01Z', 1), ('AA', '2026-01-03Z', 3), ('UA', '2026-01-01Z', 10), ('AA', '2026-01-05Z', 99);
CREATE VIEW delays_without_zone AS
  SELECT carrier, event_timestamp AT TIME ZONE 'UTC' AS event_timestamp, mean_delay FROM delays;
CREATE VIEW delays_twice AS
  SELECT *, event_timestamp AS created FROM delays UNION ALL
  SELECT carrier, event_timestamp, mean_delay + 1, event_timestamp + interval '1 hour' FROM delays;
CREATE TABLE legs (start bigint, finish bigint, event_timestamp timestamptz, minutes float8);
INSERT INTO legs VALUES (1, 11, '2026-01-01Z', 5), (11, 1, '2026-01-02Z', 7);
CREATE TABLE flights (number bigint, carrier text, event_timestamp timestamptz, arr_delay numeric, gate bigint);
INSERT INTO flights VALUES
  (1, 'AA', '2026-01-01 12:00Z', 0.5, 7), (2, 'AA', '2026-01-03Z', 1.5, NULL), (3, 'AA', '2026-01-05Z'::timestamptz
  - interval '1 second', 2.5, 8), (4, 'UA', '2026-01-02Z', 3.5, 9), (5, 'UA', '2026-01-04Z', 4.5, 9),
  (6, 'AA', '2026-01-03Z', 6.5, NULL), (6, 'AA', '2026-01-03Z', 6.5, NULL);
GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader;
"""

Join = Callable[..., Done]


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """The port of a Postgres with feature values and entity rows."""
    with postgres_server() as number:
        with connect(number) as connection:
            connection.execute(TABLES)
        yield number


@pytest.fixture(scope="module")
def place(port: int, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a repository that is registered."""
    root = tmp_path_factory.mktemp("feast-sql")
    write_repo(root / "repo", port)
    told = run_driver(root, FeastApplyOperator(task_id="apply", repo="repo").payload({}, INFO))
    assert told["feature_views"] == ["computed", "corrected", "delays", "legs", "naive", "twice"]
    return root


def write_repo(repo: Path, port: int) -> None:
    repo.mkdir()
    (repo / "definitions.py").write_text(DEFINITIONS)
    (repo / "feature_store.yaml").write_text(CONFIG.format(user=USER, port=port, root=repo.parent))


@pytest.fixture
def join(place: Path, tmp_path: Path) -> Join:
    """Join what ``FeastJoinOperator`` says into ``tmp_path / "joined"``."""

    def joined(sql: str | None, service: str = "delay_v1", **fields: Any) -> Done:
        operator = FeastJoinOperator(
            task_id="join",
            repo=str(place / "repo"),
            feature_service=service,
            entities_sql=sql,
            **{"output_uri": str(tmp_path / "joined"), **fields},
        )
        return act(place / "repo", operator.payload(task_context(Store()), INFO))

    return joined


def tables(port: int) -> set[str]:
    with connect(port) as connection:
        found = connection.execute("SELECT tablename FROM pg_tables WHERE tablename LIKE 'feast_entity%'")
        return {name for (name,) in found}


def test_each_row_of_the_query_gets_what_was_known_at_its_time_and_a_retry_asks_nothing(
    port: int, join: Join, tmp_path: Path
) -> None:
    sql = "SELECT number, carrier, event_timestamp, arr_delay, gate FROM flights WHERE number < 6 -- all but one"

    told = join(sql).result
    again = join(sql)

    table = pyarrow.parquet.read_table(tmp_path / "joined").sort_by("number")
    # The planted 99 of day 5 is nobody's, a second before it. UA's value is older than its ttl on day 4: none.
    assert table["mean_delay"].to_pylist() == [1.0, 3.0, 3.0, 10.0, None]
    assert table["number"].to_pylist() == [1, 2, 3, 4, 5]
    assert table["arr_delay"].to_pylist() == [0.5, 1.5, 2.5, 3.5, 4.5]
    assert table["gate"].to_pylist() == [7, None, 8, 9, 9]
    assert table["event_timestamp"].to_pylist()[:2] == [day(1, 12), day(3)]
    assert table.column_names == ["number", "carrier", "event_timestamp", "arr_delay", "gate", "mean_delay"]
    assert (told["rows_read"], told["rows_written"], told["features"]) == (5, 5, ["mean_delay"])
    assert (told["feature_service"], told["feature_views"]) == ("delay_v1", ["delays"])
    assert again.result == told
    assert again.records[0]["phase"] == "committed"
    assert tables(port) == set()


def test_rows_that_are_alike_all_stay(join: Join, tmp_path: Path) -> None:
    done = join("WITH six AS (SELECT * FROM flights WHERE number = 6) SELECT * FROM six ORDER BY gate;\n")

    assert pandas.read_parquet(tmp_path / "joined")["mean_delay"].tolist() == [3.0, 3.0]
    assert (done.result["rows_read"], done.result["rows_written"]) == (2, 2)


@pytest.mark.parametrize("service", ["delay_v1", "delay_naive"])
@pytest.mark.parametrize("time", ["event_timestamp", "event_timestamp AT TIME ZONE 'UTC' AS event_timestamp"])
def test_a_time_without_a_zone_is_utc_whatever_the_servers_zone(
    join: Join, tmp_path: Path, service: str, time: str
) -> None:
    """In New York, where the server is, day 5 begins five hours later: the planted value would be on time."""
    join(f"SELECT number, carrier, {time} FROM flights WHERE number < 5", service)

    frame = pandas.read_parquet(tmp_path / "joined").sort_values("number")
    assert frame["mean_delay"].tolist() == [1.0, 3.0, 3.0, 10.0]
    assert frame["event_timestamp"].tolist()[:2] == [day(1, 12), day(3)]


def test_of_several_values_of_one_time_the_one_that_was_made_last_is_taken(join: Join, tmp_path: Path) -> None:
    join("SELECT number, carrier, event_timestamp FROM flights WHERE number < 5", "delay_corrected")

    frame = pandas.read_parquet(tmp_path / "joined").sort_values("number")
    assert frame["mean_delay"].tolist() == [2.0, 4.0, 4.0, 11.0]


@pytest.mark.parametrize(
    ("mode", "problem"),
    [("embed_query", ""), ("temp_table", "does not run the query: permission denied for schema public")],
)
def test_a_user_who_may_only_read_joins_with_the_query_embedded(
    port: int, place: Path, tmp_path: Path, mode: str, problem: str
) -> None:
    repo = tmp_path / "repo"
    write_repo(repo, port)
    config, offline = repo / "feature_store.yaml", f"{{type: postgres, entity_select_mode: {mode},"
    changed = config.read_text().replace("{type: postgres,", offline).replace(f"user: {USER}", "user: reader")
    config.write_text(changed)
    sql = f"SELECT {ROWS}"
    payload = join_payload(
        feature_service="delay_v1", entities_uri=None, entities_sql=sql, output_uri="joined", run_name="r"
    )

    done = act(repo, payload)

    assert problem in done.problem
    assert problem or done.result["rows_written"] == 4


def test_rows_of_a_file_are_joined_in_the_database_too(join: Join, tmp_path: Path) -> None:
    rows = [("AA", day(4, 23)), ("UA", day(4)), ("UA", day(2)), ("UA", day(2))]
    uri = write_entities(tmp_path / "rows.parquet", rows, arr_delay=[1.0, 2.0, 3.0, 4.0])

    done = join(None, entities_uri=uri)

    frame = pandas.read_parquet(tmp_path / "joined")
    assert frame["mean_delay"].fillna(-1).tolist() == [3.0, -1.0, 10.0, 10.0]
    assert frame["arr_delay"].tolist() == [1.0, 2.0, 3.0, 4.0]
    assert done.result["rows_written"] == 4


def test_a_workload_reads_the_joined_rows_of_its_query(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(unpacked(place)))
    features = FeastFeatures(str(place / "repo"), "delay_v1")
    wanted = {"sql": "SELECT * FROM flights WHERE number < 5", "columns": ["mean_delay"], "split": {"valid": 0.5}}

    done = act(place / "repo", workload_payload(place, features, {"train": wanted}, "train"))

    specs, summary = done.result
    uri = f"{place}/runs/train-features/train"
    assert specs == {"train": {"uri": uri, "columns": ["mean_delay"], "split": {"valid": 0.5}}}
    assert sorted(pandas.read_parquet(uri)["mean_delay"]) == [1.0, 3.0, 3.0, 10.0]
    assert summary["rows"] == {"train": 4}


LEGS = (
    "SELECT * FROM (VALUES (1, 11, '2026-01-02 12:00Z'::timestamptz), ({other}, 1, '2026-01-02 12:00Z')) "
    "AS legs (start, finish, event_timestamp)"
)


def test_a_query_that_reaches_the_reading_was_not_joined() -> None:
    with pytest.raises(ConfigurationProblem, match=r"datasets.train.sql: SQL is for data sets that are joined"):
        datasets.read_all({"train": {"sql": "SELECT 1"}})


def test_keys_that_feast_takes_for_each_others_are_refused(join: Join) -> None:
    done = join(LEGS.format(other=11), "leg_v1")

    assert "the keys (start, finish) of (1, 11) and (11, 1) at one time are the same to Feast" in done.problem


def test_feast_does_take_them_for_each_others(join: Join, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once it does not, the check can go."""
    monkeypatch.setattr(sql_join, "check_told_apart", lambda *_: None)

    join(LEGS.format(other=11), "leg_v1")

    assert pandas.read_parquet(tmp_path / "joined")["minutes"].tolist() == [7.0, 7.0]


def test_other_keys_of_two_are_joined(join: Join, tmp_path: Path) -> None:
    join(LEGS.format(other=12), "leg_v1")

    frame = pandas.read_parquet(tmp_path / "joined").sort_values("start")
    assert frame["minutes"].fillna(-1).tolist() == [5.0, -1.0]


def test_on_demand_views_are_computed_also_of_rows_in_a_file(join: Join, tmp_path: Path) -> None:
    by_query = join("SELECT number, carrier, event_timestamp FROM flights WHERE number < 3", "delay_computed")
    frame = pandas.read_parquet(tmp_path / "joined").sort_values("number")
    rows = write_entities(
        tmp_path / "rows.parquet", [("AA", day(3)), ("UA", day(9)), ("AA", day(3))], id=[2**60 + 1, None, 3]
    )
    by_file = join(None, "delay_computed", entities_uri=rows, output_uri=str(tmp_path / "by file"))

    table = pyarrow.parquet.read_table(tmp_path / "by file")
    assert by_query.result["features"] == by_file.result["features"] == ["mean_delay", "double"]
    assert frame[["mean_delay", "double"]].values.tolist() == [[1.0, 1.0], [3.0, 3.0]]
    assert table.column("double").to_pylist() == [3.0, None, 3.0]


@pytest.mark.parametrize(
    ("service", "full", "expected"),
    [
        ("delay_renamed", False, {"mean_delay": [10.0, 3.0]}),
        ("delay_renamed", True, {"origin__mean_delay": [10.0, 3.0]}),
        (
            "delay_both",
            True,
            {
                "delays__mean_delay": [3.0, 10.0],
                "origin__mean_delay": [10.0, 3.0],
                "computed__double": [3.0, 10.0],
            },
        ),
    ],
)
def test_a_view_may_have_another_name_in_its_service_by_query_and_by_file(
    join: Join, tmp_path: Path, service: str, full: bool, expected: dict[str, list[float]]
) -> None:
    rows = write_entities(
        tmp_path / "rows.parquet", [("AA", day(3)), ("UA", day(3))], start_carrier=["UA", "AA"], id=[1, 2]
    )
    sql = (
        "SELECT *, '2026-01-03Z'::timestamptz AS event_timestamp "
        "FROM (VALUES ('AA', 'UA', 1), ('UA', 'AA', 2)) AS flown (carrier, start_carrier, id)"
    )

    by_query = join(sql, service, full_feature_names=full)
    by_file = join(None, service, full_feature_names=full, entities_uri=rows, output_uri=str(tmp_path / "by file"))

    assert (by_query.problem, by_file.problem) == ("", "")
    for place in ("joined", "by file"):
        table = pyarrow.parquet.read_table(tmp_path / place).sort_by("id")
        assert {name: table.column(name).to_pylist() for name in by_file.result["features"]} == expected, place


def file_join(join: Join, folder: Path, service: str, **columns: Any) -> pyarrow.Table:
    """Join rows of a file."""
    pyarrow.parquet.write_table(pyarrow.table(columns), folder / "rows.parquet")
    done = join(None, service, entities_uri=str(folder / "rows.parquet"))
    assert not done.problem, done.problem
    return pyarrow.parquet.read_table(folder / "joined")


@pytest.mark.parametrize("service", ["delay_v1", "delay_computed"])
def test_no_rows_of_a_file_have_all_columns(join: Join, tmp_path: Path, service: str) -> None:
    times = pyarrow.array([], pyarrow.timestamp("us", "UTC"))

    table = file_join(join, tmp_path, service, carrier=pyarrow.array([], pyarrow.string()), event_timestamp=times)

    features = ["mean_delay"] if service == "delay_v1" else ["mean_delay", "double"]
    assert (table.num_rows, table.column_names) == (0, ["carrier", "event_timestamp", *features])
    assert [table.schema.field(name).type for name in features] == [pyarrow.float64()] * len(features)


def test_keys_in_a_dictionary_are_keys(join: Join, tmp_path: Path) -> None:
    carriers = pyarrow.array(["AA", None, "AA"]).dictionary_encode()

    table = file_join(join, tmp_path, "delay_v1", carrier=carriers, event_timestamp=[day(1), day(1), day(3)])

    assert table.column("mean_delay").to_pylist() == [1.0, None, 3.0]


@pytest.mark.parametrize("kind", [pyarrow.null(), pyarrow.int64(), pyarrow.int32()], ids=str)
@pytest.mark.parametrize("text", [pyarrow.null(), pyarrow.string(), pyarrow.large_string()], ids=str)
def test_keys_of_which_all_are_missing_find_nothing(join: Join, tmp_path: Path, kind: Any, text: Any) -> None:
    """Of one view, beside another one's: by neither there would be no value at all, which is refused."""
    legs = {"start": pyarrow.nulls(1, kind), "finish": pyarrow.array([11])}
    legs_found = {"start": pyarrow.array([1]), "finish": pyarrow.array([11])}
    time = [day(1)]

    of_legs = file_join(join, tmp_path, "delays_and_legs", carrier=["AA"], **legs, event_timestamp=time)
    (tmp_path / "other").mkdir()
    rows = {"carrier": pyarrow.nulls(1, text), **legs_found, "event_timestamp": time}
    pyarrow.parquet.write_table(pyarrow.table(rows), tmp_path / "other" / "rows.parquet")
    done = join(
        None,
        "delays_and_legs",
        entities_uri=str(tmp_path / "other" / "rows.parquet"),
        output_uri=str(tmp_path / "other" / "joined"),
    )

    assert not done.problem, done.problem
    of_delays = pyarrow.parquet.read_table(tmp_path / "other" / "joined")
    names = ["mean_delay", "minutes"]
    assert of_legs.select(names).to_pylist() == [{"mean_delay": 1.0, "minutes": None}]
    assert of_delays.select(names).to_pylist() == [{"mean_delay": None, "minutes": 5.0}]


def test_columns_are_named_as_the_author_says(join: Join, tmp_path: Path) -> None:
    sql = "SELECT carrier, event_timestamp AS departed FROM flights WHERE number = 1"
    named = {"timestamp_column": "departed", "full_feature_names": True}

    done = join(sql, "delay_computed", **named)

    assert done.result["features"] == ["delays__mean_delay", "computed__double"]
    assert pyarrow.parquet.read_table(tmp_path / "joined").column_names == [
        "carrier",
        "departed",
        *done.result["features"],
    ]


ROWS = "carrier, event_timestamp FROM flights WHERE number < 5"


@pytest.mark.parametrize(
    ("sql", "service", "message"),
    [
        ("SELECT number, carrier FROM flights", "delay_v1", "a column named event_timestamp"),
        ("SELECT number, event_timestamp FROM flights", "delay_v1", "no column 'carrier' in the query's rows; it has"),
        ("SELECT * FROM nowhere", "delay_v1", 'does not run the query: .*relation "nowhere" does not exist'),
        ("FLY ME TO THE MOON", "delay_v1", "does not run the query: .*syntax error"),
        (f"SELECT number / 0 AS x, {ROWS}", "delay_v1", "does not run the query: division by zero"),
        ("SELECT * FROM flights WHERE number > 9", "delay_v1", "the query has no rows"),
        ("SELECT 'ZZ' AS carrier, event_timestamp FROM flights", "delay_v1", "no value of any feature for any"),
        (f"SELECT 0.0 AS mean_delay, {ROWS}", "delay_v1", "columns mean_delay have names of features"),
        ("SELECT carrier, 'noon' AS event_timestamp FROM flights", "delay_v1", "event_timestamp holds what is no time"),
        ("SELECT carrier, event_timestamp::date FROM flights", "delay_v1", "event_timestamp holds what is no time"),
        (f"SELECT {ROWS}", "delay_twice", "Feast gives 8 rows for 4"),
    ],
)
def test_what_is_wrong_has_one_sentence(
    port: int, join: Join, tmp_path: Path, sql: str, service: str, message: str
) -> None:
    done = join(sql, service)

    with pytest.raises(AssertionError, match=message):
        raise AssertionError(done.problem)
    assert list((tmp_path / "joined").glob("*.parquet")) == []
    assert tables(port) == set()


def test_a_database_that_is_away_is_worth_another_try(
    port: int, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both ways: of the registry and the offline store neither is there, or the registry alone."""
    repo = tmp_path / "repo"
    write_repo(repo, 9)
    sql = f"SELECT {ROWS}"
    payload = join_payload(
        feature_service="delay_v1", entities_uri=None, entities_sql=sql, output_uri="joined", run_name="r"
    )

    monkeypatch.setattr(outages, "PATIENCE_SECONDS", 0.0)
    with pytest.raises(Unavailable, match="registry does not answer"):
        act(repo, payload)
    config = repo / "feature_store.yaml"
    config.write_text(config.read_text().replace("127.0.0.1:9/", f"127.0.0.1:{port}/"))
    with pytest.raises(Unavailable):
        act(repo, payload)

    assert list((repo / "joined").glob("*.parquet")) == []

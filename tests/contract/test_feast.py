"""Real Feast in our driver: no future row leaks, and what is wrong has one sentence."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import feast
import pandas
import pytest

from airflow_provider_air import (
    FeastApplyOperator,
    FeastFeatures,
    FeastJoinOperator,
    FeastMaterializeOperator,
)
from airflow_provider_air.attachments.feast.features import check_repo, check_service
from airflow_provider_air.drivers.features import compiling, plan
from airflow_provider_air.drivers.online import OnlineFeatures
from airflow_provider_air.drivers.online.feast import SERVICE
from airflow_provider_air.errors import ConfigurationError
from airflow_provider_air.workloads.features import freshness_payload, join_payload, materialize_payload
from tests.fakes.task_context import Store, task_context
from tests.feature_driver import INFO, Done, act, run_driver, unpacked, workload_payload
from tests.feature_repo import apply_repo, day, write_entities, write_repo

pytestmark = pytest.mark.integration

Drive = Callable[..., Done]


PLANNED = """
import json, sys
from airflow_provider_air.drivers.features import compiling, entities, feast_store, plan, row_join
told = json.loads(sys.argv[1])
store = feast_store.Lazily(told["repo"])
made = plan.kept(told["repo"], told["runs"], "delay_v1") or compiling.compiled(store(), "delay_v1")
with entities.opened({"uri": told["rows"]}, "rows") as rows:
    tables = row_join.tables(row_join.Wish(told["repo"], "delay_v1"), store, made, rows, "rows")
    values = [value for table in tables for value in table.column("mean_delay").to_pylist()]
print(json.dumps({"values": values, "feast": "feast" in sys.modules}))
"""


@pytest.fixture(scope="module", params=["file", "sql"])
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository, its registry (a file, or SQL), and feature rows of three days."""
    root = tmp_path_factory.mktemp(f"feast-{request.param}")
    sql = f"{{registry_type: sql, path: sqlite:///{root}/registry.db}}"
    write_repo(root, registry=sql if request.param == "sql" else None)
    return root


@pytest.fixture(scope="module")
def drive(place: Path) -> Drive:
    """Do one of the driver's actions in the repository, in this process: each import of Feast costs ten seconds."""

    return lambda payload, repo="repo": act(place / repo, payload)


@pytest.fixture(scope="module")
def applied(place: Path) -> Any:
    """What ``feast apply`` gave in the process that the driver is, in a copy of the repository, as Ray would."""
    return run_driver(place, FeastApplyOperator(task_id="apply", repo="repo").payload({}, INFO))


def entities(place: Path, rows: list[tuple[str, datetime]], name: str = "entities", **columns: list[Any]) -> str:
    return write_entities(place / f"{name}.parquet", rows, **columns)


def join(
    place: Path, uri: str, *, service: str = "delay_v1", output: str = "joined", run: str = "r"
) -> dict[str, bytes]:
    return join_payload(feature_service=service, entities_uri=uri, output_uri=str(place / output), run_name=run)


def joined_by(**given: Any) -> dict[str, bytes]:
    """Tell what is joined, as the operator does."""
    fields = {"repo": "/repo", "feature_service": "s", "output_uri": "/o", **given}
    payload: dict[str, bytes] = FeastJoinOperator(task_id="join", **fields).payload(task_context(Store()), INFO)
    return payload


def test_apply_registers_what_the_repository_defines(applied: Any) -> None:
    assert applied == {"project": "flights", "feature_views": ["delays"], "feature_services": ["delay_v1"]}


@pytest.mark.usefixtures("applied")
def test_nothing_is_fresh_before_its_first_materialization(drive: Drive) -> None:
    """The first of this file's tests that needs the online store: later ones materialize."""
    late = {"fresh_at": day(6).isoformat(), "materialized_until": {}, "late": ["a first materialization"]}
    assert drive(freshness(day(6))).result == late


def test_each_row_gets_what_was_known_at_its_time_and_a_retry_joins_nothing(
    applied: Any, place: Path, drive: Drive
) -> None:
    rows = [("AA", day(1, 12)), ("AA", day(3)), ("AA", day(4)), ("UA", day(2)), ("UA", day(4))]
    uri = entities(place, rows, arr_delay=[0.0, 1.0, 2.0, 3.0, 4.0])

    told = drive(join(place, uri)).result
    again = drive(join(place, uri))

    frame = pandas.read_parquet(place / "joined").sort_values("arr_delay")
    # The planted 99 of day 5 is nobody's. UA's value of day 1 is older than the ttl on day 4: none, but the row stays.
    assert frame["mean_delay"].fillna(-1).tolist() == [1.0, 3.0, 3.0, 10.0, -1.0]
    assert frame["arr_delay"].tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert (told["rows_read"], told["rows_written"], told["features"]) == (5, 5, ["mean_delay"])
    assert again.result == told
    assert again.records[0]["phase"] == "committed"


def test_rows_of_one_entity_and_time_all_stay_with_their_labels(applied: Any, place: Path, drive: Drive) -> None:
    uri = entities(place, [("AA", day(2)), ("AA", day(2)), ("UA", day(2))], "twice", arr_delay=[1.0, 2.0, 3.0])

    done = drive(join(place, uri, output="once"))

    frame = pandas.read_parquet(place / "once")
    assert (done.result["rows_read"], done.result["rows_written"]) == (3, 3)
    assert frame["arr_delay"].tolist() == [1.0, 2.0, 3.0]
    assert frame["mean_delay"].tolist() == [1.0, 1.0, 10.0]


@pytest.mark.usefixtures("applied")
def test_a_join_that_finds_its_plan_imports_no_feast(place: Path, tmp_path: Path) -> None:
    """The plan comes of whoever has Feast at hand; the next join takes seconds less."""
    by_sql = (place / "registry.db").read_bytes().startswith(b"SQLite")  # whose state only Feast tells
    if not by_sql:
        repo = str(place / "repo")
        made = compiling.compiled(feast.FeatureStore(repo), "delay_v1")
        plan.keep(repo, str(tmp_path / "runs"), [made], plan.version_of(repo))
    rows = entities(place, [("AA", day(3)), ("UA", day(9))], "planned")
    told = json.dumps({"repo": str(place / "repo"), "runs": str(tmp_path / "runs"), "rows": rows})
    here = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", PLANNED, told], capture_output=True, text=True, check=True, cwd=here)

    assert json.loads(done.stdout.splitlines()[-1]) == {"values": [3.0, None], "feast": by_sql}


def test_a_first_materialization_without_a_start_is_refused(applied: Any, place: Path, drive: Drive) -> None:
    done = drive(materialize_payload(start=None, end=day(3), feature_views=[]))

    assert "delays was never materialized" in done.problem


def test_a_view_for_training_alone_is_no_view_that_was_never_materialized(place: Path, drive: Drive) -> None:
    """Feast materializes what is for the online store, and so does a window without a start."""
    repo = write_repo(place, "offline too", registry=f"{place}/offline too.db")
    history = 'history = FeatureView(name="history", entities=[carrier], online=False, source=delays.batch_source)\n'
    (repo / "definitions.py").write_text((repo / "definitions.py").read_text() + history)
    apply_repo(repo)
    first = materialize_payload(start="2026-01-01T00:00:00+00:00", end=day(4), feature_views=[])
    drive(first, repo="offline too")

    further = drive(materialize_payload(start=None, end=day(6), feature_views=[]), repo="offline too")
    named = drive(materialize_payload(start=None, end=day(6), feature_views=["history"]), repo="offline too")

    assert further.result["materialized_until"] == {"delays": day(6).isoformat()}
    assert "'history': it is not for the online store" in named.problem


def test_materialized_values_are_those_of_the_window(applied: Any, place: Path, drive: Drive) -> None:
    payload = materialize_payload(start="2026-01-01T00:00:00+00:00", end=day(4), feature_views=[])
    told = drive(payload).result
    further = drive(materialize_payload(start=None, end=day(6), feature_views=["delays"])).result

    assert told["materialized_until"] == {"delays": day(4).isoformat()}
    assert further["materialized_until"] == {"delays": day(6).isoformat()}
    store = feast.FeatureStore(repo_path=str(place / "repo"))
    online = store.get_online_features(store.get_feature_service("delay_v1"), [{"carrier": "AA"}]).to_dict()
    assert online["mean_delay"] == [99.0]


def workload(place: Path, datasets: dict[str, Any], *joined: str, run: str = "train") -> dict[str, bytes]:
    return workload_payload(place, FeastFeatures(str(place / "repo"), "delay_v1", list(joined)), datasets, run)


@pytest.fixture
def shipped(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The repository as it lies on a cluster, where Ray has unpacked it."""
    monkeypatch.syspath_prepend(str(unpacked(place)))


@pytest.mark.usefixtures("applied", "shipped")
def test_a_workloads_data_sets_are_joined_once_and_it_reads_those(place: Path, drive: Drive) -> None:
    train = entities(place, [("AA", day(4)), ("UA", day(2))], "train", arr_delay=[1.0, 2.0])
    wanted = {"uri": train, "format": "parquet", "columns": ["mean_delay", "arr_delay"], "split": {"valid": 0.5}}

    done = drive(workload(place, {"train": wanted, "other": "s3://elsewhere/rows"}, "train"))
    again = drive(workload(place, {"train": wanted, "other": "s3://elsewhere/rows"}, "train"))

    specs, summary = done.result
    assert specs["other"] == "s3://elsewhere/rows"
    assert specs["train"] == {
        "uri": f"{place}/runs/train-features/train",
        "columns": ["mean_delay", "arr_delay"],
        "split": {"valid": 0.5},
    }
    assert pandas.read_parquet(specs["train"]["uri"])["mean_delay"].tolist() == [3.0, 10.0]
    assert (summary["feature_service"], summary["rows"]) == ("delay_v1", {"train": 2})
    assert done.records[-1]["features"] == summary
    assert again.result == done.result
    assert [record["phase"] for record in again.records] == ["committed", "features"]


@pytest.mark.usefixtures("applied", "shipped")
def test_a_format_of_the_authors_own_must_be_there(place: Path, drive: Drive) -> None:
    rows = entities(place, [("AA", day(4))], "own")
    done = drive(workload(place, {"train": {"uri": rows, "format": "my.reader:read"}}, run="other"))

    assert "datasets.train.format: cannot import 'my.reader'" in done.problem


@pytest.mark.usefixtures("applied", "shipped")
def test_replicas_read_the_same_service_online(place: Path, drive: Drive, monkeypatch: pytest.MonkeyPatch) -> None:
    drive(materialize_payload(start=day(1).isoformat(), end=day(4), feature_views=[]))
    monkeypatch.setenv(SERVICE, "delay_v1")

    online = OnlineFeatures()

    assert online.features == ["mean_delay"]
    assert online.read([{"carrier": "UA"}, {"carrier": "nobody"}]) == [{"mean_delay": 10.0}, {"mean_delay": None}]
    assert online.read([]) == []


def test_without_features_a_replica_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SERVICE, raising=False)

    with pytest.raises(RuntimeError, match="deployed without features"):
        OnlineFeatures()


def freshness(at: Any, *views: str) -> dict[str, bytes]:
    return freshness_payload(fresh_at=at, feature_views=views)


@pytest.mark.usefixtures("applied")
def test_freshness_is_what_the_registry_says(place: Path, drive: Drive) -> None:
    drive(materialize_payload(start=day(1).isoformat(), end=day(6), feature_views=[]))

    fresh, late = drive(freshness(day(6))).result, drive(freshness(day(7), "delays")).result

    until = {"delays": day(6).isoformat()}
    assert fresh == {"fresh_at": day(6).isoformat(), "materialized_until": until, "late": []}
    assert late["materialized_until"] == until
    assert late["late"] == [f"delays ({day(6).isoformat()})"]
    assert (
        "'nothing': there is no such view; those that are materialized: delays"
        in drive(freshness(day(7), "nothing")).problem
    )


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("unknown service", "has no 'delay_v9'; it has: delay_v1"),
        ("absent column", "no column 'carrier'"),
        ("no features", "no value of any feature for any of the rows"),
        ("absent entities", "there is no file or folder"),
        ("unknown view", "feature_views"),
        ("feature's name", "columns mean_delay have names of features"),
        ("no times", "event_timestamp holds what is no time"),
        ("relative registry", "relative path 'data/registry.db'"),
        ("relative SQL", "relative path 'sqlite:///registry.db'"),
        ("relative online store", "the online_store of feature_store.yaml has the relative path"),
        ("no SQL", "the offline store 'file' of the repository takes no SQL; give a file's uri"),
    ],
)
def test_what_is_wrong_has_one_sentence(applied: Any, place: Path, drive: Drive, case: str, message: str) -> None:
    fine = entities(place, [("AA", day(2))], "fine")
    other = entities(place, [("AA", day(2))], "other")
    pandas.read_parquet(other).rename(columns={"carrier": "airline"}).to_parquet(other)
    write_repo(place, "relative registry", registry="data/registry.db")
    write_repo(place, "relative SQL", registry="{registry_type: sql, path: 'sqlite:///registry.db'}")
    write_repo(place, "relative online store", online="{type: sqlite}")
    place_of_no_times = str(place / "no-times.parquet")
    pandas.DataFrame({"carrier": ["AA"], "event_timestamp": ["noon"]}).to_parquet(place_of_no_times)
    output = case.replace(" ", "-")
    payloads = {
        "unknown service": join(place, fine, service="delay_v9", output=output),
        "absent column": join(place, other, output=output),
        "no features": join(place, entities(place, [("ZZ", day(2))], "nobody"), output=output),
        "absent entities": join(place, str(place / "nowhere.parquet"), output=output),
        "feature's name": join(place, entities(place, [("AA", day(2))], "named", mean_delay=[0.0]), output=output),
        "unknown view": materialize_payload(start=None, end=day(6), feature_views=["nothing"]),
        "no times": join(place, place_of_no_times, output=output),
        "relative registry": join(place, fine, output=output),
        "relative SQL": join(place, fine, output=output),
        "relative online store": materialize_payload(start=day(1), end=day(6), feature_views=[]),
        "no SQL": joined_by(entities_sql="SELECT 1", feature_service="delay_v1", output_uri=str(place / output)),
    }

    done = drive(payloads[case], repo=case if case.startswith("relative") else "repo")

    assert message in done.problem
    assert list((place / output).glob("*.parquet")) == []


def test_the_operators_ship_the_repository_and_know_their_window(tmp_path: Path) -> None:
    (tmp_path / "feature_store.yaml").write_text("project: flights")
    context = task_context(Store())
    context["dag_run"].run_after = day(7)
    fields: dict[str, Any] = {"repo": str(tmp_path), "ray_conn_id": "ray_default"}
    joined = FeastJoinOperator(
        task_id="join", feature_service="delay_v1", entities_uri="s3://b/e", output_uri="s3://b/o", **fields
    )
    materialized = FeastMaterializeOperator(task_id="materialize", **fields)

    request = joined.build_job(context, INFO)
    window = json.loads((materialized.build_job(context, INFO).payload or {})["config.json"])

    assert request.working_dir == str(tmp_path)
    assert window == {"action": "materialize", "end": day(7).isoformat()}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: check_repo("/nowhere"), "no feature_store.yaml"),
        (lambda: check_repo(None), "'repo'"),
        (lambda: check_service(""), "feature_service"),
        (lambda: joined_by(entities_uri=""), "entities_uri"),
        (lambda: joined_by(entities_sql=" "), "'entities_sql' must be an SQL query"),
        (lambda: joined_by(), "Exactly one of 'entities_uri' and 'entities_sql'"),
        (lambda: joined_by(entities_uri="/rows", entities_sql="SELECT 1"), "Exactly one of"),
        (lambda: materialize_payload(start=None, end="noon", feature_views=[]), "'end' must be a time"),
        (lambda: materialize_payload(start=None, end="2026-01-01", feature_views=[]), "no time zone"),
        (lambda: materialize_payload(start=day(2), end=day(1), feature_views=[]), "not before"),
        (lambda: materialize_payload(start=None, end=day(1), feature_views="delays"), "'feature_views'"),
        (lambda: freshness("noon"), "'fresh_at' must be a time"),
    ],
)
def test_bad_input_names_the_field(wrong: Callable[[], Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        wrong()

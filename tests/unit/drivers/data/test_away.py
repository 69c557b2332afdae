"""Storages that are away: real Arrow against a port where nobody listens, and a server that answers what it is told."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.fs
import pytest
from airflow_stack import held_port

from airflow_provider_air.drivers.data import datasets, files, staging
from airflow_provider_air.drivers.features import entities, feast_store
from airflow_provider_air.drivers.wire import outages
from airflow_provider_air.drivers.wire.problems import ConfigurationProblem, Unavailable
from tests.kinds import parameters
from tests.kinds.outages import DURING

DONE, DURING_NAMES = parameters(DURING)


@pytest.fixture(autouse=True)
def little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outages, "PATIENCE_SECONDS", 0.0)


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as anybody could wish, in no time."""
    monkeypatch.setattr(outages, "PATIENCE_SECONDS", 60.0)
    monkeypatch.setattr(outages, "FIRST_PAUSE_SECONDS", 0.0)


class Store:
    """
    A server of objects that has none.

    :ivar status: what it answers
    """

    def __init__(self) -> None:
        store, self.status = self, 503

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                self.rfile.read(int(self.headers.get("content-length") or 0))
                self.send_response(store.status)
                self.send_header("content-length", "2")
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(b"{}")

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = answer

            def log_message(self, *values: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def store() -> Iterator[Store]:
    store = Store()
    yield store
    store.close()


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def on_s3(port: int) -> str:
    return f"s3://b/k?endpoint_override=127.0.0.1:{port}&scheme=http&region=us-east-1"


def on_google(port: int) -> str:
    return f"gs://anonymous@b/k?endpoint_override=127.0.0.1:{port}&scheme=http&retry_limit_seconds=0.1"


@pytest.mark.parametrize("uri", [on_s3, on_google])
def test_a_store_where_nobody_listens_is_away(uri: Any) -> None:
    with (
        held_port() as port,
        pytest.raises(Unavailable, match=r"datasets\.train\.uri: cannot look at .*://"),
    ):
        files.must_exist(uri(port), "datasets.train.uri")


@pytest.mark.parametrize("uri", [on_s3, on_google])
def test_a_store_that_answers_503_is_away(uri: Any, store: Store) -> None:
    with pytest.raises(Unavailable, match=r"storage_path: this cluster cannot write to .*://"):
        files.must_take_files(uri(store.port), "storage_path")


@pytest.mark.parametrize(
    ("uri", "status", "problem"),
    [
        (on_s3, 403, ConfigurationProblem),
        (on_s3, 301, ConfigurationProblem),
        (on_s3, 400, Unavailable),
        (on_google, 403, ConfigurationProblem),
        (on_google, 404, ConfigurationProblem),
        (on_google, 401, Unavailable),
        (on_google, 429, Unavailable),
    ],
)
def test_what_a_store_answers_decides(uri: Any, status: int, problem: Any, store: Store) -> None:
    store.status = status
    with pytest.raises(problem, match=r"input\.uri: "):
        files.must_exist(uri(store.port), "input.uri")


def test_entities_in_a_store_that_is_away_are_not_the_authors_mistake(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Away after it was looked for: what is asked for is its rows."""
    monkeypatch.setattr(files, "must_exist", lambda uri, field: None)
    opened = entities.opened({"uri": on_google(store.port), "format": "parquet"}, "entities")
    with pytest.raises(Unavailable, match=r"entities: cannot read gs://"), opened:
        pass


def test_a_region_that_cannot_be_asked_is_no_malformed_uri(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(uri: str) -> Any:
        raise OSError(
            "When resolving region for bucket 'b': AWS Error NETWORK_CONNECTION during HeadBucket operation: x"
        )

    monkeypatch.setattr(files, "located", away)
    with pytest.raises(Unavailable, match=r"storage_path: cannot open s3://b: .*resolving region"):
        files.open_uri("s3://b", "storage_path")


class Flaky:
    """
    A folder whose next calls fail, as a storage's do that is away.

    :ivar away: how many calls
    :ivar only: of which name; all where it is empty
    """

    type_name = "s3"

    def __init__(self, folder: Path) -> None:
        self._files: Any = pyarrow.fs.SubTreeFileSystem(str(folder), pyarrow.fs.LocalFileSystem())
        self.away, self.only = 0, ""

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            if self.away and self.only in ("", name):
                self.away -= 1
                raise OSError("AWS Error SLOW_DOWN during PutObject operation: reduce your request rate")
            return getattr(self._files, name)(*arguments, **options)

        return call


@pytest.fixture
def flaky(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Flaky:
    flaky = Flaky(tmp_path)
    monkeypatch.setattr(files, "located", lambda uri: (flaky, uri.removeprefix("s3://")))
    return flaky


def do(what: str, flaky: Flaky) -> Any:
    """Do it while the storage is away for a while."""
    flaky._files.create_dir("out")
    with flaky._files.open_output_stream("out/file") as stream:
        stream.write(b"old")
    if what == "commit":
        output = staging.StagedOutput("s3://out/output", "run")
        flaky._files.create_dir("out/output/_air_locks")  # of which an object store knows nothing
        flaky._files.create_dir(f"out/output/_air_staging/{output.attempt}")
        with flaky._files.open_output_stream(f"out/output/_air_staging/{output.attempt}/part"):
            pass
    flaky.away = 3
    if what == "commit":
        flaky.only = "move"
        output.commit([{"file": "part"}], {})
        return sorted(files.files_below(flaky, "out/output"))
    if what == "read":
        return files.read(flaky, "out/file")
    if what == "list":
        return files.names("s3://out")
    files.write(flaky, "out/file", b"new")
    return files.read(flaky, "out/file")


@pytest.mark.parametrize(("name", "comes_back"), list(zip(DURING_NAMES, DONE, strict=True)))
def test_finished_work_is_not_lost_with_a_storage_that_is_away_for_a_moment(
    name: str, comes_back: bool, flaky: Flaky, request: pytest.FixtureRequest
) -> None:
    what = name.partition(" ")[0]
    if not comes_back:
        with pytest.raises(Unavailable, match=f"cannot {what} out/file: .*SLOW_DOWN"):
            do(what, flaky)
        return
    request.getfixturevalue("patience")
    results = {"write": b"new", "read": b"old", "list": ["file"], "commit": ["_SUCCESS", "part"]}
    assert do(what, flaky) == results[what]


def test_a_file_that_is_not_there_is_not_asked_for_again(flaky: Flaky, patience: None) -> None:
    assert files.read(flaky, "nowhere") is None


def ray_error(name: str, *arguments: Any) -> Exception:
    exceptions = pytest.importorskip("ray.exceptions")
    error: Exception = getattr(exceptions, name)(*arguments)
    return error


class Dataset:
    """Gives its schema once these were raised."""

    def __init__(self, *errors: Exception) -> None:
        self._errors = list(errors)

    def schema(self) -> Any:
        if self._errors:
            raise self._errors.pop(0)
        return SimpleNamespace(names=["x"])


def test_a_node_that_dies_while_a_schema_is_read_is_no_mistake(patience: None, monkeypatch: pytest.MonkeyPatch) -> None:
    died = [ray_error("NodeDiedError", "it died"), ray_error("WorkerCrashedError")]
    assert datasets.column_names(Dataset(*died), "input") == ["x"]
    with pytest.raises(ConfigurationProblem, match="input: cannot read the schema: no parquet"):
        datasets.column_names(Dataset(ValueError("no parquet")), "input")
    monkeypatch.setattr(outages, "PATIENCE_SECONDS", 0.0)
    with pytest.raises(Unavailable, match="input: cannot read the schema"):
        datasets.column_names(Dataset(*died), "input")


def test_a_reader_that_is_told_503_is_no_mistake() -> None:
    def reader(path: str, **options: Any) -> Any:
        raise OSError("AWS Error UNKNOWN (HTTP status 503) during HeadObject operation: No response body")

    with pytest.raises(Unavailable, match=r"input: cannot read s3://b/k as parquet: .*503"):
        datasets._read(reader, ["s3://b/k"], {}, "parquet", "input")


def feast_of(error: Exception) -> Any:
    """A library whose store cannot be opened; Feast itself takes ten seconds to import."""

    def store(repo_path: str) -> Any:
        raise error

    return lambda: SimpleNamespace(FeatureStore=store)


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (ConnectionRefusedError(111, "Connection refused"), Unavailable),
        (ValueError("registry_type: no such"), ConfigurationProblem),
    ],
)
def test_a_registry_that_is_away_is_no_wrong_repository(
    error: Exception, problem: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "feature_store.yaml").write_text("registry: postgresql://db/feast\n")
    monkeypatch.setattr(feast_store, "feast", feast_of(error))

    with pytest.raises(problem, match="repo: Feast does not open it"):
        feast_store.opened(str(tmp_path))


def test_a_registry_that_goes_away_later_is_no_unknown_service(monkeypatch: pytest.MonkeyPatch) -> None:
    class Unknown(Exception):
        """No feature service of this name."""

    def away(name: str = "") -> Any:
        raise TimeoutError("late")

    store = SimpleNamespace(get_feature_service=away, list_feature_views=away, project="flights")
    monkeypatch.setattr(
        feast_store, "feast", lambda: SimpleNamespace(errors=SimpleNamespace(FeatureServiceNotFoundException=Unknown))
    )

    for ask in (lambda: feast_store.service(store, "delay_v1"), lambda: feast_store.views(store)):
        with pytest.raises(Unavailable, match="registry does not answer"):
            ask()

"""
Tecton's features of now: what a deployment sends, and the replica's side, against a double over real HTTP.

No live account was ever asked.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred

from airflow_provider_air import (
    RayBatchInferenceOperator,
    RayServeDeployOperator,
    RayTrainOperator,
    TectonFeatures,
)
from airflow_provider_air.attachments.online import online_module
from airflow_provider_air.drivers.online import OnlineFeatures, tecton
from airflow_provider_air.drivers.online.tecton import KEY as API_KEY
from airflow_provider_air.drivers.online.tecton import SERVICE, URL, WORKSPACE
from airflow_provider_air.drivers.serve import merge
from airflow_provider_air.errors import UnavailableError
from tests.fakes.loopback import LoopbackServer
from tests.fakes.quick_clock import QuickClock
from tests.fakes.ray_dashboard import FakeRayDashboard
from tests.fakes.task_context import Store, Supervisor, supervised, task_context
from tests.fakes.tecton import KEY, FakeTecton

CLUSTER_KEY = "canary-of-the-cluster"


@pytest.fixture
def server() -> Iterator[FakeTecton]:
    with FakeTecton() as server:
        server.keys = {KEY, CLUSTER_KEY}
        server.vectors = {
            ("AA",): [3, "9007199254740993"],
            ("UA",): [10.5, None],
            ("7", 250.0): [True, ["1", None, "3"]],
        }
        yield server


@pytest.fixture
def replica(server: FakeTecton, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The environment of a replica on a cluster that has its own key, mounted from a file that ends with a line."""
    for name, value in environment(server.url).items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def environment(url: str, service: str = "delay_v1") -> dict[str, str]:
    return {URL: url, WORKSPACE: "prod", SERVICE: service, API_KEY: f"{CLUSTER_KEY}\n"}


# The replica's side


@pytest.mark.usefixtures("replica")
def test_a_replica_reads_values_in_the_shape_of_feast(server: FakeTecton) -> None:
    online = OnlineFeatures()

    assert (online.feature_service, online.features) == ("delay_v1", ["delays.mean_delay", "delays.flights"])
    rows = online.read([{"carrier": "AA"}, {"carrier": "nobody"}, {"carrier": "UA"}])
    assert rows == [
        {"delays.mean_delay": 3.0, "delays.flights": 9007199254740993},
        {"delays.mean_delay": None, "delays.flights": None},
        {"delays.mean_delay": 10.5, "delays.flights": None},
    ]
    assert isinstance(rows[0]["delays.mean_delay"], float)
    assert online.read([]) == []


def test_keys_of_the_request_travel_apart_and_in_tectons_spelling(
    server: FakeTecton, replica: pytest.MonkeyPatch
) -> None:
    import numpy

    replica.setenv(SERVICE, "route_v1")

    found = OnlineFeatures().read([{"route_id": numpy.int64(7), "distance": numpy.float32(250)}])

    assert found == [{"speed.is_short": True, "routes.last_delays": [1, None, 3]}]
    asked = {key: server.asked[0][key] for key in ("joinKeyMap", "requestContextMap")}
    assert asked == {"joinKeyMap": {"route_id": "7"}, "requestContextMap": {"distance": 250.0}}


def test_many_rows_are_read_side_by_side_and_come_back_in_order(
    server: FakeTecton, replica: pytest.MonkeyPatch
) -> None:
    online = OnlineFeatures()
    server.vectors = {(f"c{i}",): [float(i), str(i)] for i in range(20)}
    server.slow_seconds = 0.5

    start = time.monotonic()
    found = online.read([{"carrier": f"c{i}"} for i in range(20)])

    assert [row["delays.flights"] for row in found] == list(range(20))
    assert time.monotonic() - start < 20 * server.slow_seconds


@pytest.mark.usefixtures("replica")
@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({}, "entities lacks carrier"),
        ({"airline": "AA"}, "lacks carrier and has besides airline"),
        ({"carrier": "AA", "route_id": 1}, "entities has besides route_id"),
    ],
)
def test_keys_are_checked_by_name_before_anything_is_asked(server: FakeTecton, row: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=rf"{says}; the feature service 'delay_v1' takes: carrier"):
        OnlineFeatures().read([{"carrier": "AA"}, row])
    assert server.asked == []


@pytest.mark.parametrize("key", [None, "", " \n", "two\nlines"])
def test_without_a_usable_key_a_replica_says_where_it_belongs(
    replica: pytest.MonkeyPatch, server: FakeTecton, key: str | None
) -> None:
    replica.delenv(API_KEY) if key is None else replica.setenv(API_KEY, key)

    with pytest.raises(RuntimeError, match=r"no usable TECTON_API_KEY.*never in runtime_env") as caught:
        OnlineFeatures()
    assert "two" not in str(caught.value)


def test_what_tecton_refuses_is_told_without_the_key(server: FakeTecton, replica: pytest.MonkeyPatch) -> None:
    server.keys = {KEY}
    with pytest.raises(
        RuntimeError, match=r"refused metadata .*\(401\): invalid API key; check the cluster's TECT"
    ) as no:
        OnlineFeatures()
    assert CLUSTER_KEY not in f"{no.value!r}{no.value.__cause__!r}"

    server.keys = {CLUSTER_KEY}
    replica.setenv(SERVICE, "delay_v9")
    with pytest.raises(RuntimeError, match=r"'delay_v9' in the workspace 'prod' \(404\): Unknown feature service"):
        OnlineFeatures()


def test_a_key_that_is_taken_away_and_a_redirect_fail_the_read_alone(
    server: FakeTecton, replica: pytest.MonkeyPatch
) -> None:
    online = OnlineFeatures()
    server.statuses = [503]
    with pytest.raises(RuntimeError, match=r"refused get-features .*\(503\): try later$"):
        online.read([{"carrier": "AA"}])
    # To another host it would take the key along.
    server.statuses = [302]
    with pytest.raises(RuntimeError, match=r"\(302\)"):
        online.read([{"carrier": "AA"}])

    assert online.read([{"carrier": "AA"}])[0]["delays.mean_delay"] == 3.0


def test_a_service_that_lost_a_feature_is_no_missing_value(server: FakeTecton, replica: pytest.MonkeyPatch) -> None:
    online = OnlineFeatures()
    online.features.append("delays.gone")

    with pytest.raises(RuntimeError, match=r"has not the features of 'delay_v1': KeyError\('delays.gone'\)"):
        online.read([{"carrier": "AA"}])


def test_a_server_that_is_away_or_hangs_is_waited_for_a_bounded_time(
    server: FakeTecton, replica: pytest.MonkeyPatch
) -> None:
    online = OnlineFeatures()
    replica.setattr(tecton, "TIMEOUT_SECONDS", 0.3)
    server.slow_seconds = 30.0
    start = time.monotonic()
    with pytest.raises(RuntimeError, match="does not answer at http://127"):
        online.read([{"carrier": "AA"}, {"carrier": "UA"}])
    server.stop()
    with pytest.raises(RuntimeError, match="does not answer at http://127"):
        OnlineFeatures()
    assert time.monotonic() - start < 5.0


class Kept(BaseHTTPRequestHandler):
    """Tecton's two routes for what keeps connections, and counts them; also a proxy's of plain HTTP."""

    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        super().setup()
        self.server.opened.append(self.client_address)  # type: ignore[attr-defined]

    def do_POST(self) -> None:
        server: Any = self.server
        self.rfile.read(int(self.headers["Content-Length"]))
        server.asked.append((self.path, self.headers.get("Proxy-Authorization")))
        described = [{"name": "delays.flights", "dataType": {"type": "int64"}}]
        if self.path.endswith("metadata"):
            told: Any = {"inputJoinKeys": [{"name": "carrier"}], "featureValues": described}
        else:
            told = {"result": {"features": ["7"]}, "metadata": {"features": described}}
        body = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        if server.drops:
            # A server may close a connection that nobody uses, and says nothing of it.
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def kept() -> Iterator[Any]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Kept) as server:
        made: Any = server
        made.opened, made.asked, made.drops = [], [], False
        made.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield made
        server.shutdown()
        thread.join()


def test_rows_share_connections(kept: Any, replica: pytest.MonkeyPatch) -> None:
    replica.setenv(URL, kept.url)
    online = OnlineFeatures()

    for _ in range(3):
        assert online.read([{"carrier": str(i)} for i in range(8)]) == [{"delays.flights": 7}] * 8
    one_by_one = len(kept.opened)
    for _ in range(8):
        online.read([{"carrier": "AA"}])

    assert len(kept.asked) == 1 + 3 * 8 + 8
    assert one_by_one <= tecton.PARALLEL
    assert len(kept.opened) == one_by_one


def test_a_connection_that_was_closed_meanwhile_is_opened_anew(kept: Any, replica: pytest.MonkeyPatch) -> None:
    replica.setenv(URL, kept.url)
    kept.drops = True
    online = OnlineFeatures()

    assert [online.read([{"carrier": "AA"}]) for _ in range(4)] == [[{"delays.flights": 7}]] * 4
    assert online.read([{"carrier": "AA"}] * 16) == [{"delays.flights": 7}] * 16


def test_a_proxy_is_asked_where_the_environment_names_one(kept: Any, replica: pytest.MonkeyPatch) -> None:
    replica.setenv(URL, "http://tecton.invalid")
    replica.setenv("http_proxy", f"http://me:s%40cret@127.0.0.1:{kept.server_address[1]}")
    replica.delenv("no_proxy", raising=False)
    replica.delenv("NO_PROXY", raising=False)

    assert OnlineFeatures().read([{"carrier": "AA"}]) == [{"delays.flights": 7}]

    told = {path.rpartition("/")[0] for path, _ in kept.asked}, {word for _, word in kept.asked}
    assert told == ({"http://tecton.invalid/api/v1/feature-service"}, {"Basic bWU6c0BjcmV0"})


class NotTecton(LoopbackServer):
    """Answers every request with the same words."""

    def __init__(self, words: str) -> None:
        super().__init__()
        self.words, self.url = words, ""

    async def _open(self) -> None:
        from aiohttp import web

        async def answer(_: web.Request) -> web.Response:
            return web.Response(text=self.words)

        app = web.Application()
        app.router.add_post("/{path:.*}", answer)
        _, port = await self._listen(app)
        self.url = f"http://127.0.0.1:{port}"


@pytest.mark.usefixtures("replica")
@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("<html>", "does not answer like Tecton"),
        ("[1]", "does not answer like Tecton"),
        ("{}", "names no features of 'delay_v1'"),
        ('{"featureValues": [1]}', "featureValues are not understood"),
    ],
)
def test_another_server_is_not_taken_for_tecton(replica: pytest.MonkeyPatch, words: str, says: str) -> None:
    with NotTecton(words) as other:
        replica.setenv(URL, other.url)
        with pytest.raises(RuntimeError, match=says):
            OnlineFeatures()


def test_the_module_stands_alone_under_the_name_that_it_travels_by(server: FakeTecton, tmp_path: Path) -> None:
    ((name, folder),) = online_module().items()
    shutil.copytree(folder, tmp_path / name)
    code = "from air_features import OnlineFeatures; print(OnlineFeatures().read([{'carrier': 'AA'}]))"

    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], **environment(server.url)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.stdout, done.stderr) == ("[{'delays.mean_delay': 3.0, 'delays.flights': 9007199254740993}]\n", "")


# The deploying side


@pytest.fixture
def head(server: FakeTecton, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeRayDashboard]:
    """A Ray head and the two connections, of which ``tecton`` has a key of its own."""
    for name in ("GRACE", "SETTLE"):
        monkeypatch.setenv(f"AIRFLOW__AIR__DEFERRAL_{name}_SECONDS", "0")
    with supervised(Supervisor()), FakeRayDashboard() as head:
        made = {"ray_default": (head.url, head.token), "tecton_default": (server.url, KEY)}
        for name, (host, password) in made.items():
            fields = {"conn_type": name.partition("_")[0], "host": host, "password": password}
            monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps(fields))
        yield head


def deploy(features: Any, **fields: Any) -> RayServeDeployOperator:
    return RayServeDeployOperator(task_id="deploy", import_path="serve:app", features=features, **fields)


def submit(head: FakeRayDashboard, operator: RayServeDeployOperator, store: Store) -> dict[str, Any]:
    """Run the task until it waits, and give its job's runtime environment."""
    with pytest.raises(TaskDeferred):
        operator.execute(task_context(store))
    (job,) = head.jobs.values()
    assert job.runtime_env is not None
    return dict(job.runtime_env)


def test_an_application_gets_address_and_names_and_nothing_that_is_sent_holds_a_key(
    head: FakeRayDashboard, server: FakeTecton, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    store = Store()

    sent = submit(head, deploy(TectonFeatures("prod", "delay_v1"), runtime_env={"env_vars": {"STAGE": "x"}}), store)

    application = merge.runtime_env_of_applications(sent)
    assert application["env_vars"] == {"STAGE": "x", URL: server.url, WORKSPACE: "prod", SERVICE: "delay_v1"}
    assert len(application["py_modules"]) == 1
    token = {"Authorization": f"Bearer {head.token}"}
    shown = [
        httpx.get(f"{head.url}/api/jobs/", headers=token).text,
        json.dumps(store.rows),
        caplog.text,
        head.shipped(),
    ]
    assert [text for text in shown if KEY in text] == []
    # Else the scan would look where nothing is.
    assert "get-features" in shown[-1]
    assert SERVICE in shown[0]


@pytest.mark.parametrize(
    ("features", "says"),
    [
        (
            TectonFeatures("prod", "delay_v9"),
            r"'delay_v9' of the workspace 'prod' cannot be served: .*404\): Unknown",
        ),
        (TectonFeatures("dev", "delay_v1"), r"'delay_v1' of the workspace 'dev' cannot be served"),
        (TectonFeatures("prod", "delay_v1", "absent"), "no Airflow connection 'absent'"),
        (TectonFeatures("prod", " "), "'feature_service' must be a name"),
        (TectonFeatures("", "delay_v1"), "'workspace' must be a name"),
        ({"workspace": "prod"}, r"'features' must be FeastFeatures\(\.\.\.\) or TectonFeatures"),
    ],
)
def test_what_cannot_be_served_is_refused_before_anything_starts(
    head: FakeRayDashboard, features: Any, says: str
) -> None:
    with pytest.raises(AirflowFailException, match=says):
        deploy(features).execute(task_context(Store()))
    assert head.jobs == {}


def test_a_refused_key_of_the_connection_starts_nothing_either(head: FakeRayDashboard, server: FakeTecton) -> None:
    server.keys = {CLUSTER_KEY}

    with pytest.raises(AirflowFailException, match=r"\(401\): invalid API key.*Check the API key of the tecton conn"):
        deploy(TectonFeatures("prod", "delay_v1")).execute(task_context(Store()))
    assert head.jobs == {}


def test_a_key_that_the_author_puts_where_ray_shows_it_is_refused(head: FakeRayDashboard) -> None:
    from airflow.sdk import BaseHook
    from airflow.sdk.log import mask_secret

    # As the template {{ conn.tecton_default.password }} does.
    mask_secret(BaseHook.get_connection("tecton_default").password)
    operator = deploy(TectonFeatures("prod", "delay_v1"), runtime_env={"env_vars": {API_KEY: KEY}})

    with pytest.raises(AirflowFailException, match="'runtime_env' holds a secret"):
        operator.execute(task_context(Store()))
    assert head.jobs == {}


def test_a_deployment_that_runs_is_adopted_whatever_has_become_of_tecton(
    head: FakeRayDashboard, server: FakeTecton, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store()
    submit(head, deploy(TectonFeatures("prod", "delay_v1")), store)
    server.stop()
    monkeypatch.delenv("AIRFLOW_CONN_TECTON_DEFAULT")

    with pytest.raises(TaskDeferred):
        deploy(TectonFeatures("prod", "delay_v1")).execute(task_context(store, try_number=2))
    assert len(head.jobs) == 1


def test_a_tecton_that_is_away_fails_the_try_and_not_the_task(
    head: FakeRayDashboard, server: FakeTecton, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.statuses = [503] * 1000
    monkeypatch.setattr("airflow_provider_air.attachments.tecton.server.time.sleep", lambda _: None)
    monkeypatch.setattr("airflow_provider_air.runs.clock.RealClock", QuickClock)

    with pytest.raises(UnavailableError, match="answered 503 to feature-service/metadata"):
        deploy(TectonFeatures("prod", "delay_v1")).execute(task_context(Store()))
    assert head.jobs == {}


@pytest.mark.usefixtures("head")
def test_what_trains_or_infers_is_told_to_read_a_dataset_by_its_path() -> None:
    same: dict[str, Any] = {"storage": "s3://ml/runs", "features": TectonFeatures("prod", "delay_v1")}
    train = RayTrainOperator(task_id="train", train_loop="c:f", datasets={"train": "s3://ml/rows"}, **same)
    infer = RayBatchInferenceOperator(task_id="infer", predictor="c:f", input_uri="/rows", output_uri="/out", **same)

    for operator in (train, infer):
        with pytest.raises(AirflowFailException, match=r"joins no data sets.*read it by its path: datasets="):
            operator.execute(task_context(Store()))

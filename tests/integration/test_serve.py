"""Ray Serve from Airflow on one real cluster: roll out under load, go back, survive neighbours and kills."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_air.attachments.feast.features import FeastFeatures
from airflow_provider_air.attachments.tecton.features import TectonFeatures
from airflow_provider_air.clusters.local.home import ClusterHome
from airflow_provider_air.contracts.clusters import ClusterRef
from airflow_provider_air.drivers.serve.packages import copy_of
from airflow_provider_air.drivers.wire import serve_state
from airflow_provider_air.errors import JobStoppedError, ServeDeployError
from airflow_provider_air.operators.serve import RayServeDeleteOperator, RayServeScaleOperator
from airflow_provider_air.ray_api.client import RayClient
from airflow_provider_air.ray_api.packages import package_folder, upload
from airflow_provider_air.ray_api.requests import get_package, list_jobs
from airflow_provider_air.ray_api.serve import ServeState, get_serve
from airflow_provider_air.ray_api.transport import Transport
from airflow_provider_air.sensors.serve import RayServeSensor
from airflow_provider_air.triggers.serve import RayServeTrigger
from airflow_provider_air.waiting import wait_until
from airflow_provider_air.workloads.serve import plan_deploy
from airflow_provider_air.workloads.smoke import SmokeTest
from tests.clusters import local_cluster
from tests.fakes.task_context import Store, Supervisor, supervised, task_context
from tests.fakes.tecton import KEY as TECTON_KEY
from tests.fakes.tecton import FakeTecton
from tests.feature_repo import apply_repo, day, write_repo
from tests.serving import CODE, Clients, deploy_operator, execute

pytestmark = pytest.mark.integration

ANSWERS = SmokeTest(path="?x=21", json_subset={"doubled": 42}, samples=2, max_latency_seconds=20)
HEAD = {
    # A package that nothing uses is forgotten after this long, instead of ten minutes.
    "RAY_RUNTIME_ENV_TEMPORARY_REFERENCE_EXPIRATION_S": "8",
    # A constructor that raises is tried once, not three times.
    "RAY_SERVE_MAX_PER_REPLICA_RETRY_COUNT": "1",
    # As a mounted secret would be.
    "TECTON_API_KEY": TECTON_KEY,
}

EXCLUDES = ("broken.py",)

# For what starts or ends processes, on a machine that has much else to do.
PATIENCE_SECONDS = 300.0

Cluster = tuple[ClusterRef, Transport]


@pytest.fixture(scope="module", autouse=True)
def supervisor() -> Iterator[None]:
    """The other end of the line that XComs and task states travel on."""
    with supervised(Supervisor()):
        yield


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """The serving cluster of this module."""
    folder = Path(tempfile.mkdtemp(prefix="air-", dir="/tmp"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIR_LOCAL_HOME", str(folder))
        with local_cluster("serving", num_cpus=8, ttl_seconds=None, idle_timeout_seconds=None, env_vars=HEAD) as made:
            yield made
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def flights(cluster: Cluster) -> dict[str, Any]:
    """An application that serves, deployed blue/green; Serve was not running before."""
    ref, _ = cluster
    with pytest.raises(AirflowFailException, match="Serve does not run"):
        execute(scale(ref, "flights", Model=2))
    result: dict[str, Any] = execute(deploy_operator(ref, "v1", smoke_test=ANSWERS))
    return result


def scale(ref: ClusterRef, application: str, **replicas: int) -> RayServeScaleOperator:
    return RayServeScaleOperator(
        task_id="scale", cluster=ref.to_json(), deferrable=False, application=application, replicas=replicas
    )


def delete(ref: ClusterRef, application: str) -> RayServeDeleteOperator:
    return RayServeDeleteOperator(task_id="delete", cluster=ref.to_json(), deferrable=False, application=application)


def look(cluster: Cluster) -> ServeState:
    with RayClient(cluster[1]) as client:
        return client.send(get_serve())


def config_of(cluster: Cluster) -> dict[str, Any]:
    return {name: item.config for name, item in serve_state.running(look(cluster).details).items()}


def ask(url: str, **params: Any) -> Any:
    answer = httpx.get(url, params=params, trust_env=False, timeout=60)
    answer.raise_for_status()
    return answer.json()


def test_a_first_deployment_starts_serve_on_a_free_port_and_tells_where(
    cluster: Cluster, flights: dict[str, Any]
) -> None:
    assert (flights["status"], flights["changed"], flights["previous_version"]) == ("RUNNING", True, None)
    assert flights["application"] == f"flights--{flights['version']}"
    assert flights["deployments"] == {"Model": {"status": "HEALTHY", "replicas": 1}}
    assert flights["url"].startswith("http://127.0.0.1:")
    assert not flights["url"].startswith("http://127.0.0.1:8000/")
    assert ask(flights["url"], x=4)["doubled"] == 8


@pytest.mark.parametrize(
    ("options", "says"),
    [
        pytest.param({"import_path": "broken:app"}, "a_package_that_nobody_installed", marks=pytest.mark.full),
        ({"args": {"fails": True}}, "no model at s3://models/bad"),
        pytest.param(
            {"args": {"num_cpus": 64}, "healthy_timeout_seconds": 20},
            r"wait for a node with \{'num_cpus': 64.0\}",
            marks=pytest.mark.full,
        ),
        ({"smoke_test": SmokeTest(path="?x=21", json_subset={"doubled": 43})}, r"\$.doubled is 42, not 43"),
    ],
    ids=["broken import", "constructor raises", "more than the cluster has", "failing smoke test"],
)
def test_a_bad_version_is_taken_back_and_clients_of_the_old_one_notice_nothing(
    cluster: Cluster, flights: dict[str, Any], options: dict[str, Any], says: str
) -> None:
    before = config_of(cluster)
    wish = {"smoke_test": ANSWERS, **options}
    if "import_path" in wish:
        wish["args"] = {}
    with Clients(flights["url"]) as clients, pytest.raises(ServeDeployError, match=says) as raised:
        execute(deploy_operator(cluster[0], "bad", **wish))
    assert str(raised.value).startswith(f"rolled back, {flights['application']} serves on. ")
    assert (clients.failures, list(clients.versions)) == ([], ["v1"])
    assert clients.requests >= 20
    assert config_of(cluster) == before


def test_a_good_version_takes_the_route_without_losing_a_request_and_again_changes_nothing(
    cluster: Cluster, flights: dict[str, Any]
) -> None:
    operator = deploy_operator(cluster[0], "v2", smoke_test=ANSWERS)
    # The slow ones are under way when the route moves, and when the old version is retired.
    slow = Clients(f"{flights['url']}?sleep=3", rate=2, threads=8)
    with Clients(flights["url"]) as clients, slow:
        result = execute(operator)
        wait_until(lambda: clients.versions["v2"] or None, what="an answer of v2", timeout_seconds=PATIENCE_SECONDS)
        again = execute(operator)
    assert (clients.failures, slow.failures) == ([], [])
    assert set(slow.versions) == {"v1", "v2"}
    assert clients.requests >= 20
    assert (result["changed"], result["previous_version"]) == (True, flights["version"])
    assert {**result, "changed": False, "previous_version": result["version"]} == {
        key: value for key, value in again.items() if key != "applications"
    } | {"applications": result["applications"]}
    assert [name for name in look(cluster).names() if name.startswith("flights")] == [result["application"]]
    assert ask(result["url"])["version"] == "v2"


def drive(cluster: Cluster, folder: Path, application: str) -> subprocess.Popen[bytes]:
    """Start our driver as a process with a home, a working folder and temporary files of its own."""
    ref, transport = cluster
    record = ClusterHome.of(ref.name).cluster()
    assert record is not None
    assert transport.token is not None
    config = plan_deploy({"name": application, "route_prefix": f"/{application}", "import_path": "model:build",
                          "args": {"version": application}}).to_config()  # fmt: skip
    package = package_folder(CODE)
    with RayClient(transport) as client:
        upload(client, package)
    drivers = Path(__file__).parents[2] / "airflow_provider_air" / "drivers"
    (folder / "payload").mkdir(parents=True)
    (folder / "payload" / "config.json").write_text(json.dumps(config))
    shutil.copytree(drivers, folder / "air_drivers")
    environment = {
        "PATH": os.environ["PATH"],
        **dict.fromkeys(("HOME", "TMPDIR", "AIR_RECORDS_DIR", "PYTHONPATH"), str(folder)),
        "AIR_SUBMISSION_ID": f"air-by-hand-{application}",
        "AIR_PAYLOAD": "payload",
        "RAY_ADDRESS": f"127.0.0.1:{record.ports['gcs']}",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": transport.token,
        "RAY_JOB_CONFIG_JSON_ENV_VAR": json.dumps({"runtime_env": {"working_dir": package.uri}}),
    }
    command = [sys.executable, "-m", "air_drivers.serve"]
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def test_two_applications_deployed_at_the_same_moment_by_processes_without_a_common_disk_survive_each_other(
    cluster: Cluster, flights: dict[str, Any], tmp_path: Path
) -> None:
    drivers = [drive(cluster, tmp_path / name, name) for name in ("left", "right")]
    try:
        outputs = [driver.communicate(timeout=PATIENCE_SECONDS)[0].decode() for driver in drivers]
    finally:
        for driver in drivers:
            driver.kill()
            driver.wait()
    assert [driver.returncode for driver in drivers] == [0, 0], outputs
    names = look(cluster).names()
    assert {"left", "right"} <= set(names)
    assert any(name.startswith("flights--") for name in names)
    base = flights["url"].removesuffix("/flights")
    assert [ask(f"{base}/{name}")["version"] for name in ("left", "right")] == ["left", "right"]


def test_in_place_starts_the_replacement_first_and_puts_the_old_version_back_where_the_new_one_fails(
    cluster: Cluster, flights: dict[str, Any]
) -> None:
    operator = deploy_operator(cluster[0], "one", application="trains")
    url = execute(operator)["url"]
    with Clients(url) as clients:
        result = execute(deploy_operator(cluster[0], "two", application="trains"))
        wrong = SmokeTest(path="?x=1", json_path={"doubled": 3})
        with pytest.raises(ServeDeployError, match="doubled is 2, expected 3"):
            execute(deploy_operator(cluster[0], "three", application="trains", smoke_test=wrong, strategy="in_place"))
    assert clients.failures == []
    assert (result["application"], result["changed"]) == ("trains", True)
    assert ask(url)["version"] == "two"
    assert set(clients.versions) <= {"one", "two", "three"}


def driver_process(submission_id: str) -> psutil.Process:
    """Find the driver itself, not the shell that the job supervisor started it with."""
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        with contextlib.suppress(psutil.Error):
            if command[1:] == ["-m", "air_drivers.serve"] and (
                process.environ().get("AIR_SUBMISSION_ID") == submission_id
            ):
                return process
    raise AssertionError(f"no driver of {submission_id}")


def test_a_deploy_whose_driver_was_killed_is_picked_up_without_a_second_roll_out(
    cluster: Cluster, flights: dict[str, Any]
) -> None:
    store = Store()
    operator = deploy_operator(cluster[0], "v3", smoke_test=ANSWERS, args={"slow_seconds": 6})
    problems: list[ServeDeployError] = []

    def first_try() -> None:
        try:
            execute(operator, store)
        except ServeDeployError as error:
            problems.append(error)

    worker = threading.Thread(target=first_try)
    with Clients(flights["url"]) as clients:
        worker.start()
        replica = wait_until(
            lambda: starting_replica(cluster, "v3"), what="a replica of v3", timeout_seconds=PATIENCE_SECONDS
        )
        submission_id = store.get("air_ledger")["attempts"][-1]["submission_id"]
        driver_process(submission_id).kill()
        worker.join(PATIENCE_SECONDS)
        assert len(problems) == 1
        result = execute(operator, store, try_number=2)
    assert clients.failures == []
    assert result["version"] in result["application"]
    assert ask(result["url"])["version"] == "v3"
    assert replicas_of(cluster, result["application"]) == [replica]


def test_a_deploy_that_is_stopped_takes_back_what_it_began(cluster: Cluster, flights: dict[str, Any]) -> None:
    before = config_of(cluster)
    operator = deploy_operator(cluster[0], "v4", smoke_test=ANSWERS, args={"slow_seconds": 60})
    problems: list[Exception] = []

    def work() -> None:
        try:
            # On the last try a kill asks nobody whose act it is.
            execute(operator, max_tries=0)
        except (JobStoppedError, ServeDeployError) as error:
            problems.append(error)

    worker = threading.Thread(target=work)
    worker.start()
    wait_until(lambda: starting_replica(cluster, "v4"), what="a replica of v4", timeout_seconds=PATIENCE_SECONDS)
    operator.on_kill()
    worker.join(PATIENCE_SECONDS)
    assert len(problems) == 1
    assert config_of(cluster) == before


def starting_replica(cluster: Cluster, version: str) -> str | None:
    for name, item in look(cluster).details["applications"].items():
        config = item.get("deployed_app_config") or {}
        if (config.get("args") or {}).get("version") == version:
            return next((replica for replica in replicas_of(cluster, name) if replica), None)
    return None


def replicas_of(cluster: Cluster, application: str) -> list[str]:
    deployments = look(cluster).details["applications"][application]["deployments"]
    return [str(replica["replica_id"]) for item in deployments.values() for replica in item["replicas"]]


async def test_the_trigger_says_what_is_missing_until_its_deadline(cluster: Cluster, flights: dict[str, Any]) -> None:
    for application, ready, says in (("flights", True, "runs"), ("nothing", False, "no application 'nothing'")):
        trigger = RayServeTrigger(
            cluster=cluster[0].to_json(), application=application, deadline=1.0, poll_interval_seconds=0.1
        )
        events = [event.payload async for event in trigger.run()]
        assert [(event["ready"], says in event["message"]) for event in events] == [(ready, True)]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"application": "thief", "route_prefix": "/flights"}, "is taken by the application 'flights--"),
        ({"http_options": {"port": 8000}}, "cannot be changed to 8000"),
    ],
    ids=["route taken", "wrong port"],
)
def test_what_serve_cannot_do_is_one_clear_error_and_changes_nothing(
    cluster: Cluster, flights: dict[str, Any], options: dict[str, Any], says: str
) -> None:
    before = config_of(cluster)
    with pytest.raises(AirflowFailException, match=says):
        execute(deploy_operator(cluster[0], "v9", smoke_test=ANSWERS, **options))
    assert config_of(cluster) == before


def test_replicas_read_online_features_of_the_service_that_was_deployed(
    cluster: Cluster, flights: dict[str, Any], tmp_path: Path
) -> None:
    repo = write_repo(tmp_path)
    apply_repo(repo).materialize(day(1), day(4))
    named: dict[str, Any] = {"application": "lately", "import_path": "lately:build", "strategy": "blue_green"}

    good = deploy_operator(cluster[0], "v", features=FeastFeatures(str(repo), "delay_v1"), **named)
    url = execute(good)["url"]

    assert ask(url, carrier="AA") == {"mean_delay": 3.0}
    assert ask(url, carrier="ZZ") == {"mean_delay": None}
    bad = deploy_operator(cluster[0], "v", features=FeastFeatures(str(repo), "delay_v9"), **named)
    with pytest.raises(ServeDeployError, match="delay_v9"):
        execute(bad)
    assert ask(url, carrier="AA") == {"mean_delay": 3.0}
    execute(delete(cluster[0], "lately"))


@pytest.mark.full  # the contract suite reads them from the same double
def test_replicas_read_tectons_features_with_the_clusters_own_key(
    cluster: Cluster, flights: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    named: dict[str, Any] = {"application": "tecton", "import_path": "lately:build", "strategy": "blue_green"}
    with FakeTecton() as server:
        connection = {"conn_type": "tecton", "host": server.url, "password": "key-of-airflow"}
        monkeypatch.setenv("AIRFLOW_CONN_TECTON_DEFAULT", json.dumps(connection))
        server.keys = {TECTON_KEY, "key-of-airflow"}
        server.vectors = {("AA",): [3, "7"]}

        good = deploy_operator(cluster[0], "v", features=TectonFeatures("prod", "delay_v1"), **named)
        url = execute(good)["url"]

        known = {"delays.mean_delay": 3.0, "delays.flights": 7}
        assert ask(url, carrier="AA") == known
        assert ask(url, carrier="ZZ") == dict.fromkeys(known)
        with RayClient(cluster[1]) as client:
            shown = f"{client.send(list_jobs())}{look(cluster).details}"
        assert "TECTON_WORKSPACE" in shown
        assert [key for key in server.keys if key in shown] == []
        # Airflow may look the next service up, but the cluster's key is taken away: only a replica can notice.
        server.keys = {"key-of-airflow"}
        bad = deploy_operator(cluster[0], "v", features=TectonFeatures("prod", "route_v1"), **named)
        with pytest.raises(ServeDeployError, match=r"\(401\): invalid API key; check the cluster's TECTON_API_KEY"):
            execute(bad)
        server.keys = {TECTON_KEY}
        assert ask(url, carrier="AA") == known
        execute(delete(cluster[0], "tecton"))


@pytest.fixture(scope="module")
def solo(cluster: Cluster, flights: dict[str, Any]) -> str:
    """The address of an application with a package that no other application uses."""
    return str(execute(deploy_operator(cluster[0], "solo", application="solo", excludes=EXCLUDES))["url"])


def test_the_applications_code_outlives_its_job_and_its_only_replica(cluster: Cluster, solo: str) -> None:
    pid = ask(solo)["pid"]
    psutil.Process(pid).kill()

    def answered_by_another() -> bool | None:
        try:
            return ask(solo)["pid"] != pid or None
        except httpx.HTTPError:
            return None

    wait_until(answered_by_another, what="another replica", timeout_seconds=PATIENCE_SECONDS)
    assert is_kept(cluster, EXCLUDES)


def is_kept(cluster: Cluster, excludes: tuple[str, ...]) -> bool:
    """Tell whether the applications' copy of the code is on the cluster."""
    package = package_folder(CODE, excludes=excludes)
    with RayClient(cluster[1]) as client:
        return bool(client.send(get_package(copy_of(package.uri).removeprefix("gcs://"))))


def test_replicas_that_scale_to_zero_are_woken_by_the_test_and_scale_on_without_a_new_version(
    cluster: Cluster, flights: dict[str, Any]
) -> None:
    """Serve shows whole numbers as floats; what it shows is what was written, in one write."""
    excludes = ("lately.py",)

    def sleepy(**scaling: Any) -> Any:
        options = {
            "autoscaling_config": {"min_replicas": 0, "max_replicas": 1, **scaling},
            "ray_actor_options": {"num_cpus": 1},
            "graceful_shutdown_timeout_s": 5,
        }
        named: dict[str, Any] = {"application": "sleepy", "excludes": excludes, "smoke_test": ANSWERS}
        return execute(deploy_operator(cluster[0], "v1", deployments={"Model": options}, **named))

    first = sleepy()
    pid = ask(first["url"])["pid"]
    again, scaled = sleepy(), sleepy(max_replicas=3, downscale_delay_s=300)

    assert (first["status"], again["changed"], scaled["changed"]) == ("RUNNING", False, True)
    assert (scaled["application"], ask(scaled["url"])["pid"]) == (first["application"], pid)
    config = look(cluster).details["applications"][scaled["application"]]["deployments"]["Model"]["deployment_config"]
    assert config["autoscaling_config"]["max_replicas"] == 3
    assert is_kept(cluster, excludes)
    execute(delete(cluster[0], "sleepy"))
    assert not is_kept(cluster, excludes)


def test_replicas_can_be_scaled_and_waited_for_and_one_application_deleted(cluster: Cluster, solo: str) -> None:
    ref, _ = cluster
    scaled = execute(scale(ref, "solo", Model=2))
    assert (scaled["replicas"], scaled["previous_replicas"]) == ({"Model": 2}, {"Model": 1})
    sensor = RayServeSensor(task_id="wait", application="solo", replicas=2, cluster=ref.to_json(), deferrable=False)
    assert sensor.execute(task_context(Store())) == "solo runs"
    others = {name for name in look(cluster).names() if name != "solo"}
    assert execute(delete(ref, "solo"))["deleted"] == ["solo"]
    assert set(look(cluster).names()) == others
    with pytest.raises(AirflowFailException, match="no application 'solo'"):
        execute(delete(ref, "solo"))

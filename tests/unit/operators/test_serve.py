"""Serve's operators over a real HTTP dashboard: what they ship, what comes home, what they refuse."""

from __future__ import annotations

import io
import json
import threading
import zipfile
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred
from airflow.sdk.log import mask_secret

from airflow_provider_air.clusters.local.spec import LocalCluster
from airflow_provider_air.drivers.wire.names import records_name
from airflow_provider_air.drivers.wire.values import encode
from airflow_provider_air.errors import JobInfrastructureError, ServeDeployError
from airflow_provider_air.operators.serve import (
    RayServeDeleteOperator,
    RayServeDeployOperator,
    RayServeScaleOperator,
    ServeJobOperator,
)
from airflow_provider_air.waiting import wait_until
from airflow_provider_air.workloads.smoke import SmokeTest
from tests.fakes.ray_dashboard import FakeRayDashboard
from tests.fakes.task_context import Store, task_context
from tests.unit.conftest import Connect

RESULT = {
    "http_port": 8123,
    "applications": {
        "flights": {
            "application": "flights--0123456789",
            "route_prefix": "/flights",
            "url": "http://10.0.0.5:8123/flights",
            "status": "RUNNING",
            "version": "0123456789",
            "previous_version": None,
            "changed": True,
            "deployments": {"Model": {"status": "HEALTHY", "replicas": 1}},
        }
    },
}


def deploy(**fields: Any) -> RayServeDeployOperator:
    return RayServeDeployOperator(
        **{
            "task_id": "deploy",
            "import_path": "flights:app",
            "application": "flights",
            "route_prefix": "/flights",
            **fields,
        }
    )


def submitted(head: FakeRayDashboard, store: Store, task: ServeJobOperator) -> str:
    """Run the task until it waits, and give the job's id."""
    with pytest.raises(TaskDeferred):
        task.execute(task_context(store))
    return next(iter(head.jobs))


def end_job(head: FakeRayDashboard, name: str, status: str, *records: dict[str, Any], **fields: Any) -> None:
    lines = [json.dumps({"v": 1, "seq": i, "t": 0.0, **record}) + "\n" for i, record in enumerate(records)]
    head.append_file(records_name(name), "".join(lines))
    head.set_status(name, status, **fields)


def payload(head: FakeRayDashboard) -> Any:
    """Find the configuration among the packages that were shipped."""
    for data in head.packages.values():
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for name in archive.namelist():
                if name.startswith("air_payload_"):
                    return json.loads(archive.read(name))
    raise AssertionError("no payload")


def test_a_deployment_ships_code_environment_and_what_to_do(
    head: FakeRayDashboard, store: Store, tmp_path: Path
) -> None:
    (tmp_path / "flights.py").write_text("app = None\n")
    task = deploy(
        working_dir=str(tmp_path),
        runtime_env={"env_vars": {"STAGE": "test"}},
        deployments={"Model": {"num_replicas": 2}},
        smoke_test=SmokeTest(path="/predict", json_subset={"ok": True}),
        drain_seconds=3.0,
    )
    job = head.jobs[submitted(head, store, task)]
    config = payload(head)
    assert job.entrypoint == "python -m air_drivers.serve"
    assert job.runtime_env is not None
    assert job.runtime_env["env_vars"]["STAGE"] == "test"
    assert job.runtime_env["working_dir"].startswith("gcs://")
    assert (config["action"], config["strategy"], config["drain_seconds"]) == ("deploy", "blue_green", 3.0)
    assert config["applications"][0]["deployments"] == [{"name": "Model", "num_replicas": 2}]
    assert config["smoke_tests"]["flights"]["json_subset"] == {"ok": True}


@pytest.mark.parametrize(
    ("endpoint_url", "url"),
    [(None, "http://127.0.0.1:8123/flights"), ("https://models.example.com/", "https://models.example.com/flights")],
)
def test_the_result_and_the_links_say_where_clients_find_the_application(
    head: FakeRayDashboard, store: Store, endpoint_url: str | None, url: str
) -> None:
    task, context = deploy(endpoint_url=endpoint_url), task_context(store)
    name = submitted(head, store, task)
    end = {"kind": "end", "status": "succeeded"}
    end_job(head, name, "SUCCEEDED", {"kind": "result", "value": encode(RESULT)}, end)

    result = deploy(endpoint_url=endpoint_url, deferrable=False).execute(context)

    assert (result["url"], result["version"], result["applications"]["flights"]["url"]) == (url, "0123456789", url)
    xcoms = context["ti"].xcoms
    assert xcoms["ray_serve_endpoint_url"] == url
    assert xcoms["ray_serve_page_url"] == f"{head.url}/#/serve/applications/flights--0123456789"


@pytest.mark.parametrize(
    ("extra", "url"),
    [
        ({"serve_url": "https://models.example.com/ray"}, "https://models.example.com/ray/flights"),
        ({"headers": {"X-Key": "k"}}, None),
    ],
    ids=["said by the connection", "not known"],
)
def test_behind_a_proxy_the_address_is_what_somebody_has_said(
    head: FakeRayDashboard,
    store: Store,
    connect: Connect,
    extra: dict[str, Any],
    url: str | None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    connect(host=head.url, password=head.token, extra={"headers": {"X-Key": "k"}, **extra})
    name, context = submitted(head, store, deploy()), task_context(store)
    end = {"kind": "end", "status": "succeeded"}
    end_job(head, name, "SUCCEEDED", {"kind": "result", "value": encode(RESULT)}, end)

    result = deploy(deferrable=False).execute(context)

    assert (result["url"], result["route_prefix"]) == (url, "/flights")
    assert context["ti"].xcoms.get("ray_serve_endpoint_url") == url
    assert ("serve_url" in capsys.readouterr().out) == (url is None)


def test_people_are_led_to_the_dashboard_that_they_reach(
    head: FakeRayDashboard, store: Store, connect: Connect
) -> None:
    """With its path; the API goes on at the host."""
    connect(host=head.url, password=head.token, extra={"dashboard_url": "https://ray.example.com/team/"})
    context = task_context(store)
    with pytest.raises(TaskDeferred):
        deploy().execute(context)
    name = next(iter(head.jobs))
    end = {"kind": "end", "status": "succeeded"}
    end_job(head, name, "SUCCEEDED", {"kind": "result", "value": encode(RESULT)}, end)
    deploy(deferrable=False).execute(context)

    xcoms = context["ti"].xcoms
    assert xcoms["ray_dashboard_url"] == "https://ray.example.com/team"
    assert xcoms["ray_job_url"] == f"https://ray.example.com/team/#/jobs/{name}"
    assert xcoms["ray_serve_page_url"] == "https://ray.example.com/team/#/serve/applications/flights--0123456789"
    assert xcoms["ray_serve_endpoint_url"] == "http://127.0.0.1:8123/flights"


def failed(head: FakeRayDashboard, store: Store, error: dict[str, str], **fields: Any) -> None:
    """Execute on a worker that waits, while the job fails with this error."""

    def fail() -> None:
        name = wait_until(lambda: next(iter(list(head.jobs)), None), what="a job", timeout_seconds=30)
        end_job(head, name, "FAILED", {"kind": "end", "status": "failed", "error": error}, **fields)

    thread = threading.Thread(target=fail)
    thread.start()
    try:
        deploy(deferrable=False).execute(task_context(store))
    finally:
        thread.join(30)


def test_a_failed_roll_out_is_told_in_serves_own_words(head: FakeRayDashboard, store: Store) -> None:
    error = {"type": "RolloutFailed", "message": "rolled back, a serves on. b is DEPLOY_FAILED: ValueError: no model"}
    with pytest.raises(ServeDeployError, match=r"^rolled back, a serves on\. b is .*no model") as raised:
        failed(head, store, error, message="Traceback ... last line", exit_code=1)
    assert "Last lines of the driver" not in str(raised.value)


def test_what_the_author_must_fix_is_not_retried(head: FakeRayDashboard, store: Store) -> None:
    error = {"type": "ConfigurationProblem", "message": "the route '/flights' is taken"}
    with pytest.raises(AirflowFailException, match="the route '/flights' is taken"):
        failed(head, store, error, message="failed with exit code 64", exit_code=64)


def test_trouble_of_ray_is_not_blamed_on_the_application(head: FakeRayDashboard, store: Store) -> None:
    with pytest.raises(JobInfrastructureError):
        failed(head, store, {}, message="died", error_type="JOB_SUPERVISOR_ACTOR_DIED")


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"import_path": None}, "Neither 'import_path' nor 'config'"),
        ({"config": {"import_path": "a:b"}}, "not both"),
        ({"endpoint_url": "https://me:sesame@serve.example.com"}, "'endpoint_url' holds a user or a password"),
        ({"import_path": None, "config": ["a:b"]}, "'config' must be a dict"),
        ({"cluster": LocalCluster()}, "without a name goes with this task"),
        ({"healthy_timeout_seconds": 0}, "'healthy_timeout_seconds'"),
        ({"drain_seconds": -1}, "'drain_seconds'"),
        ({"max_surge_percent": "101"}, "'max_surge_percent' must be at most 100"),
        ({"route_prefix": None, "smoke_test": SmokeTest()}, "has no route"),
        ({"working_dir": "/nowhere"}, "'working_dir'"),
        ({"args": {"token": "hunter2-do-not-show"}}, "'config' holds a secret"),
    ],
)
def test_what_is_wrong_is_refused_before_anything_starts(
    head: FakeRayDashboard, store: Store, fields: dict[str, Any], says: str
) -> None:
    mask_secret("hunter2-do-not-show")
    with pytest.raises(AirflowFailException, match=says) as raised:
        deploy(**fields).execute(task_context(store))
    assert "hunter2" not in str(raised.value)
    assert not head.requests_to("POST", "^/api/jobs/$")


@pytest.mark.parametrize(
    ("task", "config"),
    [
        (
            RayServeDeleteOperator(task_id="t", application="flights", missing_ok=True),
            {"action": "delete", "application": "flights", "missing_ok": True},
        ),
        (
            RayServeScaleOperator(task_id="t", application="flights", replicas={"Model": 3}),
            {"action": "scale", "application": "flights", "replicas": {"Model": 3}},
        ),
    ],
    ids=["delete", "scale"],
)
def test_deletion_and_scaling_are_jobs_on_the_cluster_too(
    head: FakeRayDashboard, store: Store, task: ServeJobOperator, config: dict[str, Any]
) -> None:
    submitted(head, store, task)
    timeouts = {"healthy_timeout_seconds": 600.0, "lock_timeout_seconds": 900.0}
    assert payload(head) == {**config, **timeouts}


@pytest.mark.parametrize(
    ("task", "says"),
    [
        (RayServeDeleteOperator(task_id="t", application=" "), "'application'"),
        (RayServeScaleOperator(task_id="t", application="flights", replicas={}), "'replicas'"),
    ],
    ids=["delete", "scale"],
)
def test_a_change_of_nothing_is_refused(head: FakeRayDashboard, store: Store, task: Any, says: str) -> None:
    with pytest.raises(AirflowFailException, match=says):
        task.execute(task_context(store))
    assert not head.requests_to("POST", "^/api/jobs/$")

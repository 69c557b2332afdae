"""The trigger and the sensor that wait for a Serve application, against a real HTTP dashboard."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import airflow.sdk.execution_time.cache  # noqa: F401  # a triggerer has long loaded it
import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSensorTimeout, TaskDeferred

from airflow_provider_air.contracts.clusters import ClusterRef
from airflow_provider_air.errors import ClusterUnreachableError, ProtocolError
from airflow_provider_air.sensors.serve import RayServeSensor
from airflow_provider_air.triggers.serve import RayServeTrigger
from tests.fakes.ray_dashboard import FakeRayDashboard
from tests.fakes.task_context import Store, task_context
from tests.unit.conftest import Connect

CLUSTER = ClusterRef("existing", "ray_default").to_json()
PATH = "^/api/serve/applications/$"


def serve(status: str = "RUNNING", replicas: int = 1) -> str:
    """Give what Serve answers: one application with this many replicas."""
    deployment = {
        "status": "HEALTHY",
        "target_num_replicas": replicas,
        "replicas": [{"state": "RUNNING"}] * replicas,
        "message": "no model" if status != "RUNNING" else "",
    }
    application = {
        "status": status,
        "message": "RuntimeError: no model" if status != "RUNNING" else "",
        "route_prefix": "/flights",
        "deployments": {"Model": deployment},
    }
    return json.dumps({"controller_info": {"pid": 1}, "applications": {"flights--0123456789": application}})


def trigger(**fields: Any) -> RayServeTrigger:
    return RayServeTrigger(**{"cluster": CLUSTER, "application": "flights", "poll_interval_seconds": 0.02, **fields})


async def event(waiting: RayServeTrigger) -> Any:
    fired = await asyncio.wait_for(anext(waiting.run()), 30)
    return json.loads(json.dumps(fired.payload))


async def test_it_fires_once_the_application_runs_with_enough_replicas(head: FakeRayDashboard) -> None:
    head.plan("GET", PATH, status=200, body=json.dumps({"applications": {}}), times=2)
    head.plan("GET", PATH, status=200, body=serve("DEPLOYING"), times=1)
    head.plan("GET", PATH, status=200, body=serve(replicas=1), times=1)
    head.plan("GET", PATH, status=200, body=serve(replicas=2), times=None)

    fired = await event(trigger(replicas=2))

    assert (fired["ready"], fired["outcome"]) == (True, "ready")
    assert len(head.requests_to("GET", PATH)) == 5


async def test_silence_is_waited_out(head: FakeRayDashboard) -> None:
    head.plan("GET", PATH, drop=True, times=1)
    head.plan("GET", PATH, status=503, times=1)
    head.plan("GET", PATH, status=200, body=serve(), times=None)

    assert (await event(trigger()))["ready"] is True


@pytest.mark.parametrize(
    ("fault", "fields", "outcome", "says"),
    [
        ({"status": 200, "body": serve("DEPLOY_FAILED")}, {"deadline": 1.0}, "deadline", "RuntimeError: no model"),
        ({"drop": True}, {"unreachable_seconds": 0.1}, "unreachable", "No connection"),
        ({"status": 403}, {}, "refused", "token"),
        ({"status": 200, "body": "<html>"}, {}, "refused", "no JSON"),
        ({"status": 404}, {"unreachable_seconds": 0.1}, "unreachable", "8265"),
    ],
    ids=["deadline", "silence", "wrong token", "no JSON", "another server"],
)
async def test_it_gives_up_and_says_why(
    head: FakeRayDashboard, fault: dict[str, Any], fields: dict[str, Any], outcome: str, says: str
) -> None:
    head.plan("GET", PATH, **fault, times=None)

    fired = await event(trigger(**fields))

    assert (fired["ready"], fired["outcome"]) == (False, outcome)
    assert says in fired["message"]


def sensor(**fields: Any) -> RayServeSensor:
    return RayServeSensor(**{"task_id": "wait", "application": "flights", "poke_interval": 1.0, **fields})


def test_a_sensor_that_sees_it_running_does_not_wait(head: FakeRayDashboard) -> None:
    head.plan("GET", PATH, status=200, body=serve(), times=None)

    assert sensor().execute(task_context(Store())) == "flights--0123456789 runs"
    assert sensor(deferrable=False).execute(task_context(Store())) == "flights--0123456789 runs"


def test_a_sensor_waits_in_the_triggerer_until_its_timeout(head: FakeRayDashboard) -> None:
    head.plan("GET", PATH, status=200, body=serve(replicas=1), times=None)

    with pytest.raises(TaskDeferred) as raised:
        sensor(replicas="2", timeout=60).execute(task_context(Store()))

    waiting = raised.value.trigger
    assert isinstance(waiting, RayServeTrigger)
    assert (waiting.replicas, waiting.poll_interval_seconds) == (2, 1.0)
    assert waiting.deadline is not None
    assert 0 < waiting.deadline - time.time() <= 60


@pytest.mark.parametrize(
    ("fired", "error"),
    [
        ({"application": "flights", "ready": False, "outcome": "deadline", "message": "m"}, AirflowSensorTimeout),
        ({"application": "flights", "ready": False, "outcome": "unreachable", "message": "m"}, ClusterUnreachableError),
        ({"application": "flights", "ready": False, "outcome": "refused", "message": "m"}, AirflowFailException),
        ({"application": "other", "ready": True}, ProtocolError),
        (None, ProtocolError),
    ],
)
def test_a_sensor_turns_what_is_no_success_into_its_error(fired: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        sensor().on_event(task_context(Store()), fired)


def test_a_sensor_is_told_when_what_it_waited_for_is_there() -> None:
    fired = {"application": "flights", "ready": True, "outcome": "ready", "message": "flights runs"}
    assert sensor().on_event(task_context(Store()), fired) == "flights runs"


@pytest.mark.parametrize("fields", [{"application": ""}, {"replicas": 0}, {"replicas": {"Model": "many"}}])
def test_a_malformed_sensor_is_refused(head: FakeRayDashboard, fields: dict[str, Any], connect: Connect) -> None:
    with pytest.raises(AirflowFailException):
        sensor(**fields).execute(task_context(Store()))
    assert not head.requests_to("GET", PATH)

"""What an author may ask of Serve, and what is refused before anything starts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_air.clusters.serve_rest import ServeRest
from airflow_provider_air.contracts.clusters import ClusterRef
from airflow_provider_air.drivers.wire import serve_state
from airflow_provider_air.errors import ConfigurationError
from airflow_provider_air.ray_api.transport import Transport
from airflow_provider_air.workloads.serve import ServeTarget, check_replicas, plan_deploy, readiness
from airflow_provider_air.workloads.smoke import SmokeTest
from tests.fakes.ray_dashboard import FakeRayDashboard

APP: dict[str, Any] = {"name": "flights", "route_prefix": "/flights", "import_path": "flights:app"}
GRPC: dict[str, Any] = {"applications": [APP], "grpc_options": {"grpc_servicer_functions": ["flights_pb2:add"]}}
NO_GATE = ServeTarget("kuberay", can_gate=False)


def test_the_strategy_is_blue_green_with_a_smoke_test_and_in_place_without() -> None:
    assert plan_deploy(APP).strategy == "in_place"
    assert plan_deploy(APP, smoke_test=SmokeTest()).strategy == "blue_green"
    assert plan_deploy(APP, strategy="blue_green").strategy == "blue_green"


def test_what_is_called_by_its_name_is_replaced_in_place_unless_the_author_says_otherwise() -> None:
    assert plan_deploy(GRPC, smoke_test=SmokeTest()).strategy == "in_place"
    second = {**APP, "name": "inner", "route_prefix": None}
    assert plan_deploy({"applications": [APP, second]}, smoke_test={"flights": SmokeTest()}).strategy == "in_place"
    assert not plan_deploy(GRPC).strategy_is_given


def test_fields_of_a_newer_serve_are_for_the_cluster_to_judge() -> None:
    newer = {**APP, "made_in_2030": 1, "deployments": {"Model": {"made_in_2031": 2}}}
    config = plan_deploy({"applications": [newer], "made_in_2032": 3}).to_config()
    assert config["applications"][0]["made_in_2030"] == 1
    assert config["applications"][0]["deployments"] == [{"name": "Model", "made_in_2031": 2}]
    assert config["instance"] == {"made_in_2032": 3}


def test_how_far_replicas_may_double_is_one_number_for_a_roll_out() -> None:
    assert plan_deploy(APP).to_config()["max_surge_percent"] is None
    assert plan_deploy(APP, max_surge_percent="0").to_config()["max_surge_percent"] == 0


def test_a_target_that_cannot_gate_gets_in_place_and_refuses_blue_green() -> None:
    assert plan_deploy(APP, smoke_test=SmokeTest(), target=NO_GATE).strategy == "in_place"
    with pytest.raises(ConfigurationError, match="moves traffic itself"):
        plan_deploy(APP, strategy="blue_green", target=NO_GATE)


def test_deployments_may_be_given_by_name() -> None:
    by_name = plan_deploy({**APP, "deployments": {"Model": {"num_replicas": 2}, "Features": None}})
    assert by_name.applications[0]["deployments"] == [{"name": "Model", "num_replicas": 2}, {"name": "Features"}]


def test_a_whole_config_brings_its_applications_and_the_options_of_serve() -> None:
    whole = {
        "proxy_location": "HeadOnly",
        "http_options": {"port": 8100, "host": "0.0.0.0"},
        "applications": [APP, {"name": "other", "route_prefix": "/other", "import_path": "other.app"}],
    }
    config = plan_deploy(whole, http_options={"port": 8200}).to_config(drain_seconds=1.0)
    assert [item["name"] for item in config["applications"]] == ["flights", "other"]
    assert config["http_options"] == {"port": 8200, "host": "0.0.0.0"}
    assert config["instance"] == {"proxy_location": "HeadOnly"}
    assert config["drain_seconds"] == 1.0


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"import_path": None}, "'import_path'"),
        ({"import_path": "flights"}, "module:application"),
        ({"import_path": "flights app"}, "module:application"),
        ({"name": "a--b"}, "single '-'"),
        ({"name": ""}, "name may hold"),
        ({"route_prefix": "flights"}, "start and not end with '/'"),
        ({"route_prefix": "/flights/"}, "start and not end with '/'"),
        ({"route_prefix": "/{id}"}, "without braces"),
        ({"route_prefix": "/_air/x"}, "not below /_air"),
        ({"args": ["m1"]}, "'args' must be a dict"),
        ({"args": {"model": object()}}, "no plain JSON"),
        ({"port": 8000}, "belongs to 'http_options'"),
        ({"deployments": "Model"}, "'deployments' must be"),
        ({"deployments": [{"num_replicas": 1}]}, "a dict with a name"),
        ({"deployments": {"Model": {"num_replicas": 0}}}, "num_replicas of Model"),
        ({"deployments": {"Model": {"user_config": [1]}}}, "user_config of Model"),
    ],
)
def test_a_malformed_application_is_refused_with_its_field(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        plan_deploy({**APP, **wrong})


@pytest.mark.parametrize(
    ("config", "options", "says"),
    [
        ({"applications": []}, {}, "at least one application"),
        ({"applications": [APP], "target_capacity": 50}, {}, "what Serve has is kept"),
        ({"applications": [APP], "proxy_location": "Disabled"}, {"smoke_test": SmokeTest()}, "there are none"),
        ({"applications": [APP], "http_options": {"ssl_keyfile": "k.pem"}}, {}, "both ssl_keyfile and ssl_certfile"),
        ({**APP, "route_prefix": None}, {"smoke_test": SmokeTest()}, "has no route"),
        ({**APP, "route_prefix": None}, {"strategy": "blue_green"}, "called by its name"),
        (GRPC, {"strategy": "blue_green"}, "on a Serve with gRPC"),
        (APP, {"max_surge_percent": 101}, "at most 100"),
        (APP, {"max_surge_percent": -1}, "'max_surge_percent'"),
        (APP, {"max_surge_percent": 0, "smoke_test": SmokeTest()}, "starts beside the old one"),
        ({"applications": [APP, APP]}, {}, "the same name 'flights'"),
        ({"applications": [APP, {**APP, "name": "b"}]}, {}, "the same route_prefix '/flights'"),
        ({"applications": [APP, {**APP, "name": "b", "route_prefix": "/b"}]}, {"smoke_test": SmokeTest()}, "which app"),
        (APP, {"smoke_test": {"other": SmokeTest()}}, "'other', which is not among"),
        (APP, {"smoke_test": "GET /"}, "must be a SmokeTest"),
        (APP, {"strategy": "canary"}, "blue_green, in_place"),
        (APP, {"http_options": [8000]}, "'http_options' must be a dict"),
    ],
)
def test_a_malformed_deployment_is_refused_with_its_field(
    config: dict[str, Any], options: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigurationError, match=says):
        plan_deploy(config, **options)


@pytest.mark.parametrize(
    ("test", "says"),
    [
        (SmokeTest(path="predict"), "start with '/'"),
        (SmokeTest(method="G T"), "HTTP method"),
        (SmokeTest(expected_status=[]), "HTTP statuses"),
        (SmokeTest(expected_status=[99]), "HTTP statuses"),
        (SmokeTest(regex="("), "no regular expression"),
        (SmokeTest(samples=0), "smoke_test.samples"),
        (SmokeTest(max_latency_seconds=-1), "max_latency_seconds"),
        (SmokeTest(body={"x": object()}), "no plain JSON"),
    ],
)
def test_a_malformed_smoke_test_is_refused_with_its_field(test: SmokeTest, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        plan_deploy(APP, smoke_test=test)


@pytest.mark.parametrize("replicas", [None, {}, {"Model": 0}, {"Model": "two"}, {"Model": True}, {1: 2}])
def test_malformed_numbers_of_replicas_are_refused(replicas: Any) -> None:
    with pytest.raises(ConfigurationError, match="replicas"):
        check_replicas(replicas)


def test_numbers_of_replicas_may_come_from_a_template() -> None:
    assert check_replicas({"Model": "3"}) == {"Model": 3}


@pytest.fixture
def judged(head: FakeRayDashboard) -> Any:
    """Judge what Serve tells of an application: one that runs with so many replicas unless it is said."""
    serving = ServeRest(ClusterRef("existing", "ray_default"), lambda ref: Transport(head.url, token=head.token))

    def judge(
        name: str = "flights",
        replicas: Any = None,
        *,
        status: str = "RUNNING",
        running: int = 1,
        is_up: bool = True,
    ) -> tuple[bool, str]:
        deployment = {
            "status": "HEALTHY" if status == "RUNNING" else "UPDATING",
            "target_num_replicas": 2,
            "replicas": [{"state": "RUNNING"}] * running + [{"state": "STARTING", "node_id": None}],
            "deployment_config": {"ray_actor_options": {"num_cpus": 4}},
            "message": "",
        }
        told = {"status": status, "message": "", "route_prefix": "/f", "deployments": {"Model": deployment}}
        answer = {"controller_info": {"pid": 1}, "applications": {"flights--0123456789": told}}
        body = json.dumps(answer if is_up else {"applications": {}})
        head.plan("GET", "^/api/serve/applications/$", status=200, body=body)
        return readiness(serving.application(name), replicas)

    return judge


def test_an_application_is_ready_when_it_runs_with_enough_replicas(judged: Any) -> None:
    assert judged() == (True, "flights--0123456789 runs")
    assert judged(replicas=2, running=2)[0]
    assert judged(replicas=2, running=1) == (False, "flights--0123456789 runs, with 1 of 2 replicas of Model")
    assert "no deployment 'Modell'; it has: Model" in judged(replicas={"Modell": 1})[1]


def test_what_an_application_lacks_is_said(judged: Any) -> None:
    assert judged(is_up=False) == (False, "Serve does not run on the cluster")
    assert "it has: flights--0123456789" in judged("flight")[1]
    waiting = judged(status="DEPLOYING", running=0)[1]
    assert "Model is UPDATING (0 of 2 replicas run). 1 replicas wait for a node with {'num_cpus': 4}" in waiting


def test_the_version_of_a_checked_application_is_stable() -> None:
    checked = plan_deploy(APP).applications[0]
    assert serve_state.version_of(checked) == serve_state.version_of({**checked, "args": None})

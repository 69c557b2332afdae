"""What Serve should run next, given what it runs now."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_air.drivers.serve import merge
from airflow_provider_air.drivers.wire import serve_state
from airflow_provider_air.drivers.wire.problems import ConfigurationProblem

MODEL: dict[str, Any] = {"import_path": "flights:app", "args": {"model": "m1"}}


def application(name: str, route: str | None = "/", status: str = "RUNNING", **config: Any) -> dict[str, Any]:
    body = {"import_path": "other:app", **config}
    return {
        "status": status,
        "route_prefix": route,
        "deployed_app_config": {"name": name, "route_prefix": route, **body},
        "deployments": {"Model": {"status": "HEALTHY", "target_num_replicas": 1, "deployment_config": {}}},
    }


def serve(**applications: dict[str, Any]) -> dict[str, Any]:
    return {
        "controller_info": {"node_id": "n"},
        "http_options": {"host": "127.0.0.1", "port": 8123},
        "target_capacity": 50.0,
        "applications": {name.replace("__", "--"): item for name, item in applications.items()},
    }


def test_a_change_keeps_every_other_application_and_the_options_of_serve() -> None:
    details = serve(other=application("other", "/other"), flights=application("flights", "/flights"))
    state = merge.next_state(details, {"flights": {**MODEL, "route_prefix": "/flights"}})
    assert [item["name"] for item in state["applications"]] == ["other", "flights"]
    assert state["applications"][0] == details["applications"]["other"]["deployed_app_config"]
    assert (state["http_options"], state["target_capacity"]) == (details["http_options"], 50.0)


def test_a_deletion_takes_away_one_application_only() -> None:
    details = serve(other=application("other", "/other"), flights=application("flights", "/flights"))
    state = merge.next_state(details, {"flights": None})
    assert [item["name"] for item in state["applications"]] == ["other"]


def test_applications_that_were_not_deployed_by_configuration_or_are_going_are_not_written() -> None:
    details = serve(
        hand={"status": "RUNNING", "route_prefix": "/hand", "deployed_app_config": None},
        gone=application("gone", "/gone", "DELETING"),
    )
    assert merge.next_state(details, {})["applications"] == []


def test_a_version_is_of_the_configuration_not_of_name_route_or_added_surge() -> None:
    one = {**MODEL, "name": "a", "route_prefix": "/a", "deployments": [{"name": "Model", "num_replicas": 2}]}
    same = merge.with_surge({**one, "name": "b", "route_prefix": "/b"}, ["Model", "Features"], 50)
    assert serve_state.version_of(one) == serve_state.version_of(same)
    assert serve_state.wish_of(one) == serve_state.wish_of(same)
    assert serve_state.version_of(one) != serve_state.version_of({**one, "args": {"model": "m2"}})


@pytest.mark.parametrize(
    ("before", "after", "is_version"),
    [
        ({"num_replicas": 2}, {"num_replicas": 3}, False),
        ({"num_replicas": 2}, {"num_replicas": "auto"}, False),
        ({"autoscaling_config": {"max_replicas": 2}}, {"autoscaling_config": {"max_replicas": 9}}, False),
        ({"num_replicas": 2}, {"autoscaling_config": {"max_replicas": 2}}, True),
        ({"autoscaling_config": {}}, {"autoscaling_config": {"policy": {"policy_function": "mine:policy"}}}, True),
        ({"user_config": {"model": 1}}, {"user_config": {"model": 2}}, True),
        ({"ray_actor_options": {"num_gpus": 1}}, {"ray_actor_options": {"num_gpus": 2}}, True),
    ],
)
def test_how_many_replicas_there_are_is_no_version_where_serve_changes_it_on_what_runs(
    before: dict[str, Any], after: dict[str, Any], is_version: bool
) -> None:
    """Serve builds an application anew for a policy, and for the first options of scaling (2.60)."""
    one, other = ({**MODEL, "deployments": [{"name": "Model", **options}]} for options in (before, after))
    assert (serve_state.version_of(one) != serve_state.version_of(other)) is is_version
    assert serve_state.wish_of(one) != serve_state.wish_of(other)


def test_what_serve_shows_of_a_configuration_is_the_same_wish() -> None:
    written = {
        "logging_config": {"log_level": 10, "additional_log_standard_attrs": ["name", "msg"]},
        "deployments": [
            {
                "name": "Model",
                "max_ongoing_requests": "5",
                "graceful_shutdown_timeout_s": 5,
                "ray_actor_options": {"num_cpus": 1},
                "placement_group_bundles": [{"CPU": 1}],
            }
        ],
    }
    shown = {
        "logging_config": {"log_level": "DEBUG", "additional_log_standard_attrs": ["msg", "name"]},
        "deployments": [
            {
                "name": "Model",
                "max_ongoing_requests": 5,
                "graceful_shutdown_timeout_s": 5.0,
                "ray_actor_options": {"num_cpus": 1.0},
                "placement_group_bundles": [{"CPU": 1.0}],
            }
        ],
    }
    there = serve(flights=application("flights", "/flights", **{**MODEL, **shown}))
    assert merge.missing_from(there, {"flights": {**MODEL, **written, "route_prefix": "/flights"}}) == []


def test_what_is_the_authors_own_is_compared_as_it_is_written() -> None:
    one, other = (
        {**MODEL, "deployments": [{"name": "Model", "user_config": {"size": size}}], "args": {"n": n}}
        for size, n in ((5, 1), ("5", 1))
    )
    assert serve_state.wish_of(one) != serve_state.wish_of(other)
    assert serve_state.wish_of({**MODEL, "args": {"n": 1}}) != serve_state.wish_of({**MODEL, "args": {"n": "1"}})


def test_surge_is_added_where_the_author_did_not_say_otherwise() -> None:
    config = {**MODEL, "deployments": [{"name": "Model", "max_surge_percent": 20}]}
    surged = merge.with_surge(config, ["Features", "Model"], serve_state.SURGE)["deployments"]
    assert surged == [{"name": "Model", "max_surge_percent": 20}, {"name": "Features", "max_surge_percent": 100}]


def test_a_route_of_another_application_is_refused_and_its_holder_named() -> None:
    details = serve(other=application("other", "/flights"))
    with pytest.raises(ConfigurationProblem, match=r"'/flights' of application 'flights' is taken by .* 'other'"):
        merge.check_route(details, "flights", "/flights")
    merge.check_route(details, "flights", "/free")
    merge.check_route(details, "flights", None)


def test_the_route_of_an_application_that_is_not_built_yet_is_taken_too() -> None:
    building = application("other", "/flights", "DEPLOYING")
    building["route_prefix"] = None
    with pytest.raises(ConfigurationProblem, match="taken"):
        merge.check_route(serve(other=building), "flights", "/flights")


def test_a_route_may_be_kept_by_another_version_of_the_same_application() -> None:
    merge.check_route(serve(flights__0123456789=application("flights--0123456789", "/f")), "flights", "/f")


def test_an_unknown_application_is_told_with_those_that_there_are() -> None:
    with pytest.raises(ConfigurationProblem, match=r"no application 'flight'.*it has: flights"):
        merge.live_version(serve(flights=application("flights")), "flight")


def test_a_name_that_something_else_has_gets_a_suffix() -> None:
    version = serve_state.version_of(MODEL)
    name = f"flights--{version}"
    assert merge.name_of_version({"applications": {}}, "flights", version) == name
    same = {"applications": {name: application(name, **MODEL)}}
    assert merge.name_of_version(same, "flights", version) == name
    other = {"applications": {name: application(name, args={"model": "m2"})}}
    assert merge.name_of_version(other, "flights", version) == f"{name}-2"
    unwell = {"applications": {name: application(name, "/flights", "UNHEALTHY", **MODEL)}}
    assert merge.name_of_version(unwell, "flights", version) == f"{name}-2"
    waiting = {"applications": {name: application(name, serve_state.private_route(name), "DEPLOY_FAILED", **MODEL)}}
    assert merge.name_of_version(waiting, "flights", version) == name


def test_replicas_are_merged_into_the_options_of_their_deployment() -> None:
    details = serve(flights=application("flights", deployments=[{"name": "Model", "user_config": {"a": 1}}]))
    config = merge.with_replicas(merge.live_version(details, "flights"), {"Model": 3})
    assert config["deployments"] == [{"name": "Model", "user_config": {"a": 1}, "num_replicas": 3}]


def test_replicas_of_an_unknown_or_self_scaling_deployment_are_refused() -> None:
    details = serve(flights=application("flights"))
    live = merge.live_version(details, "flights")
    with pytest.raises(ConfigurationProblem, match="no deployment 'Modell'; it has: Model"):
        merge.with_replicas(live, {"Modell": 3})
    live.details["deployments"]["Model"]["deployment_config"] = {"autoscaling_config": {"max_replicas": 3}}
    with pytest.raises(ConfigurationProblem, match="scales itself"):
        merge.with_replicas(live, {"Model": 3})


def test_what_another_writer_undid_is_seen() -> None:
    wish = {"flights": {**MODEL, "route_prefix": "/flights"}, "old": None}
    there = serve(flights=application("flights", "/flights", **MODEL))
    assert merge.missing_from(there, wish) == []
    assert merge.missing_from(serve(old=application("old", "/old")), wish) == ["flights", "old"]
    moved = serve(flights=application("flights", "/elsewhere", **MODEL))
    assert merge.missing_from(moved, wish) == ["flights"]


def test_applications_get_the_jobs_code_and_variables_but_not_ours() -> None:
    environment = {
        "working_dir": "gcs://code.zip",
        "py_modules": ["gcs://theirs.zip", "gcs://drivers.zip", "gcs://payload.zip"],
        "env_vars": {"STAGE": "test", "AIR_SUBMISSION_ID": "air-1"},
        "_ray_commit": "abc",
    }
    kept = merge.runtime_env_of_applications(environment)
    assert kept == {
        "working_dir": "gcs://code.zip",
        "py_modules": ["gcs://theirs.zip"],
        "env_vars": {"STAGE": "test"},
    }
    own = {"import_path": "a:b", "runtime_env": {"env_vars": {"STAGE": "own"}, "pip": ["x"]}}
    merged = merge.add_runtime_env(own, kept)["runtime_env"]
    assert (merged["env_vars"], merged["pip"], merged["working_dir"]) == ({"STAGE": "own"}, ["x"], "gcs://code.zip")
    assert merge.runtime_env_of_applications({"py_modules": ["a", "b"]}) == {}


def test_applications_do_not_get_the_jobs_secrets() -> None:
    environment = {
        "py_modules": ["gcs://theirs.zip", "gcs://drivers.zip", "gcs://payload.zip", "gcs://secrets.zip"],
        "env_vars": {"AIR_SECRETS": "air_secrets_1.load"},
        "worker_process_setup_hook": "air_secrets_1.load",
    }
    assert merge.runtime_env_of_applications(environment) == {"py_modules": ["gcs://theirs.zip"]}


def test_applications_are_not_told_of_the_task_that_rolls_them_out() -> None:
    """It is another one in each try: what serves already would begin anew."""
    variables = {"AIR_CONTEXT": "AIRFLOW_CTX_DAG_ID,TRACEPARENT", "AIRFLOW_CTX_DAG_ID": "a", "TRACEPARENT": "00-1-2-01"}
    own = {"AIRFLOW_CTX_DAG_OWNER": "the author's", "STAGE": "test", "AIR_QUALITY_API_URL": "http://air"}

    kept = merge.runtime_env_of_applications({"py_modules": ["drivers", "payload"], "env_vars": {**variables, **own}})

    assert kept == {"env_vars": own}

"""Roll-outs step by step, against a Serve in memory: what is written, in which order, and what a successor does."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_air.drivers.serve import blue_green, change, in_place
from airflow_provider_air.drivers.serve.watch import RolloutFailed
from airflow_provider_air.drivers.wire import serve_state
from airflow_provider_air.drivers.wire.problems import ConfigurationProblem
from tests.fakes.serve import FakeServe
from tests.unit.drivers.serve.conftest import Make, application

TEST = {"expected_status": 200, "json_subset": {"good": True}}


def routes_over_time(serve: FakeServe) -> list[dict[str, str]]:
    """Give, for each write, the public routes and what they lead to."""
    return [
        {
            item["route_prefix"]: item["name"]
            for item in state["applications"]
            if item["route_prefix"] and not item["route_prefix"].startswith(serve_state.PRIVATE)
        }
        for state in serve.puts
    ]


def test_the_route_is_never_without_a_version_and_moves_only_after_the_test(serve: FakeServe, make: Make) -> None:
    tests = {"flights": TEST}
    old = blue_green.deploy(make(smoke_tests=tests), [application(1)])["applications"]["flights"]
    serve.puts.clear()
    new = blue_green.deploy(make(smoke_tests=tests), [application(2)])["applications"]["flights"]

    before, after = {"/flights": old["application"]}, {"/flights": new["application"]}
    assert routes_over_time(serve) == [before, after, after]
    assert list(serve.applications) == [new["application"]]
    assert (new["previous_version"], new["changed"]) == (old["version"], True)


def test_without_a_test_and_a_predecessor_the_route_is_there_at_once(serve: FakeServe, make: Make) -> None:
    blue_green.deploy(make(), [application(1)])
    assert len(serve.puts) == 1


@pytest.mark.parametrize("args", [{"fails": True}, {"good": False}], ids=["does not start", "fails its test"])
def test_a_bad_version_never_gets_the_route(serve: FakeServe, make: Make, args: dict[str, Any]) -> None:
    tests = {"flights": TEST}
    blue_green.deploy(make(smoke_tests=tests), [application(1)])
    before = dict(serve.applications)
    routes = dict(serve.routes)
    serve.puts.clear()
    with pytest.raises(RolloutFailed, match=r"^rolled back, flights--\w+ serves on\. "):
        blue_green.deploy(make(smoke_tests=tests), [application(2, **args)])
    assert serve.applications == before
    assert all(seen == routes for seen in routes_over_time(serve))


def test_the_result_says_where_serve_listens(serve: FakeServe, make: Make) -> None:
    """By which the other side judges whether clients reach it."""
    result = blue_green.deploy(make(), [application(1)])

    assert (result["http_host"], result["proxy_location"]) == ("127.0.0.1", "EveryNode")
    assert f"http://127.0.0.1:{result['http_port']}/" in result["applications"]["flights"]["url"]
    assert result["http_root_path"] == ""


def test_several_applications_roll_out_together_or_not_at_all(serve: FakeServe, make: Make) -> None:
    blue_green.deploy(make(), [application(1), application(1, "trains")])
    before = dict(serve.applications)
    with pytest.raises(RolloutFailed, match="ValueError: no model"):
        blue_green.deploy(make(), [application(2), application(2, "trains", fails=True)])
    assert serve.applications == before


def test_a_successor_goes_on_with_the_version_that_is_there(serve: FakeServe, make: Make) -> None:
    tests = {"flights": TEST}
    old = blue_green.deploy(make(smoke_tests=tests), [application(1)])["applications"]["flights"]
    staged = blue_green.plan(serve.serve(), application(2))
    make().change({staged.name: staged.at(serve_state.private_route(staged.name))})
    serve.puts.clear()
    new = blue_green.deploy(make(smoke_tests=tests), [application(2)])["applications"]["flights"]
    assert routes_over_time(serve) == [{"/flights": new["application"]}] * 2
    assert (new["application"], new["previous_version"]) == (staged.name, old["version"])


def test_a_successor_retires_what_a_moved_route_left_behind(serve: FakeServe, make: Make) -> None:
    old = blue_green.deploy(make(), [application(1)])["applications"]["flights"]
    moved = blue_green.plan(serve.serve(), application(2))
    left = dict(serve.applications[old["application"]], route_prefix=serve_state.private_route(old["application"]))
    make().change({moved.name: moved.at("/flights"), old["application"]: left})
    serve.serve()
    serve.puts.clear()
    result = blue_green.deploy(make(), [application(2)])["applications"]["flights"]
    assert (list(serve.applications), result["changed"]) == ([moved.name], False)
    assert len(serve.puts) == 1


def test_a_version_that_failed_before_its_driver_died_is_tried_anew(serve: FakeServe, make: Make) -> None:
    blue_green.deploy(make(), [application(1)])
    failed = blue_green.plan(serve.serve(), application(2, fails=True))
    make().change({failed.name: failed.at(serve_state.private_route(failed.name))})
    serve.serve()
    serve.puts.clear()
    with pytest.raises(RolloutFailed, match="no model"):
        blue_green.deploy(make(), [application(2, fails=True)])
    written = [failed.name in {item["name"] for item in state["applications"]} for state in serve.puts]
    assert written == [False, True, False]


def test_in_place_keeps_the_name_adds_surge_and_goes_back_to_what_served(serve: FakeServe, make: Make) -> None:
    in_place.deploy(make(), [application(1)])
    before = dict(serve.applications)
    serve.puts.clear()
    with pytest.raises(RolloutFailed, match=r"serves version \w+ again"):
        in_place.deploy(make(smoke_tests={"flights": TEST}), [application(2, good=False)])
    tried, restored = (state["applications"] for state in serve.puts)
    assert tried[0]["deployments"] == [{"name": "Model", "max_surge_percent": 100}]
    assert restored == list(before.values())
    result = in_place.deploy(make(), [application(3)])["applications"]["flights"]
    assert (result["application"], result["changed"]) == ("flights", True)
    assert in_place.deploy(make(), [application(3)])["applications"]["flights"]["changed"] is False


def test_a_successor_in_place_goes_back_to_what_served_before_the_first_driver_died(
    serve: FakeServe, make: Make
) -> None:
    in_place.deploy(make(), [application(1)])
    before = dict(serve.applications)
    first = make()
    release = in_place.plan(first, serve.serve(), application(2, good=False))
    first.remember(release)
    first.change({release.name: release.at("/flights")})
    serve.puts.clear()
    with pytest.raises(RolloutFailed, match="is False, not True"):
        in_place.deploy(make(smoke_tests={"flights": TEST}), [application(2, good=False)])
    assert serve.applications == before
    assert len(serve.puts) == 1  # nothing was rolled out a second time


def test_in_place_takes_over_an_application_that_came_by_blue_green(serve: FakeServe, make: Make) -> None:
    first = blue_green.deploy(make(), [application(1)])["applications"]["flights"]
    second = in_place.deploy(make(), [application(2)])["applications"]["flights"]
    third = blue_green.deploy(make(), [application(1)])["applications"]["flights"]
    assert (second["application"], second["previous_version"]) == (first["application"], first["version"])
    assert third["application"] == f"{first['application']}-2"


@pytest.mark.parametrize("strategy", [blue_green.deploy, lambda r, a: in_place.deploy(r, a)])
def test_a_route_of_another_is_refused_and_nothing_written(serve: FakeServe, make: Make, strategy: Any) -> None:
    blue_green.deploy(make(), [application(1)])
    serve.puts.clear()
    with pytest.raises(ConfigurationProblem, match="is taken by"):
        strategy(make(), [{**application(1, "thief"), "route_prefix": "/flights"}])
    assert not serve.puts


def test_a_write_that_another_writer_undid_is_made_again(
    serve: FakeServe, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, undone = serve.put, [True]

    def put_and_undo(state: dict[str, Any]) -> None:
        put(state)
        if undone.pop() if undone else False:
            put({"applications": []})

    monkeypatch.setattr(serve, "put", put_and_undo)
    result = blue_green.deploy(make(), [application(1)])
    assert list(serve.applications) == [result["applications"]["flights"]["application"]]


def test_deletion_takes_all_versions_and_nothing_else(serve: FakeServe, make: Make) -> None:
    blue_green.deploy(make(), [application(1), application(1, "trains")])
    left = blue_green.plan(serve.serve(), application(2))
    make().change({left.name: left.at(serve_state.private_route(left.name))})
    deleted = change.delete(make(application="flights"))["deleted"]
    assert len(deleted) == 2
    assert [name.split("--")[0] for name in serve.applications] == ["trains"]


def test_scaling_needs_serve_and_the_application(serve: FakeServe, make: Make) -> None:
    wish = {"application": "flights", "replicas": {"Model": 2}}
    with pytest.raises(ConfigurationProblem, match="Serve does not run"):
        change.scale(make(**wish))
    blue_green.deploy(make(), [application(1, "trains")])
    with pytest.raises(ConfigurationProblem, match="no application 'flights'"):
        change.scale(make(**wish))


SCALING = {"min_replicas": 1, "max_replicas": 2}


@pytest.mark.parametrize("strategy", [blue_green.deploy, in_place.deploy])
def test_numbers_of_replicas_change_on_the_version_that_runs(serve: FakeServe, make: Make, strategy: Any) -> None:
    def wish(**options: Any) -> list[dict[str, Any]]:
        return [{**application(1), "deployments": [{"name": "Model", **options}]}]

    tests = {"flights": TEST}
    first = strategy(make(smoke_tests=tests), wish(autoscaling_config=SCALING))["applications"]["flights"]
    serve.puts.clear()
    scaled = strategy(make(smoke_tests=tests), wish(autoscaling_config={**SCALING, "max_replicas": 9}))

    second = scaled["applications"]["flights"]
    assert (second["application"], second["version"]) == (first["application"], first["version"])
    assert second["changed"]
    assert len(serve.puts) == 1
    (shown,) = serve.applications[second["application"]]["deployments"]
    assert shown["autoscaling_config"]["max_replicas"] == 9
    again = strategy(make(smoke_tests=tests), wish(autoscaling_config={**SCALING, "max_replicas": 9}))
    assert not again["applications"]["flights"]["changed"]


def test_numbers_that_do_not_get_well_are_taken_back(serve: FakeServe, make: Make) -> None:
    wish = {**application(1), "deployments": [{"name": "Model", "num_replicas": 1}]}
    blue_green.deploy(make(), [wish])
    before = dict(serve.applications)
    more = {**wish, "deployments": [{"name": "Model", "num_replicas": 9}]}
    with pytest.raises(RolloutFailed, match="expected 500"):
        blue_green.deploy(make(smoke_tests={"flights": {"expected_status": 500}}), [more])
    assert serve.applications == before


def test_what_serve_shows_as_floats_was_written_once(serve: FakeServe, make: Make) -> None:
    options = {"name": "Model", "graceful_shutdown_timeout_s": 5, "ray_actor_options": {"num_cpus": 1}}
    for strategy in (blue_green.deploy, in_place.deploy):
        strategy(make(), [{**application(1), "deployments": [options]}])
    assert len(serve.puts) == 1


@pytest.mark.parametrize(("percent", "written"), [(None, 100), (0, 0), (30, 30)])
def test_in_place_adds_as_many_replicas_as_the_author_lets_it(
    serve: FakeServe, make: Make, percent: int | None, written: int
) -> None:
    in_place.deploy(make(), [application(1)])
    result = in_place.deploy(make(max_surge_percent=percent), [application(2)])
    (deployment,) = serve.applications["flights"]["deployments"]
    assert deployment == {"name": "Model", "max_surge_percent": written}
    again = in_place.deploy(make(max_surge_percent=50), [application(2)])["applications"]["flights"]
    assert (again["changed"], again["version"]) == (False, result["applications"]["flights"]["version"])


@pytest.mark.parametrize("strategy", [blue_green.deploy, in_place.deploy])
def test_what_has_scaled_to_zero_is_healthy_and_woken_by_the_test(serve: FakeServe, make: Make, strategy: Any) -> None:
    """The request that wakes it may be refused while no replica can answer."""
    sleeping = {"name": "Model", "autoscaling_config": {"min_replicas": 0, "max_replicas": 1}}
    wish = [{**application(1), "deployments": [sleeping]}]
    asleep = strategy(make(), wish)["applications"]["flights"]
    assert (asleep["status"], asleep["deployments"]["Model"]["replicas"]) == ("RUNNING", 0)
    other = [{**application(2), "deployments": [sleeping]}]
    awake = strategy(make(smoke_tests={"flights": {**TEST, "warmup_requests": 0}}), other)["applications"]["flights"]
    assert awake["changed"]


@pytest.mark.parametrize(("percent", "is_hinted"), [(None, True), (0, False)])
def test_a_cluster_without_room_for_both_is_told_of_the_knob(
    serve: FakeServe, make: Make, percent: int | None, is_hinted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_place, "RESTORE_SECONDS", 0.1)
    in_place.deploy(make(), [application(1)])
    serve.looks = 10_000
    with pytest.raises(RolloutFailed, match="not healthy in time") as raised:
        in_place.deploy(make(max_surge_percent=percent, healthy_timeout_seconds=0.1), [application(2)])
    assert ("max_surge_percent=0" in str(raised.value)) is is_hinted


def test_going_back_doubles_no_further_than_the_author_lets_it(serve: FakeServe, make: Make) -> None:
    """Where there is room for one copy alone, what served before would wait for the room that the bad one has."""
    in_place.deploy(make(), [application(1)])
    in_place.deploy(make(), [application(2)])
    with pytest.raises(RolloutFailed, match=r"serves version \w+ again"):
        in_place.deploy(make(max_surge_percent=0), [application(3, fails=True)])
    assert serve.applications["flights"]["deployments"] == [{"name": "Model", "max_surge_percent": 0}]
    assert serve.applications["flights"]["args"]["version"] == 2


def test_what_cannot_wake_is_taken_back(serve: FakeServe, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    sleeping = {"name": "Model", "autoscaling_config": {"min_replicas": 0, "max_replicas": 1}}
    monkeypatch.setattr(serve, "wakes", False)
    rollout = make(smoke_tests={"flights": TEST}, healthy_timeout_seconds=0.3)
    with pytest.raises(
        RolloutFailed, match=r"nothing serves, as before.*no answer in time from what has scaled to zero"
    ):
        blue_green.deploy(rollout, [{**application(1), "deployments": [sleeping]}])
    assert serve.applications == {}

"""What a deployment is judged by before it changes anything, and what it leaves behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_air.drivers.serve import driver
from airflow_provider_air.drivers.serve.rollout import Rollout
from airflow_provider_air.drivers.serve.watch import RolloutFailed
from airflow_provider_air.drivers.wire.problems import ConfigurationProblem
from tests.fakes.serve import FakeServe
from tests.unit.drivers.serve.conftest import Make, application

GRPC = {"grpc_options": {"port": 9000, "grpc_servicer_functions": ["flights_pb2:add"]}}
TEST = {"expected_status": 200}


@pytest.fixture
def ship(serve: FakeServe, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let the job have shipped this code."""

    def shipped(name: str) -> None:
        serve.store.rows[f"gcs://{name}.zip".encode()] = name.encode()
        environment = {"working_dir": f"gcs://{name}.zip", "py_modules": ["gcs://drivers.zip", "gcs://payload.zip"]}
        monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", json.dumps({"runtime_env": environment}))

    return shipped


def said(rollout: Rollout) -> str:
    return Path(rollout.run.records.path).read_text()


def copies(serve: FakeServe) -> set[str]:
    return {key.decode() for key in serve.store.rows if key.startswith(b"gcs://air_serve_")}


@pytest.mark.parametrize("strategy", ["blue_green", "in_place"])
def test_code_goes_with_the_version_that_needs_it(serve: FakeServe, make: Make, ship: Any, strategy: str) -> None:
    for name in ("monday", "tuesday"):
        ship(name)
        driver.deploy(make(applications=[application(1)], strategy=strategy))
        assert copies(serve) == {f"gcs://air_serve_{name}.zip"}
        (config,) = serve.applications.values()
        assert config["runtime_env"]["working_dir"] == f"gcs://air_serve_{name}.zip"
        assert serve.store.rows[f"gcs://air_serve_{name}.zip".encode()] == name.encode()
    assert b"gcs://monday.zip" in serve.store.rows  # the job's own, which others may use


@pytest.mark.parametrize("strategy", ["blue_green", "in_place"])
def test_code_that_is_gone_back_to_stays_and_that_of_a_bad_version_goes(
    serve: FakeServe, make: Make, ship: Any, strategy: str
) -> None:
    ship("monday")
    driver.deploy(make(applications=[application(1)], strategy=strategy))
    ship("tuesday")
    with pytest.raises(RolloutFailed):
        driver.deploy(make(applications=[application(1, fails=True)], strategy=strategy))
    assert copies(serve) == {"gcs://air_serve_monday.zip"}


def test_code_of_a_roll_out_in_place_that_has_not_ended_stays(serve: FakeServe, make: Make, ship: Any) -> None:
    """Its driver was killed: what it replaced may have to be put back by the next."""
    ship("monday")
    driver.deploy(make(applications=[application(1)], strategy="in_place"))
    first = make(applications=[application(1)])
    (config,) = serve.applications.values()
    serve.store.rows[b"before/flights"] = json.dumps({"config": config, "next": "x"}).encode()
    first.change({"flights": {**config, "runtime_env": {}}})
    serve.store.rows[b"gcs://air_serve_left.zip"] = b"of a version that is no more"

    first.drop_packages()

    assert copies(serve) == {"gcs://air_serve_monday.zip"}


def test_no_code_is_deleted_while_serve_tells_of_nothing(serve: FakeServe, make: Make) -> None:
    serve.store.rows[b"gcs://air_serve_a.zip"] = b"code"
    make(applications=[]).drop_packages()
    assert copies(serve) == {"gcs://air_serve_a.zip"}


def test_logging_of_the_whole_reaches_the_applications_in_one_write_and_stays(serve: FakeServe, make: Make) -> None:
    whole = {"applications": [application(1)], "instance": {"logging_config": {"log_level": "DEBUG"}}}
    for number in (1, 2):
        whole["applications"] = [application(number)]
        rollout = make(**whole, strategy="blue_green")
        driver.deploy(rollout)
        assert "logging_config" not in said(rollout)  # with which we have started Serve
        (config,) = serve.applications.values()
        assert config["logging_config"] == {"log_level": "DEBUG"}
    assert [state.get("logging_config") for state in serve.puts] == [{"log_level": "DEBUG"}, None, None, None]
    others = make(applications=[application(1, "trains")], strategy="blue_green")
    driver.deploy(others)
    assert "logging_config" not in serve.applications[next(n for n in serve.applications if n.startswith("trains"))]


def test_a_serve_that_runs_with_other_options_is_not_changed(serve: FakeServe, make: Make) -> None:
    driver.deploy(make(applications=[application(1)], strategy="in_place"))
    serve.puts.clear()
    with pytest.raises(ConfigurationProblem, match="proxy_location"):
        driver.deploy(make(applications=[application(2)], strategy="in_place", instance={"proxy_location": "HeadOnly"}))
    assert serve.puts == []


def test_whoever_starts_serve_in_between_is_heard(
    serve: FakeServe, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two first deployments at once: the second finds a Serve that was not there when it looked first."""
    nothing: dict[str, Any] = {"controller_info": {}, "applications": {}}
    look, looks = serve.serve, iter([nothing] * 2)
    serve.started = True
    monkeypatch.setattr(serve, "serve", lambda: next(looks, None) or look())
    with pytest.raises(ConfigurationProblem, match="proxy_location"):
        driver.deploy(make(applications=[application(1)], strategy="in_place", instance={"proxy_location": "HeadOnly"}))
    assert serve.applications == {}


def test_a_field_that_this_serve_does_not_know_changes_nothing(serve: FakeServe, make: Make) -> None:
    with pytest.raises(ConfigurationProblem, match="no field 'rout_prefix'"):
        driver.deploy(make(applications=[{**application(1), "rout_prefix": "/"}], strategy="in_place"))
    assert serve.puts == []


@pytest.mark.parametrize(("is_given", "versions"), [(False, 1), (True, 2)])
def test_on_a_serve_with_grpc_an_application_keeps_its_name_unless_the_author_says_otherwise(
    serve: FakeServe, make: Make, is_given: bool, versions: int
) -> None:
    serve.options = GRPC
    serve.started = True
    names = set()
    for number in (1, 2):
        rollout = make(
            applications=[application(number)],
            strategy="blue_green",
            strategy_is_given=is_given,
            smoke_tests={"flights": TEST},
        )
        names.add(driver.deploy(rollout)["applications"]["flights"]["application"])
        assert "by its name" in said(rollout)
    assert len(names) == versions
    assert (names == {"flights"}) is not is_given


def test_a_smoke_test_without_proxies_is_refused(serve: FakeServe, make: Make) -> None:
    serve.options = {"proxy_location": "Disabled"}
    serve.started = True
    with pytest.raises(ConfigurationProblem, match="runs without proxies"):
        driver.deploy(make(applications=[application(1)], strategy="blue_green", smoke_tests={"flights": TEST}))
    assert serve.puts == []

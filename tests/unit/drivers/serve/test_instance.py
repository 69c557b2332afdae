"""Options of Serve itself: what may still be chosen once it runs."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_air.drivers.serve.instance import Instance
from airflow_provider_air.drivers.wire.names import LOCAL_CLUSTER
from airflow_provider_air.drivers.wire.problems import ConfigurationProblem
from tests.fakes.serve import KeyValueStore

RUNS: dict[str, Any] = {
    "controller_info": {"actor_id": "c1"},
    "http_options": {"host": "0.0.0.0", "port": 8000, "request_timeout_s": None, "keep_alive_timeout_s": 90},
    "grpc_options": {"port": 9000, "grpc_servicer_functions": []},
    "proxy_location": "EveryNode",
}


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(LOCAL_CLUSTER, raising=False)


@pytest.mark.parametrize(
    ("wish", "says"),
    [
        ({"http_options": {"port": 8100}}, r"http_options\.port=8000, which cannot be changed to 8100"),
        ({"http_options": {"request_timeout_s": 5}}, r"http_options\.request_timeout_s=None"),
        ({"grpc_options": {"grpc_servicer_functions": ["a:add"]}}, r"grpc_options\.grpc_servicer_functions=\[\]"),
        ({"proxy_location": "HeadOnly"}, "proxy_location='EveryNode'"),
    ],
)
def test_what_a_serve_that_runs_would_ignore_is_refused(wish: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationProblem, match=says):
        Instance(wish, KeyValueStore()).check(RUNS)


def test_what_serve_runs_with_already_is_no_change() -> None:
    wish = {"http_options": {"port": 8000}, "grpc_options": {"port": 9000}, "proxy_location": "EveryNode"}
    assert Instance(wish, KeyValueStore()).check(RUNS) == []


def test_a_serve_that_does_not_run_takes_all() -> None:
    wish = {"http_options": {"port": 8100}, "grpc_options": {"port": 9100}, "controller_options": {"a": 1}}
    instance = Instance({**wish, "proxy_location": None}, KeyValueStore())
    assert instance.check({"controller_info": {}}) == []
    assert instance.to_start() == wish


def test_what_serve_does_not_tell_is_known_where_we_have_started_it() -> None:
    store, wish = KeyValueStore(), {"controller_options": {"runtime_env": {"env_vars": {"A": "1"}}}}
    (told,) = Instance(wish, store).check(RUNS)
    assert "read controller_options only when they start" in told

    Instance(wish, store).remember(RUNS)

    assert Instance(wish, store).check(RUNS) == []
    with pytest.raises(ConfigurationProblem, match="controller_options"):
        Instance({"controller_options": {}}, store).check(RUNS)
    restarted = {**RUNS, "controller_info": {"actor_id": "c2"}}
    assert Instance(wish, store).check(restarted) == [told]


def test_other_logging_of_the_whole_is_told_and_not_written_to_a_serve_that_runs() -> None:
    """Serve would copy it into other applications, too (Ray 2.60)."""
    store = KeyValueStore()
    instance = Instance({"logging_config": {"log_level": "DEBUG"}, "tracing_config": {"enabled": True}}, store)
    instance.remember(RUNS)
    assert instance.check(RUNS) == []
    (told,) = Instance({"logging_config": {"log_level": "INFO"}}, store).check(RUNS)
    assert "logging_config" in told
    assert instance.to_change() == {"tracing_config": {"enabled": True}}


def test_a_local_cluster_gets_a_free_port_of_this_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LOCAL_CLUSTER, "a")
    chosen = Instance({}, KeyValueStore()).to_start()["http_options"]
    assert (chosen["host"], 20000 <= chosen["port"] < 32000) == ("127.0.0.1", True)
    assert Instance({"http_options": {"port": 8100}}, KeyValueStore()).to_start()["http_options"]["port"] == 8100

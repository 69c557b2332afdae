"""Each verdict of a clean-up, and that one thing or neighbour that fails keeps no other one from it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_air.contracts.leftovers import Leftover
from airflow_provider_air.contracts.names import TaskKey
from airflow_provider_air.errors import ConfigurationError, UnavailableError
from airflow_provider_air.runs.cleaning import UNKNOWN_KEEP_SECONDS, Cleaning, RunState, judge

KEY = TaskKey("here", "flights", "manual__1", "train")
OTHER = replace(KEY, run_id="manual__2")
HOUR = 3600.0
ITEM = Leftover("cluster", "c", "cluster c 1", "here", users=(KEY,), age=5 * HOUR, keep=HOUR)


class Airflow:
    """Says of DAG runs whether they are over, and counts who asks."""

    def __init__(self, states: Mapping[str, RunState] | None = None, default: RunState = "over") -> None:
        self.states, self.default = dict(states or {}), default
        self.asked: list[str] = []

    def __call__(self, key: TaskKey) -> RunState:
        self.asked.append(key.run_id)
        return self.states.get(key.run_id, self.default)


def verdict(item: Leftover, state: RunState = "over") -> tuple[bool, str]:
    found = judge(item, "here", Airflow(default=state))
    return found.takes, found.reason


def test_what_an_ended_run_left_is_taken() -> None:
    assert verdict(ITEM) == (True, "its DAG run is over")


@pytest.mark.parametrize(
    ("changes", "state", "why"),
    [
        ({"deployment": None}, "over", "it bears no mark of ours"),
        ({"deployment": "there"}, "over", "it belongs to the deployment 'there', and this is 'here'"),
        ({"deployment": ""}, "over", "it belongs to the deployment ''"),
        ({"stays": "it goes already: a finalizer"}, "over", "it goes already: a finalizer"),
        ({"leased_for": 90.0}, "over", "somebody counts on it for another 0:01:30"),
        ({"leased_for": 90.0, "expires_in": -5.0}, "over", "somebody counts on it"),
        ({"is_of_run": False}, "over", "it outlives its DAG run, and it never expires"),
        ({"is_of_run": False, "expires_in": 60.0}, "over", "it outlives its DAG run, and it expires in 0:01:00"),
        ({}, "live", "the DAG run 'manual__1' of 'flights' is not over"),
        ({}, "unanswered", "Airflow does not say whether the DAG run 'manual__1' of 'flights' is over"),
        ({"age": 600.0}, "over", "its DAG run is over, but it is kept until it is 1:00:00 old, and it is 0:10:00"),
        ({"age": None}, "over", "its DAG run is over, but nobody says how old it is"),
        ({}, "unknown", "Airflow does not know its DAG run (any more), but it is kept until it is 7 days"),
        ({"users": ()}, "over", "nothing says which DAG run it was made for"),
        ({"deployment": "there", "expires_in": -5.0, "is_of_run": False}, "over", "it belongs to the deployment"),
    ],
)
def test_what_is_spared_and_why(changes: dict[str, Any], state: RunState, why: str) -> None:
    takes, reason = verdict(replace(ITEM, **changes), state)
    assert not takes
    assert reason.startswith(why)


@pytest.mark.parametrize(
    ("changes", "state", "why"),
    [
        ({"expires_in": -7200.0}, "live", "it expired 2:00:00 ago"),
        ({"expires_in": 0.0, "age": 1.0}, "live", "it expired 0:00:00 ago"),
        ({"expires_in": -1.0, "users": (), "is_of_run": False}, "live", "it expired"),
        ({"leased_for": -1.0}, "over", "its DAG run is over"),
        ({"expires_in": 60.0}, "over", "its DAG run is over"),
        ({"age": None, "keep": 0.0}, "over", "its DAG run is over"),
        ({"age": UNKNOWN_KEEP_SECONDS}, "unknown", "Airflow does not know its DAG run (any more)"),
    ],
)
def test_what_is_taken_and_why(changes: dict[str, Any], state: RunState, why: str) -> None:
    takes, reason = verdict(replace(ITEM, **changes), state)
    assert takes
    assert reason.startswith(why)


def test_what_several_share_is_wanted_while_one_of_them_lives() -> None:
    shared = replace(ITEM, users=(KEY, OTHER))
    assert not judge(shared, "here", Airflow({"manual__2": "live"})).takes
    assert judge(shared, "here", Airflow()).reason == "its DAG run is over, and so are those of all 2 users"


def test_airflow_is_asked_only_where_it_matters() -> None:
    airflow = Airflow()
    for item in (replace(ITEM, deployment="there"), replace(ITEM, leased_for=1.0), replace(ITEM, expires_in=-1.0)):
        judge(item, "here", airflow)
    assert airflow.asked == []


class Shed:
    """A neighbour that holds what a test puts there."""

    def __init__(self, where: str, *items: Leftover, uses: Mapping[str, str] | None = None) -> None:
        self.where, self.items, self.uses = where, list(items), dict(uses or {})
        self.taken: list[str] = []
        self.error: Exception | None = None
        self.stuck: set[str] = set()

    def left(self) -> Iterable[Leftover]:
        if self.error is not None:
            raise self.error
        return self.items

    def use_of(self, item: Leftover) -> str:
        return self.uses.get(item.name, "")

    def take(self, item: Leftover) -> str:
        if item.name in self.stuck:
            raise ConfigurationError("not allowed")
        self.taken.append(item.identity)
        return "it was asked to go"


class Log(list[str]):
    """A task's log."""

    def info(self, message: str, /, *values: Any) -> None:
        self.append(message % values)

    warning = info


def named(name: str, **changes: Any) -> Leftover:
    return replace(ITEM, name=name, identity=f"cluster {name}", **changes)


def cleaned(*sheds: Any, airflow: Any = None, only_tell: bool = False) -> tuple[Any, Log]:
    log = Log()
    return Cleaning("here", airflow or Airflow(), log, only_tell=only_tell).clean(sheds), log


def test_one_line_for_each_thing_with_the_reason() -> None:
    shed = Shed("moon", named("a"), named("b", deployment="there"), named("c"), uses={"c": "by 1 live jobs (j)"})
    report, log = cleaned(shed)
    assert shed.taken == ["cluster a"]
    assert log == [
        "cluster a (moon): taken: its DAG run is over; it was asked to go",
        "cluster b (moon): spared: it belongs to the deployment 'there', and this is 'here'",
        "cluster c (moon): spared: its DAG run is over, but it is in use: by 1 live jobs (j)",
    ]
    assert json.loads(json.dumps(report.to_json())) == {
        "taken": 1,
        "would be taken": 0,
        "spared": 2,
        "failed": 0,
        "asked": 1,
        "outages": {},
        "lines": [log[0]],
    }


def test_a_look_takes_nothing() -> None:
    shed = Shed("moon", named("a"))
    report, log = cleaned(shed, only_tell=True)
    assert shed.taken == []
    assert report.count("would be taken") == 1
    assert log == ["cluster a (moon): would be taken: its DAG run is over"]


def test_what_fails_keeps_nobody_from_the_rest() -> None:
    away, odd, moon = Shed("away", named("a")), Shed("odd"), Shed("moon", named("b"), named("c"))
    away.error, odd.error = UnavailableError("Nobody answers"), KeyError("labels")
    moon.stuck = {"b"}
    report, log = cleaned(away, odd, moon)
    assert moon.taken == ["cluster c"]
    assert report.outages == {"away": "Nobody answers", "odd": "KeyError: 'labels'"}
    assert (report.asked, report.count("failed")) == (3, 1)
    assert "cluster b (moon): failed: not allowed" in log


def test_what_two_neighbours_tell_of_is_treated_once() -> None:
    one, two = Shed("one", named("a")), Shed("two", named("a"))
    report, _ = cleaned(one, two)
    assert (one.taken, two.taken) == (["cluster a"], [])
    assert len(report.lines) == 1


def test_airflow_is_asked_again_before_each_thing_goes_and_once_for_what_stays() -> None:
    gone, stays = Airflow(), Airflow(default="live")
    cleaned(Shed("moon", named("a"), named("b")), airflow=gone)
    cleaned(Shed("moon", named("a"), named("b")), airflow=stays)
    assert (len(gone.asked), len(stays.asked)) == (2, 1)


def test_a_run_that_is_cleared_in_the_middle_keeps_what_it_left() -> None:
    answers = iter(["over", "live"])
    shed = Shed("moon", named("a"), named("b"))
    cleaned(shed, airflow=lambda key: next(answers))
    assert shed.taken == ["cluster a"]


def test_nothing_of_a_run_goes_while_airflow_is_away() -> None:
    def away(key: TaskKey) -> RunState:
        raise UnavailableError("Airflow's api-server does not answer")

    shed = Shed("moon", named("a"), named("b", expires_in=-1.0))
    report, log = cleaned(shed, airflow=away)
    assert shed.taken == ["cluster b"]
    assert "Airflow does not say whether" in log[1]
    assert report.count("spared") == 1

from __future__ import annotations

import copy
import random
from typing import Any

import pytest

from airflow_provider_air.clusters.kuberay.merging import MOST_PATHS, merged
from airflow_provider_air.errors import ConfigurationError

NAMES = ("'manifest'", "the fields")


def merge(first: Any, second: Any) -> Any:
    return merged(first, second, names=NAMES)


@pytest.mark.parametrize(
    ("first", "second", "whole"),
    [
        ({}, {}, {}),
        ({"a": 1}, {"b": 2}, {"a": 1, "b": 2}),
        ({"a": 1}, {"a": 1}, {"a": 1}),
        ({"a": None}, {"a": 1}, {"a": 1}),
        ({"a": 1}, {"a": None}, {"a": 1}),
        ({"a": {"b": 1}}, {"a": {"c": [1]}}, {"a": {"b": 1, "c": [1]}}),
        (
            {"env": [{"name": "A", "value": "1"}]},
            {"env": [{"name": "B", "value": "2"}, {"name": "A", "value": "1"}]},
            {"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]},
        ),
        (
            {"containers": [{"name": "ray", "image": "i"}]},
            {"containers": [{"name": "ray", "command": ["c"]}, {"name": "other"}]},
            {"containers": [{"name": "ray", "image": "i", "command": ["c"]}, {"name": "other"}]},
        ),
        (
            {"tolerations": [{"key": "a"}, {"key": "b"}]},
            {"tolerations": [{"key": "b"}, {"key": "c"}]},
            {"tolerations": [{"key": "a"}, {"key": "b"}, {"key": "c"}]},
        ),
        ({"command": ["a", "b"]}, {"command": ["a", "b"]}, {"command": ["a", "b"]}),
    ],
)
def test_what_both_say_becomes_one(first: Any, second: Any, whole: Any) -> None:
    kept = copy.deepcopy((first, second))
    assert merge(first, second) == whole
    assert (first, second) == kept


@pytest.mark.parametrize(
    ("first", "second", "path"),
    [
        ({"a": 1}, {"a": 2}, "a"),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, "a.b"),
        ({"a": {"b": 1}}, {"a": 2}, "a"),
        ({"a": True}, {"a": False}, "a"),
        ({"command": ["a"]}, {"command": ["b"]}, "command"),
        ({"env": [{"name": "A", "value": "1"}]}, {"env": [{"name": "A", "value": "2"}]}, r"env\[A\].value"),
        (
            {"env": [{"name": "A", "value": "1"}]},
            {"env": [{"name": "A", "valueFrom": {"x": 1}}, {"name": "A", "value": "2"}]},
            r"env\[A\].value",
        ),
        ({"volumes": [{"emptyDir": {}}]}, {"volumes": [{"name": "a"}]}, "volumes"),
        (
            {
                "workerGroupSpecs": [
                    {"groupName": "a", "template": {"spec": {"containers": [{"name": "r", "image": "i"}]}}}
                ]
            },
            {
                "workerGroupSpecs": [
                    {"groupName": "a", "template": {"spec": {"containers": [{"name": "r", "image": "j"}]}}}
                ]
            },
            r"workerGroupSpecs\[a\].template.spec.containers\[r\].image",
        ),
    ],
)
def test_where_both_say_something_else_the_path_is_told(first: Any, second: Any, path: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"'manifest' and the fields .* at {path}\b"):
        merge(first, second)


def test_all_paths_are_told_at_once_but_no_endless_list() -> None:
    first = {"outer": {f"key{number:02}": 1 for number in range(MOST_PATHS + 3)}}
    second = {"outer": {f"key{number:02}": 2 for number in range(MOST_PATHS + 3)}}
    with pytest.raises(ConfigurationError) as caught:
        merge(first, second)
    told = str(caught.value)
    assert told.count("outer.key") == MOST_PATHS
    assert "and 3 more" in told


def some_object(chance: random.Random, depth: int = 0) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key in chance.sample(["a", "b", "c", "env", "volumes", "tolerations", "command"], chance.randint(0, 5)):
        if key in ("env", "volumes"):
            names = chance.sample("wxyz", chance.randint(0, 3))
            made[key] = [{"name": name, "value": chance.randint(0, 1)} for name in names]
        elif key == "tolerations":
            made[key] = [{"key": name} for name in chance.sample("wxyz", chance.randint(0, 3))]
        elif key == "command":
            made[key] = chance.choice([["a"], ["b"]])
        else:
            made[key] = some_object(chance, depth + 1) if depth < 2 and chance.random() < 0.6 else chance.randint(0, 1)
    return made


def leaves(value: Any, path: str = "") -> set[tuple[str, str]]:
    """Give what is said, by path; items of a list by their names."""
    if isinstance(value, dict):
        return set().union(*(leaves(item, f"{path}.{key}") for key, item in value.items())) if value else set()
    if isinstance(value, list) and all(isinstance(item, dict) for item in value):
        named = [(item.get("name") or item.get("key"), item) for item in value]
        return set().union(*(leaves(item, f"{path}[{name}]") for name, item in named)) if value else set()
    return {(path, repr(value))}


@pytest.mark.parametrize("seed", range(300))
def test_nothing_that_is_said_is_lost_or_made_up_and_order_does_not_matter(seed: int) -> None:
    chance = random.Random(seed)
    first, second = some_object(chance), some_object(chance)
    said = leaves(first) | leaves(second)
    paths = [path for path, _ in said]
    try:
        whole = merge(first, second)
    except ConfigurationError:
        # Refused both ways, and only where something is said twice, or one says a value and the other an object.
        with pytest.raises(ConfigurationError):
            merge(second, first)
        is_twice = len(set(paths)) < len(paths)
        is_both_kinds = any(
            other != path and other.startswith((f"{path}.", f"{path}[")) for path in paths for other in paths
        )
        assert is_twice or is_both_kinds or _empty_meets_value(first, second)
        return
    assert leaves(whole) == said
    assert leaves(merge(second, first)) == said
    assert merge(whole, first) == whole
    assert merge(whole, {}) == whole


def _empty_meets_value(first: Any, second: Any) -> bool:
    """Tell whether one says an empty object or list where the other says a value."""
    if isinstance(first, dict) and isinstance(second, dict):
        return any(_empty_meets_value(first[key], second[key]) for key in first.keys() & second.keys())
    return type(first) is not type(second) or (isinstance(first, list) and first != second)

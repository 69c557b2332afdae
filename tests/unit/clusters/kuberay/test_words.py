from __future__ import annotations

import re

import pytest

from airflow_provider_air.clusters.kuberay.words import NAMES_IF_PLAIN, NAMES_INSIDE, UNRULY, camel, spelled
from tests.unit.clusters.kuberay.schemas import VERSIONS, schema_of, words_of


@pytest.mark.parametrize(
    ("snake", "word"),
    [
        ("secret_key_ref", "secretKeyRef"),
        ("secretKeyRef", "secretKeyRef"),
        ("host_ipc", "hostIPC"),
        ("enable_k8s_token_auth", "enableK8sTokenAuth"),
        ("mode", "mode"),
    ],
)
def test_a_word_is_spelled_as_kubernetes_does(snake: str, word: str) -> None:
    assert camel(snake) == word


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", ["RayCluster", "RayJob"])
def test_each_word_of_the_schema_can_be_written_in_snake_case(kind: str, version: str) -> None:
    words = set(words_of(schema_of(kind, version)["properties"]["spec"]))
    assert len(words) > 300
    for word in words:
        snake = re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", word)).lower()
        assert camel(snake) == word or word in UNRULY.values(), (snake, word)


def test_names_of_the_authors_own_stay() -> None:
    said = {
        "node_selector": {"my_label": "a_b"},
        "metadata": {"annotations": {"some_key": "1"}},
        "selector": {"app_name": "x"},
        "label_selector": {"match_labels": {"a_b": "c"}, "match_expressions": [{"key": "a_b"}]},
        "limits": {"example.com/some_device": 1},
    }
    assert spelled(said) == {
        "nodeSelector": {"my_label": "a_b"},
        "metadata": {"annotations": {"some_key": "1"}},
        "selector": {"app_name": "x"},
        "labelSelector": {"matchLabels": {"a_b": "c"}, "matchExpressions": [{"key": "a_b"}]},
        "limits": {"example.com/some_device": 1},
    }


def test_a_word_of_two_meanings_is_told_by_what_is_in_it() -> None:
    claim = {"selector": {"match_labels": {"a_b": "c"}}, "resources": {"requests": {"storage_class": 1}}}
    assert spelled(claim) == {
        "selector": {"matchLabels": {"a_b": "c"}},
        "resources": {"requests": {"storage_class": 1}},
    }
    group = {"resources": {"my_device": "1"}, "group_name": "a"}
    assert spelled(group) == {"resources": {"my_device": "1"}, "groupName": "a"}


@pytest.mark.parametrize("version", VERSIONS)
def test_maps_of_names_are_known(version: str) -> None:
    """A map whose keys nobody has fixed must not be spelled otherwise."""

    def maps(schema: object, name: str = "") -> set[str]:
        found: set[str] = set()
        if isinstance(schema, dict):
            if isinstance(schema.get("additionalProperties"), dict):
                found.add(name)
            for key, one in schema.get("properties", {}).items():
                found |= maps(one, key)
            found |= maps(schema.get("items"), name)
        return found

    found = maps(schema_of("RayCluster", version)["properties"]["spec"])
    assert found - NAMES_INSIDE - NAMES_IF_PLAIN == set()

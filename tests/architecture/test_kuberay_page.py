"""What docs/kuberay.md shows as data is what the code takes."""

from __future__ import annotations

import itertools
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from airflow_provider_air.clusters.kuberay import permissions, replaced, symptoms, trouble
from airflow_provider_air.clusters.kuberay.manifest import cluster_manifest
from airflow_provider_air.clusters.kuberay.marks import Marks
from airflow_provider_air.clusters.kuberay.rules import check_resource
from airflow_provider_air.clusters.kuberay.spec import KubeRayCluster
from airflow_provider_air.contracts.clusters import ClusterOwner
from tests.architecture.source import REPOSITORY
from tests.architecture.test_docs import blocks

PAGE = "kuberay.md"


@pytest.fixture
def connections() -> list[dict[str, Any]]:
    return [json.loads(block.text) for block in blocks("json") if block.page.name == PAGE]


def test_its_connections_stand_for_clusters_that_the_operator_takes(connections: list[dict[str, Any]]) -> None:
    (fields,) = [found["cluster"] for found in connections if found["backend"] == "kuberay"]
    spec = KubeRayCluster(**fields)
    spec.validate()
    check_resource(cluster_manifest(spec, "examples", Marks.of(ClusterOwner("tests"), spec.fingerprint())))


def test_the_connection_of_the_laptop_is_the_one_of_the_examples(connections: list[dict[str, Any]]) -> None:
    (local,) = [found for found in connections if found["backend"] == "local"]
    assert local == {"backend": "local", "cluster": {"name": "examples", "num_cpus": 2}}


def test_its_network_policy_names_labels_and_ports_of_kuberay() -> None:
    (policy,) = [document for document in _documents() if document["kind"] == "NetworkPolicy"]
    ports = [port["port"] for rule in policy["spec"]["ingress"] for port in rule.get("ports", ())]
    assert policy["spec"]["podSelector"] == {"matchLabels": {"ray.io/is-ray-node": "yes"}}
    assert sorted(ports) == [8000, 8265, 8265, 52365]


def test_its_binding_is_of_its_role() -> None:
    (role,) = [document for document in _documents() if document["kind"] == "Role"]
    (binding,) = [document for document in _documents() if document["kind"] == "RoleBinding"]
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert binding["metadata"]["namespace"] == role["metadata"]["namespace"]


def test_its_image_has_the_versions_that_the_tests_run_with() -> None:
    (dockerfile,) = [block.text for block in blocks("dockerfile") if block.page.name == PAGE]
    packages = tomllib.loads((REPOSITORY / "uv.lock").read_text())["package"]
    locked = {package["name"]: package.get("version") for package in packages}
    (ray,) = re.findall(r"^FROM rayproject/ray:([\d.]+)-py311$", dockerfile, re.MULTILINE)
    pinned = dict(re.findall(r"([\w-]+)==([\d.]+)", dockerfile)) | {"ray": ray}
    assert pinned == {name: locked[name] for name in ("ray", "lightgbm", "feast")}


def test_its_role_is_the_one_that_is_asked_for() -> None:
    (found,) = [document for document in _documents() if document["kind"] == "Role"]
    assert found == permissions.role("ray")


# How the page begins to say a trouble, and what the code calls its kind.
TROUBLES = {
    "has an image name that is none": symptoms.IMAGE_NAME,
    "may not pull its image, and the node has it not": symptoms.IMAGE_ABSENT_HERE,
    "cannot pull its image": symptoms.IMAGE,
    "cannot be scheduled": symptoms.UNSCHEDULABLE,
    "The quota is used up": symptoms.QUOTA,
    "The namespace's quota wants limits or requests": symptoms.UNSPECIFIED,
    "The namespace's pod security refuses the pod": symptoms.POD_SECURITY,
    "The pod's service account is not there": symptoms.SERVICE_ACCOUNT,
    "KubeRay refuses it": symptoms.REFUSED,
    "KubeRay's operator has not looked at it": symptoms.OPERATOR_AWAY,
    "cannot be configured": symptoms.CONFIG,
    "does not get its volumes": symptoms.VOLUME,
    "does not get its network": symptoms.SANDBOX,
    "The container": symptoms.CRASH,
    "The head's pod ended": symptoms.CRASH,
    "Pods of workers ended": symptoms.CRASH,
    "The init container": symptoms.INIT,
}


@pytest.mark.parametrize("words", TROUBLES)
def test_a_trouble_is_said_and_lasts_as_the_page_tells(words: str) -> None:
    source = "".join(Path(str(module.__file__)).read_text() for module in (symptoms, replaced, trouble))
    assert words in source
    rows = [row for row in _rows("the task says") if row[0].startswith(words)]
    assert rows
    for _, lasts, *_ in rows:
        assert _seconds(lasts) == TROUBLES[words].patience_seconds


def test_each_row_about_a_start_is_held_to_the_code() -> None:
    assert [row[0] for row in _rows("the task says") if not row[0].startswith(tuple(TROUBLES))] == []


def _seconds(told: str) -> float:
    """Read the first time of a cell: ``at once``, ``90 s``, ``5 min; ...``."""
    if told == "at once":
        return 0.0
    found = re.match(r"(\d+) (s|min)\b", told)
    assert found is not None, told
    return float(found[1]) * {"s": 1, "min": 60}[found[2]]


def _rows(first_title: str) -> list[list[str]]:
    """Give the cells of the table whose first title this is."""
    lines = (REPOSITORY / "docs" / PAGE).read_text().splitlines()
    start = next(index for index, line in enumerate(lines) if line.startswith(f"| {first_title} |"))
    table = itertools.takewhile(lambda line: line.startswith("|"), lines[start + 2 :])
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def _documents() -> list[dict[str, Any]]:
    found = [block for block in blocks("yaml") if block.page.name == PAGE]
    return [document for block in found for document in yaml.safe_load_all(block.text)]

"""What docs/kuberay.md shows as data is what the code takes."""

from __future__ import annotations

import json
import re
import tomllib
from typing import Any

import pytest
import yaml

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


def _documents() -> list[dict[str, Any]]:
    found = [block for block in blocks("yaml") if block.page.name == PAGE]
    return [document for block in found for document in yaml.safe_load_all(block.text)]

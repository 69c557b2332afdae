"""The page of fields has each field once, and says of each how it was tested."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_air.clusters.kuberay.groups import GroupFields, HeadGroup, WorkerGroup
from airflow_provider_air.clusters.kuberay.option_rules import NEW_IN_1_7
from airflow_provider_air.clusters.kuberay.pods import PodFields
from airflow_provider_air.clusters.kuberay.spec import KubeRayCluster
from airflow_provider_air.clusters.kuberay.words import camel
from tests.kubernetes import test_manifests

PAGE = Path(__file__).parents[4] / "docs" / "kuberay-fields.md"
TESTED = {"run", "server", "dry run", "1.7", "ours"}


def rows(after: str) -> dict[str, str]:
    """Give how the fields of the table after a line were tested, by name."""
    part = PAGE.read_text().split(f"\n{after}\n", 1)[1].split("\n| field |", 1)[1].split("\n\n", 1)[0]
    found: dict[str, str] = {}
    for line in part.splitlines()[2:]:
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        assert len(cells) == 4, line
        for name in re.findall(r"`(\w+)`", cells[0]):
            assert name not in found, name
            found[name] = cells[3]
    return found


def fields(kind: Any, *without: Any) -> set[str]:
    inherited = {one.name for base in without for one in dataclasses.fields(base)}
    return {one.name for one in dataclasses.fields(kind)} - inherited


TABLES = [
    ("## The cluster", fields(KubeRayCluster, PodFields)),
    ("## Pods: of the cluster, and of a group", fields(PodFields)),
    ("## Groups: head and workers", fields(GroupFields, PodFields)),
    ("The head's own:", fields(HeadGroup, GroupFields)),
    ("A worker group's own:", fields(WorkerGroup, GroupFields)),
]


@pytest.mark.parametrize(("after", "names"), TABLES)
def test_each_field_is_on_the_page_with_how_it_was_tested(after: str, names: set[str]) -> None:
    found = rows(after)
    assert set(found) == names
    assert set(found.values()) <= TESTED


def test_what_needs_a_newer_kuberay_is_said() -> None:
    told = {camel(name) for after, _ in TABLES for name, tested in rows(after).items() if tested == "1.7"}
    whole_fields = {path.rpartition(".")[2] for path in NEW_IN_1_7 if not path.startswith(("autoscaler", "gcs"))}
    assert told == whole_fields


def test_pods_of_the_test_node_are_made_of_what_is_said_to_be_run() -> None:
    source = Path(test_manifests.__file__).read_text()
    for after, _ in TABLES[1:]:
        for name, tested in rows(after).items():
            if tested == "run":
                assert re.search(rf"\b{name}\b", source), name

"""A plan is kept by the registry's version, and a join finds it without Feast."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_air.drivers.features import compiling, feast_store, join
from airflow_provider_air.drivers.features.plan import ComputedPlan, JoinPlan, ViewPlan, keep, kept, version_of
from airflow_provider_air.drivers.features.row_join import Wish
from airflow_provider_air.drivers.frame.running import Run
from airflow_provider_air.drivers.wire.problems import ConfigurationProblem

VIEW = ViewPlan("delays", "s3://b/delays", "", [["carrier", "carrier"]], "at", None, 3600.0, [["mean", "raw_mean"]])
COMPUTED = ComputedPlan("computed", "computed", ["double"], ["factor"])
PLAN = JoinPlan("p", "delay_v1", "f", True, [VIEW], [COMPUTED], [["delays", "mean"], ["computed", "double"]])


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    folder = tmp_path / "repo"
    folder.mkdir()
    (tmp_path / "registry.db").write_bytes(b"one")
    (folder / "feature_store.yaml").write_text(f"project: p\nregistry: {tmp_path}/registry.db\n")
    return folder


def test_a_plan_that_was_kept_is_found(repo: Path, tmp_path: Path) -> None:
    keep(str(repo), str(tmp_path / "runs"), [PLAN], version_of(str(repo)))

    assert kept(str(repo), str(tmp_path / "runs"), "delay_v1") == PLAN
    assert kept(str(repo), str(tmp_path / "runs"), "delay_v2") is None


@pytest.mark.parametrize("changed", ["registry.db", "repo/feature_store.yaml"])
def test_another_registry_or_configuration_needs_another_plan(repo: Path, tmp_path: Path, changed: str) -> None:
    keep(str(repo), str(tmp_path / "runs"), [PLAN], version_of(str(repo)))
    with (tmp_path / changed).open("a") as file:
        file.write("\nentity_key_serialization_version: 3\n")

    assert kept(str(repo), str(tmp_path / "runs"), "delay_v1") is None


def test_a_plan_is_not_kept_where_the_registry_has_changed_since_it_was_compiled(repo: Path, tmp_path: Path) -> None:
    before = version_of(str(repo))
    (tmp_path / "registry.db").write_bytes(b"two")

    keep(str(repo), str(tmp_path / "runs"), [PLAN], before)

    assert kept(str(repo), str(tmp_path / "runs"), "delay_v1") is None
    assert not (tmp_path / "runs").exists()


def test_a_join_keeps_no_plan_of_a_registry_that_changes_while_it_is_compiled(
    repo: Path, tmp_path: Path, by_hand: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compiled(store: Any, service: str) -> JoinPlan:
        (tmp_path / "registry.db").write_bytes(b"two")
        return PLAN

    monkeypatch.setattr(compiling, "compiled", compiled)
    monkeypatch.setattr(feast_store, "opened", lambda repo: None)
    wish = Wish(str(repo), "delay_v1", str(tmp_path / "runs"))

    assert join._planned(by_hand, wish, feast_store.Lazily(str(repo))) == PLAN
    assert kept(str(repo), str(tmp_path / "runs"), "delay_v1") is None


@pytest.mark.parametrize(
    "registry",
    [
        "{path: 's3://x', s3_endpoint_override: y}",
        "{registry_type: sql, path: 'sqlite:////r'}",
        "data/r.db",
        "/nowhere",
    ],
)
def test_where_the_registry_tells_no_version_nothing_is_kept(repo: Path, tmp_path: Path, registry: str) -> None:
    (repo / "feature_store.yaml").write_text(f"project: p\nregistry: {registry}\n")

    keep(str(repo), str(tmp_path / "runs"), [PLAN], version_of(str(repo)))

    assert kept(str(repo), str(tmp_path / "runs"), "delay_v1") is None
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("change", [{"version": 0}, {"views": [{"view": "v"}]}, {"more": 1}, None])
def test_a_plan_that_cannot_be_read_is_none(repo: Path, tmp_path: Path, change: dict[str, object] | None) -> None:
    keep(str(repo), str(tmp_path / "runs"), [PLAN], version_of(str(repo)))
    (path,) = (tmp_path / "runs" / "_air_feature_plans").iterdir()
    told = json.loads(path.read_text())
    path.write_text("{" if change is None else json.dumps({**told, **change}))

    assert kept(str(repo), str(tmp_path / "runs"), "delay_v1") is None


def test_without_storage_nothing_is_kept(repo: Path) -> None:
    keep(str(repo), None, [PLAN], version_of(str(repo)))

    assert kept(str(repo), None, "delay_v1") is None


def test_columns_are_the_services_in_its_order() -> None:
    assert PLAN.keys == ["carrier", "factor"]
    assert PLAN.names(full=False) == ["mean", "double"]
    assert PLAN.names(full=True) == ["delays__mean", "computed__double"]


def test_two_features_of_one_name_need_full_names() -> None:
    twice = JoinPlan("p", "s", "f", True, [VIEW], [], [["delays", "mean"], ["other", "mean"]])

    with pytest.raises(ConfigurationProblem, match=r"several features named mean; .*full_feature_names=True"):
        twice.names(full=False)
    assert twice.names(full=True) == ["delays__mean", "other__mean"]

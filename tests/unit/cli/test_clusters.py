"""``airflow air clusters`` without a cluster: what it says of connections, and of what is not there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from airflow import settings
from sqlalchemy import create_engine
from sqlalchemy.orm import sessionmaker

from airflow_provider_air.clusters.kuberay.marks import Marks
from airflow_provider_air.contracts.clusters import ClusterOwner
from airflow_provider_air.contracts.names import fitted
from tests.fakes.kube_api import KubeApi
from tests.fakes.ray_dashboard import FakeRayDashboard
from tests.unit.cli.conftest import Cli


def test_a_connection_shows_the_state_address_and_resources_of_its_cluster(
    cli: Cli, dashboard: FakeRayDashboard
) -> None:
    (row,) = cli.rows("clusters", "list")
    assert (row["connection"], row["state"], row["nodes"]) == ("ray_default", "ready", "1")
    assert row["address"] == dashboard.url
    assert "CPU=2 memory=8.0GiB" in row["resources"]


def test_a_connection_of_the_environment_is_listed_too(
    cli: Cli, dashboard: FakeRayDashboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_RAY_ENV", f'{{"conn_type": "ray", "host": "{dashboard.url}", "password": "no"}}')
    monkeypatch.setenv("AIRFLOW_CONN_ELSEWHERE", "http://other:80")
    rows = {row["connection"]: row for row in cli.rows("clusters", "list")}
    assert set(rows) == {"ray_default", "ray_env"}
    assert rows["ray_env"]["state"] == "misconfigured"
    assert "token" in rows["ray_env"]["message"]


def test_one_that_does_not_answer_is_unreachable_and_the_others_are_still_shown(
    cli: Cli, dashboard: FakeRayDashboard
) -> None:
    cli.add_connection("ray_gone", host="127.0.0.1", port=1)
    rows = {row["connection"]: row["state"] for row in cli.rows("clusters", "list")}
    assert rows == {"ray_default": "ready", "ray_gone": "unreachable"}


def test_a_connection_that_starts_clusters_says_so(cli: Cli) -> None:
    cli.add_connection("ray_own", extra='{"backend": "local"}')
    (row,) = cli.rows("clusters", "list")
    assert row["state"] == "on demand"


def test_a_named_local_cluster_is_found_under_the_name_that_it_is_started_with(cli: Cli) -> None:
    cli.add_connection("ray_named", extra='{"backend": "local", "cluster": {"name": "My Cluster"}}')
    (row,) = cli.rows("clusters", "list")
    assert (row["name"], row["state"]) == (fitted("My Cluster", 40), "absent")
    assert row["name"].startswith("my-cluster-")


def test_a_database_that_cannot_be_read_does_not_hide_the_clusters_of_this_host(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "Session", sessionmaker(create_engine("sqlite://")))
    args = ("clusters", "list", "-o", "json")
    assert json.loads(cli.run(*args)) == []


def put_shared(kube: KubeApi, cli: Cli, namespace: str, **more: str) -> None:
    """Have a cluster ``shared`` of ours in a namespace, and a connection that leads there and says more of it."""
    marks = Marks.of(ClusterOwner("air"), "hash", scope="global")
    kube.put("rayclusters", "shared", namespace=namespace)
    kube.resources["rayclusters", namespace, "shared"]["metadata"] |= {
        "labels": marks.labels(),
        "annotations": marks.annotations(),
    }
    config = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
        "clusters": [{"name": "k", "cluster": {"server": kube.url}}],
        "users": [{"name": "u", "user": {"token": "a-long-token-of-a-test"}}],
    }
    cli.add_connection(f"kube_{namespace}", conn_type="kubernetes", extra=json.dumps({"kube_config": config}))
    cluster = {"kubernetes_conn_id": f"kube_{namespace}", "namespace": namespace, **more}
    cli.add_connection(f"ray_{namespace}", extra=json.dumps({"backend": "kuberay", "cluster": cluster}))


def test_what_was_made_is_listed_wherever_a_connection_leads(cli: Cli) -> None:
    with KubeApi("a-long-token-of-a-test") as kube:
        put_shared(kube, cli, "team")

        rows = {row["name"]: row for row in cli.rows("clusters", "list")}

    assert (rows["shared"]["back_end"], rows["shared"]["owner"]) == ("kuberay", "air")


def test_whose_a_cluster_is_is_known_however_its_connection_has_it_reached(cli: Cli) -> None:
    with KubeApi("a-long-token-of-a-test") as kube:
        put_shared(kube, cli, "own", name="shared", dashboard_url="https://ray.example/{name}")
        rows = {row["connection"]: row for row in cli.rows("clusters", "list")}
    assert rows["ray_own"]["owner"] == "air"


def test_of_two_clusters_of_one_name_the_one_that_is_meant_is_deleted(cli: Cli) -> None:
    with KubeApi("a-long-token-of-a-test") as kube:
        put_shared(kube, cli, "dev")
        put_shared(kube, cli, "prod")
        with pytest.raises(SystemExit, match=r"2 clusters 'shared' of ours: .*namespace=dev.*namespace=prod"):
            cli.run("clusters", "delete", "shared", "--yes")
        cli.run("clusters", "delete", "shared", "--ray-conn-id", "ray_dev", "--yes")
        assert [namespace for _, namespace, _ in kube.resources] == ["prod"]


def test_show_gives_a_field_per_line(cli: Cli, dashboard: FakeRayDashboard) -> None:
    assert f"{dashboard.url}" in cli.run("clusters", "show", "ray_default", "-o", "plain")
    (facts,) = cli.rows("clusters", "show", "ray_default")
    assert (facts["state"], facts["back_end"]) == ("ready", "existing")


def test_brackets_of_a_message_survive_the_table(cli: Cli) -> None:
    cli.add_connection("ray_gone", host="127.0.0.1", port=1)
    assert "[http://127.0.0.1:1]" in cli.run("clusters", "show", "ray_gone")


@pytest.mark.parametrize("words", [("show", "nobody"), ("delete", "nobody", "--yes")])
def test_what_is_not_there_ends_with_one_line(cli: Cli, words: tuple[str, ...]) -> None:
    if words[0] == "show":
        (facts,) = cli.rows("clusters", *words)
        assert "There is no Airflow connection 'nobody'" in facts["message"]
        return
    with pytest.raises(SystemExit, match="There is no cluster 'nobody'"):
        cli.run("clusters", *words)


def test_the_manifest_of_a_connections_cluster_is_printed_as_yaml(cli: Cli, tmp_path: Path, monkeypatch: Any) -> None:
    said = {"backend": "kuberay", "cluster": {"image": "own:2.60.0", "namespace": "ray", "workers": 2}}
    cli.add_connection("ray_kube", extra=json.dumps(said))
    for words in (("ray_kube",), ("--ray-conn-id", "ray_kube")):
        resource = yaml.safe_load(cli.run("clusters", "manifest", *words))
        assert resource["kind"] == "RayCluster"
        assert resource["metadata"]["namespace"] == "ray"
        assert resource["spec"]["workerGroupSpecs"][0]["replicas"] == 2
    assert yaml.safe_load(cli.run("clusters", "manifest", "ray_kube", "--job"))["kind"] == "RayJob"
    # A manifest's relative path starts where the command does.
    (tmp_path / "own.yaml").write_text("spec: {suspend: true}")
    said["cluster"] = {"manifest": "own.yaml", "image": "own:2.60.0"}
    cli.add_connection("ray_file", extra=json.dumps(said))
    monkeypatch.chdir(tmp_path)
    assert yaml.safe_load(cli.run("clusters", "manifest", "ray_file"))["spec"]["suspend"] is True


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("ray_default",), "no manifest"),
        ((), "no manifest"),
        (("ray_wrong",), "image"),
        (("ray_nowhere",), "ray_nowhere"),
        (("a", "--ray-conn-id", "b"), "once"),
    ],
)
def test_a_manifest_that_is_not_there_or_wrong_is_said(
    cli: Cli, dashboard: FakeRayDashboard, words: tuple[str, ...], sentence: str
) -> None:
    cli.add_connection("ray_wrong", extra='{"backend": "kuberay", "cluster": {"image": ""}}')
    with pytest.raises(SystemExit, match=sentence):
        cli.run("clusters", "manifest", *words)

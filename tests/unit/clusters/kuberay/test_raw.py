"""A manifest of the author's own, from a file or over real HTTP."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import pytest
import yaml

from airflow_provider_air.clusters.kuberay.manifest import cluster_manifest
from airflow_provider_air.clusters.kuberay.marks import Marks
from airflow_provider_air.clusters.kuberay.raw import MOST_BYTES, read_manifest
from airflow_provider_air.clusters.kuberay.spec import KubeRayCluster
from airflow_provider_air.contracts.clusters import ClusterOwner
from airflow_provider_air.errors import ConfigurationError, UnavailableError
from tests.unit.clusters.kuberay.cases import RAW

PARTS = {"metadata": RAW["metadata"], "spec": RAW["spec"]}


@pytest.mark.parametrize("name", ["cluster.yaml", "folder/my cluster.json"])
def test_a_file_is_found_at_the_first_root_that_has_it(tmp_path: Path, name: str) -> None:
    roots = (tmp_path / "dags", tmp_path / "bundle")
    path = roots[1] / name
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(RAW) if name.endswith("json") else yaml.safe_dump(dict(RAW)))
    assert read_manifest(name, roots) == PARTS
    assert read_manifest(str(path), ()) == PARTS
    assert read_manifest(path.as_uri(), ()) == PARTS
    roots[0].mkdir()
    (roots[0] / name).parent.mkdir(exist_ok=True)
    (roots[0] / name).write_text("spec: {suspend: true}")
    assert read_manifest(name, roots) == {"metadata": {}, "spec": {"suspend": True}}


def test_a_spec_reads_its_file_and_stays_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "cluster.yaml").write_text(yaml.safe_dump(dict(RAW)))
    spec = KubeRayCluster(manifest="cluster.yaml")
    spec.validate()
    read = spec.from_files((tmp_path,))
    read.validate()
    assert spec.manifest == "cluster.yaml"
    marks = Marks.of(ClusterOwner("d"), "hash")
    assert cluster_manifest(read, "n", marks) == cluster_manifest(KubeRayCluster(manifest=RAW), "n", marks)
    assert read.fingerprint() == KubeRayCluster(manifest=RAW).from_files(()).fingerprint()
    assert KubeRayCluster().from_files((tmp_path,)).manifest is None


def test_a_file_that_is_not_there_is_told_with_the_places(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigurationError, match=rf"'cluster.yaml'.*{tmp_path}/a/cluster.yaml, {tmp_path}/b/cluster.yaml"
    ):
        read_manifest("cluster.yaml", (tmp_path / "a", tmp_path / "b"))
    with pytest.raises(ConfigurationError, match="no folder is known"):
        read_manifest("cluster.yaml", ())
    with pytest.raises(ConfigurationError, match="no manifest"):
        read_manifest(str(tmp_path), ())


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: [", "is no YAML"),
        ("---\na: 1\n---\nb: 2\n", "is no YAML"),
        ("just text", "no object, but str"),
        ("", "no object, but NoneType"),
        ("kind: Pod\napiVersion: v1\n", "is a Pod of v1"),
        ("spec: {}\nspce: {}\n", "no field 'spce'"),
        ("!!python/object/apply:os.system [true]", "is no YAML"),
    ],
)
def test_a_file_that_says_something_else_is_refused(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "cluster.yaml").write_text(text)
    with pytest.raises(ConfigurationError, match=sentence):
        read_manifest("cluster.yaml", (tmp_path,))


def test_a_file_that_is_no_text_or_too_large_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_manifest("cluster.yaml", (tmp_path,))
    path.write_text("#" * (MOST_BYTES + 1))
    with pytest.raises(ConfigurationError, match="larger than 1 MiB"):
        read_manifest("cluster.yaml", (tmp_path,))


class _Handler(BaseHTTPRequestHandler):
    answers: ClassVar[dict[str, tuple[int, str]]] = {
        "/cluster.yaml": (200, yaml.safe_dump(dict(RAW))),
        "/gone": (404, "gone"),
        "/busy": (429, "busy"),
        "/down": (503, "down"),
        "/large": (200, "#" * (MOST_BYTES + 1)),
    }

    def do_GET(self) -> None:
        status, text = self.answers[self.path.partition("?")[0]]
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *args: Any) -> None: ...


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    running = HTTPServer(("127.0.0.1", 0), _Handler)
    thread = Thread(target=running.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{running.server_address[1]}"
    running.shutdown()
    thread.join()
    running.server_close()


def test_a_url_is_fetched(server: str) -> None:
    assert read_manifest(f"{server}/cluster.yaml", ()) == PARTS


@pytest.mark.parametrize("path", ["busy", "down"])
def test_a_url_that_may_answer_later_is_an_outage(server: str, path: str) -> None:
    with pytest.raises(UnavailableError, match="HTTP"):
        read_manifest(f"{server}/{path}", ())


@pytest.mark.parametrize(("path", "sentence"), [("gone", "HTTP 404"), ("large", "larger than 1 MiB")])
def test_a_url_without_a_manifest_is_refused(server: str, path: str, sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        read_manifest(f"{server}/{path}", ())


def test_a_host_that_is_not_there_is_an_outage_and_no_secret_of_a_url_is_told(server: str) -> None:
    for url in (f"{server}/gone?signature=s3cret", "http://user:s3cret@127.0.0.1:1/x?sig=s3cret"):
        with pytest.raises((UnavailableError, ConfigurationError)) as caught:
            read_manifest(url, ())
        assert "s3cret" not in str(caught.value)


HEAD: dict[str, Any] = {"template": {"spec": {"containers": [{"name": "h"}]}}}


def of_group(**more: Any) -> dict[str, Any]:
    return {"headGroupSpec": HEAD, "workerGroupSpecs": [{"groupName": "w", **HEAD, **more}]}


@pytest.mark.parametrize(
    ("manifest", "words"),
    [
        ({"metadata": {"annotations": {"since": datetime.date(2026, 1, 1)}}}, "since must be text: write it in quotes"),
        ({"metadata": {"labels": {"n": 1}}}, "metadata.labels.n must be text: write it in quotes, and is int"),
        ({"spec": {"headGroupSpec": {**HEAD, "x": datetime.date(2026, 1, 1)}}}, "headGroupSpec.x is a date"),
        ({"metadata": {"labels": "x"}}, "metadata.labels must be an object"),
        ({"spec": {"headGroupSpec": [1]}}, "headGroupSpec must be an object, and is list"),
        ({"spec": {"headGroupSpec": {"template": {"spec": {"containers": "x"}}}}}, "containers must be a list"),
        (
            {"spec": {"headGroupSpec": {"template": {"spec": {"containers": ["x"]}}}}},
            r"containers\[0\] must be an object",
        ),
        ({"spec": {"workerGroupSpecs": "x"}}, "workerGroupSpecs must be a list, and is str"),
        ({"spec": {"workerGroupSpecs": ["x"]}}, r"workerGroupSpecs\[0\] must be an object"),
        ({"spec": of_group(minReplicas="one")}, r"workerGroupSpecs\[0\].minReplicas must be a whole number"),
        ({"spec": of_group(minReplicas=True)}, "minReplicas must be a whole number, and is bool"),
        ({"spec": of_group(priority="high")}, "priority must be a whole number, and is str"),
        ({"spec": {"authOptions": "token"}}, "authOptions must be an object"),
        ({"spec": {"autoscalerOptions": {"env": {"A": "1"}}}}, "autoscalerOptions.env must be a list, and is dict"),
        ({"spec": {"autoscalerOptions": {"idleTimeoutSeconds": 2.5}}}, "idleTimeoutSeconds must be a whole number"),
        ({"spec": {"gcsFaultToleranceOptions": "redis:6379"}}, "gcsFaultToleranceOptions must be an object"),
        ({"spec": {"gcsFaultToleranceOptions": {"storage": "1Gi"}}}, "storage must be an object"),
        ({"spec": {"headGroupSpec": {**HEAD, "labels": ["a"]}}}, "headGroupSpec.labels must be an object, and is list"),
        ({"spec": {"historyServerOptions": {"collectorOptions": "s3"}}}, "collectorOptions must be an object"),
        ({"spec": {"networkPolicy": {"workerGroups": ["w"]}}}, r"workerGroups\[0\] must be an object"),
        ({"spec": {"tlsOptions": True}}, "tlsOptions must be an object, and is bool"),
        ({"spec": {"upgradeStrategy": "Recreate"}}, "upgradeStrategy must be an object"),
        ({"spec": {"autoscalerOptions": "v2"}}, "autoscalerOptions must be an object"),
        ({"spec": {"rayVersion": 2.6}}, "rayVersion must be text: write it in quotes"),
        ({"spec": {"headGroupSpec": {**HEAD, "x": {1}}}}, "headGroupSpec.x is a set"),
        ({"spec": {"headGroupSpec": {**HEAD, "x": float("nan")}}}, "headGroupSpec.x is a float"),
    ],
)
def test_what_is_of_another_kind_is_told_with_its_place(manifest: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        KubeRayCluster(manifest=manifest).validate()


def test_whole_numbers_may_be_texts_as_templates_give_them() -> None:
    spec = {"autoscalerOptions": {"idleTimeoutSeconds": " 60 "}, **of_group(replicas="2", priority="0")}
    made = cluster_manifest(KubeRayCluster(manifest={"spec": spec}), "n", Marks.of(ClusterOwner("d"), "hash"))
    (group,) = made["spec"]["workerGroupSpecs"]
    assert (group["replicas"], group["priority"]) == (2, 0)
    assert made["spec"]["autoscalerOptions"]["idleTimeoutSeconds"] == 60


@pytest.mark.parametrize(
    "spec",
    [
        {"headGroupSpec": {"template": None}},
        {"headGroupSpec": {"template": {"spec": None}}},
        {"headGroupSpec": {"template": {"spec": {"containers": [{"name": "h", "resources": {"limits": None}}]}}}},
        {"workerGroupSpecs": None},
        {"enableInTreeAutoscaling": True, **of_group(minReplicas=0, maxReplicas=2, idleTimeoutSeconds=None)},
    ],
)
def test_what_is_null_is_absent_as_for_kubernetes(spec: dict[str, Any]) -> None:
    made = cluster_manifest(KubeRayCluster(manifest={"spec": spec}), "n", Marks.of(ClusterOwner("d"), "hash"))
    assert "null" not in json.dumps(made["spec"])

"""Which back ends there are, ours and others', and which cluster is meant."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_air.clusters.existing.spec import ExistingCluster
from airflow_provider_air.clusters.local.spec import LocalCluster
from airflow_provider_air.clusters.registry import ENTRY_POINTS, backend_names, build_spec, open_backend, target_of
from airflow_provider_air.contracts.clusters import ClusterRef, ClusterSpec
from airflow_provider_air.errors import AirError, ConfigurationError
from airflow_provider_air.ray_api.transport import RayConnection, Transport
from tests.fakes.connections import DictConnections
from tests.fakes.other_clusters import OtherClusters, OtherSpec

REF = ClusterRef("existing", "other", {"ray_conn_id": "other"})
MODULE = """
from airflow_provider_air.clusters.registry import ClusterKind

KIND = ClusterKind("tests.fakes.other_clusters:OtherSpec", "tests.fakes.other_clusters:OtherClusters")
BROKEN = ClusterKind("moon_clusters:Nothing", "no_such_module:Nothing")
NO_KIND = "OtherClusters"
"""


@pytest.fixture
def third_party(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another distribution, as pip would install it, with back ends of its own."""
    (tmp_path / "moon_clusters.py").write_text(MODULE)
    info = tmp_path / "moon_clusters-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: moon-clusters\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        f"[{ENTRY_POINTS}]\n"
        "other = moon_clusters:KIND\n"
        "broken = moon_clusters:BROKEN\n"
        "absent = moon_clusters:ABSENT\n"
        "no-kind = moon_clusters:NO_KIND\n"
        "local = moon_clusters:KIND\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.fixture
def connections() -> DictConnections:
    def ray(backend: str, cluster: Mapping[str, Any] | None = None, transport: Transport | None = None) -> Any:
        return RayConnection(backend, cluster or {}, transport)

    return DictConnections(
        {
            ("ray", "ray_default"): ray("existing", transport=Transport("http://default:8265")),
            ("ray", "other"): ray("existing", transport=Transport("http://other:8265")),
            ("ray", "small"): ray("local", {"name": "small", "num_cpus": 1}),
            ("ray", "wrong"): ray("local", {"num_cpus": -1}),
            ("ray", "moon"): ray("other", {"size": 2}),
        }
    )


def test_every_back_end_of_ours_opens_and_has_a_spec(connections: DictConnections) -> None:
    for name in ("existing", "kuberay", "local"):
        backend = open_backend(name, connections)
        verbs = ["name_of", "ensure", "find", "list", "describe", "watch", "extend", "delete", "facts", "jobs"]
        assert all(callable(getattr(backend, verb)) for verb in verbs)
        spec = build_spec(name, {})
        assert isinstance(spec, ClusterSpec)
        assert spec.backend == name
    assert connections.asked == []


def test_unknown_back_ends_and_fields_are_named(connections: DictConnections) -> None:
    with pytest.raises(ConfigurationError, match=r"'moon'.*existing, kuberay, local"):
        open_backend("moon", connections)
    with pytest.raises(ConfigurationError, match="gpus"):
        build_spec("local", {"gpus": 1})


@pytest.mark.usefixtures("third_party")
def test_a_back_end_of_somebody_elses_is_used_like_ours(connections: DictConnections) -> None:
    assert backend_names() == ["existing", "kuberay", "local", "absent", "broken", "no-kind", "other"]
    assert isinstance(open_backend("other", connections), OtherClusters)
    assert build_spec("other", {"size": 3}) == OtherSpec(size=3)
    assert target_of(None, "moon", connections) == OtherSpec(size=2)


@pytest.mark.usefixtures("third_party")
def test_nobody_replaces_a_back_end_of_ours() -> None:
    assert isinstance(build_spec("local", {}), LocalCluster)


@pytest.mark.usefixtures("third_party")
@pytest.mark.parametrize("name", ["broken", "absent", "no-kind"])
def test_a_back_end_that_cannot_be_imported_is_the_authors_to_fix(name: str, connections: DictConnections) -> None:
    with pytest.raises(ConfigurationError, match=name):
        open_backend(name, connections)
    with pytest.raises(ConfigurationError, match=name):
        build_spec(name, {})


def test_knowing_of_back_ends_imports_none() -> None:
    code = (
        "import sys; from airflow_provider_air.clusters.registry import backend_names, build_spec; backend_names();"
        "print([m for m in sys.modules if m.startswith('airflow_provider_air.clusters.local')"
        " or m.endswith('existing.backend')])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told.strip() == "[]"


def test_the_argument_wins_over_the_connection(connections: DictConnections) -> None:
    spec = LocalCluster(name="mine")

    assert target_of(spec, "other", connections) is spec
    assert target_of(REF, "nowhere", connections) is REF
    assert target_of(json.loads(json.dumps(REF.to_json())), "nowhere", connections) == REF
    assert connections.asked == []


def test_the_connection_is_an_address_by_default(connections: DictConnections) -> None:
    assert target_of(None, "other", connections) == ExistingCluster("other")
    assert target_of(None, None, connections) == ExistingCluster("ray_default")


def test_a_connection_moves_a_dag_to_another_back_end(connections: DictConnections) -> None:
    assert target_of(None, "small", connections) == LocalCluster(name="small", num_cpus=1)


@pytest.mark.parametrize("ray_conn_id", ["nowhere", "wrong", "", "  ", 5])
def test_a_connection_that_means_no_cluster_is_refused(ray_conn_id: Any, connections: DictConnections) -> None:
    with pytest.raises(ConfigurationError):
        target_of(None, ray_conn_id, connections)


@pytest.mark.parametrize("cluster", ["name", 5, ["a"], object(), {"rows": 3}, {}])
def test_what_is_no_cluster_is_refused(cluster: Any, connections: DictConnections) -> None:
    with pytest.raises(AirError):
        target_of(cluster, None, connections)


def test_a_spec_is_checked_before_anything_starts(connections: DictConnections) -> None:
    with pytest.raises(ConfigurationError):
        target_of(LocalCluster(num_cpus=-1), None, connections)


def test_a_reference_of_an_earlier_version_still_names_its_cluster(connections: DictConnections) -> None:
    old: dict[str, Any] = {
        "backend": "existing",
        "name": "other",
        "ray_conn_id": "other",
        "host": None,
        "details": {},
        "owned": False,
    }

    ref = target_of(old, None, connections)

    assert isinstance(ref, ClusterRef)
    assert open_backend("existing", connections).open_transport(ref).base_url == "http://other:8265"

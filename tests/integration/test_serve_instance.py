"""A real Serve with TLS, gRPC and logging of its own: what it starts with, and what a roll-out does about it later."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_air.contracts.clusters import ClusterRef
from airflow_provider_air.ray_api.client import RayClient
from airflow_provider_air.ray_api.serve import get_serve
from airflow_provider_air.ray_api.transport import Transport
from airflow_provider_air.workloads.smoke import SmokeTest
from tests.clusters import local_cluster
from tests.fakes.task_context import Supervisor, supervised
from tests.serving import deploy_operator, execute

pytestmark = [pytest.mark.integration, pytest.mark.full]

SERVICER = "ray.serve.generated.serve_pb2_grpc.add_UserDefinedServiceServicer_to_server"
LOGGING = {"log_level": "DEBUG"}

Cluster = tuple[ClusterRef, Transport]


@pytest.fixture(scope="module", autouse=True)
def supervisor() -> Iterator[None]:
    """The other end of the line that XComs and task states travel on."""
    with supervised(Supervisor()):
        yield


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Where the cluster lives, with a certificate that names no address of it."""
    folder = Path(tempfile.mkdtemp(prefix="air-", dir="/tmp"))
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=models.example"]
    subprocess.run([*command, "-keyout", "key.pem", "-out", "cert.pem"], check=True, capture_output=True, cwd=folder)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def cluster(folder: Path) -> Iterator[Cluster]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIR_LOCAL_HOME", str(folder))
        with local_cluster("instance", num_cpus=4, ttl_seconds=None, idle_timeout_seconds=None) as made:
            yield made


def wish(folder: Path, version: str, **more: Any) -> dict[str, Any]:
    application = {
        "name": "flights",
        "route_prefix": "/flights",
        "import_path": "model:build",
        "args": {"version": version},
    }
    tls = {"ssl_certfile": str(folder / "cert.pem"), "ssl_keyfile": str(folder / "key.pem")}
    instance = {"grpc_options": {"port": 0, "grpc_servicer_functions": [SERVICER]}, "logging_config": LOGGING}
    return {"applications": [application], "http_options": tls, **instance, **more}


def deploy(cluster: Cluster, config: dict[str, Any]) -> Any:
    operator = deploy_operator(cluster[0], "any", smoke_test=SmokeTest(path="?x=21", json_subset={"doubled": 42}))
    operator.config, operator.import_path, operator.args = config, None, None
    return execute(operator)


def test_a_serve_with_tls_and_grpc_of_its_own_is_rolled_out_on_and_keeps_its_options(
    cluster: Cluster, folder: Path
) -> None:
    first = deploy(cluster, wish(folder, "v1"))
    assert first["url"].startswith("https://127.0.0.1:")
    assert first["application"] == "flights"  # clients of gRPC know it by this name
    trusting = ssl.create_default_context(cafile=str(folder / "cert.pem"))
    trusting.check_hostname = False

    second = deploy(cluster, wish(folder, "v2"))

    assert (second["application"], second["changed"], second["url"]) == ("flights", True, first["url"])
    assert httpx.get(second["url"], verify=trusting, trust_env=False, timeout=60).json()["version"] == "v2"
    with RayClient(cluster[1]) as client:
        details = client.send(get_serve()).details
    assert details["applications"]["flights"]["deployed_app_config"]["logging_config"] == LOGGING
    assert details["grpc_options"]["grpc_servicer_functions"] == [SERVICER]

    others: tuple[dict[str, Any], ...] = (
        {"grpc_options": {"grpc_servicer_functions": []}},
        {"proxy_location": "HeadOnly"},
    )
    for other in others:
        with pytest.raises(AirflowFailException, match="cannot be changed"):
            deploy(cluster, wish(folder, "v3", **other))
    typo = [{"name": "Model", "autoscaling_config": {"min_replica": 1}}]
    application = {**wish(folder, "v3")["applications"][0], "deployments": typo}
    with pytest.raises(AirflowFailException, match="knows no field 'min_replica'"):
        deploy(cluster, wish(folder, "v3", applications=[application]))
    assert httpx.get(second["url"], verify=trusting, trust_env=False, timeout=60).json()["version"] == "v2"

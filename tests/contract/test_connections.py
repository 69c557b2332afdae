"""What turns ids of connections into what lower layers take must do this; a new one is a line in ``WAYS``."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import ErrorResponse

from airflow_provider_air.attachments.mlflow.server import MlflowServer
from airflow_provider_air.attachments.tecton.server import TectonServer
from airflow_provider_air.attachments.wandb.tracker import WandbSite
from airflow_provider_air.connections.airflow import AirflowConnections
from airflow_provider_air.contracts.connections import (
    AwsAccount,
    AwsCredentials,
    ConnectionFields,
    Connections,
    GoogleAccount,
    GoogleToken,
    KubernetesAccess,
    KubernetesServer,
)
from airflow_provider_air.errors import AirError, ConfigurationError, UnavailableError
from airflow_provider_air.ray_api.transport import RayConnection, Transport
from tests.fakes.connections import DictConnections, GivenAws, GivenGoogle
from tests.fakes.kube_api import GivenAccess

SECRET = "canary-of-a-connection"
KUBECONFIG = {
    "current-context": "c",
    "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u", "namespace": "ml"}}],
    "clusters": [{"name": "k", "cluster": {"server": "https://kube:6443"}}],
    "users": [{"name": "u", "user": {"token": SECRET}}],
}
# (kind, id) -> the connection as Airflow keeps it, and what it is when it is opened
OPENED: dict[tuple[str, str], tuple[dict[str, Any], Any]] = {
    ("ray", "head"): (
        {"conn_type": "ray", "host": "http://head:8265", "password": SECRET},
        RayConnection("existing", transport=Transport("http://head:8265", SECRET)),
    ),
    ("ray", "laptop"): (
        {"conn_type": "ray", "extra": {"backend": "local", "cluster": {"num_cpus": 2}}},
        RayConnection("local", {"num_cpus": 2}),
    ),
    ("mlflow", "tracking"): (
        {"conn_type": "mlflow", "host": "http://mlflow:5000", "password": SECRET},
        MlflowServer("http://mlflow:5000", token=SECRET),
    ),
    ("wandb", "site"): (
        {"conn_type": "wandb", "password": SECRET},
        WandbSite(WandbSite.base_url, WandbSite.app_url, None, SECRET),
    ),
    ("tecton", "features"): (
        {"conn_type": "tecton", "host": "https://example.tecton.ai", "password": SECRET},
        TectonServer("https://example.tecton.ai", SECRET),
    ),
    ("aws", "store"): (
        {"conn_type": "aws", "login": "AKIA", "password": SECRET, "extra": {"region_name": "eu-west-1"}},
        GivenAws("store", lambda: None, AwsCredentials("AKIA", SECRET)),
    ),
    ("google", "cloud"): (
        {"conn_type": "google_cloud_platform", "extra": {"is_anonymous": True}},
        GivenGoogle("cloud", lambda: None, GoogleToken(SECRET, 0.0)),
    ),
    ("kubernetes", "kube"): (
        {"conn_type": "kubernetes", "extra": {"kube_config": KUBECONFIG}},
        GivenAccess([KubernetesServer("https://kube:6443", {"Authorization": f"Bearer {SECRET}"}, namespace="ml")]),
    ),
    ("postgres", "other"): (
        {"conn_type": "postgres", "login": "me", "password": SECRET, "port": 5432, "extra": {"sslmode": "off"}},
        ConnectionFields("other", "postgres", None, 5432, "me", SECRET, None, {"sslmode": "off"}),
    ),
}
KINDS = {
    "ray": RayConnection,
    "mlflow": MlflowServer,
    "wandb": WandbSite,
    "tecton": TectonServer,
    "aws": AwsAccount,
    "google": GoogleAccount,
    "kubernetes": KubernetesAccess,
    "postgres": ConnectionFields,
}


class SilentLine:
    """The line to a supervisor whose api-server is away."""

    def send(self, message: Any) -> Any:
        raise AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR))


def of_airflow(patch: pytest.MonkeyPatch, *, answers: bool) -> Connections:
    for (_, conn_id), (kept, _) in OPENED.items():
        patch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(kept))
    if not answers:
        patch.setattr(task_runner, "SUPERVISOR_COMMS", SilentLine(), raising=False)
    return AirflowConnections()


def of_a_dict(patch: pytest.MonkeyPatch, *, answers: bool) -> Connections:
    given = {named: opened for named, (_, opened) in OPENED.items()}
    silence = UnavailableError("Nobody answers for the connection 'elsewhere'")
    return DictConnections(given if answers else {(kind, "elsewhere"): silence for kind in KINDS})


WAYS: dict[str, Callable[..., Connections]] = {"airflow": of_airflow, "dict": of_a_dict}


@pytest.fixture(params=WAYS)
def make(request: pytest.FixtureRequest) -> Callable[..., Connections]:
    return WAYS[request.param]


@pytest.fixture
def connections(make: Callable[..., Connections], monkeypatch: pytest.MonkeyPatch) -> Connections:
    return make(monkeypatch, answers=True)


def fields_of(opened: Any) -> Any:
    """Give what says the same of equal ones; HTTP clients of servers are never equal, nor are clients of clouds."""
    names = (
        ("conn_id",)
        if isinstance(opened, AwsAccount | GoogleAccount | KubernetesAccess)
        else ("base_url", "ui_url", "secrets")
    )
    found = {name: getattr(opened, name) for name in names if hasattr(opened, name)}
    return found or opened


def test_it_implements_the_contract(connections: Connections) -> None:
    assert isinstance(connections, Connections)


@pytest.mark.parametrize(("kind", "conn_id"), OPENED)
def test_each_kind_is_opened_as_what_lower_layers_take(connections: Connections, kind: str, conn_id: str) -> None:
    opened = connections.open(kind, conn_id)

    assert isinstance(opened, KINDS[kind])
    assert fields_of(opened) == fields_of(OPENED[kind, conn_id][1])


@pytest.mark.parametrize(("kind", "conn_id"), OPENED)
def test_it_may_be_opened_as_often_as_one_likes_and_beside_an_event_loop(
    connections: Connections, kind: str, conn_id: str
) -> None:
    async def beside() -> Any:
        return await asyncio.to_thread(connections.open, kind, conn_id)

    assert fields_of(connections.open(kind, conn_id)) == fields_of(asyncio.run(beside()))


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_absent_is_named(connections: Connections, kind: str) -> None:
    with pytest.raises(ConfigurationError, match="'elsewhere'"):
        connections.open(kind, "elsewhere")


@pytest.mark.parametrize("kind", KINDS)
def test_what_nobody_answers_for_may_come_later(
    make: Callable[..., Connections], monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    with pytest.raises(UnavailableError, match="'elsewhere'") as raised:
        make(monkeypatch, answers=False).open(kind, "elsewhere")
    assert not isinstance(raised.value, ConfigurationError)
    assert isinstance(raised.value, AirError)


@pytest.mark.parametrize(("kind", "conn_id"), OPENED)
def test_no_secret_is_shown_by_accident(connections: Connections, kind: str, conn_id: str) -> None:
    opened = connections.open(kind, conn_id)

    assert SECRET not in f"{opened!r} {opened}"


def test_an_account_leads_to_credentials(connections: Connections) -> None:
    account = connections.open("aws", "store")

    assert account.credentials() == AwsCredentials("AKIA", SECRET)
    assert SECRET not in repr(account.credentials())


def test_a_kubernetes_leads_to_its_server(connections: Connections) -> None:
    server = connections.open("kubernetes", "kube").server()

    assert server == KubernetesServer("https://kube:6443", {"Authorization": f"Bearer {SECRET}"}, namespace="ml")
    assert SECRET not in repr(server)

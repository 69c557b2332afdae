"""How connections reach those that know no Airflow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable


@dataclass(frozen=True)
class ConnectionFields:
    """
    A connection as plain data; for kinds that nobody here reads. In memory only: it holds secrets.

    :param extra: the extra as a dict
    """

    conn_id: str
    conn_type: str
    host: str | None = None
    port: int | None = None
    login: str | None = None
    password: str | None = field(default=None, repr=False)
    schema: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class AwsCredentials:
    """
    What signs requests. In memory only.

    :param token: None for keys that never expire
    :param expires_at: epoch seconds, or None where no end is known
    """

    access_key: str
    secret_key: str = field(repr=False)
    token: str | None = field(default=None, repr=False)
    expires_at: float | None = None


@runtime_checkable
class AwsAccount(Protocol):
    """
    What an ``aws`` connection opens; asks nobody before a call. Calls block.

    All raise ConfigurationError where AWS refuses the connection, UnavailableError where it does not answer.
    """

    conn_id: str

    def client(self, service: str) -> Any:
        """Give a boto3 client of a service, such as ``s3``; assumes the connection's role."""

    def region(self) -> str | None:
        """Give the region that the connection names, or else this process's own."""

    def endpoint_url(self, service: str) -> str | None:
        """Give the address of a service that the connection names, where it is not Amazon's own."""

    def credentials(self) -> AwsCredentials | None:
        """Give the credentials of a fresh session; None where the connection leads to none."""


@dataclass(frozen=True)
class GoogleToken:
    """
    An OAuth token. In memory only.

    :param expires_at: epoch seconds
    """

    token: str = field(repr=False)
    expires_at: float


@runtime_checkable
class GoogleAccount(Protocol):
    """
    What a ``google_cloud_platform`` connection opens; asks nobody before a call. Calls block.

    All raise ConfigurationError where Google refuses the connection, UnavailableError where it does not answer.
    """

    conn_id: str

    def storage_client(self) -> Any:
        """Give a ``google.cloud.storage.Client``."""

    def credentials(self) -> GoogleToken | None:
        """Give a fresh token; None where the connection leads to none that expires."""


@dataclass(frozen=True)
class KubernetesServer:
    """
    Where a kube-apiserver answers and what lets us in. In memory only: it holds secrets.

    :param url: ``http(s)://host:port[/prefix]`` without a final slash
    :param headers: what each request carries: ``Authorization``, where it is no certificate that lets us in
    :param verify: True for the system's CAs, a path for another bundle, False to accept any certificate
    :param client_certificate: paths of a certificate and its key, on this host
    :param tls_server_name: whose certificate the server shows, where that is not the address's host
    :param proxy: the address of an HTTP proxy on the way
    :param namespace: the one that the connection names, else its context, else the pod that this process runs in
    :param in_cluster: whether this process runs in a pod of that Kubernetes, and asks with the pod's service account
    :param expires_at: epoch seconds at which the token ends, or None where it does not tell
    """

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    verify: bool | str = True
    client_certificate: tuple[str, str] | None = None
    tls_server_name: str | None = None
    proxy: str | None = field(default=None, repr=False)
    namespace: str | None = None
    in_cluster: bool = False
    expires_at: float | None = None


@runtime_checkable
class KubernetesAccess(Protocol):
    """What a ``kubernetes`` connection opens; asks nobody before a call. Calls block."""

    conn_id: str

    def server(self) -> KubernetesServer:
        """
        Read the connection, the files that it names and the token anew; runs its exec plug-in, where it has one.

        :raises ConfigurationError: the connection leads to no server; the message says why
        :raises UnavailableError: what keeps the connection does not answer, or no token came
        """


@runtime_checkable
class Connections(Protocol):
    """
    Turns the id of a connection into what a lower layer takes. Blocks: workers, and threads of the triggerer.

    Airflow's connections in Airflow's processes; files and the environment for a command without Airflow.
    """

    def open(self, kind: str, conn_id: str) -> Any:
        """
        Read a connection.

        :param kind: ``ray`` gives a :class:`~airflow_provider_air.ray_api.transport.RayConnection`, ``mlflow`` a
            server, ``wandb`` a site, ``tecton`` a server, ``aws`` an :class:`AwsAccount`, ``google`` a
            :class:`GoogleAccount`, ``kubernetes`` a :class:`KubernetesAccess`; any other kind gives
            :class:`ConnectionFields`
        :raises ConfigurationError: there is none of this id, or it is malformed
        :raises MissingExtraError: what opens this kind is not installed
        :raises UnavailableError: what keeps it does not answer
        """

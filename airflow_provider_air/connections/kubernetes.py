"""
The ``kubernetes`` connection, read as Airflow's cncf.kubernetes provider reads it (10.25), by the package below it.

Not by its hook: that imports a second client (1.8 s of a core in each process), keeps what it reads for the whole
process (TLS verification, and in a pod the server and its token), and takes a connection that cannot be read now for an
empty one, and so whichever Kubernetes is nearest.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import importlib.util
import json
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk.log import mask_secret

from airflow_provider_air.addresses import check_bare
from airflow_provider_air.connections.base import extra_of, get_connection
from airflow_provider_air.connections.exec_plug_ins import fill_credentials
from airflow_provider_air.contracts.connections import KubernetesServer
from airflow_provider_air.errors import AirError, ConfigurationError, MissingExtraError, UnavailableError

if TYPE_CHECKING:
    from airflow.sdk import Connection

HINT = "Create one of type 'kubernetes'"
FIX = "Correct its kubeconfig, its context or its service account"
FILES = ("kube_config", "kube_config_path")
# What "kubernetes" (36.0) takes rather than an exec plug-in.
BEFORE_EXEC = ("auth-provider", "token", "tokenFile")
POD_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
# The package "kubernetes" (36.0) keeps the files that it makes of certificates by their content, and names one before
# it is written: of two threads, one could read an empty file.
_reading = threading.Lock()


class ConnectedKubernetes:
    """
    A :class:`~airflow_provider_air.contracts.connections.KubernetesAccess`.

    Holds nothing but the connection's id: each process and each call reads it anew, so that what was edited, rotated
    or renewed meanwhile counts, and no file of another process is needed.

    :param connection: one that is there
    :raises MissingExtraError: the cncf.kubernetes provider is not installed
    :raises ConfigurationError: its extra is malformed
    """

    def __init__(self, connection: Connection) -> None:
        try:
            is_there = importlib.util.find_spec("kubernetes") is not None
        except (ImportError, ValueError):
            is_there = False
        if not is_there:
            raise MissingExtraError("apache-airflow-providers-cncf-kubernetes", "kubernetes")
        self.conn_id = connection.conn_id
        extra_of(connection)

    def server(self) -> KubernetesServer:
        """
        Read the connection, the files that it names and the token anew; blocks.

        :raises ConfigurationError: the connection leads to no server; the message says why
        :raises UnavailableError: what keeps the connection does not answer, or no token came
        """
        fields = _Fields(extra_of(get_connection(self.conn_id, HINT)))
        where = f"connection {self.conn_id}"
        with _explained(where):
            return _server_of(fields, where)


class _Fields:
    """The extra's fields, by their present names or by those of before Airflow 2.3, as the provider reads them."""

    def __init__(self, extra: Mapping[str, Any]) -> None:
        self._extra = extra

    def get(self, name: str) -> Any:
        return (self._extra[name] if name in self._extra else self._extra.get(f"extra__kubernetes__{name}")) or None

    def is_set(self, name: str) -> bool:
        """Read a switch, also where a form or an environment variable made it a text."""
        value = self.get(name)
        return str(value).strip().lower() in ("true", "1", "yes", "on") if isinstance(value, str) else bool(value)


class _Loaded:
    """
    What a connection leads to, in a configuration of our own.

    Without one, "kubernetes" sets its process-wide default and reads it back: of two threads that open two
    connections, one could send its token to the other's server.

    :param in_cluster: it is that of the pod in which this process runs
    :param context: the chosen context of a kubeconfig, and the ``cluster`` and ``user`` that it names
    :param expires_at: when what an exec plug-in has given ends, in epoch seconds
    """

    def __init__(self, fields: _Fields, where: str) -> None:
        from kubernetes import client

        self.configuration = client.Configuration()
        self.in_cluster = False
        self.context: Mapping[str, Any] = {}
        self.cluster: Mapping[str, Any] = {}
        self.user: Mapping[str, Any] = {}
        self.expires_at: float | None = None
        self._load(fields, where)

    def _load(self, fields: _Fields, where: str) -> None:
        from kubernetes import config

        found = [
            name for name in (*FILES, "in_cluster") if (fields.is_set if name == "in_cluster" else fields.get)(name)
        ]
        if len(found) > 1:
            raise ConfigurationError(
                f"{' and '.join(map(repr, found))} exclude each other", where=where, hint="Give one"
            )
        if not found or found == ["in_cluster"]:
            try:
                with _reading:
                    config.load_incluster_config(client_configuration=self.configuration)
                self.in_cluster = True
                return
            except config.ConfigException:
                if found:
                    raise
        self._load_kubeconfig(fields, where)

    def _load_kubeconfig(self, fields: _Fields, where: str) -> None:
        from kubernetes.config import kube_config

        content = fields.get("kube_config")
        if content:
            node = kube_config.ConfigNode("kube-config", _parsed(content))
        else:
            path = fields.get("kube_config_path") or kube_config.KUBE_CONFIG_DEFAULT_LOCATION
            node = kube_config.KubeConfigMerger(path).config
            if node is None:
                raise kube_config.ConfigException(f"{path} is not there, or empty")
        loader = kube_config.KubeConfigLoader(node, fields.get("cluster_context"), config_base_path=None)
        self.context = loader.current_context["context"]
        cluster = node["clusters"].get_with_name(self.context["cluster"])["cluster"]
        self.cluster = cluster.value
        name = self.context.get("user")
        named = node["users"].get_with_name(name, safe=True) if name and node.safe_get("users") else None
        if named is not None:
            user = named["user"]
            self.user = user.value
            if "exec" in user and not any(user.safe_get(own) for own in BEFORE_EXEC):
                folder = os.path.abspath(os.path.dirname(cluster.path)) if cluster.path else ""
                # It may take its time, in which others are to read theirs.
                self.expires_at = fill_credentials(user, cluster, folder, where)
        with _reading:
            loader.load_and_set(self.configuration)


def _parsed(content: Any) -> Any:
    import yaml

    return yaml.safe_load(content) if isinstance(content, str) else content


def _server_of(fields: _Fields, where: str) -> KubernetesServer:
    loaded = _Loaded(fields, where)
    configuration = loaded.configuration
    headers = {
        # A token's file ends with a line break.
        str(setting["key"]).title(): " ".join(str(setting["value"]).split())
        for setting in configuration.auth_settings().values()
        if setting.get("in") == "header" and setting.get("value")
    }
    for value in headers.values():
        mask_secret(value)
        mask_secret(value.partition(" ")[2])
    verifies = configuration.verify_ssl and not fields.is_set("disable_verify_ssl")
    certificate, key = configuration.cert_file, configuration.key_file
    server = KubernetesServer(
        url=check_bare(str(configuration.host), "The kubeconfig's server", where=where, hint=FIX).rstrip("/"),
        headers={**headers, **_impersonation(loaded.user, where)},
        verify=(configuration.ssl_ca_cert or True) if verifies else False,
        client_certificate=(certificate, key or certificate) if certificate else None,
        tls_server_name=getattr(configuration, "tls_server_name", None) or None,
        proxy=_proxy_of(loaded),
        namespace=fields.get("namespace") or _namespace_around(loaded),
        in_cluster=loaded.in_cluster,
        expires_at=loaded.expires_at or _end_of(headers.get("Authorization", "")),
    )
    if not headers and certificate is None and server.url.startswith("https://"):
        raise UnavailableError(
            "The connection gives neither a token nor a client certificate",
            where=where,
            hint="Add a user to its kubeconfig",
        )
    return server


def _impersonation(user: Mapping[str, Any], where: str) -> dict[str, str]:
    """Give the headers by which a user acts as another one, which "kubernetes" (36.0) leaves out."""
    groups = user.get("as-groups") or []
    if len(groups) > 1 or user.get("as-user-extra"):
        raise ConfigurationError(
            "The kubeconfig's user acts with several as-groups, or as-user-extra, which is not supported",
            where=where,
            hint="Use a service account that has the rights itself",
        )
    given = {"User": user.get("as"), "Uid": user.get("as-uid"), "Group": groups[0] if groups else None}
    return {f"Impersonate-{name}": str(value) for name, value in given.items() if value}


def _proxy_of(loaded: _Loaded) -> str | None:
    from requests.utils import should_bypass_proxies

    found = loaded.cluster.get("proxy-url")  # "kubernetes" (36.0) leaves it out
    around = loaded.configuration
    if not found and not should_bypass_proxies(around.host, no_proxy=around.no_proxy or ""):
        found = around.proxy
    if not found:
        return None
    return str(found) if "://" in str(found) else f"http://{found}"


def _namespace_around(loaded: _Loaded) -> str | None:
    if loaded.in_cluster:
        return POD_NAMESPACE_FILE.read_text().strip() or None if POD_NAMESPACE_FILE.exists() else None
    return loaded.context.get("namespace") or None


def _end_of(authorization: str) -> float | None:
    """Give the end that a token names itself: those of service accounts and of OpenID do."""
    parts = authorization.rpartition(" ")[2].split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        return float(claims["exp"])
    except (binascii.Error, ValueError, KeyError, TypeError):
        return None


@contextlib.contextmanager
def _explained(where: str) -> Iterator[None]:
    try:
        yield
    except AirError:
        raise
    except Exception as error:  # "kubernetes" and YAML raise whatever a malformed kubeconfig raises
        raise ConfigurationError(
            f"The connection does not lead to a Kubernetes: {type(error).__name__}: {error}", where=where, hint=FIX
        ) from error

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
import io
import json
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk.log import mask_secret

from airflow_provider_air.connections.base import extra_of, get_connection
from airflow_provider_air.contracts.connections import KubernetesServer
from airflow_provider_air.errors import AirError, ConfigurationError, MissingExtraError, UnavailableError

if TYPE_CHECKING:
    from airflow.sdk import Connection

HINT = "Create one of type 'kubernetes'"
FIX = "Correct its kubeconfig, its context or its service account"
FILES = ("kube_config", "kube_config_path")
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
        with _reading, _explained(where):
            server = _server_of(fields, where)
        if not server.headers and server.client_certificate is None and server.url.startswith("https://"):
            # What goes wrong in an exec plug-in is written to the log by "kubernetes" (36.0), and asked without.
            raise UnavailableError(
                "The connection gives neither a token nor a client certificate",
                where=where,
                hint="The log says what its exec plug-in said, where it has one; else add a user to its kubeconfig",
            )
        return server


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


def _load(fields: _Fields, configuration: Any, where: str) -> bool:
    """
    Fill a configuration of our own; True where it is that of the pod in which this process runs.

    Without one, "kubernetes" sets its process-wide default and reads it back: of two threads that open two
    connections, one could send its token to the other's server.
    """
    from kubernetes import config

    given = [name for name in (*FILES, "in_cluster") if (fields.is_set if name == "in_cluster" else fields.get)(name)]
    if len(given) > 1:
        raise ConfigurationError(f"{' and '.join(map(repr, given))} exclude each other", where=where, hint="Give one")
    context = fields.get("cluster_context")
    if given == ["kube_config"]:
        content = fields.get("kube_config")
        config.load_kube_config_from_dict(
            _parsed(content), context=context, client_configuration=configuration, persist_config=False
        )
        return False
    if given != ["kube_config_path"]:
        try:
            config.load_incluster_config(client_configuration=configuration)
            return True
        except config.ConfigException:
            if given:
                raise
    config.load_kube_config(fields.get("kube_config_path"), context=context, client_configuration=configuration)
    return False


def _parsed(content: Any) -> Any:
    import yaml

    return yaml.safe_load(content) if isinstance(content, str) else content


def _server_of(fields: _Fields, where: str) -> KubernetesServer:
    from kubernetes import client

    configuration = client.Configuration()
    in_cluster = _load(fields, configuration, where)
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
    return KubernetesServer(
        url=str(configuration.host).rstrip("/"),
        headers=headers,
        verify=(configuration.ssl_ca_cert or True) if verifies else False,
        client_certificate=(certificate, key or certificate) if certificate else None,
        tls_server_name=getattr(configuration, "tls_server_name", None) or None,
        proxy=_proxy_of(configuration),
        namespace=fields.get("namespace") or _namespace_around(fields, in_cluster),
        in_cluster=in_cluster,
        expires_at=_end_of(headers.get("Authorization", "")),
    )


def _proxy_of(configuration: Any) -> str | None:
    from requests.utils import should_bypass_proxies

    if not configuration.proxy or should_bypass_proxies(configuration.host, no_proxy=configuration.no_proxy or ""):
        return None
    return str(configuration.proxy)


def _namespace_around(fields: _Fields, in_cluster: bool) -> str | None:
    from kubernetes import config

    if in_cluster:
        return POD_NAMESPACE_FILE.read_text().strip() or None if POD_NAMESPACE_FILE.exists() else None
    content = fields.get("kube_config")
    if isinstance(content, Mapping):
        content = json.dumps(content)
    contexts, current = config.list_kube_config_contexts(
        io.StringIO(content) if content else fields.get("kube_config_path")
    )
    wanted = fields.get("cluster_context")
    chosen = current if wanted is None else next(context for context in contexts if context["name"] == wanted)
    return chosen["context"].get("namespace") or None


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

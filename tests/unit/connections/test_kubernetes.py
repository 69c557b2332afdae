"""From a ``kubernetes`` connection to a kube-apiserver, as Airflow's own provider reads it."""

from __future__ import annotations

import base64
import json
import os
import ssl
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil
import pytest
from kubernetes import client as kubernetes_client
from kubernetes.config import incluster_config, kube_config

from airflow_provider_air.clusters.kuberay.client import KubeClient
from airflow_provider_air.connections import exec_plug_ins
from airflow_provider_air.connections import kubernetes as module
from airflow_provider_air.connections.airflow import AirflowConnections
from airflow_provider_air.contracts.connections import KubernetesAccess, KubernetesServer
from airflow_provider_air.errors import AirError, ConfigurationError, MissingExtraError, UnavailableError
from airflow_provider_air.ray_api.requests import Call
from airflow_provider_air.waiting import wait_until
from tests.unit.conftest import Connect

TOKEN = "sesame-of-kube"


def kubeconfig(user: dict[str, Any], server: str = "https://kube:6443", **cluster: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "first",
        "contexts": [
            {"name": "first", "context": {"cluster": "k", "user": "u", "namespace": "ml"}},
            {"name": "second", "context": {"cluster": "other", "user": "u"}},
        ],
        "clusters": [
            {"name": "k", "cluster": {"server": server, **cluster}},
            {"name": "other", "cluster": {"server": "https://other:6443/prefix/"}},
        ],
        "users": [{"name": "u", "user": user}],
    }


def token_until(end: float) -> str:
    claims = base64.urlsafe_b64encode(json.dumps({"exp": end}).encode()).decode().rstrip("=")
    return f"aGVhZA.{claims}.c2lnbg"


@pytest.fixture(autouse=True)
def outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pod, no proxy, no kubeconfig of whoever runs the tests."""
    for name in ("KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT", "http_proxy", "https_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def open_(connect: Connect) -> Any:
    """Open a connection with such an extra."""

    def opened(**extra: Any) -> KubernetesAccess:
        connect("kube", conn_type="kubernetes", extra=extra)
        access = AirflowConnections().open("kubernetes", "kube")
        assert isinstance(access, KubernetesAccess)
        return access

    return opened


@pytest.fixture
def pod(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder of a pod's service account, in which this process seems to run."""
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    (tmp_path / "token").write_text(TOKEN + "\n")
    (tmp_path / "ca.crt").write_text("a CA")
    (tmp_path / "namespace").write_text("team-a\n")
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(tmp_path / "ca.crt"))
    monkeypatch.setattr(module, "POD_NAMESPACE_FILE", tmp_path / "namespace")
    return tmp_path


@pytest.mark.parametrize("kept", ["object", "json", "yaml", "path"])
def test_a_kubeconfig_is_read_as_content_or_from_a_path(open_: Any, tmp_path: Path, kept: str) -> None:
    content = kubeconfig({"token": TOKEN})
    (tmp_path / "config").write_text(json.dumps(content))
    extras: dict[str, dict[str, Any]] = {
        "object": {"kube_config": content},
        "json": {"kube_config": json.dumps(content)},
        "yaml": {"kube_config": json.dumps(content, indent=2).replace("{", "{ ")},
        "path": {"kube_config_path": str(tmp_path / "config")},
    }

    server = open_(**extras[kept]).server()

    assert server == KubernetesServer("https://kube:6443", {"Authorization": f"Bearer {TOKEN}"}, namespace="ml")
    assert not server.in_cluster
    assert TOKEN not in repr(server)


def test_the_context_and_the_namespace_are_the_connections_own(open_: Any) -> None:
    content = kubeconfig({"token": TOKEN})

    other = open_(kube_config=content, cluster_context="second").server()
    assert (other.url, other.namespace) == ("https://other:6443/prefix", None)
    assert open_(kube_config=content, namespace="mine").server().namespace == "mine"
    assert open_(extra__kubernetes__kube_config=json.dumps(content)).server().url == "https://kube:6443"


@pytest.mark.parametrize(
    "extra",
    [
        {"kube_config": kubeconfig({"token": TOKEN}), "cluster_context": "third"},
        {"kube_config": "{"},
        {"kube_config": "just a text"},
        {"kube_config": {"clusters": []}},
        {"kube_config_path": "/nowhere/config"},
        {"in_cluster": True},
        {"in_cluster": True, "kube_config_path": "/nowhere/config"},
        {"kube_config": kubeconfig({"tokenFile": "/nowhere/token"})},
        {"kube_config": kubeconfig({"token": TOKEN}, "https://me:pass@kube:6443")},
        {"kube_config": kubeconfig({"client-certificate": "/nowhere/cert", "client-key": "/nowhere/key"})},
    ],
)
def test_what_leads_to_no_kubernetes_is_named(open_: Any, extra: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="connection kube"):
        open_(**extra).server()


def test_a_rotated_token_and_an_edited_connection_count_from_the_next_call(open_: Any, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("kube-token-one\n")
    access = open_(kube_config=kubeconfig({"tokenFile": str(tmp_path / "token")}))
    assert access.server().headers == {"Authorization": "Bearer kube-token-one"}

    (tmp_path / "token").write_text("kube-token-two")
    assert access.server().headers == {"Authorization": "Bearer kube-token-two"}

    open_(kube_config=kubeconfig({"token": "kube-token-three"}, "https://moved:6443"))
    assert (access.server().url, access.server().headers) == (
        "https://moved:6443",
        {"Authorization": "Bearer kube-token-three"},
    )


@pytest.mark.parametrize("extra", [{"in_cluster": True}, {}, {"in_cluster": "True"}])
def test_within_a_pod_its_service_account_is_used_and_its_token_rotates(open_: Any, pod: Path, extra: Any) -> None:
    access = open_(**extra)

    assert access.server() == KubernetesServer(
        "https://[fd00::1]:443",
        {"Authorization": f"bearer {TOKEN}"},
        verify=str(pod / "ca.crt"),
        namespace="team-a",
        in_cluster=True,
    )
    end = time.time() + 3600
    (pod / "token").write_text(token_until(end))
    assert access.server().headers == {"Authorization": f"bearer {token_until(end)}"}
    assert access.server().expires_at == end


def test_a_kubeconfig_counts_also_within_a_pod(open_: Any, pod: Path) -> None:
    server = open_(kube_config=kubeconfig({"token": TOKEN}), in_cluster="false").server()

    assert (server.url, server.namespace, server.in_cluster) == ("https://kube:6443", "ml", False)


@pytest.mark.parametrize("in_pod", [False, True])
@pytest.mark.parametrize(
    "extra",
    [
        {"kube_config": kubeconfig({"token": TOKEN})},
        {"kube_config": json.dumps(kubeconfig({"username": "me", "password": "pass"})), "cluster_context": "second"},
        {"extra__kubernetes__kube_config": json.dumps(kubeconfig({"token": TOKEN}))},
        {"kube_config": kubeconfig({"token": TOKEN}), "disable_verify_ssl": True},
        {"in_cluster": True},
        {},
    ],
)
def test_it_reads_what_the_providers_own_hook_reads(
    open_: Any, pod: Path, monkeypatch: pytest.MonkeyPatch, extra: dict[str, Any], in_pod: bool
) -> None:
    from airflow.providers.cncf.kubernetes.hooks.kubernetes import KubernetesHook

    if not in_pod:
        monkeypatch.delenv("KUBERNETES_SERVICE_HOST")
    monkeypatch.setattr(kubernetes_client.Configuration, "_default", None)
    (pod / "own").write_text(json.dumps(kubeconfig({"token": "from the default place"})))
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(pod / "own"))
    access = open_(**extra)
    try:
        theirs = KubernetesHook(conn_id="kube").get_conn().configuration
    except Exception:  # noqa: BLE001
        with pytest.raises(ConfigurationError):
            access.server()
        return

    ours = access.server()

    assert ours.url == theirs.host.rstrip("/")
    authorization = theirs.auth_settings()["BearerToken"]["value"]
    assert ours.headers == {"Authorization": " ".join(authorization.split())}
    assert ours.verify == ((theirs.ssl_ca_cert or True) if theirs.verify_ssl else False)


def test_nothing_of_one_connection_is_left_for_another(open_: Any, pod: Path) -> None:
    """The provider's hook, and "kubernetes" below it, keep what they read for the whole process."""
    open_(in_cluster=True, disable_verify_ssl=True).server()
    open_(kube_config=kubeconfig({"token": TOKEN}), disable_verify_ssl=True).server()

    assert kubernetes_client.Configuration._default is None
    assert open_(kube_config=kubeconfig({"token": TOKEN})).server().verify is True


def test_verification_is_off_only_where_it_is_said(open_: Any) -> None:
    content = kubeconfig({"token": TOKEN})

    assert open_(kube_config=content, disable_verify_ssl=True).server().verify is False
    assert open_(kube_config=content, disable_verify_ssl="true").server().verify is False
    assert open_(kube_config=content, disable_verify_ssl="false").server().verify is True
    skip: dict[str, Any] = {"insecure-skip-tls-verify": True}
    insecure = kubeconfig({"token": TOKEN}, **skip)
    assert open_(kube_config=insecure).server().verify is False


def test_a_proxy_of_the_environment_is_used_but_where_it_is_not_to_be(
    open_: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    access = open_(kube_config=kubeconfig({"token": TOKEN}))
    assert access.server().proxy == "http://proxy:3128"

    monkeypatch.setenv("NO_PROXY", "kube,localhost")
    assert access.server().proxy is None
    # A kubeconfig's own is of this one server, as kubectl has it.
    own: dict[str, Any] = {"proxy-url": "http://127.0.0.1:3129"}
    assert open_(kube_config=kubeconfig({"token": TOKEN}, **own)).server().proxy == "http://127.0.0.1:3129"


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1080", "127.0.0.1:1080", "http://[::1", "gopher://a"])
@pytest.mark.parametrize("kept", ["kubeconfig", "environment"])
def test_a_proxy_is_used_as_written_or_named(
    open_: Any, monkeypatch: pytest.MonkeyPatch, proxy: str, kept: str
) -> None:
    own = {"proxy-url": proxy} if kept == "kubeconfig" else {}
    if kept == "environment":
        monkeypatch.setenv("HTTPS_PROXY", proxy)
    access = open_(kube_config=kubeconfig({"token": TOKEN}, **own))

    with pytest.raises(AirError) as caught, KubeClient(access, patience_seconds=0.0) as kube:
        kube.send(Call("GET", "/version", lambda answer: answer))
    if proxy == "127.0.0.1:1080":
        assert isinstance(caught.value, UnavailableError)
    else:
        assert isinstance(caught.value, ConfigurationError)
        assert repr(proxy) in str(caught.value)


@pytest.mark.parametrize("proxy", ["socks5://me:pass4word@127.0.0.1:1080", "http://me:pass4word@[::1"])
def test_a_password_of_a_proxy_is_told_nobody(open_: Any, proxy: str) -> None:
    own: dict[str, Any] = {"proxy-url": proxy}

    with pytest.raises(ConfigurationError, match="The proxy cannot be used") as caught:
        KubeClient(open_(kube_config=kubeconfig({"token": TOKEN}, **own))).send(Call("GET", "/version", lambda _: None))
    assert "pass4word" not in "".join(traceback.format_exception(caught.value))


PLUGIN = """
import json, os, pathlib
counted = pathlib.Path({folder!r}, "count")
count = int(counted.read_text()) + 1 if counted.exists() else 1
counted.write_text(str(count))
status = {{"token": f"token-{{count}}", "expirationTimestamp": "2030-01-01T00:00:00Z"}}
print(json.dumps({{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}}))
"""


def plugin(script: Path) -> dict[str, Any]:
    version = "client.authentication.k8s.io/v1"
    command = {"apiVersion": version, "command": sys.executable, "args": [str(script)], "interactiveMode": "Never"}
    return {"exec": command}


def test_an_exec_plug_in_gives_a_token_at_each_call(open_: Any, tmp_path: Path) -> None:
    (tmp_path / "plugin.py").write_text(PLUGIN.format(folder=str(tmp_path)))
    access = open_(kube_config=kubeconfig(plugin(tmp_path / "plugin.py")))

    assert access.server().headers == {"Authorization": "Bearer token-1"}
    assert access.server().headers == {"Authorization": "Bearer token-2"}


def test_an_exec_plug_in_that_fails_is_an_outage_and_nobody_asks_without_a_token(open_: Any, tmp_path: Path) -> None:
    (tmp_path / "plugin.py").write_text("raise SystemExit('the cloud is away')")

    with pytest.raises(UnavailableError, match=r"exec plug-in .*\. the cloud is away"):
        open_(kube_config=kubeconfig(plugin(tmp_path / "plugin.py"))).server()
    assert open_(kube_config=kubeconfig({}, "http://127.0.0.1:8001")).server().headers == {}
    with pytest.raises(UnavailableError, match="neither a token"):
        open_(kube_config=kubeconfig({})).server()


@pytest.mark.parametrize(
    ("status", "told"),
    [
        ("{}", "neither a token nor"),
        ('{"clientCertificateData": "cert"}', "neither a token nor"),
        ("[]", "neither a token nor"),
        ("5", "failed"),
        ("what", "failed"),
    ],
)
def test_an_exec_plug_in_that_gives_nothing_is_an_outage(open_: Any, tmp_path: Path, status: str, told: str) -> None:
    head = '{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": '
    (tmp_path / "plugin.py").write_text(f"print({head + status + '}'!r})")

    with pytest.raises(UnavailableError, match=told):
        open_(kube_config=kubeconfig(plugin(tmp_path / "plugin.py"))).server()


def test_an_exec_plug_in_that_is_not_there_is_named(open_: Any) -> None:
    exec_: dict[str, Any] = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "no-such-plug-in"}}

    with pytest.raises(ConfigurationError, match="'no-such-plug-in' of the kubeconfig is not on this host"):
        open_(kube_config=kubeconfig(exec_)).server()


# Its child holds its output open, as a helper of a cloud's command line does.
HANGING = """
import pathlib, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
pathlib.Path({place!r}).write_text(str(child.pid))
time.sleep(600)
"""


def test_an_exec_plug_in_that_hangs_ends_after_a_while_with_all_it_has_started_and_others_do_not_wait(
    connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exec_plug_ins, "PATIENCE_SECONDS", 6.0)
    (tmp_path / "plugin.py").write_text(HANGING.format(place=str(tmp_path / "child")))
    connect("slow", conn_type="kubernetes", extra={"kube_config": kubeconfig(plugin(tmp_path / "plugin.py"))})
    connect("good", conn_type="kubernetes", extra={"kube_config": kubeconfig({"token": TOKEN})})
    slow, good = (AirflowConnections().open("kubernetes", name) for name in ("slow", "good"))

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(slow.server)
        assert good.server().headers == {"Authorization": f"Bearer {TOKEN}"}
        assert not waiting.done()
        with pytest.raises(UnavailableError, match="it did not end within 6 s"):
            waiting.result(timeout=60)
    child = int((tmp_path / "child").read_text())
    wait_until(lambda: not psutil.pid_exists(child) or None, what="the plug-in's child ends", timeout_seconds=60)


def test_an_exec_plug_in_beside_its_kubeconfig_gives_what_ends(open_: Any, tmp_path: Path) -> None:
    script = tmp_path / "give-token"
    script.write_text(f"#!{sys.executable}\n" + PLUGIN.format(folder=str(tmp_path)))
    script.chmod(0o755)
    exec_: dict[str, Any] = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "./give-token"}}
    (tmp_path / "config").write_text(json.dumps(kubeconfig(exec_)))

    server = open_(kube_config_path=str(tmp_path / "config")).server()

    assert server.headers == {"Authorization": "Bearer token-1"}
    assert server.expires_at == 1893456000.0


def test_a_token_that_stands_there_counts_rather_than_an_exec_plug_in(open_: Any) -> None:
    user = {"token": TOKEN, "exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "no-such-plug-in"}}

    assert open_(kube_config=kubeconfig(user)).server().headers == {"Authorization": f"Bearer {TOKEN}"}


def test_a_user_may_act_as_another_one(open_: Any) -> None:
    user: dict[str, Any] = {"token": TOKEN, "as": "robot", "as-groups": ["ml"]}

    headers = open_(kube_config=kubeconfig(user)).server().headers

    assert headers == {
        "Authorization": f"Bearer {TOKEN}",
        "Impersonate-User": "robot",
        "Impersonate-Group": "ml",
    }
    with pytest.raises(ConfigurationError, match="several as-groups"):
        open_(kube_config=kubeconfig({**user, "as-groups": ["ml", "ops"]})).server()
    with pytest.raises(UnavailableError, match="neither a token"):
        open_(kube_config=kubeconfig({"as": "robot"})).server()


def test_tokens_and_passwords_are_masked_in_logs(open_: Any) -> None:
    from airflow.sdk.log import redact  # type: ignore[attr-defined]  # public, but not in __all__ (3.3.2)

    open_(kube_config=kubeconfig({"token": "open-sesame-of-kube"})).server()
    assert "sesame" not in redact("Authorization: open-sesame-of-kube", "value")


def test_a_user_with_a_password_is_let_in_by_it(open_: Any) -> None:
    server = open_(kube_config=kubeconfig({"username": "me", "password": "pass word"})).server()

    assert server.headers == {"Authorization": "Basic " + base64.b64encode(b"me:pass word").decode()}


def test_without_the_provider_the_extra_is_named(open_: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kubernetes", None)

    with pytest.raises(MissingExtraError, match=r"airflow-provider-air\[kubernetes\]"):
        open_(in_cluster=True)


@pytest.fixture
def https(authority: Path) -> Iterator[str]:
    """A server with TLS that says who asks: the client certificate's name, or the header."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            certificate = self.connection.getpeercert()
            names = dict(pair for entry in (certificate or {}).get("subject", ()) for pair in entry)
            told = {"by": names.get("commonName") or self.headers.get("Authorization")}
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(told).encode())

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / "cert.pem", authority / "key.pem")
    context.load_verify_locations(authority / "ca.pem")
    context.verify_mode = ssl.CERT_OPTIONAL
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield f"https://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def data(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def asked(access: KubernetesAccess) -> Any:
    with KubeClient(access, patience_seconds=0.0) as kube:
        return kube.send(Call("GET", "/version", lambda answer: answer.json()))["by"]


def test_authorities_and_client_certificates_are_taken_from_the_kubeconfig(
    open_: Any, https: str, authority: Path
) -> None:
    ca = {"certificate-authority-data": data(authority / "ca.pem")}
    certificate = {
        "client-certificate-data": data(authority / "cert.pem"),
        "client-key-data": data(authority / "key.pem"),
    }

    assert asked(open_(kube_config=kubeconfig(certificate, https, **ca))) == "127.0.0.1"
    assert asked(open_(kube_config=kubeconfig({"token": TOKEN}, https, **ca))) == f"Bearer {TOKEN}"
    with pytest.raises(ConfigurationError, match="kubernetes connection's kubeconfig"):
        asked(open_(kube_config=kubeconfig({"token": TOKEN}, https)))


def test_a_server_may_show_another_name_where_the_kubeconfig_says_so(open_: Any, https: str, authority: Path) -> None:
    ca = {"certificate-authority": str(authority / "ca.pem")}
    by_name = https.replace("127.0.0.1", "localhost")

    with pytest.raises(ConfigurationError, match="not trusted"):
        asked(open_(kube_config=kubeconfig({"token": TOKEN}, by_name, **ca)))
    named = {**ca, "tls-server-name": "127.0.0.1"}
    assert asked(open_(kube_config=kubeconfig({"token": TOKEN}, by_name, **named))) == f"Bearer {TOKEN}"


def test_many_threads_read_many_connections_and_none_gets_anothers(connect: Connect, authority: Path) -> None:
    names = [f"kube{number}" for number in range(8)]
    for name in names:
        content = kubeconfig(
            {"token": f"token-of-{name}"},
            f"https://{name}:6443",
            **{"certificate-authority-data": base64.b64encode((data(authority / "ca.pem") + name).encode()).decode()},
        )
        connect(name, conn_type="kubernetes", extra={"kube_config": content})

    def read(name: str) -> tuple[KubernetesServer, str]:
        server = AirflowConnections().open("kubernetes", name).server()
        return server, Path(str(server.verify)).read_text()

    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(read, names * 4))

    for name, (server, ca) in zip(names * 4, found, strict=True):
        assert server.url == f"https://{name}:6443"
        assert server.headers == {"Authorization": f"Bearer token-of-{name}"}
        assert ca.endswith(name)


def test_a_file_of_a_certificate_that_was_cleaned_away_is_written_again(open_: Any, authority: Path) -> None:
    content = kubeconfig({"token": TOKEN}, **{"certificate-authority-data": data(authority / "ca.pem")})
    access = open_(kube_config=content)
    os.remove(str(access.server().verify))

    assert Path(str(access.server().verify)).read_bytes() == (authority / "ca.pem").read_bytes()

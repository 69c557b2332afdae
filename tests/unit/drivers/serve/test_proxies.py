"""Serve's proxies over real TLS: known by Serve's own certificate, whatever they are called."""

from __future__ import annotations

import subprocess
import urllib.error
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_air.drivers.serve import blue_green, in_place
from airflow_provider_air.drivers.serve.proxies import Proxies, scheme_of, urls_of
from airflow_provider_air.drivers.wire.problems import ConfigurationProblem
from tests.fakes.serve import FakeServe
from tests.unit.drivers.serve.conftest import Make, application

TEST = {"expected_status": 200, "json_subset": {"good": True}}


def openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two certificates of one authority, with its own behind each, as a chain."""
    folder = tmp_path_factory.mktemp("tls")
    new = ("-newkey", "rsa:2048", "-nodes")
    openssl(folder, "req", "-x509", *new, "-days", "2", "-subj", "/CN=CA", "-keyout", "ca.key", "-out", "ca.pem")
    for name in ("serve", "stranger"):
        openssl(folder, "req", *new, "-subj", f"/CN={name}.example.com", "-keyout", f"{name}.key", "-out", "csr")
        signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2")
        openssl(folder, "x509", "-req", "-in", "csr", *signed, "-out", "own.pem")
        chain = (folder / "own.pem").read_text() + (folder / "ca.pem").read_text()
        (folder / f"{name}.pem").write_text("What openssl says of it\n" + chain)
    return folder


def pair(folder: Path, name: str) -> tuple[str, str]:
    return str(folder / f"{name}.pem"), str(folder / f"{name}.key")


@pytest.mark.parametrize("strategy", [blue_green.deploy, in_place.deploy])
def test_a_roll_out_behind_tls_is_tested_watched_and_told_by_https(make: Make, folder: Path, strategy: Any) -> None:
    with FakeServe(certificate=pair(folder, "serve")) as serve:
        rollout = make(serve, smoke_tests={"flights": TEST})
        result = strategy(rollout, [application(1)])
    assert result["http_scheme"] == "https"
    assert result["applications"]["flights"]["url"] == f"https://127.0.0.1:{result['http_port']}/flights"


def test_a_proxy_with_another_certificate_of_the_same_authority_is_not_serves(folder: Path) -> None:
    with FakeServe(certificate=pair(folder, "stranger")) as serve:
        serve.started = True
        details = serve.serve()
        certificate, key = pair(folder, "serve")
        details["http_options"] |= {"ssl_certfile": certificate, "ssl_keyfile": key}
        proxies = Proxies(details)
        (url,) = proxies.urls.values()
        with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
            proxies.http.open(f"{url}/-/routes")
        assert proxies.routes(url) is None


def test_a_certificate_that_is_not_on_this_node_is_told(make: Make, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("")
    for path in (tmp_path / "nowhere.pem", tmp_path / "empty.pem"):
        with pytest.raises(ConfigurationProblem, match="put the file on each node"):
            Proxies({"http_options": {"ssl_certfile": str(path), "ssl_keyfile": "k"}})

    with FakeServe(certificate=pair(folder, "serve")) as serve:
        serve.options = {"http_options": {**serve.tls, "ssl_certfile": str(tmp_path / "nowhere.pem")}}
        rollout = make(serve)
        in_place.deploy(rollout, [application(1)])  # the route is not checked, and nothing else is amiss
    assert "the proxies have the route is not checked" in Path(rollout.run.records.path).read_text()


def test_addresses_are_those_of_healthy_proxies() -> None:
    proxies = {"a": {"status": "HEALTHY", "node_ip": "fd00::1"}, "b": {"status": "STARTING", "node_ip": "10.0.0.2"}}
    assert urls_of({"proxies": proxies}) == {"a": "http://[fd00::1]:8000"}
    assert urls_of({"proxies": proxies, "http_options": {"host": "h", "port": 1}}) == {"a": "http://h:1"}
    assert scheme_of({"ssl_keyfile": "k"}) == "http"

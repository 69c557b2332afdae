from __future__ import annotations

import dataclasses
import socket
from pathlib import Path

from airflow_provider_air.clusters.local.head import (
    PORT_OPTIONS,
    PORT_VARIABLES,
    choose_ports,
    clean_environment,
    explain_death,
    head_command,
    head_environment,
    port_is_free,
    spec_to_json,
)
from airflow_provider_air.clusters.local.home import ClusterHome, ClusterRecord
from airflow_provider_air.clusters.local.spec import LocalCluster

HOME = ClusterHome(Path("/tmp/air-0/12345678"))
PORTS = {use: 20000 + number for number, use in enumerate([*PORT_OPTIONS, *PORT_VARIABLES])}


def record(spec: LocalCluster) -> ClusterRecord:
    return ClusterRecord(
        name="a", host="h", fingerprint="f", spec=spec_to_json(spec), owner={}, ports=PORTS, created_at=0.0
    )


def test_everything_that_listens_gets_a_port_of_its_own() -> None:
    ports = choose_ports(set())
    assert ports.keys() == {*PORT_OPTIONS, *PORT_VARIABLES}
    assert len(set(ports.values())) == len(ports)


def test_ports_that_are_taken_or_promised_are_not_chosen() -> None:
    promised = set(range(20000, 31900))
    with socket.socket() as listener:
        taken = next(port for port in range(31950, 32000) if is_bound(listener, port))
        listener.listen()
        assert not port_is_free(taken)
        assert not {*promised, taken} & set(choose_ports(promised).values())


def is_bound(listener: socket.socket, port: int) -> bool:
    """Take a port, unless somebody else on this host has it."""
    try:
        listener.bind(("127.0.0.1", port))
    except OSError:
        return False
    return True


def test_the_command_names_every_port_and_keeps_ray_in_the_folder() -> None:
    command = head_command(record(LocalCluster()), HOME)
    assert {f"{option}={PORTS[use]}" for use, option in PORT_OPTIONS.items()} <= set(command)
    assert f"--temp-dir={HOME.ray_folder}" in command
    assert not any(part.startswith(("--num-cpus", "--num-gpus", "--resources")) for part in command)


def test_the_command_carries_the_spec() -> None:
    spec = LocalCluster(num_cpus=0, num_gpus=1, object_store_memory_bytes=10**8, resources={"worker": 1})
    command = head_command(record(dataclasses.replace(spec, python="/opt/bin/python")), HOME)
    assert command[0] == "/opt/bin/python"
    assert command[-4:] == [
        "--num-cpus=0",
        "--num-gpus=1",
        "--object-store-memory=100000000",
        '--resources={"worker": 1}',
    ]


def test_a_head_does_not_inherit_what_its_starter_knows() -> None:
    inherited = {
        "AIRFLOW_CONN_DB": "secret",
        "AIRFLOW__CORE__FERNET_KEY": "secret",
        "RAY_ADDRESS": "ray://elsewhere:10001",
        "RAY_AUTH_TOKEN": "of another cluster",
        "HOME": "/root",
    }
    assert clean_environment(inherited) == {"HOME": "/root"}


SECRETS = {
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_PROFILE": "prod",
    "GOOGLE_APPLICATION_CREDENTIALS": "/key.json",
    "DATABASE_URL": "postgres://me:secret@db",
    "PGPASSWORD": "secret",
    "VAULT_TOKEN": "secret",
    "MLFLOW_TRACKING_PASSWORD": "secret",
    "AIRFLOW__CORE__FERNET_KEY": "secret",
    "https_proxy": "http://me:secret@proxy:3128",
    "HTTP_PROXY": "me:secret@proxy:3128",
    "PIP_EXTRA_INDEX_URL": "https://pypi.org/simple https://secret@index.example.com/simple",
}
NEEDED = {
    "PATH": "/usr/bin:/home/me@work/bin",
    "LANG": "de_DE.UTF-8@euro",
    "LC_ALL": "C",
    "PYTHONPATH": "/code",
    "LD_LIBRARY_PATH": "/usr/lib/cuda",
    "CUDA_VISIBLE_DEVICES": "0",
    "NVIDIA_VISIBLE_DEVICES": "all",
    "SSL_CERT_FILE": "/ca.pem",
    "HTTPS_PROXY": "http://proxy:3128",
    "NO_PROXY": "localhost,.example.com",
    "PIP_INDEX_URL": "https://index.example.com/simple",
}


def test_a_head_inherits_what_it_needs_and_no_secrets_of_the_worker() -> None:
    assert clean_environment({**NEEDED, **SECRETS}) == NEEDED


def test_what_is_asked_for_comes_along_but_never_airflows() -> None:
    spec = LocalCluster(pass_env=("AWS_*", "PGPASSWORD", "A*"))

    environment = head_environment(record(spec), HOME, {**NEEDED, **SECRETS})

    assert {name for name in SECRETS if name in environment} == {"AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "PGPASSWORD"}


def test_a_head_has_its_own_token_address_and_interpreter() -> None:
    spec = LocalCluster(python="/opt/ray/bin/python", env_vars={"A": "1", "RAY_USAGE_STATS_ENABLED": "1"})
    environment = head_environment(record(spec), HOME, {"PATH": "/usr/bin", "RAY_AUTH_MODE": "disabled"})
    assert environment["PATH"] == "/opt/ray/bin:/usr/bin"
    assert environment["RAY_AUTH_MODE"] == "token"
    assert environment["RAY_AUTH_TOKEN_PATH"] == str(HOME.token_file)
    assert environment["RAY_ADDRESS"] == f"127.0.0.1:{PORTS['gcs']}"
    assert environment["DASHBOARD_METRIC_PORT"] == str(PORTS["dashboard_metrics"])
    assert environment["AIR_LOCAL_CLUSTER"] == str(HOME.folder)
    assert (environment["A"], environment["RAY_USAGE_STATS_ENABLED"]) == ("1", "1")


def test_the_reason_of_a_death_is_the_last_error_without_its_traceback() -> None:
    log = "Local node IP: x\nTraceback (most recent call last):\n  File\n\x1b[31mValueError: too much\x1b[0m\n"
    assert explain_death(log, 1) == "ValueError: too much"


def test_a_subprocess_that_ended_is_named() -> None:
    log = "fine\nSome Ray subprocesses exited unexpectedly:\n  raylet [exit code=-9]\n\nRemaining processes..."
    assert "raylet [exit code=-9]" in explain_death(log, 1)


def test_without_an_error_the_reason_is_the_signal_or_the_last_lines() -> None:
    log = "\n".join(f"line {number}" for number in range(9))
    assert explain_death(log, -9) == "it was killed by SIGKILL"
    assert explain_death(log, 1) == "line 6\nline 7\nline 8"
    assert explain_death("", 1) == "it said nothing"

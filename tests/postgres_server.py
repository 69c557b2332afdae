"""A real Postgres on loopback, of a test's own: in a folder of its own, on a free port, gone afterwards."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
from airflow_stack import held_port

USER = "feast"
# Debian keeps them out of PATH.
BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
# Not UTC, so that a time that loses its zone on the way is seen.
TIME_ZONE = "America/New_York"


def initdb() -> str | None:
    """Find the program that makes a cluster, or None where there is no Postgres."""
    return str(BINARIES[-1]) if BINARIES else shutil.which("initdb")


@contextlib.contextmanager
def postgres_server() -> Iterator[int]:
    """Give the port of a server whose user is :data:`USER`, without a password."""
    program = initdb()
    assert program, "there is no Postgres here"
    # Postgres refuses root, and its own user does not see into the folders that pytest makes.
    folder = tempfile.mkdtemp(prefix="air-postgres-")
    other: dict[str, Any] = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.getuid() == 0 else {}
    if other:
        shutil.chown(folder, "postgres", "postgres")
    options: dict[str, Any] = {"cwd": folder, "stdout": subprocess.DEVNULL, **other}
    make = [program, "-D", f"{folder}/data", "-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
    settings = ("listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off", f"timezone={TIME_ZONE}")
    serve = [str(Path(program).parent / "postgres"), "-D", f"{folder}/data", *(f"--{each}" for each in settings)]
    try:
        subprocess.run(make, check=True, timeout=300, **options)
        with held_port() as port:
            with open(f"{folder}/log", "w") as log:
                server = subprocess.Popen([*serve, "-p", str(port)], stderr=log, **options)
            try:
                _await(server, port, Path(folder, "log"))
                yield port
            finally:
                server.send_signal(signal.SIGINT)  # ends the sessions that are still open
                server.wait(60)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def connect(port: int) -> psycopg.Connection[Any]:
    """Open a connection that commits each statement."""
    return psycopg.connect(host="127.0.0.1", port=port, user=USER, dbname="postgres", autocommit=True)


def _await(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    end = time.monotonic() + 180
    while True:
        try:
            connect(port).close()
        except psycopg.OperationalError:
            assert server.poll() is None, log.read_text()[-3000:]
            assert time.monotonic() < end, log.read_text()[-3000:]
            time.sleep(0.1)
        else:
            return

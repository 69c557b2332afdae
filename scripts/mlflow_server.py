"""A real MLflow tracking server on loopback, for the demo and the tests, with a database and a folder of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
from airflow_stack import held_port

START_SECONDS = 400.0


@contextlib.contextmanager
def mlflow_server(admin_password: str | None = None) -> Iterator[str]:
    """
    Give the address of a server that answers; its processes and files are gone afterwards.

    :param admin_password: with it, the server wants basic authentication, and knows the user ``admin``
    :raises RuntimeError: it ended or does not answer; the message ends with its log
    """
    # It takes its port some ten seconds after its start.
    with held_port() as port, _server_on(port, admin_password) as url:
        yield url


@contextlib.contextmanager
def _server_on(port: int, admin_password: str | None) -> Iterator[str]:
    folder = Path(tempfile.mkdtemp(prefix="air-mlflow-"))
    command = [
        *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
        *("--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "artifacts")),
    ]
    if admin_password is not None:
        command += ["--app-name", "basic-auth"]
    # Its GenAI job consumers would be seven more processes.
    env = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    if admin_password is not None:
        env |= {"MLFLOW_AUTH_ADMIN_PASSWORD": admin_password, "MLFLOW_FLASK_SERVER_SECRET_KEY": admin_password}
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            command, env=env, cwd=folder, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        url = f"http://127.0.0.1:{port}"
        end = time.monotonic() + START_SECONDS
        while not _answers(url):
            said = (folder / "server.log").read_text(errors="replace")[-3000:]
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"the MLflow server ended, or does not answer: {said}")
            time.sleep(0.2)
        yield url
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=5, trust_env=False).is_success
    except httpx.TransportError:
        return False

"""A whole Airflow on loopback, for the demo and the end-to-end tests: real components, one temporary home."""

from __future__ import annotations

import base64
import contextlib
import ctypes
import json
import os
import random
import secrets
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil
from airflow_api import AirflowApi, wait_for

from airflow_provider_air.clusters.local.head import port_is_free

COMPONENTS = ("api-server", "scheduler", "dag-processor", "triggerer")
# What /monitor/health calls the component.
HEALTH_KEYS = {"scheduler": "scheduler", "dag-processor": "dag_processor", "triggerer": "triggerer"}
PR_SET_PDEATHSIG = 1
DATABASE = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"
# How long SQLite waits for a lock. A triggerer that gets none ends, so it waits long. The API server audits calls on
# its event loop (3.3.2), maybe waiting there for a commit that needs the loop: it gives up soon, and is asked again.
LOCK_SECONDS, API_LOCK_SECONDS = 60, 2
# Below those of local Ray heads and the kernel's ephemeral ones, so that a port is still free for who binds it later.
PORTS = range(12000, 20000)
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


class StackError(RuntimeError):
    """A component did not start, or died; the message ends with the last lines of its log."""


@dataclass
class Component:
    """One process of Airflow with its children: the leader of its own session."""

    name: str
    process: subprocess.Popen[bytes]
    log_path: Path

    def tail(self, lines: int = 40) -> str:
        """Give the last lines the component printed."""
        return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-lines:])

    def members(self) -> list[psutil.Process]:
        """Give every process of the component's session, orphans included, that is still there."""
        return [process for process in psutil.process_iter() if _session_of(process.pid) == self.process.pid]


class AirflowStack:
    """
    Airflow's API server, scheduler (LocalExecutor), DAG processor and triggerer, each its own session.

    A context manager: leaving it ends every process it started, tasks included, and removes the home.
    Should the calling process die, the components are told to end (on Linux). Ray clusters that tasks
    start are theirs, not the stack's: give ``AIR_LOCAL_HOME`` in ``env`` and delete them by the provider.

    :param dags: the folder of DAG files; parsed anew within seconds of a change
    :param env: more environment variables for all components
    :param connections: Airflow connections by id: a URI, or a dict as Airflow's JSON form
    :param parallelism: how many tasks run at once
    :param template_db: where to keep a migrated database, to save the next stack 15 s
    :param home: AIRFLOW_HOME; a short temporary folder if not given, and only then removed
    """

    def __init__(
        self,
        dags: Path,
        *,
        env: Mapping[str, str] | None = None,
        connections: Mapping[str, str | dict[str, Any]] | None = None,
        parallelism: int = 4,
        template_db: Path | None = None,
        home: Path | None = None,
    ) -> None:
        self._owns_home = home is None
        self.home = home or Path(tempfile.mkdtemp(prefix="air-"))
        self.home.mkdir(parents=True, exist_ok=True)
        self.components: dict[str, Component] = {}
        self._ended: list[Component] = []
        self._template_db = template_db
        api_port, worker_log_port, trigger_log_port = free_ports(3)
        self.base_url = f"http://127.0.0.1:{api_port}"
        self.api = AirflowApi(self.base_url)
        self.env = _environment(self.home, dags.resolve(), self.base_url, api_port, parallelism) | {
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(worker_log_port),
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(trigger_log_port),
        }
        for conn_id, value in (connections or {}).items():
            text = value if isinstance(value, str) else json.dumps(value)
            self.env[f"AIRFLOW_CONN_{conn_id.upper()}"] = text
        self.env |= env or {}

    def __enter__(self) -> AirflowStack:
        try:
            self.migrate()
            for name in COMPONENTS:
                self.start(name)
            self.wait_healthy()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def wait_healthy(self, timeout_seconds: float = 180) -> None:
        """
        Wait until the API server answers and every started kind of component has beaten its heart.

        :raises StackError: a component died instead
        """
        wanted = {HEALTH_KEYS[kind] for kind in map(_kind, self.components) if kind in HEALTH_KEYS}

        def healthy(health: dict[str, dict[str, Any]]) -> bool:
            self.check_alive()
            return bool(health) and all(health[key]["status"] == "healthy" for key in wanted)

        wait_for(self.api.health, healthy, "all components are healthy", timeout_seconds)

    def check_alive(self) -> None:
        """
        Look whether every component that should run does.

        :raises StackError: one has ended
        """
        for component in self.components.values():
            code = component.process.poll()
            if code is not None:
                tail = component.tail()
                raise StackError(f"airflow {component.name} ended with exit code {code}:\n{tail}")

    def start(self, name: str, *, extra_env: Mapping[str, str] | None = None, within: Sequence[str] = ()) -> Component:
        """
        Start a component by the name of its command; ``triggerer-2`` is one more triggerer.

        :param within: a command that runs it, with the component's own command as its last arguments
        """
        if name in self.components:
            raise StackError(f"{name} is running already; kill or restart it")
        log_path = self.home / f"{name}.log"
        arguments = ["--workers", "1"] if name == "api-server" else []
        with log_path.open("ab") as log:
            process = subprocess.Popen(
                [*within, sys.executable, "-m", "airflow", _kind(name), *arguments],
                env=self.env | self._database_of(name) | dict(extra_env or {}),
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_end_with_parent,
            )
        component = Component(name, process, log_path)
        self.components[name] = component
        return component

    def _database_of(self, name: str) -> dict[str, str]:
        key, slow, quick = DATABASE, f"timeout={LOCK_SECONDS}", f"timeout={API_LOCK_SECONDS}"
        return {key: self.env[key].replace(slow, quick)} if name == "api-server" else {}

    def add_triggerer(self) -> str:
        """Start one more triggerer, wait for its heartbeat and return its name, for :meth:`kill`."""
        numbers = (number for number in range(2, 100) if f"triggerer-{number}" not in self.components)
        name = f"triggerer-{next(numbers)}"
        (port,) = free_ports(1)
        before = len(self._live_triggerers())
        self.start(name, extra_env={"AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(port)})
        wait_for(lambda: len(self._live_triggerers()), lambda n: n > before, f"{name} runs", 120)
        return name

    def kill(self, name: str, sig: int = signal.SIGKILL, timeout_seconds: float = 60) -> None:
        """
        Send a signal to a component, and return when it has ended.

        SIGKILL hits all its processes at once, running tasks of a scheduler included, like a machine that
        is gone; any other signal goes to the component's main process, like a redeployment.
        """
        component = self.components.pop(name)
        self._ended.append(component)
        if sig == signal.SIGKILL:
            _kill_members(component)
        else:
            component.process.send_signal(sig)
        component.process.wait(timeout_seconds)

    def restart(self, name: str, sig: int = signal.SIGTERM) -> None:
        """End a component with this signal unless it has ended, start it anew, wait for its heartbeat."""
        if name in self.components:
            self.kill(name, sig)
        since = time.time()
        self.start(name)
        key = HEALTH_KEYS.get(_kind(name))

        def beating(health: dict[str, dict[str, Any]]) -> bool:
            self.check_alive()
            return bool(health) and (key is None or _last_beat(health[key]) >= since)

        wait_for(self.api.health, beating, f"the new {name} is healthy", 180)

    def pids(self) -> dict[str, int]:
        """Give the main process of each running component."""
        return {name: component.process.pid for name, component in self.components.items()}

    def stop(self, timeout_seconds: float = 5) -> None:
        """End everything that was started, politely at first, and remove the home. May be repeated."""
        running = list(self.components.values())
        for component in running:
            component.process.send_signal(signal.SIGTERM)
        end = time.monotonic() + timeout_seconds
        for component in running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                component.process.wait(max(0.1, end - time.monotonic()))
        for component in [*running, *self._ended]:
            _kill_members(component)
            component.process.wait(30)
        self.components.clear()
        self._ended.clear()
        self.api.close()
        if self._owns_home:
            shutil.rmtree(self.home, ignore_errors=True)

    def _live_triggerers(self) -> list[Any]:
        query = {"job_type": "TriggererJob", "job_state": "running", "is_alive": True}
        jobs: list[Any] = self.api.call("GET", "/jobs", params=query)["jobs"]
        return jobs

    def migrate(self) -> None:
        """Make the database; entering the stack does it, too."""
        database = self.home / "airflow.db"
        if self._template_db and self._template_db.exists():
            shutil.copyfile(self._template_db, database)
            return
        log_path = self.home / "migrate.log"
        with log_path.open("wb") as log:
            command = [sys.executable, "-m", "airflow", "db", "migrate"]
            done = subprocess.run(command, env=self.env, stdout=log, stderr=subprocess.STDOUT, timeout=600)
        if done.returncode:
            raise StackError(f"airflow db migrate failed:\n{log_path.read_text()[-4000:]}")
        if self._template_db:
            _save_template(database, self._template_db)


def free_ports(count: int) -> list[int]:
    """Choose this many ports that nobody listens on now, see :data:`PORTS`."""
    free = filter(port_is_free, random.sample(PORTS, len(PORTS)))
    return [next(free) for _ in range(count)]


@contextlib.contextmanager
def held_port() -> Iterator[int]:
    """
    Keep a loopback port within the block, so that nobody else is given it before its server listens there.

    No connection to it is taken meanwhile. The server needs SO_REUSEADDR, which most set.
    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


def _environment(home: Path, dags: Path, base_url: str, port: int, parallelism: int) -> dict[str, str]:
    foreign = ("AIRFLOW", "RAY_", "PYTEST_")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    bundle = {
        "name": "dags-folder",
        "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
        "kwargs": {"path": str(dags)},
    }
    settings = {
        "CORE__LOAD_EXAMPLES": "False",
        "CORE__EXECUTOR": "LocalExecutor",
        "CORE__PARALLELISM": str(parallelism),
        "CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "CORE__TEST_CONNECTION": "Enabled",
        "CORE__FERNET_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "CORE__EXECUTION_API_SERVER_URL": f"{base_url}/execution/",
        "API__HOST": "127.0.0.1",
        "API__PORT": str(port),
        "API__BASE_URL": base_url,
        "API__SECRET_KEY": secrets.token_hex(16),
        "API_AUTH__JWT_SECRET": secrets.token_hex(32),
        "OPERATORS__DEFAULT_DEFERRABLE": "True",
        "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db?timeout={LOCK_SECONDS}",
        "DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps([bundle]),
        "DAG_PROCESSOR__REFRESH_INTERVAL": "5",
        "DAG_PROCESSOR__BUNDLE_REFRESH_CHECK_INTERVAL": "1",
        "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "10",
        "DAG_PROCESSOR__DAG_FILE_PROCESSOR_TIMEOUT": "120",
        "CORE__DAGBAG_IMPORT_TIMEOUT": "90",
        "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.3",
        "USAGE_DATA_COLLECTION__ENABLED": "False",
    }
    return inherited | {
        "AIRFLOW_HOME": str(home),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), inherited.get("PATH", os.defpath)]),
        "PYTHONUNBUFFERED": "1",
        "NO_PROXY": "127.0.0.1,localhost",
        **{f"AIRFLOW__{name}": value for name, value in settings.items()},
    }


def _kind(name: str) -> str:
    return "triggerer" if name.startswith("triggerer-") else name


def _last_beat(health: Mapping[str, Any]) -> float:
    stamp = next((value for key, value in health.items() if key.startswith("latest_")), None)
    return datetime.fromisoformat(stamp).timestamp() if stamp else 0.0


def _session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except (ProcessLookupError, PermissionError):
        return None


def _kill_members(component: Component) -> None:
    """Kill until none is left: a task's supervisor may fork while we look."""
    for _ in range(20):
        members = list(_alive(component))
        if not members:
            return
        for process in members:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(members, timeout=5)


def _alive(component: Component) -> Iterator[psutil.Process]:
    for process in component.members():
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.status() != psutil.STATUS_ZOMBIE:
                yield process


def _end_with_parent() -> None:
    if _LIBC is not None:
        _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _save_template(database: Path, template: Path) -> None:
    template.parent.mkdir(parents=True, exist_ok=True)
    partial = template.with_suffix(f".{os.getpid()}")
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.execute("VACUUM INTO ?", (str(partial),))
    partial.replace(template)

"""
The process that keeps one local cluster alive, and takes it away when its time has come.

``python -m airflow_provider_air.clusters.local.supervisor FOLDER``. It outlives the worker that started it,
knows neither Airflow nor Ray, and is the only writer of the cluster's state. If it is killed itself, the
kernel ends the head (Linux), and the next ``ensure`` or ``delete`` sweeps up.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import psutil

from airflow_provider_air.clusters.local import processes
from airflow_provider_air.clusters.local.head import (
    explain_death,
    head_command,
    head_environment,
    port_is_free,
)
from airflow_provider_air.clusters.local.home import ClusterHome, Lease, StateRecord, SupervisorRecord
from airflow_provider_air.clusters.local.probe import HeadProbe
from airflow_provider_air.errors import AirError, ClusterFailedError, DeadlineExceededError
from airflow_provider_air.waiting import wait_until

log = logging.getLogger(__name__)

MOST_DEATHS = 3
DEATHS_WITHIN_SECONDS = 60.0
GRACE_SECONDS = 10.0
_PORTS_SECONDS = 5.0
_CHILD_SECONDS = 60.0
_START_TICK_SECONDS = 0.25
_READY_TICK_SECONDS = 1.0


def too_many_deaths(deaths: deque[float], now: float) -> bool:
    """Tell whether a head dies so often that starting it again is no use."""
    return sum(now - death < DEATHS_WITHIN_SECONDS for death in deaths) >= MOST_DEATHS


def expiry(lease: Lease, *, created_at: float, active_at: float, now: float) -> str | None:
    """Say why the cluster's time has come, or None while it has not."""
    if lease.ttl_seconds is not None and now >= max(created_at + lease.ttl_seconds, lease.kept_until):
        return f"its ttl_seconds={lease.ttl_seconds:g} are over"
    idle = now - max(active_at, lease.renewed_at)
    if lease.idle_timeout_seconds is not None and idle >= lease.idle_timeout_seconds:
        return f"it was idle for idle_timeout_seconds={lease.idle_timeout_seconds:g}"
    return None


class Supervisor:
    """
    Start the head, restart it when it dies, end it in time.

    :param home: the folder of a cluster that has been written down but not started
    """

    def __init__(self, home: ClusterHome) -> None:
        cluster, token = home.cluster(), home.token()
        if cluster is None or token is None:
            raise ClusterFailedError("There is no cluster in this folder", where=str(home.folder))
        self._home = home
        self._cluster = cluster
        self._probe = HeadProbe(cluster.ports, token)
        self._head: subprocess.Popen[bytes] | None = None
        self._ready = False
        self._start_deadline = 0.0
        self._deaths: deque[float] = deque(maxlen=MOST_DEATHS)
        self._active_at = time.time()
        self._stop = False
        self._wakeup = _catch_signals(self._on_sigterm)

    def run(self, started: Callable[[], None]) -> int:
        """
        Supervise until the cluster is deleted, expires or fails for good.

        :param started: called once the folder tells who supervises
        :return: the exit code: 0 deleted or expired, 1 failed
        """
        processes.adopt_orphans()
        me = psutil.Process()
        SupervisorRecord(pid=me.pid, create_time=me.create_time()).write(self._home.supervisor_file)
        try:
            self._start_head("the head is starting")
            started()
            while not self._stop and not self._take_step():
                self._sleep()
            self._write("stopping", "it is being deleted" if self._stop else "its time has come")
        except AirError as error:
            log.error("giving up: %s", error)
            self._end_head()
            self._write("failed", str(error))
            # Whoever wants it deleted from now on does so without us; who asked before that is heard.
            self._home.supervisor_file.unlink(missing_ok=True)
            if not self._home.is_to_go():
                return 1
        finally:
            self._end_head()
        self._home.remove()
        with self._home.lock(wait=False) as held:
            if held:
                self._home.remove_lock()
        return 0

    def _take_step(self) -> bool:
        """Look once and do what is due; True when the cluster's time has come."""
        head = self._head
        processes.reap(head.pid if head else None)
        if head is not None and head.poll() is not None:
            self._bury_head(head.returncode)
        elif not self._ready:
            self._check_start()
        return self._expires()

    def _start_head(self, message: str) -> None:
        lease = self._home.lease()
        self._ready = False
        self._wait_for_ports()
        self._start_deadline = time.monotonic() + (lease.startup_timeout_seconds if lease else 0.0)
        with self._home.head_log.open("wb") as output:
            self._head = subprocess.Popen(
                head_command(self._cluster, self._home),
                env=head_environment(self._cluster, self._home, os.environ),
                cwd=self._home.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # Safe: this process has one thread.
                preexec_fn=processes.die_with_parent,
            )
        log.info("head %s started", self._head.pid)
        self._write("starting", message)

    def _check_start(self) -> None:
        missing = self._probe.missing() or self._unproved()
        if missing is None:
            self._ready = True
            self._active_at = time.time()
            log.info("the head is ready")
            self._write("ready")
        elif time.monotonic() > self._start_deadline:
            raise ClusterFailedError(
                f"The head was not ready in time: {missing}; it said last: {self._last_words()}",
                where=str(self._home.head_log),
                hint="Raise startup_timeout_seconds, or see the logs there",
            )

    def _unproved(self) -> str | None:
        """Say that it is not known whether the head's door is shut; one that is open must not stay."""
        refuses = self._probe.refuses_strangers()
        if refuses is False:
            raise ClusterFailedError(
                "The head answers who shows no token, so anybody on this host could run code there: it was ended",
                where=str(self._home.head_log),
                hint="Is this a Ray with tokens (2.52 or newer), and does nothing change RAY_AUTH_MODE?",
            )
        return None if refuses else "it does not say whether it refuses who shows no token"

    def _bury_head(self, exit_code: int) -> None:
        """Start a head that was ready again, on the same ports and with the same token."""
        self._deaths.append(time.monotonic())
        last_words = self._last_words(exit_code)
        log.warning("the head ended with %s: %s", exit_code, last_words)
        # Ray gives a raylet 30 s to come up (2.60, not configurable): a loaded host may do better the next time.
        overloaded = "timed out during startup" in last_words
        never_ready = not self._ready and len(self._deaths) == 1 and not overloaded
        if never_ready or too_many_deaths(self._deaths, time.monotonic()):
            when = "while it started" if never_ready else f"{len(self._deaths)} times in a row"
            raise ClusterFailedError(
                f"The Ray head ended {when} (exit code {exit_code}): {last_words}",
                where=str(self._home.head_log),
            )
        self._end_head()
        self._start_head(f"the head ended (exit code {exit_code}) and is being restarted: {last_words}")

    def _expires(self) -> bool:
        lease = self._home.lease()
        if lease is None:
            return True  # the folder was removed under us: there is nothing left to look after
        if self._why_expired(lease, time.time()) is None:
            return False
        # Whoever adopts the cluster holds the lock and renews the lease; so look again under the lock.
        with self._home.lock(wait=False) as held:
            lease = self._home.lease()
            if not held or lease is None:
                return lease is None
            # By the time of the question: a slow answer must not make a busy cluster look idle.
            why = self._why_expired(lease, self._notice_activity())
            if why is not None:
                log.info("going: %s", why)
                self._write("stopping", why)
        return why is not None

    def _why_expired(self, lease: Lease, now: float) -> str | None:
        return expiry(lease, created_at=self._cluster.created_at, active_at=self._active_at, now=now)

    def _notice_activity(self) -> float:
        """Ask who worked here, only when the time seems to be over, and give the time of the question."""
        now = time.time()
        seen = self._probe.last_activity(now) if self._ready else now
        self._active_at = max(self._active_at, seen or 0.0)
        return now

    def _end_head(self) -> None:
        """End the head and all its descendants: politely, then for certain, until its ports are free."""
        head, self._head = self._head, None
        if head is not None and head.poll() is None:
            head.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                head.wait(GRACE_SECONDS)
        for left in processes.kill_cluster(self._home.folder):
            log.error("process %s does not end", left)
        processes.reap(None)

    def _wait_for_ports(self) -> None:
        """Tell a taken port at once: Ray itself would take a minute to fail, and not say why."""

        def busy() -> dict[str, int]:
            return {use: port for use, port in self._cluster.ports.items() if not port_is_free(port)}

        try:
            wait_until(lambda: not busy() or None, what="Free ports", timeout_seconds=_PORTS_SECONDS)
        except DeadlineExceededError:
            raise ClusterFailedError(
                f"Another process listens on ports of the cluster: {busy()}",
                hint="Ensure the cluster again: it gets other ports",
            ) from None

    def _last_words(self, exit_code: int | None = None) -> str:
        try:
            return explain_death(self._home.head_log.read_text(errors="replace"), exit_code)
        except OSError:
            return "its log is gone"

    def _write(self, state: str, message: str = "") -> None:
        head_pid = self._head.pid if self._head else None
        record = StateRecord(state=state, message=message, head_pid=head_pid, restarts=len(self._deaths))
        with contextlib.suppress(FileNotFoundError):  # the folder was removed under us
            record.write(self._home.state_file)

    def _on_sigterm(self) -> None:
        self._stop = True

    def _sleep(self) -> None:
        """Sleep until the next look, a signal or the death of a child."""
        select.select([self._wakeup], [], [], _READY_TICK_SECONDS if self._ready else _START_TICK_SECONDS)
        with contextlib.suppress(BlockingIOError):
            os.read(self._wakeup, 512)


def _catch_signals(on_sigterm: Callable[[], None]) -> int:
    """Let SIGTERM ask for the end, and give a descriptor that becomes readable with every signal."""
    readable, writable = os.pipe()
    os.set_blocking(readable, False)
    os.set_blocking(writable, False)
    signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: on_sigterm())
    signal.signal(signal.SIGCHLD, lambda *_: None)
    return readable


def main(folder: str) -> int:
    """
    Detach from whoever starts us, and supervise.

    The starter's child ends as soon as the grandchild is at work: so nobody waits for a zombie, and who kills
    the starter with its descendants does not find us.
    """
    child = os.getpid()
    readable, writable = os.pipe()
    if os.fork():
        os.close(writable)
        return 0 if os.read(readable, 1) else 1
    os.close(readable)
    os.setsid()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stdout)

    def started() -> None:
        os.write(writable, b"1")
        os.close(writable)
        # The child bears the cluster's mark, too: whoever ends a head that fails at once must not find it.
        wait_until(
            lambda: os.getppid() != child or None, what="The end of the starter's child", timeout_seconds=_CHILD_SECONDS
        )

    return Supervisor(ClusterHome(Path(folder))).run(started)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

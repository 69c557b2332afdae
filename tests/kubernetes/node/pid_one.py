"""The first process in the node's namespaces: starts its parts, reaps what they leave, and ends with its owner.

Run by path, with the standard library alone. The kernel kills all others in the namespace when it ends, whatever ends
it; it ends itself once nobody holds the lock on ``/run/node/lock`` (a lock of a process, which no child inherits).
Requests are JSON lines on ``/run/control.sock``: ``{"start": name, "argv": [...], "log": path}``,
``{"signal": name, "number": 9}``, ``{"list": true}``. An answer is ``{"parts": {name: {"pid": 7, "ended": null}}}``
with the exit code in ``ended`` (negative: the signal), or ``{"error": text}``.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import selectors
import signal
import socket
import subprocess
from typing import Any

LOCK = "/run/node/lock"
SOCKET = "/run/control.sock"
OWNER_CHECK_SECONDS = 0.5

parts: dict[str, subprocess.Popen[bytes]] = {}


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Do what is asked for and tell how all parts are."""
    if "start" in request:
        name = request["start"]
        if name in parts and parts[name].poll() is None:
            return {"error": f"{name} runs already"}
        with open(request["log"], "ab") as log:
            parts[name] = subprocess.Popen(
                request["argv"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
    elif "signal" in request:
        parts[request["signal"]].send_signal(request["number"])
    return {"parts": {name: {"pid": part.pid, "ended": part.poll()} for name, part in parts.items()}}


def reap() -> None:
    """Take the end of every orphan, and leave a part's to its object."""
    children = {part.pid: part for part in parts.values()}
    with contextlib.suppress(ChildProcessError):
        while ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            if ended.si_pid in children:
                children[ended.si_pid].poll()
            else:
                os.waitpid(ended.si_pid, 0)


def owned(lock: int) -> bool:
    """Say whether somebody holds the lock still."""
    try:
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    return False


def talk(connection: socket.socket) -> None:
    """Answer one request."""
    with connection, connection.makefile("rw") as lines:
        connection.settimeout(5)
        try:
            told = answer(json.loads(lines.readline()))
        except (OSError, ValueError, KeyError) as error:
            told = {"error": f"{type(error).__name__}: {error}"}
        with contextlib.suppress(OSError):
            lines.write(json.dumps(told) + "\n")
            lines.flush()


def main() -> None:
    """Serve until the owner is gone."""
    woken, wake = socket.socketpair()
    for end in (woken, wake):
        end.setblocking(False)
    signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    lock = os.open(LOCK, os.O_RDWR)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(SOCKET)
    listener.listen(16)
    with selectors.DefaultSelector() as selector:
        selector.register(listener, selectors.EVENT_READ)
        selector.register(woken, selectors.EVENT_READ)
        while owned(lock):
            for key, _ in selector.select(OWNER_CHECK_SECONDS):
                if key.fileobj is listener:
                    talk(listener.accept()[0])
                else:
                    woken.recv(4096)
            reap()


if __name__ == "__main__":
    main()

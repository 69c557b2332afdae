"""
Stands in for an interpreter that has Ray, so that supervision is tested in milliseconds: its head answers what a
supervisor asks, and tells of the jobs in the file that ``FAKE_JOBS`` names. A dot in the ``.asked`` file beside it
counts each time. Who shows no token is refused, but where ``FAKE_OPEN`` is set.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


def install(folder: Path) -> str:
    """Make the interpreter, and give its path for ``LocalCluster(python=...)``."""
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} {__file__} "$@"\n')
    python.chmod(0o700)
    return str(python)


class _Head(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        """Answer as a head does that lacks nothing."""
        if not self.headers["Authorization"] and "FAKE_OPEN" not in os.environ:
            self.send_response(401)
            self.end_headers()
            return
        path = self.path.partition("?")[0]
        answers: dict[str, Any] = {
            "/api/version": {"version": "4", "session_name": f"session_{os.getpid()}"},
            "/api/v0/nodes": {"data": {"result": {"result": [{"state": "ALIVE"}]}}},
            "/api/v0/actors": {"data": {"result": {"result": []}}},
        }
        if path == "/api/jobs/":
            jobs = Path(os.environ["FAKE_JOBS"])
            answers[path] = json.loads(jobs.read_text())
            with jobs.with_suffix(".asked").open("a") as asked:
                asked.write(".")
        self.send_response(200 if path in answers else 404)
        self.end_headers()
        self.wfile.write(json.dumps(answers.get(path)).encode())

    do_POST = do_GET

    def log_message(self, *_: Any) -> None:
        """Say nothing: the head's output is for reasons of its death."""


def main(arguments: list[str]) -> None:
    """Answer to ``-c`` (which Ray is there?) and to ``-m ray.scripts.scripts start``."""
    if arguments[0] == "-c":
        sys.stdout.write("2.60.0\n")
        return
    options = dict(part.split("=", 1) for part in arguments if "=" in part)
    if options.get("--num-cpus") == "0":
        raise ValueError("a head without CPUs is no head")
    ports = [int(options[name]) for name in ("--dashboard-port", "--dashboard-agent-listen-port")]
    servers = [ThreadingHTTPServer(("127.0.0.1", port), _Head) for port in ports]
    threading.Thread(target=servers[0].serve_forever).start()
    servers[1].serve_forever()


if __name__ == "__main__":
    main(sys.argv[1:])

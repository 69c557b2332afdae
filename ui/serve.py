"""The pages over the fixtures, each in an iframe as Airflow makes it: sandbox, CSP, theme and time zone around it.

``python ui/serve.py [PORT]`` prints its address; ``/`` lists the pages: ``/outer/air/task/d/r/train/-1?theme=dark``.
Which fixture a page gets is its task id (or its run id, for the page of a run). Only for development and tests.
"""

from __future__ import annotations

import hashlib
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

HERE = Path(__file__).resolve().parent
FIXTURES = HERE / "fixtures"
STATIC = HERE.parent / "airflow_provider_air" / "pages" / "static"
TYPES = {".js": "text/javascript", ".css": "text/css", ".txt": "text/plain"}
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "frame-ancestors 'self'; base-uri 'none'; form-action 'none'"
)
SANDBOX = "allow-scripts allow-same-origin allow-forms allow-downloads"

SHELL = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Ray</title><link rel="stylesheet" href="/air/static/air.css">
<script defer src="/air/static/air.js"></script></head>
<body><div id="air" data-page="{page}"></div></body></html>"""

# Some of the colours of Airflow 3.3's own style sheet.
OUTER = """<!doctype html>
<html lang="en" class="{theme}"><head><meta charset="utf-8"><title>Airflow</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
:root {{ --chakra-colors-bg: #fff; --chakra-colors-bg-subtle: oklch(0.985 0.004 253);
  --chakra-colors-bg-muted: oklch(0.955 0.006 253); --chakra-colors-fg: #000;
  --chakra-colors-fg-muted: oklch(0.45 0.055 251); --chakra-colors-border: oklch(0.915 0.01 253); }}
.dark {{ --chakra-colors-bg: #000; --chakra-colors-bg-subtle: oklch(0.11 0.025 251);
  --chakra-colors-bg-muted: oklch(0.18 0.03 251); --chakra-colors-fg: oklch(0.985 0.004 253);
  --chakra-colors-fg-muted: oklch(0.75 0.025 252); --chakra-colors-border: oklch(0.28 0.035 251); color-scheme: dark; }}
html, body {{ height: 100%; margin: 0; background: var(--chakra-colors-bg); font-family: Inter, sans-serif; }}
iframe {{ border: none; display: block; height: 100%; width: 100%; }}
</style></head><body><iframe sandbox="{sandbox}" src="{src}" title="Ray"></iframe></body></html>"""

REPORT = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Report</title><link rel="stylesheet" href="/air/static/air.css"></head>
<body><div id="air" data-page="report"></div><script type="application/json" id="air-data">{data}</script>
<script src="/air/static/air.js"></script></body></html>"""


def fixture(name: str) -> Any:
    """Read one, or None."""
    path = FIXTURES / f"{name}.json"
    return json.loads(path.read_text()) if path.parent == FIXTURES and path.is_file() else None


def told(view: dict[str, Any], known: list[str]) -> dict[str, Any]:
    """Leave out the sections whose hash the reader knows."""
    hashes = {
        name: hashlib.sha256(json.dumps(part).encode()).hexdigest()[:12] for name, part in view["sections"].items()
    }
    left = {name: part for name, part in view["sections"].items() if f"{name}:{hashes[name]}" not in known}
    return {**view, "hashes": hashes, "sections": left}


class Site(BaseHTTPRequestHandler):
    """Answers from the fixtures; what was asked to change is kept in `calls` and shown at /calls."""

    protocol_version = "HTTP/1.1"
    calls: list[dict[str, Any]] = []  # noqa: RUF012 - of the whole server, on purpose

    def log_message(self, *args: Any) -> None:
        """Say nothing."""

    def answer(self, body: str | bytes, kind: str = "text/html", status: int = 200, csp: bool = False) -> None:
        data = body.encode() if isinstance(body, str) else body
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("X-Content-Type-Options", "nosniff")
        if csp:
            self.send_header("Content-Security-Policy", CSP)
        self.end_headers()
        self.wfile.write(data)

    def json(self, body: Any, status: int = 200) -> None:
        self.answer(json.dumps(body), "application/json", status)

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        parts = [unquote(part) for part in url.path.split("/")[1:]]
        query = parse_qs(url.query)
        match parts:
            case [""]:
                self.answer(index())
            case ["outer", *rest]:
                theme = query.get("theme", ["light"])[0]
                src = "/" + "/".join(url.path.split("/")[2:])
                self.answer(OUTER.format(theme=theme, sandbox=SANDBOX, src=src))
            case ["favicon.ico"]:
                self.answer("", status=204)
            case ["calls"]:
                self.json(self.calls)
            case ["air", *rest]:
                self.ours(rest, query)
            case ["api", "v2", *_, "logs", _try_number]:
                self.json(fixture("log"))
            case _:
                self.json({"detail": "Not Found"}, 404)

    def ours(self, parts: list[str], query: dict[str, list[str]]) -> None:
        match parts:
            case ["static", name]:
                path = STATIC / name
                self.answer(path.read_bytes(), TYPES[path.suffix]) if path.is_file() else self.json({}, 404)
            case ["report", *_, task, _map_index]:
                data = json.dumps(fixture(task)).replace("<", "\\u003c")
                self.answer(REPORT.format(data=data), csp=True)
            case ["api", *rest]:
                self.api(rest, query)
            case [page, *_]:
                self.answer(SHELL.format(page=page), csp=True)

    def api(self, parts: list[str], query: dict[str, list[str]]) -> None:
        match parts:
            case ["task", _dag, _run, task, _index] if view := fixture(task):
                self.json(told(view, query.get("known", [])))
            case ["run", _dag, run] if view := fixture(run):
                self.json(view)
            case ["clusters"]:
                self.json(fixture("clusters"))
            case ["compare", *_]:
                self.json(fixture("compare"))
            case _:
                self.json({"detail": "No such task instance"}, 404)

    def change(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length) or b"null")
        self.calls.append({"method": self.command, "path": self.path, "body": body})
        self.json({"ok": True, "at": 1764440000.5})

    do_POST = do_PATCH = change


def index() -> str:
    """List the pages."""
    tasks = [
        path.stem for path in sorted(FIXTURES.glob("*.json")) if path.stem not in {"run", "clusters", "compare", "log"}
    ]
    pages = [*(f"/air/task/dag/run/{name}/%7BMAP_INDEX%7D" for name in tasks), "/air/run/dag/run", "/air/clusters"]
    rows = [
        f'<li>{page}: <a href="/outer{page}">light</a> <a href="/outer{page}?theme=dark">dark</a></li>'
        for page in pages
    ]
    return f"<!doctype html><meta charset=utf-8><title>Pages</title><ul>{''.join(rows)}</ul>"


def main() -> None:
    """Serve until the end."""
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 0), Site)
    print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()

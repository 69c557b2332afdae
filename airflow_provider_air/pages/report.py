"""
A task's report: one HTML file that needs nobody, neither Airflow nor the network.

It holds the task's view as JSON, the pages' own script and style, which show it as the Ray tab does, and the same as
plain tables, which are seen where scripts do not run. Its policy allows this very script and this very style, by their
hashes, and no address at all: what a job has printed can neither run nor call anybody.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import html
import json
import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from airflow_provider_air.contracts.names import named
from airflow_provider_air.pages.attempts import attempts_of
from airflow_provider_air.pages.documents import TaskDocuments, TaskFacts
from airflow_provider_air.pages.history import metrics_section
from airflow_provider_air.pages.lenient import epoch, mapping
from airflow_provider_air.pages.tables import made_by, name_of, tables
from airflow_provider_air.pages.task_view import VERSION, before_of, history_of, task_view

STATIC = Path(__file__).parent / "static"
NAME_CHARACTERS = 100
PROVIDER = "airflow-provider-air"
# JSON has these signs within its strings only, where they may be spelled so: none of them then ends the element.
_SPELLED = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&"}
# The tables give way to what the script has drawn, and stay where it has drawn nothing.
_TABLES_STYLE = """
#air:not(:empty) ~ #air-tables { display: none }
#air-tables { font: 14px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 0 auto; padding: 1rem }
#air-tables table { border-collapse: collapse; display: block; overflow-x: auto }
#air-tables th, #air-tables td { border: 1px solid color-mix(in srgb, currentColor 25%, transparent);
  padding: .25rem .5rem; text-align: start; vertical-align: top; overflow-wrap: break-word }
#air-tables h2 { margin: 1rem 0 .25rem }
#air-made { font: 12px/1.5 system-ui, sans-serif; padding: 1rem }
#air-tables pre { overflow: auto; max-height: 40rem; white-space: pre-wrap; overflow-wrap: anywhere }
"""
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<script type="application/json" id="air-data">{data}</script>
<div id="air" data-page="report"></div>
<script>{script}</script>
<main id="air-tables">
{tables}
</main>
<footer id="air-made">{made_by}</footer>
</body>
</html>
"""


def view_of(documents: TaskDocuments, now: float) -> dict[str, Any]:
    """
    Give the view that a report is made of: as the Ray tab's, but with as many curves as a view holds.

    :param now: epoch seconds
    """
    sections = task_view(documents)
    if names := mapping(sections.get("metrics")).get("names"):
        sections["metrics"] = metrics_section(history_of(documents), names, before_of(documents))
    return {"version": VERSION, "now": now, "sections": sections}


def report_of(stored: Mapping[str, Any]) -> str:
    """
    Give the report of an attempt that has just ended, by what its run has kept; for workers.

    :param stored: plain JSON, see :meth:`airflow_provider_air.runs.keeping.Keeping.leave_report`
    :raises FileNotFoundError: this installation was built without the pages' bundle
    """
    now, task = time.time(), mapping(stored.get("task"))
    steps = mapping((attempts_of(stored.get("ledger")) or [{}])[-1].get("steps"))
    facts = TaskFacts(
        str(task.get("dag_id")),
        str(task.get("run_id")),
        str(task.get("task_id")),
        int(task.get("map_index", -1)),
        # What Airflow makes of it is decided after this.
        state="running",
        started_at=epoch(steps.get("intended")),
        ended_at=now,
        is_ours=True,
    )
    documents = TaskDocuments(
        facts,
        stored.get("ledger"),
        kept=stored.get("history"),
        earlier=stored.get("earlier"),
        result=stored.get("result"),
    )
    return render(view_of(documents, now))


def file_name(view: Mapping[str, Any]) -> str:
    """Give a name for the report's file that names its task instance: readable first, and of no two the same."""
    return f"air-report-{named(name_of(view), NAME_CHARACTERS)}.html"


def render(view: Mapping[str, Any]) -> str:
    """
    Give the report's HTML, as UTF-8 text; about 1 MB with the script in it, and the view.

    :param view: see :func:`view_of`; in ``environment`` it may name versions besides those of this process
    :raises ValueError: the view holds a number that is not finite
    """
    bundle = _bundle(STATIC)
    versions = {**_environment(), **mapping(view.get("environment"))}
    view = {**view, "made_at": view.get("now"), "environment": versions}
    return _PAGE.format(
        policy=html.escape(bundle.policy),
        title=html.escape(f"Ray report: {name_of(view)}"),
        style=bundle.style,
        data=_data(view),
        script=bundle.script,
        tables=tables(view),
        made_by=made_by(versions),
    )


def policy() -> str:
    """Give the header ``Content-Security-Policy`` for a report that is served: its own, and who may frame it."""
    return f"{_bundle(STATIC).policy}; frame-ancestors 'self'"


@functools.cache
def _environment() -> dict[str, str]:
    versions = {"Airflow": _version("apache-airflow-core"), PROVIDER: _version(PROVIDER)}
    return {name: known for name, known in versions.items() if known} | {"Python": platform.python_version()}


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


@dataclass(frozen=True)
class _Bundle:
    script: str
    style: str

    @property
    def policy(self) -> str:
        return (
            f"default-src 'none'; script-src '{_hash(self.script)}'; style-src '{_hash(self.style)}'; "
            "img-src data:; base-uri 'none'; form-action 'none'"
        )


@functools.cache
def _bundle(folder: Path) -> _Bundle:
    script, style = (folder / name for name in ("air.js", "air.css"))
    return _Bundle(script.read_text(encoding="utf-8"), style.read_text(encoding="utf-8") + _TABLES_STYLE)


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _data(view: Mapping[str, Any]) -> str:
    # Beyond ASCII all is spelled as \u..., so a text that is no UTF-8 cannot break the file either.
    text = json.dumps(view, allow_nan=False, separators=(",", ":"))
    return text.translate(_SPELLED)

"""
A task's view as plain HTML tables: what a report shows where its scripts do not run.

Every value takes one way into the page, :func:`_text`. All that a section holds is optional, and a field that this
version does not know is shown by its name, so nothing here raises for a view's sake.
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from airflow_provider_air.pages.lenient import items, mapping, number, objects, text, url

BEST_TRIALS = 20
LAST_CHECKPOINTS = 20
# A result is cut before that.
_MOST_CHARACTERS = 100_000
_MOMENTS = ("at", "from", "to")
# Of sections that are facts: what is none to read, is in the title, or has a table of its own.
_LEFT_OUT = ("applications", "is_ours", "map_index", "may", "series", "steps", "tries")
_NOTHING: tuple[Any, ...] = (None, "", [], {})


def tables(view: Mapping[str, Any]) -> str:
    """
    Give the body's HTML.

    :param view: ``{"now": epoch seconds, "sections": {name: section}}``
    """
    sections = mapping(view.get("sections"))
    data = mapping(sections.get("data"))
    parts = [
        f"<h1>{_text(name_of(view))}</h1>",
        f"<p>As it was known at {_text(_moment(view.get('now')))}</p>",
        _facts("Task", sections.get("task")),
        _facts("State", sections.get("state")),
        _rows("Where the time went", [_timed(part) for part in objects(sections.get("timeline"))]),
        _rows("Attempts", sections.get("attempts")),
        _metrics(mapping(sections.get("metrics"))),
        _trials(mapping(sections.get("trials"))),
        _rows("Checkpoints", items(sections.get("checkpoints"))[-LAST_CHECKPOINTS:]),
        _tasks(mapping(sections.get("tasks"))),
        _facts("Rows", sections.get("batch")),
        _serve(mapping(sections.get("serve"))),
        _rows("Data read", data.get("inputs")),
        _rows("Data written", data.get("outputs")),
        _rows("Features", sections.get("features")),
        _rows("Tracked by", sections.get("tracker")),
        _result(sections.get("result")),
        _links(objects(sections.get("links"))),
        _facts("Cluster", sections.get("cluster")),
    ]
    return "\n".join(part for part in parts if part)


def made_by(versions: Mapping[str, Any]) -> str:
    """Give the HTML that tells what a report was made by."""
    return _text("Made by " + ", ".join(f"{what} {_plain(version)}" for what, version in versions.items()))


def name_of(view: Mapping[str, Any]) -> str:
    """Name the task instance that a view is of."""
    task = mapping(mapping(view.get("sections")).get("task"))
    index = number(task.get("map_index"))
    mapped = f"[{index}]" if index is not None and index >= 0 else ""
    return " / ".join(text(task.get(part)) or "?" for part in ("dag_id", "run_id", "task_id")) + mapped


def _facts(title: str, thing: Any) -> str:
    known = {name: value for name, value in mapping(thing).items() if name not in _LEFT_OUT and value not in _NOTHING}
    return _table(title, (), [(_words(name), _value(name, value)) for name, value in known.items()])


def _rows(title: str, things: Any) -> str:
    """Give a table with a column for each field that any of the things has."""
    rows = objects(things)
    names = list(dict.fromkeys(name for row in rows for name, value in row.items() if value not in _NOTHING))
    cells = [[_value(name, row.get(name)) for name in names] for row in rows]
    return _table(title, [_words(name) for name in names], cells if names else [])


def _timed(part: Mapping[str, Any]) -> dict[str, Any]:
    start, end = number(part.get("from")), number(part.get("to"))
    return {**part, "seconds": None if start is None or end is None else round(end - start, 1)}


def _metrics(section: Mapping[str, Any]) -> str:
    last = mapping(section.get("last"))
    return _table("Last values of the metrics", ("metric", "value"), [(name, _plain(last[name])) for name in last])


def _trials(section: Mapping[str, Any]) -> str:
    metric, mode, rows = text(section.get("metric")), section.get("mode"), objects(section.get("rows"))
    best = sorted(rows, key=lambda row: _rank(mapping(row.get("values")).get(metric or ""), mode))[:BEST_TRIALS]
    names = {
        part: list(dict.fromkeys(name for row in best for name in mapping(row.get(part))))
        for part in ("config", "values")
    }
    shown = [
        [_plain(row.get(name)) for name in ("trial", "status", "step")]
        + [_plain(mapping(row.get(part)).get(name)) for part in names for name in names[part]]
        for row in best
    ]
    title = f"The best {len(best)} of {len(rows)} trials" + (f", by the {mode} of {metric}" if metric else "")
    return _table(title, ["trial", "status", "step", *names["config"], *names["values"]], shown)


def _rank(value: Any, mode: Any) -> tuple[bool, float]:
    known = number(value)
    return known is None, -(known or 0) if mode == "max" else known or 0


def _tasks(section: Mapping[str, Any]) -> str:
    states = {name: mapping(of) for name, of in section.items()}
    rows = [(name, ", ".join(f"{count} {state}" for state, count in of.items())) for name, of in states.items()]
    return _table("Ray tasks", ("function", "how many"), rows)


def _serve(section: Mapping[str, Any]) -> str:
    applications = objects(section.get("applications"))
    deployments = [
        {"application": item.get("name"), **deployment}
        for item in applications
        for deployment in objects(item.get("deployments"))
    ]
    parts = [
        _facts("Serve", section),
        _rows("Applications", [{name: item[name] for name in item if name != "deployments"} for item in applications]),
        _rows("Deployments", deployments),
        _rows("Steps of the roll-out", section.get("steps")),
    ]
    return "\n".join(part for part in parts if part)


def _result(result: Any) -> str:
    if result is None:
        return ""
    is_cut = mapping(result).get("cut") is True and "text" in result
    shown = str(result["text"]) if is_cut else json.dumps(result, indent=2, ensure_ascii=False)
    return f"<h2>Result{', cut' if is_cut else ''}</h2>\n<pre>{_text(shown)}</pre>"


def _links(links: Iterable[Mapping[str, Any]]) -> str:
    shown = "".join(f"<li>{_link(link)}</li>" for link in links)
    return f"<h2>Links</h2>\n<ul>{shown}</ul>" if shown else ""


def _link(link: Mapping[str, Any]) -> str:
    """Give a link where its address is one of the web; else it is shown, and leads nowhere."""
    address = url(link.get("url"))
    label = _text(_plain(link.get("label") or address))
    if address is None:
        return f"{label}: {_text(_plain(link.get('url')))}"
    return f'<a href="{html.escape(address)}" rel="noreferrer">{label}</a> <small>{_text(address)}</small>'


def _table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """
    Give a table with its heading; nothing where it has no rows.

    :param heads: of the columns; none where each row is a name and its value
    """
    head = f"<tr>{''.join(f'<th scope=col>{_text(name)}</th>' for name in heads)}</tr>\n" if heads else ""
    first = "td" if heads else "th scope=row"
    body = "\n".join(
        f"<tr><{first}>{_text(row[0])}</{first[:2]}>{''.join(f'<td>{_text(cell)}</td>' for cell in row[1:])}</tr>"
        for row in rows
    )
    return f"<h2>{_text(title)}</h2>\n<table>\n{head}{body}\n</table>" if rows else ""


def _text(value: str) -> str:
    return html.escape(text(value, _MOST_CHARACTERS) or "")


def _value(name: str, value: Any) -> str:
    return _moment(value) if name in _MOMENTS or name.endswith(("_at", "_since")) else _plain(value)


def _plain(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list) and not any(isinstance(item, (Mapping, list)) for item in value):
        return ", ".join(map(_plain, value))
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (Mapping, list)) else str(value)


def _moment(value: Any) -> str:
    """Give epoch seconds as a time in UTC, and what is none as it is."""
    known = number(value)
    try:
        return _plain(value) if known is None else f"{datetime.fromtimestamp(known, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (OverflowError, OSError, ValueError):
        return _plain(value)


def _words(name: str) -> str:
    return name.replace("_", " ")

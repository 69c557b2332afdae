"""Reports are files of their own: whole, and harmless whatever a job has said."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_air.pages import report
from airflow_provider_air.pages.documents import TaskDocuments, TaskFacts
from tests.unit.pages.documents import attempt, history, ledger

SCRIPT = "document.getElementById('air').textContent = '{}' + JSON.parse('1')"
NASTY = [
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "<img src=x onerror=alert(1)>",
    "\x1b[31mred\x1b[0m",
    "\u202eevil\u2066",
    "\u2028\u2029",
    "&lt;b&gt; \" ' `",
    "\udc80 no UTF-8",
    "日本語 العربية",
    "{braces} {0} %s",
    "",
]


@pytest.fixture(autouse=True)
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "air.js").write_text(SCRIPT)
    (tmp_path / "air.css").write_text("#air { color: red }")
    monkeypatch.setattr(report, "STATIC", tmp_path)


class Page(HTMLParser):
    """What a browser makes of a page: its elements with their attributes, and what is in scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.inside: list[tuple[str, dict[str, str | None], str]] = []
        self._raw: str | None = None
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._raw = "" if tag in ("script", "style") else self._raw
        self.text += " "

    def handle_data(self, data: str) -> None:
        if self._raw is None:
            self.text += data
        else:
            self._raw += data

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self.inside.append((tag, self.elements[-1][1], self._raw or ""))
            self._raw = None

    @property
    def policy(self) -> str:
        return next(str(a["content"]) for tag, a in self.elements if a.get("http-equiv") == "Content-Security-Policy")

    @property
    def data(self) -> Any:
        return json.loads(next(text for _, attributes, text in self.inside if attributes.get("id") == "air-data"))


def view(environment: dict[str, Any] | None = None, **sections: Any) -> dict[str, Any]:
    task = {"dag_id": "flights", "run_id": "manual__1", "task_id": "train", "map_index": -1}
    known = {} if environment is None else {"environment": environment}
    return {"version": 1, "now": 1_700_000_000.0, "hashes": {}, "sections": {"task": task, **sections}, **known}


def given(data: dict[str, Any]) -> dict[str, Any]:
    """Leave out what a report adds to the view that it was made of."""
    assert data.pop("made_at") == data.get("now")
    versions = {name: data["environment"].pop(name) for name in ("Airflow", "airflow-provider-air", "Python")}
    assert all(re.match(r"\d+\.\d+", version) for version in versions.values())
    return {name: value for name, value in data.items() if value or name != "environment"}


def nasty_view(text: str) -> dict[str, Any]:
    """Hold a text in all places, as a value and as a name."""
    row = {"trial": text, "status": text, "config": {text: text}, "values": {text: 1.0}, text: text}
    deployment = {"name": text, "status": text, text: text}
    return view(
        task={"dag_id": text, "run_id": text, "task_id": text, "map_index": 0, text: text},
        state={"phase": text, "message": text, text: text},
        attempts=[{"submission_id": text, text: text}],
        metrics={"names": [text], "last": {text: 1.0}, "series": {text: {"x": [1], "y": [1]}}},
        trials={"metric": text, "mode": text, "rows": [row]},
        tasks={text: {text: 1}},
        serve={"applications": [{"name": text, "deployments": [deployment]}], "steps": [{"name": text}], text: text},
        data={"inputs": [{"name": text, "schema": [{"name": text}]}]},
        links=[{"label": text, "url": text}, {"label": text, "url": f"https://x/{text}"}],
        result={text: [text]},
        cluster={"name": text, text: {text: text}},
        environment={text: text},
    )


@pytest.mark.parametrize("text", NASTY)
def test_no_text_becomes_an_element_and_each_comes_back_from_the_data_as_it_was(text: str) -> None:
    harmless, page = Page(report.render(nasty_view("harmless"))), Page(report.render(nasty_view(text)))
    assert {tag for tag, _ in page.elements} <= {tag for tag, _ in harmless.elements}
    assert given(page.data) == nasty_view(text)
    assert [(tag, attributes) for tag, attributes, _ in page.inside] == [
        ("style", {}),
        ("script", {"type": "application/json", "id": "air-data"}),
        ("script", {}),
    ]
    named = [dict(attributes) for _, attributes in page.elements]
    assert {name for attributes in named for name in attributes} <= {
        *("lang", "charset", "http-equiv", "content", "name", "type", "id", "data-page", "scope", "href", "rel")
    }
    assert all(str(attributes["href"]).startswith("https://x/") for attributes in named if "href" in attributes)


@pytest.mark.parametrize("text", NASTY)
def test_the_file_is_utf_8_and_its_data_ascii_without_a_sign_that_html_reads(text: str) -> None:
    html = report.render(nasty_view(text))
    html.encode()
    written = next(inside for _, attributes, inside in Page(html).inside if attributes.get("id") == "air-data")
    assert written.isascii()
    assert not set("<>&") & set(written)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", html)


def test_the_policy_allows_this_script_and_this_style_and_no_address() -> None:
    page = Page(report.render(view()))
    directives = dict(part.strip().split(" ", 1) for part in page.policy.split(";"))
    texts = {tag: text for tag, attributes, text in page.inside if not attributes}
    for tag, name in (("script", "script-src"), ("style", "style-src")):
        digest = base64.b64encode(hashlib.sha256(texts[tag].encode()).digest()).decode()
        assert directives[name] == f"'sha256-{digest}'"
    assert texts["script"] == SCRIPT
    assert "#air { color: red }" in texts["style"]
    rest = {name: value for name, value in directives.items() if name not in ("script-src", "style-src")}
    assert rest == {
        "default-src": "'none'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    # The order of the elements: the script finds its data and its place, and has drawn before the tables are seen.
    order = [
        attributes.get("id") or tag for tag, attributes in page.elements if tag in ("script", "div", "main", "footer")
    ]
    assert order == ["air-data", "air", "script", "air-tables", "air-made"]


def test_a_view_is_made_with_more_curves_than_the_tab_asks_for_at_first_and_the_metric_of_trials_stays() -> None:
    series = {f"m{n}": [[0.0, 1.0], [1.0, float(n)]] for n in range(9)}
    trials = [{"trial": f"t{n}", "values": {"m3": 1.0, "acc": float(n)}} for n in range(3)]
    history = {"version": 1, "series": series, "trials": trials, "metric": "acc", "mode": "max"}
    facts = TaskFacts("flights", "manual__1", "tune", 2, is_ours=True)
    made = report.view_of(TaskDocuments(facts, live=history), 5.0)
    assert (made["now"], made["sections"]["task"]["map_index"]) == (5.0, 2)
    assert list(made["sections"]["metrics"]["series"]) == list(series)
    assert (made["sections"]["trials"]["metric"], made["sections"]["trials"]["best"]) == ("acc", "t2")
    assert given(Page(report.render(made)).data) == made


def test_names_of_files_are_safe_and_of_no_two_tasks_the_same() -> None:
    names = {report.file_name(nasty_view(text)) for text in NASTY}
    assert len(names) >= len(NASTY) - 1
    assert all(re.fullmatch(r"air-report-[a-z0-9-]+\.html", name) for name in names)
    assert report.file_name(view()).startswith("air-report-flights-manual-1-train-")


def test_the_header_says_the_same_and_who_may_frame_it() -> None:
    assert report.policy() == f"{Page(report.render(view())).policy}; frame-ancestors 'self'"


def test_without_scripts_the_tables_tell_what_is_known() -> None:
    html = report.render(
        view(
            state={"phase": "failed", "error": "out of memory", "updated_at": 1_700_000_000, "total": 0},
            attempts=[{"submission_id": "air-1", "number": 1, "begun_at": 1_700_000_000.5, "is_current": True}],
            timeline=[{"name": "run", "from": 10.0, "to": 12.5}, {"name": "collect", "from": 12.5, "to": None}],
            metrics={"last": {"rmse": 0.1 + 0.2}},
            features=[{"store": "feast", "features": ["a:b", "c:d"]}],
            result={"best": {"x": 3}},
            links=[
                {"label": "Ray dashboard", "url": "http://ray:8265"},
                {"label": "odd", "url": "javascript:alert(1)"},
            ],
            environment={"Ray": "2.60.0"},
        )
    )
    text = re.sub(r"\s+", " ", Page(html).text)
    for expected in ("flights / manual__1 / train", "out of memory", "air-1", "2023-11-14 22:13:20 UTC", "is current",
                     "rmse 0.30000000000000004", '{ "best": { "x": 3 } }', "Ray dashboard", "total 0",
                     "1970-01-01 00:00:12 UTC 2.5", "a:b, c:d",
                     "odd: javascript:alert(1)"):  # fmt: skip
        assert expected in text
    assert re.search(r"Made by Airflow 3\.\d+.*airflow-provider-air \d+.*Python 3\.\d+.*Ray 2\.60\.0", text)


@pytest.mark.parametrize(("mode", "first", "last"), [("max", "t29", "t10"), ("min", "t0", "t19"), (None, "t0", "t19")])
def test_of_many_trials_the_best_are_shown_in_their_order(mode: str | None, first: str, last: str) -> None:
    rows = [{"trial": f"t{n}", "config": {"lr": n}, "values": {"acc": float(n)}} for n in range(30)]
    rows = [{"trial": "begun", "config": {"lr": 1}}, *rows, {"trial": "odd", "values": {"acc": "high"}}]
    html = report.render(view(trials={"metric": "acc", "mode": mode, "rows": rows}))
    shown = re.findall(r"<tr><td>(t\d+|begun|odd)</td>", html)
    assert (shown[0], shown[-1], len(shown)) == (first, last, 20)
    assert "The best 20 of 32 trials" in html


@pytest.mark.parametrize(
    "odd",
    [
        {},
        {"sections": None, "now": None},
        {"sections": {"task": [], "state": "x", "attempts": {"a": 1}, "trials": {"rows": [1, {"values": []}]}}},
        {"sections": {"links": [{}, {"url": 3}], "serve": {"applications": [{"deployments": 3}]}, "result": 10**30}},
        {"sections": {"state": {"updated_at": 10**30, "waiting_since": -1e300}, "metrics": {"last": []}}},
        {"sections": {"result": {"cut": True}, "checkpoints": [{"at": "2026-01-01T00:00:00Z"}]}, "now": 1e99},
    ],
)
def test_odd_views_are_shown_as_far_as_they_go(odd: dict[str, Any]) -> None:
    page = Page(report.render(odd))
    assert given(page.data) == odd
    assert "As it was known at" in page.text


def test_a_number_that_is_not_finite_is_an_error_and_no_broken_file() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        report.render(view(metrics={"last": {"loss": float("nan")}}))


def test_the_report_that_a_run_leaves_says_how_it_ended() -> None:
    key = {"deployment": "here", "dag_id": "flüge", "run_id": "r", "task_id": "train", "map_index": 2}
    kept = history([{"kind": "metric", "values": {"rmse": 0.25}, "step": 1}])
    for phase, word in {"SUCCEEDED": "Succeeded", "FAILED": "Failed"}.items():
        stored = {"task": key, "ledger": ledger(attempt(phase, message="why it is so")), "history": kept, "result": 7}
        page = report.report_of(stored)
        (told,) = [text for tag, attributes, text in Page(page).inside if attributes.get("id") == "air-data"]
        sections = json.loads(told)["sections"]
        assert sections["state"]["phase"] == word.lower()
        assert sections["task"]["map_index"] == 2
        assert sections["metrics"]["last"] == {"rmse": 0.25}
        assert "next" not in (sections["state"]["message"] or "")
        assert "flüge" in page

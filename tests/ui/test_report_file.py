"""A task's report as a file of its own, opened without any server: by real browsers with scripts, and without."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from airflow_provider_air.pages.report import render
from tests.ui.axe import NEEDS_AXE, OPEN_ALL, nothing_is_serious
from tests.ui.site import TASKS, UI, Visit, visit

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext

NASTY = "</script><script>window.hacked=1</script><img src=x onerror=window.hacked=1>"


def written(name: str, folder: Path) -> str:
    """Write the report of a fixture, and give its address."""
    return written_of(json.loads((UI / "fixtures" / f"{name}.json").read_text()), folder)


def written_of(view: dict[str, Any], folder: Path) -> str:
    file = folder / "report.html"
    file.write_text(render(view), encoding="utf-8")
    return file.as_uri()


def nothing_was_asked_for(made: Visit, address: str) -> bool:
    return {url for url in made.asked if not url.startswith("data:")} == {address}


@pytest.mark.parametrize("name", TASKS)
def test_it_is_drawn_without_a_request_a_complaint_or_a_foreign_script(
    context: BrowserContext, tmp_path: Path, name: str
) -> None:
    address = written(name, tmp_path)
    made = visit(context, address)
    expect(made.page.locator("#air h1")).to_be_visible()
    expect(made.page.locator("#air-tables")).to_be_hidden()
    expect(made.page.locator("#air-made")).to_contain_text("Made by Airflow 3.")
    assert made.complaints == []
    assert nothing_was_asked_for(made, address)
    assert made.page.evaluate("window.hacked") is None


def test_curves_and_trials_are_there(context: BrowserContext, tmp_path: Path) -> None:
    page = visit(context, written("tune", tmp_path)).page
    expect(page.get_by_role("heading", name="Trials", exact=True)).to_be_visible()
    expect(page.locator("canvas, svg").first).to_be_visible()


def test_each_curve_that_it_holds_can_be_seen(context: BrowserContext, tmp_path: Path) -> None:
    view = json.loads((UI / "fixtures" / "trained.json").read_text())
    metrics = view["sections"]["metrics"]
    metrics["names"] = [f"metric_{number}" for number in range(9)]
    metrics["series"] = {name: {"x": [0, 1], "y": [1.0, 0.5]} for name in metrics["names"][:8]}
    page = visit(context, written_of(view, tmp_path)).page
    expect(page.get_by_role("region", name="Metrics").locator(".curve")).to_have_count(6)
    page.get_by_role("button", name="metric_7").click()
    expect(page.get_by_role("img", name=re.compile(r"^metric_7\. Line chart"))).to_be_visible()
    expect(page.get_by_role("button", name="metric_8")).to_have_count(0)


@NEEDS_AXE
@pytest.mark.parametrize(
    "name", ["trained", *(pytest.param(name, marks=pytest.mark.full) for name in ("tune", "serve"))]
)
def test_axe_finds_nothing_serious(context: BrowserContext, tmp_path: Path, name: str) -> None:
    made = visit(context, written(name, tmp_path))
    made.frame.evaluate(OPEN_ALL)
    nothing_is_serious(made)


@pytest.mark.parametrize("name", ["trained", "tune", "serve", "hostile"])
def test_without_scripts_it_is_tables(browser: Browser, tmp_path: Path, name: str) -> None:
    context = browser.new_context(java_script_enabled=False, viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.goto(written(name, tmp_path))
    tables = page.locator("#air-tables")
    expect(tables).to_be_visible()
    expect(tables.get_by_role("heading", name="State")).to_be_visible()
    if name == "hostile":
        expect(tables.locator("h1")).to_contain_text(NASTY)
        expect(tables.locator("img, script")).to_have_count(0)
    context.close()


def test_a_script_that_was_changed_does_not_run_and_the_tables_stay(context: BrowserContext, tmp_path: Path) -> None:
    address = written("trained", tmp_path)
    file = tmp_path / "report.html"
    begin = '<div id="air" data-page="report"></div>\n<script>'
    file.write_text(file.read_text().replace(begin, f"{begin}window.hacked=1;"))
    page = context.new_page()
    page.goto(address)
    expect(page.locator("#air-tables")).to_be_visible()
    assert page.evaluate("window.hacked") is None

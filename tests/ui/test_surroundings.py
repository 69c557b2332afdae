"""At home in Airflow, safe, readable: theme and zone, CSP and hostile text, sizes, axe."""

from __future__ import annotations

import gzip
import json
import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.ui.axe import NEEDS_AXE, OPEN_ALL, nothing_is_serious
from tests.ui.conftest import Open
from tests.ui.site import STATIC, TASKS, UI

if TYPE_CHECKING:
    from playwright.sync_api import Page

# Their parts are those of all pages.
OF_ALL_KINDS = ("trained", "tune", "serve", "clusters")
PAGES = [*TASKS, "run", "clusters"]
WIDTHS = [1920, 1280, 390]


def test_the_theme_is_airflow_s_and_follows_it(open_page: Open) -> None:
    made = open_page("train", "dark")
    html = made.frame.locator("html")
    expect(html).to_have_attribute("data-theme", "dark")
    assert made.frame.evaluate("getComputedStyle(document.documentElement).backgroundColor") == "rgb(0, 0, 0)"
    made.page.evaluate("document.documentElement.className = 'light'")
    expect(html).to_have_attribute("data-theme", "light")
    assert made.frame.evaluate("getComputedStyle(document.documentElement).backgroundColor") == "rgb(255, 255, 255)"
    assert "Inter" in made.frame.evaluate("getComputedStyle(document.documentElement).fontFamily")


def test_times_are_in_the_zone_that_is_chosen_in_airflow(open_page: Open) -> None:
    made = open_page("train")
    started = made.frame.locator(".head time").first
    expect(started).to_have_text("2025-11-29 19:00:20")
    made.frame.get_by_role("button", name=re.compile("^Log")).click()
    line = made.frame.locator(".log-line time").first
    expect(line).to_have_text("19:00:00")
    made.page.evaluate(
        """() => { localStorage.setItem("timezone", JSON.stringify("Asia/Tokyo"));
            window.dispatchEvent(new StorageEvent("local-storage", { key: "timezone" })); }"""
    )
    expect(started).to_have_text("2025-11-30 03:00:20")
    expect(line).to_have_text("03:00:00")
    expect(line).to_have_attribute("title", "2025-11-30 03:00:00 Asia/Tokyo")
    made.page.evaluate(
        """() => { localStorage.setItem("timezone", "not JSON");
            window.dispatchEvent(new StorageEvent("local-storage", { key: "timezone" })); }"""
    )
    expect(started).to_have_text("2025-11-29 19:00:20")


def test_hostile_text_is_only_text(open_page: Open) -> None:
    made = open_page("hostile")
    frame = made.frame
    expect(frame.get_by_role("heading", name="Trials", exact=True)).to_be_visible()
    frame.evaluate(OPEN_ALL)
    text = frame.locator("main").inner_text()
    assert "<img src=x onerror=window.hacked=1>" in text
    assert not set(text) & {"\x1b", "\u202e", "\u2066", "\x07"}
    assert frame.evaluate("window.hacked") is None
    assert made.page.evaluate("window.hacked") is None
    assert frame.locator("img, iframe, object, embed, script:not([src])").count() == 0
    targets: list[str] = frame.locator("a").evaluate_all("links => links.map(link => link.href)")
    assert targets
    assert all(target.startswith(("http://", "https://")) for target in targets)


def test_a_style_that_the_policy_forbids_would_be_told(open_page: Open) -> None:
    made = open_page("not_ours")
    made.frame.evaluate("document.body.setAttribute('style', 'color: red')")
    made.wait_until(lambda: any("Content Security Policy" in said for said in made.complaints), "a complaint")
    made.complaints.clear()


@pytest.mark.parametrize("name", PAGES)
def test_every_page_fits_and_is_quiet_in_the_console(open_page: Open, name: str) -> None:
    # Violations of the CSP are among what the console says: `open_page` looks at that.
    made = open_page(name)
    made.frame.locator(".panel, .not-ours").first.wait_for()
    for chart in made.frame.locator(".chart-canvas").all()[:2]:
        chart.hover()  # what shows at the pointer is subject to the policy, too
    for width in WIDTHS:
        made.page.set_viewport_size({"width": width, "height": 844})
        assert made.frame.evaluate("document.documentElement.scrollWidth") <= width


@NEEDS_AXE
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in OF_ALL_KINDS else pytest.mark.full) for name in PAGES]
)
def test_axe_finds_nothing_serious_in_either_theme(open_page: Open, name: str) -> None:
    made = open_page(name)
    made.frame.locator(".panel, .not-ours").first.wait_for()
    made.frame.evaluate(OPEN_ALL)
    nothing_is_serious(made)


@NEEDS_AXE
@pytest.mark.parametrize("button", ["Stop", "Clear"])
def test_axe_finds_nothing_serious_in_an_open_dialog(open_page: Open, button: str) -> None:
    made = open_page("train")
    made.frame.get_by_role("button", name=button, exact=True).click()
    expect(made.frame.get_by_role("dialog")).to_be_visible()
    nothing_is_serious(made, "dialog")


@NEEDS_AXE
@pytest.mark.parametrize("name", ["train", "run", "clusters"])
def test_axe_finds_nothing_serious_where_there_is_an_error(open_page: Open, name: str) -> None:
    def broken(page: Page) -> None:
        page.route("**/air/api/**", lambda route: route.fulfill(status=403, json={"detail": "no"}))

    made = open_page(name, before=broken)
    expect(made.frame.locator(".notice")).to_contain_text("does not allow to see this")
    nothing_is_serious(made)


@NEEDS_AXE
def test_axe_finds_nothing_serious_where_the_log_cannot_be_read(open_page: Open) -> None:
    made = open_page("failed", before=lambda page: page.route("**/logs/**", lambda route: route.fulfill(status=500)))
    expect(made.frame.get_by_text("The tab Logs has the whole log")).to_be_visible()
    nothing_is_serious(made, ".fold")


def test_the_bundle_is_small_and_whole() -> None:
    names = ["air.js", "air.css"]
    assert sum(len(gzip.compress((STATIC / name).read_bytes(), 9)) for name in names) <= 300_000
    text = (STATIC / "air.js").read_text()
    assert "</script" not in text.lower()
    assert "sourceMappingURL" not in text
    lock = json.loads((UI / "package-lock.json").read_text())
    licences = (STATIC / "LICENSES.txt").read_text()
    bundled = lock["packages"][""]["dependencies"]
    assert bundled
    assert all(f"{name} {version} (" in licences for name, version in bundled.items())

"""One browser and one server of fixtures for all tests of the pages."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from tests.requirements import lacking
from tests.ui.site import DEADLINE_MS, FLAGS, UI, Visit, address, visit

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext

Open = Callable[..., Visit]
expect.set_options(timeout=DEADLINE_MS)


@pytest.fixture(scope="session")
def site() -> Iterator[str]:
    with subprocess.Popen([sys.executable, str(UI / "serve.py")], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        yield server.stdout.readline().strip()
        server.terminate()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser for the tests of one module: while it lives, no other test of the process has an event loop."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip(lacking("chromium"))
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, timezone_id="Europe/Berlin")
    context.set_default_timeout(DEADLINE_MS)
    yield context
    context.close()


@pytest.fixture
def open_page(context: BrowserContext, site: str) -> Iterator[Open]:
    """Open a page by its fixture's name, in a theme; its console must have nothing to complain of in the end."""
    visits: list[Visit] = []

    def opened(name: str, theme: str = "light", *, before: Any = None, path: str | None = None) -> Visit:
        visits.append(visit(context, f"{site}{path or f'/outer{address(name)}'}?theme={theme}", before=before))
        return visits[-1]

    yield opened
    assert [complaint for made in visits for complaint in made.complaints] == []

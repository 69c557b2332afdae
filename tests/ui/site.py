"""A page of the bundle in a real browser, in an iframe as Airflow makes it, over the fixtures of `ui/`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from playwright.sync_api import Error

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import BrowserContext, Frame, Page, Request

REPOSITORY = Path(__file__).resolve().parents[2]
UI = REPOSITORY / "ui"
STATIC = REPOSITORY / "airflow_provider_air" / "pages" / "static"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# Of what a browser does on a busy machine.
DEADLINE_MS = 60_000
TASKS = ["train", "trained", "tune", "batch", "serve", "submit", "failed", "hostile", "empty", "not_ours"]
# That its sandbox can be left is said of every iframe of Airflow's; what a test fails on purpose is told as such.
HARMLESS = ("can escape its sandboxing", "Failed to load resource")


def address(name: str) -> str:
    """Give the path of a page: of a fixture of a task, `run` or `clusters`."""
    return {"run": "/air/run/dag/run", "clusters": "/air/clusters"}.get(
        name, f"/air/task/dag/run/{name}/%7BMAP_INDEX%7D"
    )


@dataclass
class Visit:
    """A page that is open; what its console said is in `complaints`."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    answered: list[str] = field(default_factory=list)

    @property
    def frame(self) -> Frame:
        """The iframe; the page itself where there is none."""
        return self.page.frames[-1]

    def requests(self, part: str) -> list[str]:
        """Give the addresses asked for so far that have this in them."""
        return [url for url in self.asked if part in url]

    def wait_asked(self, part: str, wanted: str, count: int = 1) -> None:
        """Wait until the last request of some address has so often in it what is wanted."""

        def is_asked() -> bool:
            return bool(asked := self.requests(part)) and asked[-1].count(wanted) == count

        self.wait_until(is_asked, f"a request for {part} with {wanted!r}")

    def wait_until(self, is_so: Callable[[], bool], what: str) -> None:
        """Wait until something is so that the browser tells in its own time."""
        for _ in range(DEADLINE_MS // 50):
            if is_so():
                return
            self.page.wait_for_timeout(50)
        raise AssertionError(f"waited in vain for {what}; last asked: {self.asked[-3:]}")

    def pass_seconds(self, seconds: int) -> None:
        """
        Let the page's clock go on, which was installed before, and each request be answered meanwhile.

        So long it stands still in between: a slow machine's own seconds would be the page's, too.
        """
        self._pause_a_second_on()
        for second in range(seconds):
            if second:
                self.page.clock.run_for(1_000)
            while len(self.answered) < len(self.asked):
                self.page.wait_for_timeout(10)
        self.page.clock.resume()

    def pass_until(self, is_so: Callable[[], bool], seconds: int = 120) -> None:
        """Let second by second pass until something is so, or all of them have; who asks judges."""
        for _ in range(seconds):
            self.pass_seconds(1)
            if is_so():
                return

    def _pause_a_second_on(self) -> None:
        for _ in range(DEADLINE_MS // 1_000):
            now: float = self.page.evaluate("Date.now()")
            try:
                self.page.clock.pause_at(now / 1_000 + 1)
            except Error as error:
                # That took a second by itself.
                if "to the past" not in str(error):
                    raise
            else:
                return
        raise AssertionError("The page's clock cannot be paused")


def visit(context: BrowserContext, url: str, *, before: Any = None) -> Visit:
    """Open a page and wait until it shows something; `before` is given the page, to route its requests."""
    made = new_visit(context)
    if before is not None:
        before(made.page)
    made.page.goto(url)
    made.frame.locator("main > *:not(.off-screen)").first.wait_for(state="attached")
    return made


def new_visit(context: BrowserContext) -> Visit:
    """Begin a visit, of no page yet."""
    page = context.new_page()
    made = Visit(page)
    page.on("console", lambda message: _complain(made, message.type, message.text))
    page.on("pageerror", lambda error: made.complaints.append(str(error)))

    def note(request: Request) -> None:
        made.asked.append(request.url)

    page.on("request", note)
    for event in ("requestfinished", "requestfailed"):
        page.on(event, lambda request: made.answered.append(request.url))
    return made


def _complain(made: Visit, kind: str, text: str) -> None:
    if kind in {"error", "warning"} and not any(part in text for part in HARMLESS):
        made.complaints.append(f"{kind}: {text}")

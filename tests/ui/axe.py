"""What axe finds on a page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from playwright.sync_api import expect

from tests.requirements import needs
from tests.ui.site import UI, Visit

if TYPE_CHECKING:
    from playwright.sync_api import Frame

AXE = UI / "node_modules" / "axe-core" / "axe.min.js"
NEEDS_AXE = needs("node", AXE.exists(), "axe-core, which `make ui` brings")
OPEN_ALL = """() => {
    document.querySelectorAll(".fold-button").forEach(button => button.click());
    document.querySelectorAll("details").forEach(details => { details.open = true; }); }"""
SCHEMES: list[Literal["light", "dark"]] = ["light", "dark"]


def nothing_is_serious(made: Visit, within: str = "html") -> None:
    """Look at what is shown in either theme of Airflow's; of a report, in either that the browser prefers."""
    made.frame.evaluate(AXE.read_text())
    for scheme in SCHEMES:
        made.page.emulate_media(color_scheme=scheme)
        if made.frame is not made.page.main_frame:
            made.page.evaluate("theme => { document.documentElement.className = theme; }", scheme)
        expect(made.frame.locator("html")).to_have_attribute("data-theme", scheme)
        assert _serious(made.frame, within) == []


def _serious(frame: Frame, within: str) -> list[str]:
    found: dict[str, Any] = frame.evaluate("where => axe.run(where, { resultTypes: ['violations'] })", within)
    return [
        f"{violation['id']}: {node['html'][:160]} {node['failureSummary'][:200]}"
        for violation in found["violations"]
        if violation["impact"] in {"serious", "critical"}
        for node in violation["nodes"][:3]
    ]

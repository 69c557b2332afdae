"""How old is what a person sees of a running job in Airflow's UI?"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from tests.benchmarks.rig.airflow import Airflow, airflow
from tests.benchmarks.rig.heads import real_head
from tests.benchmarks.rig.report import Report, percentile
from tests.ui.site import FLAGS

if TYPE_CHECKING:
    from playwright.sync_api import Frame

DAG_ID, TASK_ID = "bench_watched", "watched"
START_SECONDS = 120.0
VALUE_SECONDS, CURVE_SECONDS = 5.0, 15.0
# What the page says every 50 ms: the value beside the curve, and the curve's own words about its last point.
LISTEN = """() => {
  window.heard = [];
  setInterval(() => window.heard.push([
    Date.now() / 1000,
    document.querySelector(".curve-last")?.textContent ?? "",
    document.querySelector(".curve [role=img]")?.getAttribute("aria-label") ?? "",
  ]), 50);
}"""


def measure(*, quick: bool) -> Iterator[Report]:
    """A real Airflow, Ray and Chromium; the job reports its age twice a second."""
    seconds = 60.0 if quick else 240.0
    report = Report(
        "ui_freshness",
        "how old is a metric that the Ray tab shows, from its report on the cluster, at each moment: the last value, "
        "and the last point of the curve; one deferred task, one tab, everything on this machine",
        quick=quick,
    )
    with real_head("watched") as (_, transport), airflow(transport) as stack:
        began_at = time.time()
        conf = {"began_at": str(began_at), "seconds": str(seconds + START_SECONDS)}
        run_id = stack.start(DAG_ID, **conf)
        heard = [each for each in _heard(stack, run_id, seconds) if each[0] < began_at + seconds + START_SECONDS]
    for name, ages, aim in (
        ("value", _ages(heard, began_at, 1, r"^([\d.,]+)$"), VALUE_SECONDS),
        ("curve", _ages(heard, began_at, 2, r"last ([\d.,]+)"), CURVE_SECONDS),
    ):
        report.series(f"age_of_the_{name}", ages[::20], "s")
        report.aim(f"p95 of the {name}'s age", percentile(ages, 0.95), at_most=aim)
    report.note("the job reports every half second, so that half of that is in each age")
    yield report


def _heard(stack: Airflow, run_id: str, seconds: float) -> list[list[Any]]:
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium")
    if chromium is None:
        raise RuntimeError("there is no chromium")
    address = f"{stack.api.base_url}/dags/{DAG_ID}/runs/{quote(run_id, safe='')}/tasks/{TASK_ID}/plugin/ray"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_page()
        page.set_default_timeout(START_SECONDS * 1000)
        page.goto(address)
        frame: Frame | None = page.locator("iframe").element_handle().content_frame()
        if frame is None:
            raise RuntimeError("the tab has no page of ours")
        # Begun once there is a curve: before that the page waits for the job, as everybody does.
        frame.locator(".curve [role=img]").wait_for(timeout=2 * START_SECONDS * 1000)
        frame.evaluate(LISTEN)
        page.wait_for_timeout(seconds * 1000)
        heard: list[list[Any]] = frame.evaluate("window.heard")
        browser.close()
    return heard


def _ages(heard: Sequence[Sequence[Any]], began_at: float, place: int, shape: str) -> list[float]:
    """Give how old what was shown was, at each look that showed something."""
    shown = [(said[0], re.search(shape, said[place])) for said in heard]
    ages = [at - began_at - float(found[1].replace(",", "")) for at, found in shown if found]
    if not ages:
        raise RuntimeError("the tab has shown nothing")
    return ages

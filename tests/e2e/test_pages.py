"""What people see of Ray in Airflow's own UI: a real browser, a real Airflow, a real Ray."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pyarrow
import pyarrow.parquet
import pytest
from airflow_api import AirflowApi, wait_for
from playwright.sync_api import expect

from airflow_provider_air.runs.ledger import LEDGER_KEY
from tests import clusters
from tests.e2e.ray_lab import RayLab
from tests.ui.conftest import browser, context  # noqa: F401  # fixtures
from tests.ui.site import Visit, new_visit

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Frame

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

DAG, GOING = "pages", "pages_of_a_cluster_that_goes"
PATIENCE_SECONDS = 420.0
PATIENCE_MS = PATIENCE_SECONDS * 1000
SHOTS = os.environ.get("AIR_SCREENSHOTS", "")
# Of each task: its state, and what is there to be read when its cluster is gone.
KEPT: list[tuple[str, str, list[str], list[str]]] = [
    ("ray.predict", "Succeeded", ["Rows", "Data", "Result", "Cluster", "Where the time went"], ["400", "double"]),
    ("ray.deploy", "Succeeded", ["Applications", "Roll-out", "Result"], ["greeter", "Greeter", "running"]),
    ("ray.fails", "Failed", ["Attempts"], ["exit code 3"]),
]


class Watched:
    """One run of a DAG of ``dags/ray_pages.py``, which a browser looks at."""

    def __init__(self, lab: RayLab, folder: Path, conf: dict[str, str], dag_id: str = DAG) -> None:
        self.api: AirflowApi = lab.api
        self.dag_id = dag_id
        self.cluster = lab.transport.base_url
        self.folder = folder
        self.api.wait_dag(dag_id)
        self.run_id = self.api.trigger(dag_id, {"folder": str(folder), **conf})

    def task_page(self, task_id: str) -> str:
        return f"{self.run_page().removesuffix('/plugin/ray-run')}/tasks/{task_id}/plugin/ray"

    def run_page(self) -> str:
        return f"{self.api.base_url}/dags/{self.dag_id}/runs/{quote(self.run_id, safe='')}/plugin/ray-run"

    def progress(self, task_id: str = "train") -> dict[str, Any]:
        return self.api.xcom(self.dag_id, self.run_id, task_id, "progress") or {}

    def ledger(self, task_id: str) -> dict[str, Any]:
        return dict(self.api.state_store(self.dag_id, self.run_id, task_id)[LEDGER_KEY])

    def wait(self, task_id: str, *states: str, try_number: int = 0) -> dict[str, Any]:
        return self.api.wait_task_state(
            self.dag_id, self.run_id, task_id, states, PATIENCE_SECONDS, min_try_number=try_number
        )


@pytest.fixture(scope="module")
def watched(ray_lab: RayLab) -> Iterator[Watched]:
    """A run whose training holds still in its middle."""
    folder = ray_lab.new_folder()
    connection = {"conn_type": "ray", "host": ray_lab.transport.base_url, "password": ray_lab.transport.token}
    ray_lab.api.call("POST", "/connections", json={"connection_id": folder.name, **connection})
    yield Watched(ray_lab, folder, {"ray_conn_id": folder.name})
    (folder / "go").touch()


def opened(context: BrowserContext, url: str, *, shot: str = "") -> Visit:  # noqa: F811
    """Open a page of Airflow's, and wait until ours within it shows something."""
    made = new_visit(context)
    made.page.set_default_timeout(PATIENCE_MS)
    made.page.goto(url)
    ours = made.page.locator("iframe").element_handle().content_frame()
    assert ours is not None
    ours.wait_for_url("**/air/**")
    made.frame.locator("main > *:not(.off-screen)").first.wait_for(state="attached")
    if SHOTS and shot:
        made.page.wait_for_timeout(2000)
        made.page.screenshot(path=str(Path(SHOTS) / f"{shot}.png"))
    return made


def is_unhurt(made: Visit) -> bool:
    """Whether nothing that a job has said was run as code, and no policy is broken; Airflow's own words are its own."""
    broken = [told for told in made.complaints if "Content Security" in told or "air.js" in told]
    return not broken and all(frame.evaluate("window.hurt === undefined") for frame in made.page.frames)


def state_of(frame: Frame) -> Any:
    return frame.locator(".head-state")


def test_a_training_is_watched_while_it_runs_and_its_end_comes_by_itself(
    watched: Watched,
    context: BrowserContext,  # noqa: F811
) -> None:
    wait_for(watched.progress, lambda told: (told.get("step") or 0) >= 9, "nine epochs are told", PATIENCE_SECONDS)
    made = opened(context, watched.task_page("train"), shot="train")
    expect(state_of(made.frame)).to_contain_text("Running", timeout=PATIENCE_MS)
    expect(made.frame.get_by_role("heading", name="Metrics", exact=True)).to_be_visible(timeout=PATIENCE_MS)
    for name in ("loss", "val/acc"):
        expect(made.frame.get_by_text(name, exact=True).first).to_be_visible()
    # The tenth loss, wherever it stands.
    expect(made.frame.locator("body")).to_contain_text("0.1")

    (watched.folder / "go").touch()
    expect(state_of(made.frame)).to_contain_text("Succeeded", timeout=PATIENCE_MS)
    expect(made.frame.locator("body")).to_contain_text("0.0333")
    expect(made.frame.get_by_role("heading", name="Result", exact=True)).to_be_visible(timeout=30_000)
    assert is_unhurt(made)


def test_a_searchs_trials_are_a_table_with_the_best_one_marked(
    watched: Watched,
    context: BrowserContext,  # noqa: F811
) -> None:
    watched.wait("tune", "success")
    made = opened(context, watched.task_page("tune"), shot="tune")
    expect(state_of(made.frame)).to_contain_text("Succeeded")
    table = made.frame.get_by_role("table").filter(has_text=re.compile("Trial", re.I)).first
    expect(table.get_by_role("row")).to_have_count(6)
    best = table.get_by_role("row").filter(has_text=re.compile("best", re.I))
    expect(best).to_have_count(1)
    expect(best).to_contain_text("3")
    with made.page.expect_download() as report:
        made.frame.get_by_role("link", name="Report").click()
    assert "tune" in report.value.suggested_filename
    assert 'id="air-data"' in report.value.path().read_text()
    assert is_unhurt(made)


def test_a_failure_tells_why_in_the_page_and_its_log_marks_the_error(
    watched: Watched,
    context: BrowserContext,  # noqa: F811
) -> None:
    watched.wait("fails", "failed")
    made = opened(context, watched.task_page("fails"), shot="failed")
    expect(state_of(made.frame)).to_contain_text("Failed")
    expect(made.frame.locator("body")).to_contain_text("exit code 3")
    # As text, and never as what it says of itself.
    expect(made.frame.locator("body")).to_contain_text("</script><script>")
    assert is_unhurt(made)


def test_a_task_of_others_has_a_quiet_line(watched: Watched, context: BrowserContext) -> None:  # noqa: F811
    watched.wait("others", "success")
    made = opened(context, watched.task_page("others"))
    expect(made.frame.get_by_text("This task does not run on Ray")).to_be_visible()


def test_the_runs_page_and_the_clusters_page_know_its_tasks(
    watched: Watched,
    context: BrowserContext,  # noqa: F811
) -> None:
    watched.wait("fails", "failed")
    made = opened(context, watched.run_page(), shot="run")
    for name in ("train", "tune", "fails"):
        expect(made.frame.get_by_role("cell", name=name, exact=True).first).to_be_visible()
    assert is_unhurt(made)
    made = opened(context, f"{watched.api.base_url}/plugin/ray-clusters", shot="clusters")
    expect(made.frame.get_by_text(watched.folder.name).first).to_be_visible()
    assert is_unhurt(made)


@pytest.mark.full  # a training more
def test_a_person_clears_a_success_so_that_it_resumes(watched: Watched, context: BrowserContext) -> None:  # noqa: F811
    """By itself a clear after a success begins afresh."""
    (watched.folder / "go").touch()
    watched.wait("train", "success")
    watched.api.wait_run(DAG, watched.run_id, timeout_seconds=PATIENCE_SECONDS)
    made = opened(context, watched.task_page("train"))
    made.frame.get_by_role("button", name="Clear", exact=True).click()
    made.frame.get_by_role("radio", name=re.compile("Resume")).check()
    made.frame.get_by_role("button", name="Clear it").click()
    expect(made.frame.get_by_role("status").filter(has_text="Cleared")).to_be_visible()
    watched.wait("train", "success", try_number=2)
    ledger = watched.ledger("train")
    assert (ledger["generation"], ledger["run_generation"]) == (2, 1)


@pytest.mark.full  # a training more
def test_a_person_stops_a_job(watched: Watched, ray_lab: RayLab, context: BrowserContext) -> None:  # noqa: F811
    folder = ray_lab.new_folder()
    other = Watched(ray_lab, folder, {"ray_conn_id": watched.folder.name})
    wait_for(other.progress, lambda told: (told.get("step") or 0) >= 9, "nine epochs are told", PATIENCE_SECONDS)
    made = opened(context, other.task_page("train"))
    made.frame.get_by_role("button", name="Stop", exact=True).click()
    made.frame.get_by_role("button", name="Stop it").click()
    other.wait("train", "failed")
    submission_id = other.api.xcom(DAG, other.run_id, "train", "submission_id")
    with_end = [job for job in _jobs(ray_lab) if job.submission_id == submission_id]
    wait_for(
        lambda: [job for job in _jobs(ray_lab) if job.submission_id == submission_id],
        lambda jobs: all(job.status.value == "STOPPED" for job in jobs) and bool(jobs),
        "the job is stopped",
        PATIENCE_SECONDS,
    )
    assert with_end


@pytest.mark.full  # a cluster more
def test_predictions_and_an_application_are_watched_and_what_they_were_is_there_when_their_cluster_is_gone(
    ray_lab: RayLab,
    context: BrowserContext,  # noqa: F811
) -> None:
    folder = ray_lab.new_folder()
    (folder / "numbers").mkdir()
    for part in range(40):
        numbers = pyarrow.table({"number": list(range(10 * part, 10 * part + 10))})
        pyarrow.parquet.write_table(numbers, folder / "numbers" / f"{part:02}.parquet")
    going = Watched(ray_lab, folder, {}, GOING)

    wait_for(
        lambda: going.progress("ray.predict"), lambda told: told.get("status") == "RUNNING", "it runs", PATIENCE_SECONDS
    )
    made = opened(context, going.task_page("ray.predict"), shot="predict")
    expect(state_of(made.frame)).to_contain_text("Running", timeout=PATIENCE_MS)
    (folder / "go").touch()
    # How many rows are told before the end is Ray Data's choice.
    expect(state_of(made.frame)).to_contain_text("Succeeded", timeout=PATIENCE_MS)
    expect(made.frame.get_by_role("heading", name="Rows", exact=True)).to_be_visible()

    going.wait("ray.called", "running", "deferred")
    made = opened(context, going.task_page("ray.deploy"), shot="deploy")
    expect(state_of(made.frame)).to_contain_text("Succeeded", timeout=PATIENCE_MS)
    curl = made.frame.get_by_text(re.compile("^curl ")).first.inner_text()
    answer = subprocess.run(["sh", "-c", curl], capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(answer.stdout)["text"] == "Hello, you!"
    (folder / "called").touch()

    assert going.api.wait_run(GOING, going.run_id, timeout_seconds=PATIENCE_SECONDS) == "failed"
    name = going.ledger("ray.predict")["attempts"][-1]["cluster"]["name"]
    wait_for(clusters.known, lambda left: name not in left, "it is gone", 120)
    for theme in ("light", "dark"):
        # As Airflow keeps what a person chose.
        context.add_init_script(f"try {{ localStorage.setItem('theme', '{theme}') }} catch {{}}")
        for task_id, state, headings, words in KEPT:
            made = opened(context, going.task_page(task_id), shot=f"gone-{task_id}-{theme}")
            expect(made.frame.locator("html")).to_have_attribute("data-theme", theme)
            expect(state_of(made.frame)).to_contain_text(state)
            for heading in headings:
                expect(made.frame.get_by_role("heading", name=heading, exact=True)).to_be_visible()
            for word in words:
                expect(made.frame.locator("body")).to_contain_text(word)
            assert is_unhurt(made)


def _jobs(lab: RayLab) -> list[Any]:
    from airflow_provider_air.ray_api.client import RayClient
    from airflow_provider_air.ray_api.requests import list_jobs

    with RayClient(lab.transport) as client:
        return [job for job in client.send(list_jobs())]  # noqa: C416  # a call of a sequence

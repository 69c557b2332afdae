"""What stays of an ended attempt for people, and that none of it ends a run."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_air.contracts.runs import DataRef, Done, Wait
from airflow_provider_air.ray_api.models import JobDetails, JobStatus
from airflow_provider_air.runs.about import ABOUT_KEY
from airflow_provider_air.runs.choices import CHOICE_KEY, UNHEARD_SECONDS
from airflow_provider_air.runs.history import EARLIER_KEY, HISTORY_KEY, MOST_EARLIER_BYTES, shortened
from airflow_provider_air.runs.keeping import steps_at_end
from airflow_provider_air.runs.ledger import AttachmentEntry, kept
from airflow_provider_air.storage.shared_folder import SharedFolder
from tests.fakes.ray_dashboard import FakeRayDashboard
from tests.unit.runs.conftest import Task

STEPS = {"intended": 10.0, "ready": 11.0, "sent": 12.0, "submitted": 13.0}
GOOD = JobDetails("air-1", JobStatus.SUCCEEDED, end_time_ms=20_000)


def ended(task: Task, head: FakeRayDashboard, **plan: Any) -> Any:
    """Have a try begin, its job end well, and the try collect it."""
    run = task.run(**plan)
    step = run.begin()
    assert isinstance(step, Wait)
    name = list(head.jobs)[-1]
    head.set_status(name, "RUNNING")
    head.set_status(name, "SUCCEEDED")
    return run, run.resume(run.wait(step))


def test_an_ended_attempt_has_all_its_steps_in_order(task: Task, head: FakeRayDashboard) -> None:
    ended(task, head)
    (attempt,) = task.attempts
    names = ("intended", "ready", "sent", "submitted", "ended", "collected")

    assert set(names) <= set(attempt.steps)
    moments = [attempt.steps[name] for name in names]
    assert moments == sorted(moments)
    history = kept(task.store, HISTORY_KEY)
    assert history["submission_id"] == attempt.submission_id
    assert history["steps"] == attempt.steps


@pytest.mark.parametrize(
    ("steps", "seen", "job", "records", "expected"),
    [
        ({}, {"steps": {"running": 14.5}}, GOOD, [], (14.5, 20.0)),
        ({}, None, GOOD, [{"t": 15.0}], (15.0, 20.0)),
        ({}, {"steps": {"running": 17.0}}, GOOD, [{"t": 15.0}], (15.0, 20.0)),
        # Nobody saw it run.
        ({}, {}, GOOD, [], (None, 20.0)),
        # An earlier try did.
        ({"running": 14.0}, {}, GOOD, [], (14.0, 20.0)),
        # The head's clock is late, or early.
        ({}, {"steps": {"running": 14.0}}, replace(GOOD, end_time_ms=1_000), [], (13.0, 13.0)),
        ({}, {"steps": {"running": 14.0}}, replace(GOOD, end_time_ms=99_000), [], (14.0, 30.0)),
        ({}, {"steps": {"running": 2.0}}, replace(GOOD, end_time_ms=None), [{"t": 3.0}], (None, 30.0)),
        ({}, {"steps": {"running": float("nan")}}, GOOD, [{"t": "x"}], (None, 20.0)),
        ({}, {"steps": 3}, GOOD, [{}], (None, 20.0)),
    ],
)
def test_a_job_ran_from_when_it_was_seen_to_begin_until_it_said_that_it_ended(
    steps: dict[str, float], seen: Any, job: JobDetails, records: list[dict[str, Any]], expected: Any
) -> None:
    found = steps_at_end({**STEPS, **steps}, seen, job, records, 30.0)

    assert (found.get("running"), found["ended"], found["collected"]) == (*expected, 30.0)


def test_the_curves_of_the_attempt_before_stay(task: Task, head: FakeRayDashboard) -> None:
    ended(task, head)
    assert kept(task.store, EARLIER_KEY) is None
    ended(task, head, try_number=2, max_tries=3)  # after a clear
    first, second = task.attempts

    assert kept(task.store, HISTORY_KEY)["submission_id"] == second.submission_id
    earlier = kept(task.store, EARLIER_KEY)
    assert (earlier["submission_id"], earlier["steps"]) == (first.submission_id, first.steps)


def test_what_stays_of_a_history_is_small_and_has_its_last_points() -> None:
    series = {f"m{number}": [[step, step / 3] for step in range(2000)] for number in range(20)}
    form = {"submission_id": "air-1", "series": series, "trials": [{"trial": "a"}], "resources": [[1.0, {}]]}
    short = shortened(form)

    assert len(json.dumps(short)) <= 1.2 * MOST_EARLIER_BYTES
    assert {name: points[-1] for name, points in short["series"].items()} == {n: [1999, 1999 / 3] for n in series}
    assert set(short) == {"submission_id", "series"}
    assert shortened({"series": 3, "submission_id": "air-1"}) == {"submission_id": "air-1", "series": {}}


def test_what_is_read_and_written_is_known_while_the_job_runs_and_after(task: Task, head: FakeRayDashboard) -> None:
    job = {
        "inputs": (DataRef("train", "s3://rows", {"a": "int64"}, 7), DataRef("test")),
        "outputs": (DataRef("output", "s3://out"),),
    }
    _, done = ended(task, head, job=job)
    about = task.store.get(ABOUT_KEY)

    assert about["submission_id"] == task.attempts[0].submission_id
    assert about["inputs"] == [
        {"name": "train", "uri": "s3://rows", "rows": 7, "schema": {"a": "int64"}},
        {"name": "test"},
    ]
    assert kept(task.store, HISTORY_KEY)["outputs"] == about["outputs"] == [{"name": "output", "uri": "s3://out"}]
    assert done.facts["outputs"] == about["outputs"]


def test_very_much_that_is_read_is_bounded(task: Task, head: FakeRayDashboard) -> None:
    wide = {f"column-{number}" * 20: "int64" for number in range(5000)}
    ended(task, head, job={"inputs": tuple(DataRef(f"d{n}" * 500, "s3://" + "x" * 5000, wide) for n in range(100))})

    # The store refuses what is too large, so there it is, or it is left out; in both cases the run goes on.
    assert task.phases == ["SUCCEEDED"]
    assert len(json.dumps(kept(task.store, HISTORY_KEY))) <= 1024 * 1024


def test_a_report_lies_with_the_attempt(task: Task, head: FakeRayDashboard, tmp_path: Any) -> None:
    given: list[Mapping[str, Any]] = []

    def render(documents: Mapping[str, Any]) -> str:
        given.append(documents)
        return "<html>\udc80</html>"

    task.report = render
    folder = SharedFolder(str(tmp_path))
    ended(task, head, storage=lambda: folder)
    name = task.attempts[0].submission_id

    assert (tmp_path / "results" / f"{name}-report.html").read_text() == "<html>\\udc80</html>"
    [documents] = given
    assert documents["ledger"]["attempts"][0]["phase"] == "SUCCEEDED"
    assert documents["history"]["submission_id"] == name
    assert documents["task"]["task_id"] == "train"


def test_a_worker_that_dies_while_it_tells_of_the_end_leaves_the_report_to_the_next_try(
    task: Task, head: FakeRayDashboard, tmp_path: Any
) -> None:
    task.report = lambda documents: "<html></html>"
    folder = SharedFolder(str(tmp_path))
    ended(task, head, storage=lambda: folder)
    (tmp_path / "results" / f"{task.attempts[0].submission_id}-report.html").unlink()
    spec = {"kind": "gone", "fields": {}}
    task.change_last(attachments=(AttachmentEntry(spec, {"run_id": "r"}, untold="It is told last"),))

    again = task.run(2, storage=lambda: folder).begin()

    assert isinstance(again, Done)
    assert (tmp_path / "results" / f"{task.attempts[0].submission_id}-report.html").exists()


def test_a_report_that_cannot_be_made_is_warned_about_once(task: Task, head: FakeRayDashboard, tmp_path: Any) -> None:
    def render(documents: Mapping[str, Any]) -> str:
        raise ZeroDivisionError("no")

    task.report = render
    _, done = ended(task, head, storage=lambda: SharedFolder(str(tmp_path)))

    assert isinstance(done, Done)
    said = [line for line in task.log.lines if "report" in line]
    assert said == ["The attempt's report is not left in its storage: ZeroDivisionError: no"]


def test_nothing_that_is_kept_for_people_ends_a_run(
    task: Task, head: FakeRayDashboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*values: Any, **more: Any) -> Any:
        raise ZeroDivisionError("no")

    for name in ("keeping.RunHistory.note_records", "keeping.steps_at_end", "sending.about_of", "live.RunHistory.seen"):
        monkeypatch.setattr(f"airflow_provider_air.runs.{name}", broken)
    _, done = ended(task, head)

    assert isinstance(done, Done)
    assert len([line for line in task.log.lines if "ZeroDivisionError" in line]) == 5


# The choice that comes with a clear


def cleared(task: Task, head: FakeRayDashboard, choice: Any, **plan: Any) -> int:
    """Fail a task, choose, clear it, and give the generation whose run goes on."""
    task.run(**plan).begin()
    for name in head.jobs:
        head.set_status(name, "FAILED")
    task.store.set(CHOICE_KEY, choice)
    task.run(try_number=2, max_tries=5, **plan).begin()
    return task.attempts[-1].run_generation


def chosen(word: str, **more: Any) -> dict[str, Any]:
    return {"version": 1, "choice": word, "at": time.time(), **more}


def heard(word: str) -> dict[str, Any]:
    return chosen(word, until=None)


def unheard(word: str) -> dict[str, Any]:
    return chosen(word, until=time.time() + UNHEARD_SECONDS)


@pytest.mark.parametrize("form", [chosen, heard, unheard, str])
@pytest.mark.parametrize(("on_clear", "word", "generation"), [("resume", "fresh", 2), ("fresh", "resume", 1)])
def test_a_choice_wins_over_the_operators_for_one_clear(
    task: Task, head: FakeRayDashboard, form: Any, on_clear: str, word: str, generation: int
) -> None:
    assert cleared(task, head, form(word), on_clear=on_clear) == generation
    assert task.store.get(CHOICE_KEY) is None

    # The next clear is by the operator's own word again.
    for name in head.jobs:
        head.set_status(name, "FAILED")
    task.run(try_number=3, max_tries=9, on_clear=on_clear).begin()
    assert task.attempts[-1].run_generation == (3 if on_clear == "fresh" else generation)


def test_a_choice_whose_clear_nobody_heard_of_does_not_wait_for_another_one(task: Task, head: FakeRayDashboard) -> None:
    assert cleared(task, head, chosen("fresh", until=time.time() - 1.0), on_clear="resume") == 1
    assert task.store.get(CHOICE_KEY) is None
    assert len([line for line in task.log.lines if "'fresh' in the Ray tab is passed over" in line]) == 1


@pytest.mark.parametrize("odd", ["later", {"choice": 3}, ["fresh"], 7])
def test_a_choice_that_is_none_is_passed_over(task: Task, head: FakeRayDashboard, odd: Any) -> None:
    assert cleared(task, head, odd, on_clear="fresh") == 2


def test_a_choice_that_could_not_be_removed_counts_once(
    task: Task, head: FakeRayDashboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(key: str) -> None:
        raise OSError("away")

    monkeypatch.setattr(task.store, "delete", away)
    assert cleared(task, head, chosen("fresh"), on_clear="resume") == 2
    for name in head.jobs:
        head.set_status(name, "FAILED")
    task.run(try_number=3, max_tries=9, on_clear="resume").begin()

    assert task.attempts[-1].run_generation == 2


def test_a_retry_leaves_a_choice_to_the_clear(task: Task, head: FakeRayDashboard) -> None:
    task.run().begin()
    for name in head.jobs:
        head.set_status(name, "FAILED")
    task.store.set(CHOICE_KEY, chosen("fresh"))
    task.run(try_number=2).begin()

    assert task.store.get(CHOICE_KEY) is not None
    assert {attempt.generation for attempt in task.attempts} == {1}

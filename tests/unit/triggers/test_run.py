"""The trigger that waits for a job, over HTTP: what it shows, when it stops, what its successor finds."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import SetXCom
from airflow.triggers.base import TriggerEvent

from airflow_provider_air.attachments.registry import to_json
from airflow_provider_air.clusters.existing.backend import ExistingBackend
from airflow_provider_air.clusters.jobs_api import watching
from airflow_provider_air.contracts.clusters import ClusterRef
from airflow_provider_air.contracts.runs import Wait
from airflow_provider_air.drivers.wire.names import records_name
from airflow_provider_air.runs import live as histories
from airflow_provider_air.runs import stopping
from airflow_provider_air.runs.ledger import AttachmentEntry, Attempt
from airflow_provider_air.triggers.run import RayRunTrigger
from tests.deferrals import as_stored
from tests.fakes.attachment import SERVERS, FakeTracker, FakeTrackerSpec, RemoteRun
from tests.fakes.ray_dashboard import FakeRayDashboard
from tests.fakes.task_context import Supervisor
from tests.unit.conftest import Connect

CLUSTER = ClusterRef("existing", "ray_default")
TASK = {"dag_id": "flights", "run_id": "manual__1", "task_id": "train", "map_index": -1}
AGAIN = "[watching again after an interruption: the next lines may repeat the last ones above]"
DEADLINE_SECONDS = 30.0


class Lines:
    """Takes a trigger's log where Airflow would take it."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.warnings: list[str] = []

    def info(self, message: str, *values: object) -> None:
        self.lines.append(message % values if values else message)

    def warning(self, message: str, *values: object) -> None:
        self.info(message, *values)
        self.warnings.append(self.lines[-1])


def trigger(lines: Lines | None = None, *, task: dict[str, Any] = TASK, **fields: Any) -> RayRunTrigger:
    """
    Give a trigger that waits for the end of the attempt ``job``.

    :param fields: of the attempt; ``until`` is the step's
    """
    until = fields.pop("until", None)
    key = {"deployment": "here", **task}
    wanted = {"cluster": CLUSTER.to_json(), "phase": "submitted", "key": key, **fields}
    made = RayRunTrigger(step=Wait("end", until, Attempt(1, 1, "job", **wanted).to_json()).to_json(), task=task)
    made._log = lines or Lines()  # type: ignore[assignment]
    return made


async def event(made: RayRunTrigger) -> Any:
    fired: TriggerEvent = await asyncio.wait_for(anext(made.run()), DEADLINE_SECONDS)
    return as_stored(fired.payload)


async def wait_for(condition: Callable[[], Any], what: str) -> None:
    end = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < end, f"waited in vain for {what}"
        await asyncio.sleep(0.02)


async def interrupt(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.wait([task])


END = {"kind": "end", "status": "succeeded"}


def write_records(head: FakeRayDashboard, *records: dict[str, Any], first: int = 0) -> None:
    """Add records to those of the job "job", of which the first has this number."""
    for number, record in enumerate(records, first):
        head.append_file(records_name("job"), json.dumps({"v": 1, "seq": number, "t": 0.0, **record}) + "\n")


# Events


async def test_what_is_shown_is_text_that_a_log_takes(head: FakeRayDashboard) -> None:
    head.add_job("job", "SUCCEEDED")
    write_records(head, {"kind": "progress", "message": "read file-\udc80"}, END)
    lines = Lines()

    await event(trigger(lines, has_records=True))

    assert "[progress] read file-\\udc80" in lines.lines


async def test_the_end_of_the_job_fires_one_event_with_its_details(head: FakeRayDashboard) -> None:
    head.add_job("job", "FAILED", message="boom", driver_exit_code=3)

    fired = await event(trigger())

    assert (fired["version"], fired["submission_id"], fired["outcome"]) == (1, "job", "ended")
    assert (fired["job"]["status"], fired["job"]["message"]) == ("FAILED", "boom")


async def test_a_job_that_the_cluster_does_not_know_is_lost(head: FakeRayDashboard) -> None:
    fired = await event(trigger())

    assert (fired["outcome"], fired["job"]) == ("lost", None)


async def test_a_job_on_a_dead_node_is_lost(head: FakeRayDashboard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_provider_air.ray_api.feed.NODE_CHECK_SECONDS", 0.0)
    head.add_job("job")
    head.kill_node()

    fired = await event(trigger())

    assert fired["outcome"] == "lost"
    assert head.node_id in fired["message"]


async def test_the_deadline_fires_while_the_job_goes_on(head: FakeRayDashboard) -> None:
    head.add_job("job")

    fired = await event(trigger(until=time.time() + 0.5))

    assert (fired["outcome"], fired["job"]["status"]) == ("deadline", "RUNNING")


async def test_the_deadline_fires_where_nobody_answers(head: FakeRayDashboard) -> None:
    head.add_job("job")
    head.plan("GET", ".*", status=503, times=None)

    assert (await event(trigger(until=time.time() + 0.5)))["outcome"] == "deadline"


async def test_a_cluster_that_stays_silent_is_unreachable(head: FakeRayDashboard) -> None:
    head.add_job("job")
    head.plan("GET", ".*", drop=True, times=None)

    fired = await event(trigger(unreachable_seconds=0.5))

    assert fired["outcome"] == "unreachable"
    assert head.url in fired["message"]


async def test_a_short_silence_is_sat_out(head: FakeRayDashboard) -> None:
    head.add_job("job", "SUCCEEDED")
    head.plan("GET", "^/api/jobs/job$", status=500, times=3)

    assert (await event(trigger()))["outcome"] == "ended"


async def test_a_token_that_stays_wrong_is_refused(head: FakeRayDashboard, connect: Connect) -> None:
    head.add_job("job")
    connect(host=head.url, password="stale-token")

    fired = await event(trigger(unreachable_seconds=0.5))

    assert fired["outcome"] == "refused"
    assert "stale-token" not in json.dumps(fired)


async def test_a_rotated_token_is_followed(head: FakeRayDashboard, connect: Connect) -> None:
    head.add_job("job")
    watch = asyncio.create_task(event(trigger()))
    await wait_for(lambda: head.requests_to("GET", "^/api/jobs/job$"), "a first look")

    head.token = "rotated-token"
    connect(host=head.url, password="rotated-token")
    head.set_status("job", "SUCCEEDED")

    assert (await watch)["outcome"] == "ended"


async def test_a_connection_that_is_gone_ends_the_watch_with_a_reason(
    head: FakeRayDashboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_RAY_DEFAULT")

    fired = await event(trigger(unreachable_seconds=0.5))

    assert fired["outcome"] == "refused"
    assert "'ray_default'" in fired["message"]


# The log


async def test_the_log_is_shown_line_by_line_and_in_order(head: FakeRayDashboard) -> None:
    head.add_job("job", log="one\ntwo 100% of %s\nthr")
    lines = Lines()
    watch = asyncio.create_task(event(trigger(lines)))
    await wait_for(lambda: len(lines.lines) == 2, "two lines")

    head.append_log("job", "ee\nlast without an end")
    head.set_status("job", "SUCCEEDED")
    await watch

    assert lines.lines == ["one", "two 100% of %s", "three", "last without an end"]


async def test_a_log_that_cannot_be_read_does_not_fail_the_job(
    head: FakeRayDashboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "DRAIN_SECONDS", 0.5)
    head.add_job("job", "SUCCEEDED", log="one\n")
    head.plan("GET", "logs", status=500, times=None)
    lines = Lines()

    fired = await event(trigger(lines))

    assert (fired["outcome"], fired["job"]["status"]) == ("ended", "SUCCEEDED")
    assert "could not be read" in lines.lines[-1]


async def test_records_are_shown_and_kept_as_progress(head: FakeRayDashboard, supervisor: Supervisor) -> None:
    head.add_job("job", "SUCCEEDED")
    write_records(
        head,
        {"kind": "progress", "message": "epoch", "done": 3, "total": 10},
        {"kind": "metric", "values": {"rmse": 1.25}, "step": 3},
        {"kind": "progress", "message": "only the text travels", "warning": True},
        END,
    )
    lines = Lines()

    await event(trigger(lines, has_records=True))

    assert lines.warnings == ["[progress] only the text travels"]
    assert lines.lines == ["[progress] epoch (3/10)", "[metric] step 3: rmse=1.25", *lines.warnings]
    assert supervisor.xcoms["progress"]["values"] == {"rmse": 1.25}


async def test_rays_tasks_are_counted_where_there_are_no_records(
    head: FakeRayDashboard, supervisor: Supervisor
) -> None:
    head.add_job("job", job_id="02000000")
    head.set_tasks("02000000", {"work": {"RUNNING": 2, "FINISHED": 3}})
    watch = asyncio.create_task(event(trigger()))
    await wait_for(lambda: head.requests_to("GET", "summarize"), "a count")
    head.set_status("job", "SUCCEEDED")
    await watch

    assert supervisor.xcoms["progress"]["tasks"] == {"work": {"RUNNING": 2, "FINISHED": 3}}


# Waiting


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is waited for is told without delay."""
    monkeypatch.setattr("airflow_provider_air.runs.notice.FIRST_SECONDS", 0.0)


async def test_a_pending_job_says_what_it_waits_for_and_since_when(
    head: FakeRayDashboard, supervisor: Supervisor, at_once: None
) -> None:
    head.add_job("job", "PENDING")
    submitted = time.time() - 250
    lines = Lines()
    watch = asyncio.create_task(event(trigger(lines, steps={"intended": submitted - 9, "submitted": submitted})))
    await wait_for(lambda: "waiting_for" in supervisor.xcoms.get("progress", {}), "what it waits for")

    assert lines.lines == ["Waiting for the runtime environment to be set up, for 4 min so far"]
    progress = supervisor.xcoms["progress"]
    assert (progress["status"], progress["waiting_for"]) == ("PENDING", "the runtime environment to be set up")
    assert datetime.fromisoformat(progress["waiting_since"]).timestamp() == int(submitted)

    head.set_status("job", "RUNNING")
    await wait_for(lambda: supervisor.xcoms["progress"]["status"] == "RUNNING", "the start")
    assert "waiting_for" not in supervisor.xcoms["progress"]
    head.set_status("job", "SUCCEEDED")
    await watch
    assert len(lines.lines) == 1


async def test_a_job_that_fails_while_it_waits_waits_no_more(
    head: FakeRayDashboard, supervisor: Supervisor, at_once: None
) -> None:
    head.add_job("job", "PENDING")
    watch = asyncio.create_task(event(trigger()))
    await wait_for(lambda: "waiting_for" in supervisor.xcoms.get("progress", {}), "what it waits for")

    head.set_status("job", "FAILED", message="runtime_env setup failed", error_type="RUNTIME_ENV_SETUP_FAILURE")
    await watch

    assert supervisor.xcoms["progress"]["status"] == "FAILED"
    assert "waiting_for" not in supervisor.xcoms["progress"]


# Interruptions


async def test_a_graceful_restart_shows_each_line_and_record_once(
    head: FakeRayDashboard, supervisor: Supervisor
) -> None:
    head.add_job("job", log="one\ntwo\n")
    write_records(head, {"kind": "progress", "message": "half"})
    lines = Lines()
    first = trigger(lines, has_records=True)
    watch = asyncio.create_task(event(first))
    await wait_for(lambda: len(lines.lines) == 3, "two lines and a record")
    await interrupt(watch)
    await first.cleanup()
    assert supervisor.xcoms["progress"]["clean"] is True

    head.append_log("job", "three\n")
    write_records(head, END, first=1)
    head.set_status("job", "SUCCEEDED")
    await event(trigger(lines, has_records=True))

    assert lines.lines == ["one", "two", "[progress] half", "three"]


@pytest.mark.parametrize(
    ("rest", "new"), [("\r40%\r100%\r\ntwo\n", ["100%", "two"]), ("\r\ntwo\n", ["", "two"])], ids=["goes on", "ends"]
)
async def test_a_graceful_restart_in_the_middle_of_a_bar_shows_what_follows_once(
    head: FakeRayDashboard, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch, rest: str, new: list[str]
) -> None:
    monkeypatch.setattr("airflow_provider_air.ray_api.lines.BAR_SECONDS", 0.0)
    head.add_job("job", log="one\n\r10%\r20%\r30%")
    lines = Lines()
    first = trigger(lines)
    watch = asyncio.create_task(event(first))
    await wait_for(lambda: lines.lines[-1:] == ["30%"], "the bar as it stands")
    await interrupt(watch)
    await first.cleanup()
    shown = list(lines.lines)

    head.append_log("job", rest)
    head.set_status("job", "SUCCEEDED")
    await event(trigger(lines))

    assert supervisor.xcoms["progress"]["log_offset"] == len("one\n\r10%\r20%\r30%" + rest)
    assert lines.lines == shown + new


async def test_a_killed_triggerer_leaves_no_gap_and_its_successor_says_that_lines_may_repeat(
    head: FakeRayDashboard, supervisor: Supervisor
) -> None:
    head.add_job("job", log="one\ntwo\n")
    before = Lines()
    watch = asyncio.create_task(event(trigger(before)))
    await wait_for(lambda: len(before.lines) == 2, "two lines")
    await interrupt(watch)

    head.append_log("job", "three\n")
    head.set_status("job", "SUCCEEDED")
    after = Lines()
    await event(trigger(after))

    assert after.lines[0] == AGAIN
    assert [line for line in ["one", "two", "three"] if line in before.lines + after.lines] == ["one", "two", "three"]
    assert after.lines[-1] == "three"


async def test_a_restart_before_the_takeover_does_not_forget_what_was_shown(
    head: FakeRayDashboard, supervisor: Supervisor
) -> None:
    kept = {"submission_id": "job", "log_offset": 4, "clean": True}
    supervisor.xcoms["progress"] = kept
    head.add_job("job", "SUCCEEDED", log="one\ntwo\n")
    interrupted = trigger()
    watch = asyncio.create_task(event(interrupted))
    await asyncio.sleep(0)
    await interrupt(watch)
    await interrupted.cleanup()

    lines = Lines()
    await event(trigger(lines))

    assert "one" not in lines.lines
    assert lines.lines[-1] == "two"


async def test_another_jobs_progress_is_not_taken_over(head: FakeRayDashboard, supervisor: Supervisor) -> None:
    supervisor.xcoms["progress"] = {"submission_id": "older", "log_offset": 99, "clean": False}
    head.add_job("job", "SUCCEEDED", log="one\n")
    lines = Lines()

    await event(trigger(lines))

    assert lines.lines == ["one"]


# Kills


async def test_a_person_who_clears_the_task_stops_the_job(head: FakeRayDashboard, supervisor: Supervisor) -> None:
    head.add_job("job")
    supervisor.state = "scheduled"

    await trigger().on_kill()

    assert head.jobs["job"].status == "STOPPED"


async def test_a_stop_is_sent_and_seen_through_although_the_trigger_is_cancelled_again_and_again(
    head: FakeRayDashboard, supervisor: Supervisor
) -> None:
    """Airflow 3.3.2 cancels a killed trigger in each of its cycles, whatever it is doing."""
    head.add_job("job")
    head.plan("POST", "/stop$", delay_seconds=0.5)
    supervisor.state = "failed"
    kill = asyncio.create_task(trigger().on_kill())

    while not kill.done():
        await asyncio.sleep(0.02)
        kill.cancel()

    assert not kill.cancelled()
    assert head.jobs["job"].status == "STOPPED"


async def test_a_move_between_triggerers_does_not_stop_the_job(head: FakeRayDashboard, supervisor: Supervisor) -> None:
    head.add_job("job")
    supervisor.state = "deferred"

    await trigger().on_kill()

    assert not head.requests_to("POST", "/stop$")


@pytest.mark.parametrize("state", ["deferred", "scheduled"])
async def test_a_mapped_task_is_judged_by_its_own_state(
    head: FakeRayDashboard, supervisor: Supervisor, state: str
) -> None:
    head.add_job("job")
    supervisor.state = state

    await trigger(task={**TASK, "map_index": 2}).on_kill()

    assert head.jobs["job"].status == ("RUNNING" if state == "deferred" else "STOPPED")
    assert supervisor.asked[0].map_index == 2


async def test_a_trigger_that_has_fired_stops_nothing(head: FakeRayDashboard, supervisor: Supervisor) -> None:
    head.add_job("job", "SUCCEEDED")
    fired = trigger()
    await event(fired)
    supervisor.state = "scheduled"

    await fired.on_kill()
    await fired.cleanup()

    assert not supervisor.asked
    assert not head.requests_to("POST", "/stop$")


async def test_cleanup_stops_nothing(head: FakeRayDashboard, supervisor: Supervisor) -> None:
    head.add_job("job")
    supervisor.state = "scheduled"
    made = trigger()
    watch = asyncio.create_task(event(made))
    await wait_for(lambda: head.requests_to("GET", "^/api/jobs/job$"), "a first look")
    await interrupt(watch)

    await made.cleanup()

    assert not head.requests_to("POST", "/stop$")


async def test_a_cluster_of_the_tasks_own_goes_even_where_the_job_cannot_be_stopped(
    head: FakeRayDashboard, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    deleted: list[str] = []
    monkeypatch.setattr(ExistingBackend, "delete", lambda self, ref: deleted.append(ref.name))
    monkeypatch.setattr(stopping, "KILL_SECONDS", 0.5)
    head.add_job("job", "PENDING", unschedulable=True)
    supervisor.state = "failed"

    await trigger(cluster=replace(CLUSTER, owned=True).to_json()).on_kill()

    assert deleted == ["ray_default"]


@pytest.mark.parametrize("state", ["scheduled", "queued", "running"])
async def test_the_cluster_of_a_task_that_a_worker_has_by_now_is_left_to_it(
    head: FakeRayDashboard, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    """A person has cleared it, or another triggerer has fired: then its result may still be on the cluster."""
    deleted: list[str] = []
    monkeypatch.setattr(ExistingBackend, "delete", lambda self, ref: deleted.append(ref.name))
    head.add_job("job")
    supervisor.state = state

    await trigger(cluster=replace(CLUSTER, owned=True).to_json()).on_kill()

    assert head.jobs["job"].status == "STOPPED"
    assert not deleted


async def test_attachments_are_told_that_a_person_stopped_the_task(
    head: FakeRayDashboard, supervisor: Supervisor
) -> None:
    tracker = SERVERS["killed"] = FakeTracker(runs={"r": RemoteRun()})
    spec = await asyncio.to_thread(to_json, FakeTrackerSpec("killed"))
    entry = AttachmentEntry(spec, {"run_id": "r"})
    head.add_job("job")
    supervisor.state = "failed"

    await trigger(attachments=(entry,)).on_kill()

    assert tracker.runs["r"].status == "STOPPED"


async def test_an_airflow_that_does_not_answer_for_the_task_is_doubt_and_doubt_stops(
    head: FakeRayDashboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Airflow asks nobody a second time."""

    class Silent(Supervisor):
        def send(self, message: Any) -> Any:
            raise RuntimeError("no api-server")

    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", Silent(), raising=False)
    head.add_job("job")

    await trigger().on_kill()

    assert head.jobs["job"].status == "STOPPED"


# Conveniences


async def test_values_that_json_does_not_know_do_not_end_the_watch(
    head: FakeRayDashboard, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Airflow's own line refuses them, and Python writes them."""
    monkeypatch.setattr(histories, "HISTORY_SECONDS", 0.0)
    head.add_job("job")
    for number in range(3):
        values = {"loss": float("nan"), "rmse": float("inf"), "step": number}
        write_records(head, {"kind": "metric", "values": values, "step": number}, first=number)
    lines = Lines()
    watch = asyncio.create_task(event(trigger(lines, has_records=True)))
    await wait_for(lambda: "air_history" in supervisor.xcoms, "the history")
    write_records(head, END, first=3)
    head.set_status("job", "SUCCEEDED")

    assert (await watch)["outcome"] == "ended"
    assert supervisor.xcoms["progress"]["values"] == {"loss": None, "rmse": None, "step": 2}
    assert supervisor.xcoms["air_history"]["series"]["loss"] == [[0.0, None], [1.0, None], [2.0, None]]
    assert not [line for line in lines.lines if "could not be" in line]


async def test_a_board_that_cannot_be_written_is_warned_about_once_and_the_watch_goes_on(
    head: FakeRayDashboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(Supervisor):
        def send(self, message: Any) -> Any:
            if isinstance(message, SetXCom):
                raise RuntimeError("the disk is full")
            return super().send(message)

    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", Full(), raising=False)
    head.add_job("job", log="one\n")
    lines = Lines()
    watch = asyncio.create_task(event(trigger(lines)))
    await wait_for(lambda: "one" in lines.lines, "the line")
    head.set_status("job", "SUCCEEDED")

    assert (await watch)["outcome"] == "ended"
    assert len([line for line in lines.lines if "The progress could not be written" in line]) == 1


# What is stored


def test_a_trigger_travels_as_json_without_secrets(head: FakeRayDashboard) -> None:
    path, kwargs = trigger(until=5.0, has_records=True).serialize()

    again = RayRunTrigger(**json.loads(json.dumps(kwargs)))

    assert path == "airflow_provider_air.triggers.run.RayRunTrigger"
    assert again.serialize() == (path, kwargs)
    assert str(head.token) not in json.dumps(kwargs)


async def test_a_trigger_of_another_version_watches_on(head: FakeRayDashboard) -> None:
    """What an upgrade finds in Airflow's database must not stop a job."""
    head.add_job("job", "SUCCEEDED")
    _, kwargs = trigger().serialize()
    stored = json.loads(json.dumps(kwargs))
    stored["step"]["attempt"] = {**stored["step"]["attempt"], "colour": "red"}
    stored["step"]["colour"] = "red"

    assert (await event(RayRunTrigger(**stored, colour="red")))["outcome"] == "ended"


async def test_it_fires_no_sooner_than_its_worker_has_left(head: FakeRayDashboard) -> None:
    head.add_job("job", "SUCCEEDED")
    _, kwargs = trigger().serialize()
    moment = time.time() + 1.0

    await event(RayRunTrigger(**{**kwargs, "not_before": moment}))

    assert time.time() >= moment

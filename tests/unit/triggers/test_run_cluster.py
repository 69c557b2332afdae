"""The trigger that waits for a cluster, against a real HTTP dashboard."""

from __future__ import annotations

import asyncio
import json
import re
import time
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_air.clusters.existing.backend import ExistingBackend
from airflow_provider_air.contracts.clusters import ClusterRef, ClusterState, ClusterStatus
from airflow_provider_air.contracts.runs import Wait
from airflow_provider_air.runs.ledger import Attempt
from airflow_provider_air.triggers.run import RayRunTrigger
from tests.fakes.ray_dashboard import FakeRayDashboard
from tests.fakes.task_context import Supervisor
from tests.unit.conftest import Connect
from tests.unit.triggers.test_run import Lines

REF = ClusterRef("existing", "ray_default")
TASK = {"dag_id": "flights", "run_id": "manual__1", "task_id": "train", "map_index": -1}


def trigger(what: Any = "cluster", *, until: float | None = None, owned: bool = False) -> RayRunTrigger:
    attempt = Attempt(1, 1, "job", cluster=replace(REF, owned=owned).to_json())
    return RayRunTrigger(step=Wait(what, until, attempt.to_json()).to_json(), task=TASK)


async def event(waiting: RayRunTrigger) -> Any:
    fired = await asyncio.wait_for(anext(waiting.run()), 30)
    return json.loads(json.dumps(fired.payload))


def looks(monkeypatch: pytest.MonkeyPatch, *states: ClusterState) -> list[ClusterState]:
    """Let the back end see these states, one after the other."""
    left = list(states)
    monkeypatch.setattr(ExistingBackend, "describe", lambda self, ref: ClusterStatus(left.pop(0)))
    return left


async def test_a_ready_cluster_fires_at_once(head: FakeRayDashboard) -> None:
    fired = await event(trigger())

    assert (fired["version"], fired["what"], fired["submission_id"]) == (1, "cluster", "job")
    assert (fired["cluster"], fired["state"]) == (REF.to_json(), "ready")


async def test_silence_is_waited_out(head: FakeRayDashboard) -> None:
    head.plan("GET", "^/api/version$", status=503, times=2)

    assert (await event(trigger()))["state"] == "ready"


async def test_the_time_is_up_while_nobody_answers(head: FakeRayDashboard) -> None:
    head.plan("GET", "^/api/version$", drop=True, times=None)

    fired = await event(trigger(until=time.time() + 0.1))

    assert fired["state"] == "unknown"
    assert head.url in fired["message"]


async def test_a_refused_token_is_a_failure(head: FakeRayDashboard, connect: Connect) -> None:
    connect(host=head.url, password="wrong-token")

    fired = await event(trigger())

    assert fired["state"] == "failed"
    assert "token" in fired["message"]


@pytest.mark.parametrize("before", [ClusterState.STARTING, ClusterState.DELETING])
async def test_it_waits_while_the_cluster_starts(before: ClusterState, monkeypatch: pytest.MonkeyPatch) -> None:
    left = looks(monkeypatch, before, before, ClusterState.READY)

    assert (await event(trigger()))["state"] == "ready"
    assert not left


async def test_what_its_cluster_waits_for_is_told(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("airflow_provider_air.runs.notice.FIRST_SECONDS", 0.0)
    said = ["2 of 3 pods run", "2 of 3 pods run", ""]
    states = [ClusterState.STARTING, ClusterState.STARTING, ClusterState.READY]
    left = [ClusterStatus(state, message) for state, message in zip(states, said, strict=True)]
    monkeypatch.setattr(ExistingBackend, "describe", lambda self, ref: left.pop(0))
    lines = Lines()
    made = trigger()
    made._log = lines  # type: ignore[assignment]

    await event(made)

    (line,) = lines.lines
    assert re.fullmatch(r"Waiting for the cluster ray_default: 2 of 3 pods run, for \d+ s so far", line)
    progress = supervisor.xcoms["progress"]
    assert progress["waiting_for"] == "the cluster ray_default: 2 of 3 pods run"
    # The job's own watch goes on from here, and repeats nothing.
    assert (progress["submission_id"], progress["clean"], progress["log_offset"]) == ("job", True, 0)


async def test_a_board_that_takes_nothing_does_not_end_the_wait(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_provider_air.runs.notice.FIRST_SECONDS", 0.0)

    def refuse(self: Any, key: str, value: Any) -> None:
        raise RuntimeError("no api-server")

    monkeypatch.setattr("airflow_provider_air.connections.ports.XComBoard.write", refuse)
    looks(monkeypatch, ClusterState.STARTING, ClusterState.READY)

    assert (await event(trigger()))["state"] == "ready"


@pytest.mark.parametrize("end", [ClusterState.ABSENT, ClusterState.FAILED])
async def test_a_cluster_that_will_not_come_is_told_at_once(end: ClusterState, monkeypatch: pytest.MonkeyPatch) -> None:
    left = looks(monkeypatch, ClusterState.STARTING, end)

    assert (await event(trigger()))["state"] == end.value
    assert not left


async def test_what_somebody_else_has_yet_to_make_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    left = looks(monkeypatch, ClusterState.ABSENT, ClusterState.STARTING, ClusterState.ABSENT, ClusterState.READY)

    fired = await event(trigger("ready"))

    assert (fired["what"], fired["state"]) == ("ready", "ready")
    assert not left


async def test_a_deletion_is_watched_until_it_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    left = looks(monkeypatch, ClusterState.READY, ClusterState.DELETING, ClusterState.ABSENT)

    fired = await event(trigger("gone"))

    assert (fired["what"], fired["state"]) == ("gone", "absent")
    assert not left


async def test_a_deletion_that_does_not_end_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    looks(monkeypatch, *[ClusterState.DELETING] * 20)

    assert (await event(trigger("gone", until=time.time() + 0.1)))["state"] == "deleting"


@pytest.mark.parametrize("owned", [True, False])
async def test_only_a_cluster_of_the_tasks_own_is_deleted_with_it(
    owned: bool, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    deleted: list[ClusterRef] = []
    monkeypatch.setattr(ExistingBackend, "delete", lambda self, ref: deleted.append(ref))
    supervisor.state = "failed"

    await trigger(owned=owned).on_kill()

    assert len(deleted) == int(owned)


def test_it_travels_as_json() -> None:
    path, kwargs = trigger(until=5.0).serialize()

    assert RayRunTrigger(**json.loads(json.dumps(kwargs))).serialize() == (path, kwargs)

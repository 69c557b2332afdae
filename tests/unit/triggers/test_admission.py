"""A cluster takes so many live jobs; who is admitted and has not submitted yet counts, too."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest
from airflow.sdk.execution_time import cache, supervisor

from airflow_provider_air.clusters.contract import ClusterRef
from airflow_provider_air.identity import TASK
from airflow_provider_air.triggers import admission
from airflow_provider_air.triggers.admission import RayAdmissionTrigger
from tests.fakes.ray_dashboard import FakeRayDashboard

# A triggerer has long loaded these when a trigger runs; here their import would count as a blocking call.
LOADED = (cache, supervisor)
CLUSTER = ClusterRef("existing", "ray_default", ray_conn_id="ray_default").to_json()


@pytest.fixture(autouse=True)
def no_grants(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What one test admitted is nothing to the next; and looks come fast."""
    monkeypatch.setattr(admission, "LOOK_SECONDS", 0.05)
    admission._grants.clear()
    yield
    admission._grants.clear()


def trigger(task: str, limit: int = 2, **fields: Any) -> RayAdmissionTrigger:
    return RayAdmissionTrigger(cluster=CLUSTER, task=task, max_concurrent_jobs=limit, **fields)


async def is_waiting(waiting: asyncio.Task[bool]) -> bool:
    await asyncio.sleep(0.3)
    return not waiting.done()


def submit(head: FakeRayDashboard, name: str, status: str = "RUNNING") -> None:
    head.add_job(f"job-of-{name}-{len(head.jobs)}", status, metadata={TASK: name})


async def test_as_many_as_fit_are_admitted_at_once_and_the_next_when_a_job_has_ended(head: FakeRayDashboard) -> None:
    assert await trigger("a").wait()
    assert await trigger("b").wait()
    await asyncio.to_thread(submit, head, "a")
    await asyncio.to_thread(submit, head, "b")
    third = asyncio.create_task(trigger("c").wait())
    assert await is_waiting(third)
    await asyncio.to_thread(head.set_status, "job-of-a-0", "SUCCEEDED")
    assert await asyncio.wait_for(third, 30)


async def test_who_is_admitted_and_has_not_submitted_yet_counts() -> None:
    assert await trigger("a").wait()
    assert await trigger("b").wait()
    third = asyncio.create_task(trigger("c").wait())
    assert await is_waiting(third)
    third.cancel()


async def test_a_job_that_came_and_went_between_two_looks_gives_its_place_back(head: FakeRayDashboard) -> None:
    assert await trigger("a", limit=1).wait()
    second = asyncio.create_task(trigger("b", limit=1).wait())
    assert await is_waiting(second)
    await asyncio.to_thread(submit, head, "a", "SUCCEEDED")
    assert await asyncio.wait_for(second, 30)


async def test_an_earlier_job_of_the_same_task_does_not_give_the_place_of_the_next_away(
    head: FakeRayDashboard,
) -> None:
    await asyncio.to_thread(submit, head, "a", "FAILED")
    assert await trigger("a", limit=1).wait()
    second = asyncio.create_task(trigger("b", limit=1).wait())
    assert await is_waiting(second)
    second.cancel()


async def test_jobs_of_others_count(head: FakeRayDashboard) -> None:
    await asyncio.to_thread(head.add_job, "notebook", "RUNNING")
    waiting = asyncio.create_task(trigger("a", limit=1).wait())
    assert await is_waiting(waiting)
    waiting.cancel()


async def test_a_place_whose_task_never_submits_is_given_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "GRANT_SECONDS", 0.5)
    assert await trigger("lost", limit=1).wait()
    assert await asyncio.wait_for(trigger("next", limit=1).wait(), 30)


async def test_at_the_deadline_the_task_is_not_admitted(head: FakeRayDashboard) -> None:
    await asyncio.to_thread(head.add_job, "notebook", "RUNNING")
    event = await anext(trigger("a", limit=1, deadline=time.time() + 0.3).run())
    assert event.payload == {"cluster": CLUSTER, "admitted": False, "message": ""}


async def test_a_cluster_that_refuses_the_token_is_told_in_the_event(head: FakeRayDashboard) -> None:
    head.token = "another"
    event = await anext(trigger("a").run())
    assert event.payload["admitted"] is False
    assert "token" in event.payload["message"]

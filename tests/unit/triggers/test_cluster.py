"""The trigger that waits for a cluster, against a real HTTP dashboard."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from airflow_provider_air.clusters.contract import ClusterRef, ClusterState, ClusterStatus
from airflow_provider_air.clusters.existing import ExistingBackend
from airflow_provider_air.triggers.cluster import RayClusterTrigger
from tests.fakes.ray_dashboard import FakeRayDashboard
from tests.unit.conftest import Connect

REF = ClusterRef("existing", "ray_default", ray_conn_id="ray_default")
CLUSTER = REF.to_json()


async def event(trigger: RayClusterTrigger) -> Any:
    fired = await asyncio.wait_for(anext(trigger.run()), 30)
    return json.loads(json.dumps(fired.payload))


async def test_a_ready_cluster_fires_at_once(head: FakeRayDashboard) -> None:
    fired = await event(RayClusterTrigger(cluster=CLUSTER))

    assert (fired["cluster"], fired["state"]) == (CLUSTER, "ready")


async def test_silence_is_waited_out(head: FakeRayDashboard) -> None:
    head.plan("GET", "^/api/version$", status=503, times=2)

    assert (await event(RayClusterTrigger(cluster=CLUSTER)))["state"] == "ready"


async def test_the_time_is_up_while_it_is_starting(head: FakeRayDashboard) -> None:
    head.plan("GET", "^/api/version$", drop=True, times=None)

    fired = await event(RayClusterTrigger(cluster=CLUSTER, timeout_seconds=0.1))

    assert fired["state"] == "starting"
    assert head.url in fired["message"]


async def test_a_refused_token_is_a_failure(head: FakeRayDashboard, connect: Connect) -> None:
    connect(host=head.url, password="wrong-token")

    fired = await event(RayClusterTrigger(cluster=CLUSTER))

    assert fired["state"] == "failed"
    assert "token" in fired["message"]


async def test_it_waits_while_the_cluster_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = [ClusterState.STARTING, ClusterState.STARTING, ClusterState.READY]
    monkeypatch.setattr(ExistingBackend, "describe", lambda self, ref: ClusterStatus(looks.pop(0)))

    assert (await event(RayClusterTrigger(cluster=CLUSTER)))["state"] == "ready"
    assert not looks


@pytest.mark.parametrize("owned", [True, False])
async def test_only_a_cluster_of_the_tasks_own_is_deleted_with_it(owned: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    deleted: list[ClusterRef] = []
    monkeypatch.setattr(ExistingBackend, "delete", lambda self, ref: deleted.append(ref))

    await RayClusterTrigger(cluster={**CLUSTER, "owned": owned}).on_kill()

    assert len(deleted) == int(owned)


def test_it_travels_as_json() -> None:
    path, kwargs = RayClusterTrigger(cluster=CLUSTER, timeout_seconds=5.0).serialize()

    assert RayClusterTrigger(**json.loads(json.dumps(kwargs))).serialize() == (path, kwargs)

"""A trigger that has its event at once waits until its worker has left."""

from __future__ import annotations

import time

import pytest

from airflow_provider_air.clusters.contract import ClusterRef
from airflow_provider_air.triggers import settling
from airflow_provider_air.triggers.cluster import RayClusterTrigger
from airflow_provider_air.triggers.settling import settle


async def test_a_young_trigger_waits_and_an_old_one_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "SETTLE_SECONDS", 0.3)
    began = time.monotonic()

    await settle(began)
    young = time.monotonic() - began
    await settle(began)

    assert young >= 0.3


async def test_a_cluster_that_is_there_already_is_told_only_then(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []

    async def settled(began: float) -> None:
        waited.append(began)

    monkeypatch.setattr("airflow_provider_air.triggers.cluster.settle", settled)
    trigger = RayClusterTrigger(cluster=ClusterRef("existing", "absent", ray_conn_id="absent").to_json())

    events = [event async for event in trigger.run()]

    assert (len(events), len(waited)) == (1, 1)

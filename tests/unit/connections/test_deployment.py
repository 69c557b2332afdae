"""Which Airflow this is."""

from __future__ import annotations

import pytest

from airflow_provider_air.connections.deployment import deployment_id


def test_a_deployment_has_a_name_that_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    unnamed = deployment_id()
    monkeypatch.setenv("AIRFLOW__AIR__DEPLOYMENT", "team-a")

    assert deployment_id() == "team-a"
    assert unnamed != "team-a"
    assert unnamed

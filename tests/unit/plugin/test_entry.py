"""What Airflow loads in every process builds nothing before the first request."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest
from airflow.plugins_manager import get_plugin_info

from airflow_provider_air.plugin import app as app_module
from airflow_provider_air.plugin.entry import AirPlugin, LazyPages


def test_airflow_s_own_plugin_manager_finds_it() -> None:
    (info,) = [plugin for plugin in get_plugin_info() if plugin["name"] == "air"]
    assert info["fastapi_apps"] == [
        {"app": "airflow_provider_air.plugin.entry.LazyPages", "url_prefix": "/air", "name": "air"}
    ]
    assert {view["destination"]: view["href"] for view in info["external_views"]} == {
        "task_instance": "air/task/{DAG_ID}/{RUN_ID}/{TASK_ID}/{MAP_INDEX}",
        "dag_run": "air/run/{DAG_ID}/{RUN_ID}",
        "nav": "air/clusters",
    }
    assert str(info["source"]).startswith("airflow-provider-air")


def test_each_tab_has_an_address_of_its_own() -> None:
    routes = [view["url_route"] for view in AirPlugin().external_views]
    assert len(set(routes)) == len(routes) == 3


async def test_the_pages_are_built_once_by_the_first_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[int] = []
    seen: list[str] = []

    async def pages(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        seen.append(scope["path"])

    def build() -> Any:
        built.append(1)
        return pages

    monkeypatch.setattr(app_module, "build_app", build)
    lazy = LazyPages()
    assert not built
    await asyncio.gather(*(lazy({"path": f"/{n}"}, None, None) for n in range(5)))  # type: ignore[arg-type]
    assert (len(built), len(seen)) == (1, 5)

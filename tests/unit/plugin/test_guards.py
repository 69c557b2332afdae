"""No route is open: a new one without a guard is noticed."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.api_fastapi.core_api.security import get_user
from fastapi import APIRouter
from fastapi.routing import APIRoute

from airflow_provider_air.plugin.access import CHANGES_TASK, READS_TASK, same_origin
from airflow_provider_air.plugin.app import fastapi_app
from airflow_provider_air.plugin.pages import LOGGED_IN


def guards_of(route: APIRoute) -> set[Any]:
    """Give what a route asks before it answers."""
    return {dependency.call for dependency in route.dependant.dependencies}


def routes() -> list[APIRoute]:
    """Give all routes; there is nothing else, such as a mount or a description of them."""
    found = fastapi_app().routes
    assert all(isinstance(route, APIRoute) for route in found)
    return [route for route in found if isinstance(route, APIRoute)]


def is_guarded(route: APIRoute) -> bool:
    """Whether it asks by the DAG that its path names; where it names none, who is there."""
    wanted = (READS_TASK, CHANGES_TASK) if "{dag_id}" in route.path else (LOGGED_IN,)
    return bool(guards_of(route) & {guard.dependency for guard in wanted})


@pytest.mark.parametrize("route", routes(), ids=lambda route: route.path)
def test_each_route_is_guarded(route: APIRoute) -> None:
    assert is_guarded(route)


@pytest.mark.parametrize("route", [r for r in routes() if r.methods != {"GET"}], ids=lambda route: route.path)
def test_what_changes_something_needs_the_right_to_and_airflow_s_own_page(route: APIRoute) -> None:
    assert guards_of(route) >= {CHANGES_TASK.dependency, same_origin}
    assert "GET" not in (route.methods or set())


def test_every_guard_asks_who_is_there() -> None:
    for route in routes():
        asked = [inner.call for dependency in route.dependant.dependencies for inner in dependency.dependencies]
        assert get_user in asked


def test_a_route_without_a_guard_would_be_noticed() -> None:
    router = APIRouter()
    router.add_api_route("/task/{dag_id}", lambda dag_id: dag_id, methods=["GET"])
    (route,) = router.routes
    assert isinstance(route, APIRoute)
    assert not is_guarded(route)

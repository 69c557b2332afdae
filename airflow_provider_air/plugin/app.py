"""Builds the application that Airflow has mounted: every route of it is guarded, and reads Airflow's database alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import FastAPI

from airflow_provider_air.plugin import actions_api, lists_api, pages, report_api, task_api
from airflow_provider_air.plugin.headers import SafeHeaders

if TYPE_CHECKING:
    from airflow_provider_air.plugin.entry import App

ROUTERS = (pages.router, task_api.router, lists_api.router, report_api.router, actions_api.router)


def build_app() -> App:
    """Give the pages as an ASGI application."""
    return SafeHeaders(fastapi_app())


def fastapi_app() -> FastAPI:
    """Give the routes; without the pages that would tell a stranger which there are."""
    app = FastAPI(title="Ray pages of airflow-provider-air", openapi_url=None, docs_url=None, redoc_url=None)
    for router in ROUTERS:
        app.include_router(router)
    return app

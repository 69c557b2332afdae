"""Builds the application that Airflow has mounted: every route of it is guarded, and reads Airflow's database alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import FastAPI, Request, Response
from fastapi.exception_handlers import http_exception_handler
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from starlette.exceptions import HTTPException

from airflow_provider_air.plugin import actions_api, cluster_requests_api, lists_api, pages, report_api, task_api
from airflow_provider_air.plugin.bodies import wrong_request
from airflow_provider_air.plugin.headers import SafeHeaders
from airflow_provider_air.plugin.shell import notice

if TYPE_CHECKING:
    from airflow_provider_air.plugin.entry import App

ROUTERS = (
    pages.router,
    task_api.router,
    lists_api.router,
    report_api.router,
    actions_api.router,
    cluster_requests_api.router,
)

SIGNED_OUT = "You are signed out. Reload Airflow's page to sign in again."


def build_app() -> App:
    """Give the pages as an ASGI application."""
    return SafeHeaders(fastapi_app())


def fastapi_app() -> FastAPI:
    """Give the routes; without the pages that would tell a stranger which there are."""
    app = FastAPI(title="Ray pages of airflow-provider-air", openapi_url=None, docs_url=None, redoc_url=None)
    for router in ROUTERS:
        app.include_router(router)
    app.add_exception_handler(HTTPException, _refusal)
    app.add_exception_handler(RequestValidationError, wrong_request)
    return app


async def _refusal(request: Request, error: Exception) -> Response:
    """Answer programs with JSON, and people, who look at a frame of Airflow's page, with a sentence."""
    assert isinstance(error, HTTPException)
    if request.headers.get("sec-fetch-dest") in ("iframe", "document", "frame"):
        said = SIGNED_OUT if error.status_code == 401 else str(error.detail)
        return HTMLResponse(notice(said), error.status_code, error.headers)
    return await http_exception_handler(request, error)

"""Routes of the pages themselves: their HTML, and the bundle."""

from __future__ import annotations

from typing import Annotated

from airflow.api_fastapi.core_api.security import requires_authenticated
from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response
from fastapi.responses import HTMLResponse

from airflow_provider_air.plugin import static
from airflow_provider_air.plugin.access import READS_TASK
from airflow_provider_air.plugin.paths import RUN, TASK, TaskPathDep
from airflow_provider_air.plugin.shell import page

router = APIRouter()
LOGGED_IN = Depends(requires_authenticated())
FOR_EVER = "private, max-age=31536000, immutable"


@router.get(f"/task{TASK}", dependencies=[READS_TASK])
def task_page(request: Request, path: TaskPathDep) -> HTMLResponse:
    """Give the Ray tab of a task instance."""
    about = {"dag-id": path.dag_id, "run-id": path.run_id, "task-id": path.task_id, "map-index": str(path.map_index)}
    return _page("task", about, request)


@router.get(f"/run{RUN}", dependencies=[READS_TASK])
def run_page(request: Request, dag_id: str, run_id: str) -> HTMLResponse:
    """Give the Ray page of a DAG run."""
    return _page("run", {"dag-id": dag_id, "run-id": run_id}, request)


@router.get("/clusters", dependencies=[LOGGED_IN])
def clusters_page(request: Request) -> HTMLResponse:
    """Give the page of clusters and jobs over all DAGs."""
    return _page("clusters", {}, request)


@router.get("/static/{name}", dependencies=[LOGGED_IN])
def bundle(request: Request, name: str, v: Annotated[str, Query(max_length=64)] = "") -> Response:
    """Give a file of the bundle."""
    asset = static.assets().get(name)
    if asset is None:
        raise HTTPException(404, "This installation has no such file of the pages: was the package built without them?")
    headers = {"etag": f'"{asset.hash}"', "cache-control": FOR_EVER if v == static.version() else "private, no-cache"}
    if request.headers.get("if-none-match") == headers["etag"]:
        return Response(status_code=304, headers=headers)
    return Response(asset.body, media_type=asset.media_type, headers=headers)


def _page(name: str, about: dict[str, str], request: Request) -> HTMLResponse:
    base = f"{request.scope.get('root_path', '').rstrip('/')}/"
    return HTMLResponse(page(name, about, base, static.version()))

"""The route of a task's report: one HTML file, to be looked at or kept."""

from __future__ import annotations

import time
from typing import Annotated
from urllib.parse import quote

from airflow.api_fastapi.common.db.common import SessionDep
from fastapi import APIRouter, HTTPException, Query
from fastapi.responses import HTMLResponse

from airflow_provider_air.contracts.names import named
from airflow_provider_air.pages.report import policy, render
from airflow_provider_air.pages.task_view import VERSION, task_view
from airflow_provider_air.plugin.access import READS_TASK, AccessDep
from airflow_provider_air.plugin.paths import TASK, TaskPathDep, TryNumber
from airflow_provider_air.plugin.reading import read_documents, read_facts, read_stamps, with_history

router = APIRouter()
NAME_CHARACTERS = 100


@router.get(f"/report{TASK}", dependencies=[READS_TASK])
def report(
    path: TaskPathDep,
    session: SessionDep,
    access: AccessDep,
    download: Annotated[bool, Query()] = False,
    try_number: TryNumber = None,
) -> HTMLResponse:
    """
    Give a task instance's report.

    :raises HTTPException: 404 where there is no such task instance, or no bundle to draw it with
    """
    facts = read_facts(session, path, try_number)
    if facts is None:
        raise HTTPException(404, "There is no such task instance, or not any more")
    stamps = read_stamps(session, path, with_xcoms=access.reads_xcoms)
    documents = with_history(session, path, read_documents(session, path, facts, stamps), stamps)
    try:
        page = render({"version": VERSION, "now": time.time(), "sections": task_view(documents)})
        # A document of its own: it neither has this site's cookies, nor asks it for anything.
        headers = {"content-security-policy": f"{policy()}; sandbox allow-scripts allow-downloads"}
    except FileNotFoundError:
        raise HTTPException(404, "This installation was built without the pages' bundle, which reports need") from None
    if download:
        name = named("-".join((path.dag_id, path.run_id, path.task_id, str(path.map_index))), NAME_CHARACTERS)
        headers["content-disposition"] = f"attachment; filename*=UTF-8''air-report-{quote(name)}.html"
    return HTMLResponse(page, headers=headers)

"""The route of a task's report: one HTML file, to be looked at or kept."""

from __future__ import annotations

import time
from typing import Annotated

from airflow.api_fastapi.common.db.common import SessionDep
from fastapi import APIRouter, HTTPException, Query
from fastapi.responses import HTMLResponse

from airflow_provider_air.pages.report import file_name, policy, render, view_of
from airflow_provider_air.plugin.access import READS_TASK, AccessDep
from airflow_provider_air.plugin.paths import TASK, TaskPathDep, TryNumber
from airflow_provider_air.plugin.reading import read_all, read_facts

router = APIRouter()


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
    view = view_of(read_all(session, path, facts, with_xcoms=access.reads_xcoms), time.time())
    try:
        page = render(view)
        # A document of its own: it neither has this site's cookies, nor asks it for anything.
        headers = {"content-security-policy": f"{policy()}; sandbox allow-scripts allow-downloads"}
    except FileNotFoundError:
        raise HTTPException(404, "This installation was built without the pages' bundle, which reports need") from None
    if download:
        headers["content-disposition"] = f'attachment; filename="{file_name(view)}"'
    return HTMLResponse(page, headers=headers)

"""Who may see and do what: by Airflow's own permissions, on the DAG that a request's path names."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlsplit

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.base_auth_manager import ResourceMethod
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from airflow.configuration import conf
from airflow.models.dag import DagModel
from fastapi import Depends, HTTPException, Request

# The name of the path's parameter that these read is "dag_id".
READS_TASK = Depends(requires_access_dag("GET", DagAccessEntity.TASK_INSTANCE))
CHANGES_TASK = Depends(requires_access_dag("PUT", DagAccessEntity.TASK_INSTANCE))


@dataclass(frozen=True)
class Access:
    """
    What a person may do with a DAG's task instances, beside seeing them.

    :param reads_xcoms: see what tasks pass on: results, progress, links
    :param changes: stop and clear them
    """

    reads_xcoms: bool
    changes: bool


def access_to(dag_id: str, user: Any) -> Access:
    """Ask Airflow's auth manager what a person may do; blocks."""
    details = DagDetails(id=dag_id, team_name=_teams([dag_id]).get(dag_id))
    may = get_auth_manager().is_authorized_dag
    return Access(
        reads_xcoms=may(method="GET", access_entity=DagAccessEntity.XCOM, details=details, user=user),
        changes=may(method="PUT", access_entity=DagAccessEntity.TASK_INSTANCE, details=details, user=user),
    )


def _access(dag_id: str, user: GetUserDep) -> Access:
    return access_to(dag_id, user)


AccessDep = Annotated[Access, Depends(_access)]


def readable_dags(user: Any) -> set[str]:
    """Give the ids of the DAGs that a person may read; blocks."""
    return get_auth_manager().get_authorized_dag_ids(user=user, method="GET")


def with_readable_part(dag_ids: Collection[str], entity: DagAccessEntity, user: Any) -> set[str]:
    """Give those of some DAGs of which a person may read this part; blocks."""
    return _with_part(dag_ids, entity, user, "GET")


def with_changeable_tasks(dag_ids: Collection[str], user: Any) -> set[str]:
    """Give those of some DAGs whose task instances a person may change; blocks."""
    return _with_part(dag_ids, DagAccessEntity.TASK_INSTANCE, user, "PUT")


def _with_part(dag_ids: Collection[str], entity: DagAccessEntity, user: Any, method: ResourceMethod) -> set[str]:
    teams = _teams(dag_ids)
    may = get_auth_manager().is_authorized_dag
    return {
        dag_id
        for dag_id in dag_ids
        if may(
            method=method, access_entity=entity, details=DagDetails(id=dag_id, team_name=teams.get(dag_id)), user=user
        )
    }


def _teams(dag_ids: Collection[str]) -> Mapping[str, str | None]:
    if not conf.getboolean("core", "multi_team", fallback=False):
        return {}
    return DagModel.get_dag_id_to_team_name_mapping(list(dag_ids))


def same_origin(request: Request) -> None:
    """
    Refuse what another site has made a browser send; for what changes something.

    :raises HTTPException: 403
    """
    site = request.headers.get("sec-fetch-site", "same-origin")
    origin = request.headers.get("origin")
    # A proxy may have another address than this process; a browser's own word is the better one, where it says it.
    is_foreign = site != "same-origin" or (
        origin is not None and "sec-fetch-site" not in request.headers and not _is_own(origin, request)
    )
    if is_foreign:
        raise HTTPException(403, "This can only be asked for by Airflow's own pages")


def _is_own(origin: str, request: Request) -> bool:
    hosts = {request.headers.get("host"), request.headers.get("x-forwarded-host")}
    return urlsplit(origin).netloc in hosts - {None}

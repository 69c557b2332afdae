"""Which Airflow this is."""

from __future__ import annotations

import functools
import logging
import secrets
import time

from airflow.sdk import conf
from airflow.sdk.exceptions import AirflowRuntimeError, AirflowSecretsBackendAccessDenied, ErrorType

from airflow_provider_air.connections.base import line_to_supervisor
from airflow_provider_air.contracts.names import digest
from airflow_provider_air.errors import UnavailableError

VARIABLE = "air_deployment"
"""The Airflow Variable that holds what a deployment without a name is called."""
# Longer than it takes a task from its look to its write.
SETTLE_SECONDS = 2.0

log = logging.getLogger(__name__)


def deployment_id() -> str:
    """
    Name this Airflow deployment, so that two of them on one Ray cluster never touch each other's jobs.

    Option ``[air] deployment``; else what the Variable ``air_deployment`` of its database holds: the first task that
    needs it makes a random one, for all. One look per process; for workers and the command line.

    :raises UnavailableError: Airflow's api-server does not say
    """
    named = conf.get("air", "deployment", fallback="")
    return str(named) if named else _unnamed()


@functools.cache
def _unnamed() -> str:
    try:
        return stored_id() or _make() or _by_addresses("it cannot be written here")
    except AirflowSecretsBackendAccessDenied as error:
        return _by_addresses(str(error))


def stored_id() -> str | None:
    """
    Read what this deployment is called that has no name; None where no task has needed it so far.

    :raises UnavailableError: Airflow's api-server does not say
    """
    from airflow.sdk import Variable
    from airflow.sdk.execution_time.comms import GetVariable

    found = Variable.get(VARIABLE, default=None)
    line = line_to_supervisor()
    if not found and line is not None:
        # Airflow says "not found" also where its api-server did not answer (3.3.2), and a second identity would
        # make strangers of the jobs of the first.
        try:
            answer = line.send(GetVariable(key=VARIABLE))
        except AirflowRuntimeError as refused:
            answer = refused.error
        if getattr(answer, "error", None) in (ErrorType.API_SERVER_ERROR, ErrorType.GENERIC_ERROR):
            raise UnavailableError(
                f"Airflow's api-server does not answer for the Variable {VARIABLE!r}, which names this deployment",
                hint="Or set [air] deployment to a name",
            )
        found = getattr(answer, "value", None)
    return str(found).strip() or None if found else None


def _make() -> str | None:
    from airflow.sdk import Variable

    try:
        Variable.set(VARIABLE, secrets.token_hex(8), description="Marks this deployment's Ray jobs: do not change it")
    except Exception as error:  # noqa: BLE001  # no line to Airflow here, no permission, a database that is read-only
        log.debug("The Variable %s cannot be written: %s", VARIABLE, error)
        return None
    # Two first tasks may do this at once. Who writes last wins, and each looks only once all have written.
    time.sleep(SETTLE_SECONDS)
    return stored_id()


def _by_addresses(reason: str) -> str:
    log.warning(
        "This deployment is told from others by its addresses alone, as the Variable %s says nothing (%s): set "
        "[air] deployment to a name",
        VARIABLE,
        reason,
    )
    places = [("api", "base_url"), ("core", "execution_api_server_url")]
    return digest(*(conf.get(section, key, fallback="") for section, key in places), length=12)

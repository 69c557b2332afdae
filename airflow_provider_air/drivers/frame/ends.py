"""What the exception that ended the author's work says: it failed, for good or not, or there was nothing to do."""

from __future__ import annotations

from typing import Any, Dict

from ..wire.failures import MAX_ERROR_CHARACTERS, error_of, is_a, members_of, said_by
from ..wire.problems import Skipped
from ..wire.texts import shortened, spelled


class AirflowException(Exception):
    """Airflow's own, where the cluster has no Airflow: a failure, as any exception is."""


class AirflowSkipException(AirflowException):
    """Airflow's own, where the cluster has no Airflow: the task is skipped."""


class AirflowFailException(AirflowException):
    """Airflow's own, where the cluster has no Airflow: the task fails, and is not retried."""


STAND_INS = {kind.__name__: kind for kind in (AirflowException, AirflowSkipException, AirflowFailException)}


def is_skip(error: BaseException) -> bool:
    """
    Whether it says that there is nothing to do: by our class, or by the name of Airflow's, wherever that lives.

    Also a group of nothing else, as ``asyncio.TaskGroup`` makes of one.
    """
    members = members_of(error)
    if members:
        return all(map(is_skip, members))
    return isinstance(error, Skipped) or is_a(error, AirflowSkipException.__name__)


def end_of(error: BaseException) -> Dict[str, Any]:
    """Give the fields of the ``end`` record."""
    # What a Ray task has raised comes back inside an exception of Ray's, which is of the same class, too.
    cause = getattr(error, "cause", None)
    cause = cause if isinstance(cause, BaseException) else error
    if is_skip(error):
        while members_of(cause):
            cause = members_of(cause)[0]
        return {"status": "skipped", "message": spelled(shortened(said_by(cause), MAX_ERROR_CHARACTERS))}
    end: Dict[str, Any] = {"status": "failed", "error": error_of(error)}
    if is_a(error, AirflowFailException.__name__):
        end["no_retry"] = True
    return end

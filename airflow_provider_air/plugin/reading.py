"""
Reads what is stored of task instances: rows of Airflow's database become documents; for the api-server's threads.

Only the keys that are ours, each bounded; of an XCom, its JSON alone: no class that it names is imported.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, fields, replace
from datetime import datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from airflow.models.task_state_store import TaskStateStoreModel as State
from airflow.models.taskinstance import TaskInstance as TI
from airflow.models.taskinstancehistory import TaskInstanceHistory as OldTry
from airflow.models.xcom import XCOM_RETURN_KEY
from airflow.models.xcom import XComModel as XCom
from sqlalchemy import Text, bindparam, case, cast, func, or_, select, tuple_
from sqlalchemy import inspect as sa_inspect

import airflow_provider_air
from airflow_provider_air.contracts.stored import VERSION
from airflow_provider_air.links.mlflow import GATE_KEY
from airflow_provider_air.pages.attempts import OVER
from airflow_provider_air.pages.documents import TaskDocuments, TaskFacts
from airflow_provider_air.pages.lenient import count
from airflow_provider_air.pages.task_view import LABELS
from airflow_provider_air.runs.about import ABOUT_KEY
from airflow_provider_air.runs.history import EARLIER_KEY, HISTORY_KEY
from airflow_provider_air.runs.ledger import LEDGER_KEY
from airflow_provider_air.runs.progress import PROGRESS_KEY

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

# Of one task instance: what is ours is far less; somebody else may have thousands of XComs.
MOST_ROWS = 300
FACTS = (TI.operator, TI.custom_operator_name, TI.state, TI.try_number, TI.start_date, TI.end_date)
MOST_VALUE_BYTES = 2 * 1024 * 1024
OUR_PREFIX = "air_"
OUR_XCOMS = (PROGRESS_KEY, XCOM_RETURN_KEY, GATE_KEY, *LABELS)
# Of the XCom keys of other addresses, such as those of an attachment of somebody's own.
LINK_SUFFIX = "_url"
STATE_STORE, XCOMS = "a state store", "an XCom"
KEPT = {HISTORY_KEY: "The task's history", EARLIER_KEY: "The history of the attempt before"}
# Operators and decorators by the names that Airflow keeps of them.
OURS = (*airflow_provider_air.__all__, "@task.ray")


@dataclass(frozen=True)
class TaskPath:
    """Which task instance a request is about; ``map_index`` is -1 where it is not mapped."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1


@dataclass(frozen=True)
class Stamps:
    """When each stored value of a task instance was written, by its key: what tells whether anything is new."""

    states: Mapping[str, datetime]
    xcoms: Mapping[str, datetime]

    def of(self, *keys: str) -> tuple[tuple[str, datetime], ...]:
        """Give those of the state store whose key is, or begins with, one of these; and XComs that have one."""
        chosen = [(f"s:{k}", at) for k, at in self.states.items() if any(_is_part(k, key) for key in keys)]
        return (*sorted(chosen), *((f"x:{k}", self.xcoms[k]) for k in keys if k in self.xcoms))

    def is_being_kept(self, key: str) -> bool:
        """Whether a value in chunks, of which the first is written last, was begun anew and is not at its end."""
        return any(at > self.states[key] for part, at in self.states.items() if _is_part(part, key))


def read_facts(session: Session, path: TaskPath, try_number: int | None = None) -> TaskFacts | None:
    """
    Read what Airflow knows of a task instance; None where there is none.

    :param try_number: of an earlier try; one that there is no record of is told of as the newest
    """
    row = session.execute(_FACTS_OF, asdict(path)).first()
    if row is None:
        return None
    facts = facts_of(path, row)
    if try_number is None or try_number >= row.try_number:
        return facts
    old = session.execute(
        select(OldTry.state, OldTry.start_date, OldTry.end_date).where(
            *where_is(OldTry, path), OldTry.try_number == try_number
        )
    ).first()
    facts = replace(facts, try_number=max(1, try_number))
    return (
        facts
        if old is None
        else replace(facts, state=old.state, started_at=epoch(old.start_date), ended_at=epoch(old.end_date))
    )


def facts_of(path: TaskPath, row: Any) -> TaskFacts:
    """Give what a row with the columns :data:`FACTS` says of a task instance's newest try."""
    return TaskFacts(
        path.dag_id,
        path.run_id,
        path.task_id,
        path.map_index,
        operator=row.custom_operator_name or row.operator,
        state=row.state,
        try_number=row.try_number,
        last_try=row.try_number,
        started_at=epoch(row.start_date),
        ended_at=epoch(row.end_date),
        is_ours=is_ours(row.operator) or is_ours(row.custom_operator_name),
    )


def is_ours(operator: str | None) -> bool:
    """Whether an operator is the provider's, by the name that Airflow keeps of it."""
    return operator in OURS


def read_stamps(session: Session, path: TaskPath, *, with_xcoms: bool) -> Stamps:
    """Read which values of ours, and which links, there are, and when they were written."""
    found = {row.key: row.updated_at for row in session.execute(_STATES_OF, asdict(path))}
    if not with_xcoms:
        return Stamps(found, {})
    return Stamps(found, {row.key: row.timestamp for row in session.execute(_XCOMS_OF, asdict(path))})


def read_documents(session: Session, path: TaskPath, facts: TaskFacts, stamps: Stamps) -> TaskDocuments:
    """Read all but the history; see :func:`with_history`."""
    links = [key for key in stamps.xcoms if key.endswith(LINK_SUFFIX)]
    xcoms, notes = _xcoms(session, path, [PROGRESS_KEY, XCOM_RETURN_KEY, GATE_KEY, *links], stamps)
    states = _states(session, path, [key for key in (LEDGER_KEY, ABOUT_KEY) if key in stamps.states])
    if LEDGER_KEY in stamps.states:
        notes += _unread("The task's ledger", states.get(LEDGER_KEY), STATE_STORE)
    if PROGRESS_KEY in xcoms:
        notes += _unread("The task's progress", xcoms[PROGRESS_KEY], XCOMS)
    return TaskDocuments(
        facts,
        ledger=states.get(LEDGER_KEY),
        about=states.get(ABOUT_KEY),
        progress=xcoms.get(PROGRESS_KEY),
        result=xcoms.get(XCOM_RETURN_KEY),
        gate=xcoms.get(GATE_KEY),
        links={key: xcoms[key] for key in links if key in xcoms},
        notes=tuple(notes),
    )


def with_history(session: Session, path: TaskPath, documents: TaskDocuments, stamps: Stamps) -> TaskDocuments:
    """Read the history, of the attempt that lives, of the one that was kept and of the one before."""
    xcoms, notes = _xcoms(session, path, [HISTORY_KEY], stamps)
    if HISTORY_KEY in xcoms:
        notes += _unread("The task's live history", xcoms[HISTORY_KEY], XCOMS)
    kept = {key: read_kept(session, path, key) for key in KEPT if key in stamps.states}
    for key, value in kept.items():
        if documents.facts.state in OVER or not stamps.is_being_kept(key):
            notes += _unread(KEPT[key], value, STATE_STORE)
    return replace(
        documents,
        live=xcoms.get(HISTORY_KEY),
        kept=kept.get(HISTORY_KEY),
        earlier=kept.get(EARLIER_KEY),
        notes=(*documents.notes, *notes),
    )


def _unread(what: str, value: Any, where: str) -> list[str]:
    """Say why something that is stored is not shown, or not wholly; nothing where it is."""
    if isinstance(value, Mapping):
        is_later = count(value.get("version")) > VERSION
        return [f"{what} is of a later version of the provider, and shown as far as this one reads it"] * is_later
    if value is None:
        return [f"{what} cannot be read: it is damaged, not all of it is there, or it is of another version"]
    return [f"{what} is kept by {where} back end of its own, which these pages do not read"]


def read_all(session: Session, path: TaskPath, facts: TaskFacts, *, with_xcoms: bool = True) -> TaskDocuments:
    """Read all that is stored of a task instance."""
    stamps = read_stamps(session, path, with_xcoms=with_xcoms)
    return with_history(session, path, read_documents(session, path, facts, stamps), stamps)


def read_kept(session: Session, path: TaskPath, key: str) -> Any:
    """
    Read what :func:`airflow_provider_air.runs.ledger.keep` has written.

    :return: None where nothing is, or not all of it; what a back end of its own has left there, as it is
    """
    return _joined(_read_chunks(session, path, key), key)


def _joined(states: Mapping[str, Any], key: str) -> Any:
    """Put together what was kept in chunks; None where a part is not there."""
    first = states.get(key)
    if not isinstance(first, Mapping):
        return first
    if not isinstance(first.get("chunks"), int) or first["chunks"] > MOST_ROWS:
        return None
    chunks = [first.get("text"), *(states.get(f"{key}.{number}") for number in range(1, first["chunks"]))]
    return None if not all(isinstance(chunk, str) for chunk in chunks) else loaded("".join(map(str, chunks)))


def _xcoms(session: Session, path: TaskPath, keys: Sequence[str], stamps: Stamps) -> tuple[dict[str, Any], list[str]]:
    wanted = [key for key in dict.fromkeys(keys) if key in stamps.xcoms]
    if not wanted:
        return {}, []
    size = func.coalesce(func.length(cast(XCom.value, Text)), 0)
    where = (*where_is(XCom, path), XCom.key.in_(wanted), size <= MOST_VALUE_BYTES)
    found = {row.key: row.value for row in session.execute(select(XCom.key, XCom.value).where(*where))}
    return found, [f"The XCom {key} is too large to be shown here" for key in wanted if key not in found]


def _read_chunks(session: Session, path: TaskPath, key: str) -> dict[str, Any]:
    """Read what a value was kept in, by the keys of its chunks."""
    rows = session.execute(
        select(State.key, State.value)
        .where(*where_is(State, path), State.key.startswith(key, autoescape=True))
        .order_by(State.key)
        .limit(MOST_ROWS)
    )
    return {row.key: loaded(row.value) for row in rows if _is_part(row.key, key)}


def _states(session: Session, path: TaskPath, keys: Sequence[str]) -> dict[str, Any]:
    if not keys:
        return {}
    rows = session.execute(
        select(State.key, State.value).where(
            *where_is(State, path), State.key.in_(keys), func.length(State.value) <= MOST_VALUE_BYTES
        )
    )
    return {row.key: loaded(row.value) for row in rows}


def loaded(text: Any) -> Any:
    """Read a stored text; what cannot be read is shown as nothing."""
    try:
        return json.loads(text)
    except (TypeError, ValueError, RecursionError):
        return None


def _is_part(key: str, of: str) -> bool:
    return key == of or key.startswith(f"{of}.")


def where_is(table: Any, path: TaskPath) -> tuple[Any, ...]:
    """Give the conditions that choose a task instance's rows in a table."""
    return (
        table.dag_id == path.dag_id,
        table.run_id == path.run_id,
        table.task_id == path.task_id,
        table.map_index == path.map_index,
    )


def where_among(table: Any, paths: Collection[TaskPath]) -> Any:
    """Give the condition that chooses the rows of some task instances in a table."""
    names = tuple_(table.dag_id, table.run_id, table.task_id, table.map_index)
    return names.in_([astuple(path) for path in paths])


def epoch(at: datetime | None) -> float | None:
    """Give a moment of Airflow's as epoch seconds."""
    return None if at is None else at.timestamp()


# Asked by each open tab every two seconds: made once, and of tables, since making them takes longer than their answer.
_BOUND: Any = SimpleNamespace(**{field.name: bindparam(field.name) for field in fields(TaskPath)})
_OF_TI, _OF_STATE, _OF_XCOM = (sa_inspect(model).local_table.c for model in (TI, State, XCom))
_FACTS_OF = select(*(_OF_TI[column.key] for column in FACTS)).where(*where_is(_OF_TI, _BOUND))
_STATES_OF = (
    select(_OF_STATE.key, _OF_STATE.updated_at)
    .where(*where_is(_OF_STATE, _BOUND), _OF_STATE.key.startswith(OUR_PREFIX, autoescape=True))
    .limit(MOST_ROWS)
)
# Somebody else's may be more than are read: ours come first.
_IS_OURS = or_(_OF_XCOM.key.in_(OUR_XCOMS), _OF_XCOM.key.startswith(OUR_PREFIX, autoescape=True))
_IS_LINK = _OF_XCOM.key.endswith(LINK_SUFFIX, autoescape=True)
_XCOMS_OF = (
    select(_OF_XCOM.key, _OF_XCOM.timestamp)
    .where(*where_is(_OF_XCOM, _BOUND), or_(_IS_OURS, _IS_LINK))
    .order_by(case((_IS_OURS, 0), else_=1), _OF_XCOM.key)
    .limit(MOST_ROWS)
)

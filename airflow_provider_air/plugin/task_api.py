"""Routes with the data of one task instance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.api_fastapi.core_api.security import GetUserDep
from airflow.utils.session import create_session
from fastapi import APIRouter, HTTPException, Response

from airflow_provider_air.pages.attempts import OVER
from airflow_provider_air.pages.cluster_words import ClusterWords, with_words
from airflow_provider_air.pages.history import MOST_SERIES, history_sections
from airflow_provider_air.pages.task_view import HEAD, before_of, history_of, live_sections
from airflow_provider_air.plugin.access import READS_TASK, Access, access_to
from airflow_provider_air.plugin.answers import Made, Section, SectionCache, answer, collected_later, encoded
from airflow_provider_air.plugin.cluster_notes import read_words
from airflow_provider_air.plugin.paths import TASK, Known, Metrics, TaskPathDep, TryNumber
from airflow_provider_air.plugin.reading import (
    Stamps,
    TaskPath,
    read_documents,
    read_facts,
    read_stamps,
    with_history,
)
from airflow_provider_air.runs.history import EARLIER_KEY, HISTORY_KEY
from airflow_provider_air.runs.ledger import LEDGER_KEY

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from airflow_provider_air.pages.documents import TaskFacts

router = APIRouter()
MOST_CACHED_BYTES = 32 * 1024 * 1024
_CACHE = SectionCache(MOST_CACHED_BYTES)


@router.get(f"/api/task{TASK}", dependencies=[READS_TASK])
def task(path: TaskPathDep, user: GetUserDep, known: Known, metric: Metrics, try_number: TryNumber = None) -> Response:
    """
    Give the view of a task instance, by sections.

    :raises HTTPException: 404 where there is no such task instance
    """
    # Asked every two seconds by each open tab: all that blocks is done on one thread, as dependencies would not.
    with create_session(scoped=False) as session:
        facts = read_facts(session, path, try_number)
        if facts is None:
            raise HTTPException(404, "There is no such task instance, or not any more")
        look = _Look(session, path, facts, access_to(path.dag_id, user), tuple(metric[:MOST_SERIES]))
        return answer(look.sections(), known)


@dataclass(frozen=True)
class _Look:
    """One reading of a task instance; what nobody has written since the last one is not read again."""

    session: Session
    path: TaskPath
    facts: TaskFacts
    access: Access
    metrics: tuple[str, ...]

    def sections(self) -> dict[str, Section]:
        stamps = read_stamps(self.session, self.path, with_xcoms=self.access.reads_xcoms)
        about = (self.path, self.facts.try_number, self.facts.last_try, self.access.reads_xcoms)
        # The history is large and changes seldom.
        of_history = (stamps.of(HISTORY_KEY, EARLIER_KEY, LEDGER_KEY), self.facts.state in OVER)
        history = _CACHE.get(
            ("history", about, of_history, self.metrics), partial(collected_later, partial(self._history, stamps))
        )
        written = (tuple(sorted(stamps.states.items())), tuple(sorted(stamps.xcoms.items())))
        words = read_words(self.session, self.path, self.facts, stamps) if self.access.reads_xcoms else ClusterWords()
        live = _CACHE.get(
            ("live", self.facts, self.access, written, words), lambda: self._live(stamps, history.head, words)
        )
        return {**live.sections, **history.sections}

    def _live(self, stamps: Stamps, history: Mapping[str, Any], words: ClusterWords) -> Made:
        documents = read_documents(self.session, self.path, self.facts, stamps)
        documents = replace(documents, notes=(*documents.notes, *history["notes"]))
        sections = live_sections(documents, history)
        if "cluster" in sections:
            sections["cluster"] = with_words(sections["cluster"], words)
        sections["task"]["may"] = may(self.facts, self.access)
        if not self.access.reads_xcoms:
            sections["task"]["notes"].append("You may not see XComs, where progress, links and results are")
        return Made(encoded(sections), {})

    def _history(self, stamps: Stamps) -> Made:
        known = read_documents(self.session, self.path, self.facts, stamps)
        documents = with_history(self.session, self.path, known, stamps)
        history = history_of(documents)
        notes = documents.notes[len(known.notes) :]
        head = {**{key: history[key] for key in HEAD if key in history}, "notes": notes}
        return Made(encoded(history_sections(history, self.metrics, before_of(documents))), head)


def may(facts: TaskFacts, access: Access) -> dict[str, Any]:
    """Say what a person may do with a task instance now."""
    is_newest = facts.try_number >= facts.last_try
    is_alive = facts.state is not None and facts.state not in OVER
    return {"stop": access.changes and is_newest and is_alive, "clear": access.changes and facts.state is not None}

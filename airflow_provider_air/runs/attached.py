"""Takes a run's attachments along: checked first, prepared before the submission, told of records and of the end."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_air.attachments import registry
from airflow_provider_air.drivers.wire.texts import shortened
from airflow_provider_air.errors import AirError, ConfigurationError
from airflow_provider_air.runs.ledger import MOST_KEPT_CHARACTERS, AttachmentEntry, Attempt

if TYPE_CHECKING:
    from airflow_provider_air.contracts.attachments import Additions, Attachment, AttachmentSpec, Outcome
    from airflow_provider_air.contracts.connections import Connections
    from airflow_provider_air.contracts.jobs import JobRequest
    from airflow_provider_air.contracts.runs import AttemptInfo, Clock, Log, Spawned
    from airflow_provider_air.runs.ports import Ports

T = TypeVar("T")
# Asks again for a while where nobody answers.
Patience = Callable[[Callable[[], Any]], Any]
HAND_OVER_SECONDS = 10.0
# Where a server is away it is asked ever more seldom, and what it misses it gets at the end.
LONGEST_PAUSE_SECONDS = 300.0
MOST_RECORDS = 10_000
LAST_SECONDS = 5.0
# How long a worker waits for all that take an end.
TELLING_SECONDS = 60.0
# A success may come with a model's files; no cluster waits for that.
UPLOADING_SECONDS = 900.0
NOT_YET = "It is told last, and has not been so far"
# What our drivers are told, in their payload.
CONFIG_FILE = "config.json"


class Attached:
    """The attachments of one attempt."""

    def __init__(self, entries: Sequence[AttachmentEntry], connections: Connections, log: Log) -> None:
        self._entries = tuple(entries)
        self._connections = connections
        self._log = log
        # Kept while records come: each opening reads a connection, and makes a client of its own.
        self._opened: dict[int, Attachment] = {}

    @staticmethod
    def entries_of(specs: Sequence[AttachmentSpec]) -> tuple[AttachmentEntry, ...]:
        """Give what the ledger keeps of specs; plain JSON without secrets."""
        return tuple(AttachmentEntry(registry.to_json(spec)) for spec in specs)

    def probe(self, patiently: Patience) -> None:
        """
        See that all can come along, before any cluster starts; runs in the worker.

        :param patiently: how a required one is asked
        :raises AirError: a required one cannot
        """
        for entry in self._entries:
            self._ask(entry, lambda attachment: attachment.probe(), patiently)

    def before_submit(
        self, attempt: AttemptInfo, request: JobRequest, patiently: Patience
    ) -> tuple[JobRequest, tuple[AttachmentEntry, ...], dict[str, str]]:
        """
        Prepare the remote sides and give the job what they want it to have; runs in the worker.

        :param patiently: how a required one is asked
        :return: the request, what the ledger keeps, and the pages to link to
        :raises AirError: a required one cannot come along
        """
        entries: list[AttachmentEntry] = []
        links: dict[str, str] = {}
        for entry in self._entries:
            added = self._ask(entry, lambda attachment: attachment.before_submit(attempt), patiently)
            if added is None:
                entries.append(replace(entry, state=None))
                continue
            request = _given(request, added)
            links |= added.links
            entries.append(replace(entry, state=dict(added.state), told=None, untold=None))
        return request, tuple(entries), links

    def _ask(self, entry: AttachmentEntry, ask: Callable[[Attachment], T], patiently: Patience) -> T | None:
        """Ask one; None where it cannot come along, and need not."""
        spec = registry.from_json(entry.spec)

        def asked() -> T:
            return ask(spec.open(self._connections))

        try:
            found: T = patiently(asked) if spec.required else asked()
            return found
        except Exception as error:
            if isinstance(error, ConfigurationError) or spec.required:
                raise
            self._log.warning("Going on without %s: %s", entry.spec["kind"], error)
            return None

    def on_records(self, attempt: AttemptInfo, records: Sequence[Mapping[str, Any]]) -> None:
        """
        Hand over records of a job that runs; runs in a spare thread of the triggerer, or of the worker.

        :raises AirError: one could not take them; all are handed over again at the end
        """
        for index, entry in enumerate(self._entries):
            if entry.state is None:
                continue
            if index not in self._opened:
                self._opened[index] = registry.from_json(entry.spec).open(self._connections)
            try:
                self._opened[index].on_records(attempt, entry.state, records)
            except Exception:
                # Another password, or another address, may be what it needs.
                self._opened.pop(index)
                raise

    def on_end(
        self, attempt: AttemptInfo, outcome: Outcome, records: Sequence[Mapping[str, Any]] = ()
    ) -> tuple[AttachmentEntry, ...]:
        """
        Hand over records and outcome; runs in the worker, and in a spare thread of the triggerer.

        None can make the outcome worse: one that does not take it is warned about, and recorded as untold.

        :return: what the ledger keeps
        """
        return tuple(self._tell(entry, attempt, outcome, records) for entry in self._entries)

    def _tell(
        self, entry: AttachmentEntry, attempt: AttemptInfo, outcome: Outcome, records: Sequence[Mapping[str, Any]]
    ) -> AttachmentEntry:
        if entry.state is None or not _waits_for(entry, outcome):
            return entry
        try:
            attachment = registry.from_json(entry.spec).open(self._connections)
            if records:
                attachment.on_records(attempt, entry.state, records)
            more = attachment.on_end(attempt, entry.state, outcome)
            state = {**entry.state, **(more or {})}
        except Exception as error:  # noqa: BLE001  # whatever an odd answer makes a tracker raise
            self._log.warning("%s did not take the outcome %s: %s", entry.spec["kind"], outcome.status, error)
            return replace(entry, untold=shortened(str(error), MOST_KEPT_CHARACTERS) or type(error).__name__)
        return replace(entry, told=outcome.status, untold=None, state=state)

    @property
    def is_empty(self) -> bool:
        """Whether nobody wants to be told."""
        return all(entry.state is None for entry in self._entries)


def to_be_told(entries: Sequence[AttachmentEntry], outcome: Outcome) -> tuple[AttachmentEntry, ...]:
    """Give what the ledger keeps of attachments that are to be told of an end, before they are."""
    return tuple(replace(entry, untold=NOT_YET) if _waits_for(entry, outcome) else entry for entry in entries)


def _waits_for(entry: AttachmentEntry, outcome: Outcome) -> bool:
    return entry.state is not None and entry.told != outcome.status


async def told_in_time(
    attempt: Attempt, outcome: Outcome, records: Sequence[Mapping[str, Any]], ports: Ports
) -> tuple[AttachmentEntry, ...]:
    """
    Hand over records and outcome as :meth:`Attached.on_end` does, within a budget; runs in the worker.

    Each in a thread of its own: one that hangs keeps no other from being told.

    :return: what the ledger keeps
    """
    seconds = UPLOADING_SECONDS if outcome.status == "SUCCEEDED" else TELLING_SECONDS
    entries, clock = list(attempt.attachments), ports.clock
    waiting = [index for index, entry in enumerate(entries) if _waits_for(entry, outcome)]

    async def tell(index: int) -> None:
        one = Attached([attempt.attachments[index]], ports.connections, ports.log)
        (entries[index],) = await clock.in_spare_thread(one.on_end, attempt.info, outcome, records)

    telling = {index: clock.spawn(tell(index)) for index in waiting}
    end = clock.now() + seconds
    for index, told in telling.items():
        await told.wait(max(0.0, end - clock.now()))
        if not told.done():
            kind = entries[index].spec["kind"]
            ports.log.warning("%s has not taken the outcome %s within %g s", kind, outcome.status, seconds)
            entries[index] = replace(entries[index], untold=f"It did not answer within {seconds:g} s")
    return tuple(entries)


def _given(request: JobRequest, added: Additions) -> JobRequest:
    request = request.given(added.env_vars, added.secrets, added.payload, added.folders, added.files)
    environment = dict(request.runtime_env)
    if added.application_env:
        environment["env_vars"] = {**(environment.get("env_vars") or {}), **added.application_env}
    request = replace(request, runtime_env=environment, inputs=(*request.inputs, *added.inputs))
    return _pinned(request, added.pins) if added.pins else request


def _pinned(request: JobRequest, pins: Mapping[str, str]) -> JobRequest:
    config = (request.payload or {}).get(CONFIG_FILE)
    if config is not None:
        text = json.dumps(_replaced(json.loads(config), pins), sort_keys=True)
        request = request.given(payload={CONFIG_FILE: text.encode()})
    return replace(request, rollout=_replaced(request.rollout, pins))


def _replaced(value: Any, pins: Mapping[str, str]) -> Any:
    if isinstance(value, Mapping):
        return {key: _replaced(item, pins) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_replaced(item, pins) for item in value]
    return pins.get(value, value) if isinstance(value, str) else value


class LiveRecords:
    """
    Hands a running job's records to its attachments, so that a tracker shows them before the job's end.

    For the event loop that watches the job, which never waits for a server. Only a convenience: at its end, a job's
    records are handed over whole.
    """

    def __init__(self, attached: Attached, attempt: Attempt, clock: Clock, log: Log) -> None:
        self._attached = attached
        self._attempt = attempt.info
        self._clock = clock
        self._log = log
        self._records: list[Mapping[str, Any]] = []
        self._pause = HAND_OVER_SECONDS
        self._next = clock.now() + self._pause
        self._on_its_way: Spawned | None = None

    def note(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Take in new records, and send them on their way where that is due."""
        if self._attached.is_empty:
            return
        self._records = [*self._records, *records][-MOST_RECORDS:]
        is_free = self._on_its_way is None or self._on_its_way.done()
        if self._records and is_free and self._clock.now() >= self._next:
            records, self._records = self._records, []
            self._on_its_way = self._clock.spawn(self._hand_over(records))

    async def finish(self) -> None:
        """Wait a moment for what is on its way."""
        if self._on_its_way is not None:
            await self._on_its_way.wait(LAST_SECONDS)

    async def _hand_over(self, records: Sequence[Mapping[str, Any]]) -> None:
        try:
            await self._clock.in_spare_thread(self._attached.on_records, self._attempt, records)
            self._pause = HAND_OVER_SECONDS
        except Exception as error:  # noqa: BLE001  # as at the end: the watch goes on
            self._pause = min(2 * self._pause, LONGEST_PAUSE_SECONDS)
            wait = "later" if isinstance(error, AirError) else f"later ({type(error).__name__})"
            self._log.warning("What the job tells is handed over %s: %s", wait, error)
        self._next = self._clock.now() + self._pause

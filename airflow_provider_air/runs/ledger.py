"""
The ledger: what was started for one task instance, over all its tries.

It is the one document that a run keeps in Airflow's task state store (key :data:`LEDGER_KEY`). It is written before
anything is started, survives retries and clears, and lets a new try, or another process, go on where an earlier one
stopped: nothing that it holds is ever rebuilt. Readers leave out fields that they do not know.

When is a try a person's clear, and when Airflow's retry? A clear rewrites ``max_tries`` of each task instance that it
clears, to the tries so far and the task's ``retries``; a retry does not (Airflow 3.3). The run's own clear number
changes with a clear of *any* task of the run, so alone it says nothing. Together they do where ``retries`` were edited
just so that a clear leaves ``max_tries`` as it was. Ambiguous stays such an edit along with a clear of another task: it
is taken for a clear, so what runs is stopped and begun anew.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_air.contracts.clusters import ClusterRef
from airflow_provider_air.contracts.history import CHUNK_BYTES
from airflow_provider_air.contracts.names import TaskKey
from airflow_provider_air.contracts.runs import AttemptInfo, Store, Wait, What
from airflow_provider_air.contracts.stored import VERSION, fields_of
from airflow_provider_air.errors import ProtocolError
from airflow_provider_air.runs.names import mint_nonce, mint_submission_id, next_submission_id, owns, run_name
from airflow_provider_air.runs.values import plain

if TYPE_CHECKING:
    from airflow_provider_air.runs.plan import Try

LEDGER_KEY = "air_ledger"
ATTEMPTS_KEPT = 12
# Of a message, which the log has whole: the ledger is one entry of a store that takes 64 KiB.
MOST_KEPT_CHARACTERS = 500
OnClear = Literal["auto", "fresh", "resume"]
KeepCluster = Literal["never", "on_failure"]
DETACHED = "DETACHED"
SKIPPED = "SKIPPED"
# Of which the task is to hear again, if it has not.
GOOD_PHASES = ("SUCCEEDED", SKIPPED)
OPEN_PHASES = ("intended", "submitted", DETACHED)


@dataclass(frozen=True)
class AttachmentEntry:
    """
    One attachment of an attempt.

    :param spec: the JSON form of what the author wrote, see :mod:`airflow_provider_air.attachments.registry`
    :param state: what it wants back, once it has prepared its side; None before
    :param told: the outcome that it took; None where it has taken none
    :param untold: why it did not take the last outcome that it was to be told
    """

    spec: Mapping[str, Any]
    state: Mapping[str, Any] | None = None
    told: str | None = None
    untold: str | None = None


@dataclass(frozen=True)
class Attempt:
    """
    One remote thing that was started for a generation, or the intent to start it.

    :param phase: ``intended``, ``submitted``, ``DETACHED`` (nobody waits for its end), or how it ended: ``SUCCEEDED``,
        ``SKIPPED``, ``FAILED``, ``STOPPED``, ``LOST``, ``RESULT_LOST``, ``ABANDONED``
    :param is_named: its id is the author's, so somebody else may have a job of the same
    :param waits: whether the task waits for its end
    :param kind: ``job``, or ``rollout`` for what a ServeBackend runs
    :param cluster: the JSON form of the ClusterRef, from before the cluster is asked for; None before
    :param accepted_on: the cluster's incarnation that took it
    :param deadline: epoch seconds after which nothing of it may run: the try's that began it, whoever adopts it
    :param cluster_until: epoch seconds until which its cluster may start
    :param limit: how many live jobs the cluster takes; None: any number
    :param stop_pending: it was asked to stop and could not be seen to end
    :param keep_cluster: whether a cluster of its own is left for people to look at, where the attempt fails
    :param cluster_left: a cluster of its own was asked to go
    :param cluster_kept: a cluster of its own is left for people to look at
    :param outcome: what its attachments were told of its end
    :param result_kept: whether its result is in the state store
    :param steps: when it took which step, in epoch seconds, by the names of
        :meth:`~airflow_provider_air.contracts.history.History.note_step`; also ``stopping`` and ``left``
    :param skip_on_exit_code: exit codes of its entrypoint by which it is skipped
    :param message: why it ended badly, or was skipped
    """

    generation: int
    number: int
    submission_id: str
    workload: str = "submit"
    is_named: bool = False
    waits: bool = True
    kind: str = "job"
    run_generation: int = 1
    try_number: int = 1
    cluster: Mapping[str, Any] | None = None
    accepted_on: str | None = None
    phase: str = "intended"
    deadline: float | None = None
    cluster_until: float | None = None
    limit: int | None = None
    unreachable_seconds: float = 600.0
    log_limit_bytes: int = 64 * 1024 * 1024
    has_records: bool = False
    expects_result: bool = False
    storage: str | None = None
    stop_pending: bool = False
    keep_cluster: KeepCluster = "never"
    cluster_left: bool = False
    cluster_kept: bool = False
    outcome: str = ""
    result_kept: bool = False
    attachments: tuple[AttachmentEntry, ...] = ()
    steps: Mapping[str, float] = field(default_factory=dict)
    skip_on_exit_code: tuple[int, ...] = ()
    message: str = ""
    key: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_open(self) -> bool:
        """Whether its end is not known here."""
        return self.phase in OPEN_PHASES

    @property
    def is_sent(self) -> bool:
        """Whether its submission may have reached anybody."""
        return self.phase != "intended" or "sent" in self.steps

    def is_strangers(self, metadata: Mapping[str, str]) -> bool:
        """Whether the job with this metadata, which has the id that the author chose, is somebody else's."""
        return self.is_named and not owns(fields_of(TaskKey, self.key), metadata)

    @property
    def ref(self) -> ClusterRef | None:
        """Its cluster, where one was asked for."""
        return None if self.cluster is None else ClusterRef.from_json(self.cluster)

    @property
    def cluster_ref(self) -> ClusterRef:
        """:raises ProtocolError: it has asked for no cluster yet."""
        if self.cluster is None:
            raise ProtocolError("The attempt has no cluster", where=self.submission_id)
        return ClusterRef.from_json(self.cluster)

    @property
    def starts_until(self) -> float | None:
        """Until when its cluster may start: its own time-out, or the attempt's deadline before that."""
        return min((at for at in (self.cluster_until, self.deadline) if at is not None), default=None)

    @property
    def info(self) -> AttemptInfo:
        """What back ends and attachments are told of it; what only a submission knows is left out."""
        key = fields_of(TaskKey, self.key)
        ref = self.ref
        return AttemptInfo(
            key=key,
            submission_id=self.submission_id,
            run_name=run_name(key, self.run_generation),
            generation=self.run_generation,
            try_number=self.try_number,
            workload=self.workload,
            cluster="" if ref is None else ref.name,
            storage=self.storage,
            not_after=self.deadline,
            starts_until=self.starts_until,
        )

    def wait(self, what: What, until: float | None) -> Wait:
        """Give the step that waits for something of this attempt."""
        return Wait(what, until, self.to_json())

    def to_json(self) -> dict[str, Any]:
        """Give the JSON form."""
        # No deep copies, since nobody changes what it holds: this is written and read at each step.
        form: dict[str, Any] = plain({**vars(self), "attachments": [vars(entry) for entry in self.attachments]})
        return form

    @classmethod
    def from_json(cls, data: Any) -> Attempt:
        """:raises ProtocolError: this is not the JSON form of an attempt."""
        if not isinstance(data, Mapping):
            raise ProtocolError(f"This is no attempt: {data!r}"[:300])
        entries = tuple(fields_of(AttachmentEntry, item) for item in data.get("attachments") or ())
        codes = tuple(data.get("skip_on_exit_code") or ())
        return fields_of(cls, {**data, "attachments": entries, "skip_on_exit_code": codes})


@dataclass(frozen=True)
class Ledger:
    """
    What was started for one task instance. Immutable: each change gives a new one, to be stored.

    :param generation: grows with every clear by a person
    :param run_generation: names storage: equals ``generation``, or an earlier one that is resumed
    :param max_tries: as the last try saw it; so are ``try_number``, ``retries`` and ``clear_number``, which earlier
        versions did not write
    :param nonce: tells it from another one of the same task instance; empty before the first attempt
    :param attempts: the last :data:`ATTEMPTS_KEPT`, oldest first
    :param choice_at: which choice of a person's was taken last, see :mod:`airflow_provider_air.runs.choices`
    """

    generation: int = 1
    run_generation: int = 1
    max_tries: int | None = None
    nonce: str = ""
    attempts: tuple[Attempt, ...] = field(default_factory=tuple)
    choice_at: float | None = None
    try_number: int | None = None
    retries: int | None = None
    clear_number: int | None = None

    @classmethod
    def from_json(cls, data: Any) -> Ledger:
        """
        Read the stored form; None gives an empty ledger.

        :raises ProtocolError: it cannot be read
        """
        if data is None:
            return cls()
        try:
            attempts = tuple(Attempt.from_json(item) for item in data["attempts"])
            return fields_of(cls, {**data, "attempts": attempts})
        except (KeyError, TypeError, ProtocolError) as error:
            raise ProtocolError(
                f"The task's state store holds a ledger that this version cannot read ({error})",
                hint=f"Delete the key {LEDGER_KEY!r} of the task's state store once no job of it runs",
            ) from error

    def to_json(self) -> dict[str, Any]:
        """Give the stored form."""
        return {"version": VERSION, **vars(self), "attempts": [item.to_json() for item in self.attempts]}

    def open_try(self, this: Try, *, on_clear: OnClear = "auto") -> Ledger:
        """
        Note the start of a try, and begin a new generation where a person has cleared the task since.

        :param on_clear: ``fresh`` never resumes, ``resume`` always does, ``auto`` resumes after anything
            but a success
        """
        ledger: Ledger = replace(self, **this.numbers)  # type: ignore[arg-type]
        if not this.is_cleared_since(vars(self)):
            return ledger
        resumes = on_clear == "resume" or (on_clear == "auto" and not self._succeeded())
        generation = self.generation + 1
        return replace(ledger, generation=generation, run_generation=self.run_generation if resumes else generation)

    def _succeeded(self) -> bool:
        return bool(self.attempts) and self.attempts[-1].phase in (*GOOD_PHASES, DETACHED)

    @property
    def current(self) -> Attempt | None:
        """The last attempt of this generation."""
        if self.attempts and self.attempts[-1].generation == self.generation:
            return self.attempts[-1]
        return None

    def find(self, submission_id: str) -> Attempt | None:
        """Give the attempt of an id, if it is still held."""
        return next((item for item in self.attempts if item.submission_id == submission_id), None)

    def earlier_open(self) -> list[Attempt]:
        """Give the attempts before the current one whose end is not known."""
        current = self.current
        return [item for item in self.attempts if item.is_open and item != current]

    def intend(self, key: TaskKey, submission_id: str | None = None, **fields: Any) -> Ledger:
        """
        Add the next attempt with a new id; to be stored before anything remote is asked for.

        :param submission_id: the author's own one, see :func:`~airflow_provider_air.runs.names.next_submission_id`
        """
        number = 1 + max((a.number for a in self.attempts if a.generation == self.generation), default=0)
        attempt = Attempt(
            self.generation,
            number,
            mint_submission_id(key, self.generation, number)
            if submission_id is None
            else next_submission_id(submission_id, (item.submission_id for item in self.attempts)),
            is_named=submission_id is not None,
            run_generation=self.run_generation,
            key=asdict(key),
            **fields,
        )
        return replace(self, nonce=self.nonce or mint_nonce(), attempts=(*_kept(self.attempts), attempt))

    def put(self, attempt: Attempt) -> Ledger:
        """Replace an attempt by its newer form."""
        names = attempt.submission_id
        return replace(self, attempts=tuple(attempt if a.submission_id == names else a for a in self.attempts))


def _kept(attempts: Sequence[Attempt]) -> tuple[Attempt, ...]:
    """Leave out the oldest, but never one whose end is not known: somebody must still stop it."""
    surplus = len(attempts) - ATTEMPTS_KEPT + 1
    dropped = {a.submission_id for a in [a for a in attempts if not a.is_open][: max(0, surplus)]}
    return tuple(a for a in attempts if a.submission_id not in dropped)


def keep(store: Store, key: str, value: Any) -> None:
    """
    Write plain JSON into the state store, in chunks that it takes.

    :param key: the first chunk's key; further ones have a number behind it. It is written last: what can be read is
        whole
    """
    text = json.dumps(value, separators=(",", ":"))
    # An entry is JSON again, in which each quote and backslash costs two bytes.
    step = CHUNK_BYTES // 2
    chunks = [text[start : start + step] for start in range(0, len(text), step)]
    for number, chunk in list(enumerate(chunks))[:0:-1]:
        store.set(f"{key}.{number}", chunk)
    store.set(key, {"chunks": len(chunks), "text": chunks[0]})


def kept(store: Store, key: str) -> Any:
    """Read what :func:`keep` wrote; None where nothing was, or a part of it is gone."""
    first = store.get(key)
    if not isinstance(first, Mapping) or not isinstance(first.get("text"), str):
        return None
    chunks = [first["text"], *(store.get(f"{key}.{number}") for number in range(1, int(first.get("chunks", 1))))]
    try:
        return json.loads("".join(chunks))
    except (TypeError, ValueError):
        return None

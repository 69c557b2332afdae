"""
Names of what runs remotely, and the ledger that says what was started for a task instance.

The ledger is the one document that we keep in Airflow's task state store (key :data:`LEDGER_KEY`). It is
written before anything is started, survives retries and clears, and lets a new try find what the earlier
ones left. Schema, version 1::

    {"schema": 1,
     "generation": 2,        # grows with every clear by a person
     "run_generation": 1,    # names storage: equals generation, or an earlier one that is resumed
     "max_tries": 3,         # a clear rewrites max_tries, an automatic retry does not (Airflow 3.3)
     "clear_number": 0,      # how often the whole run was cleared
     "attempts": [           # the last ATTEMPTS_KEPT, oldest first
        {"generation": 2, "number": 1, "submission_id": "air-…", "cluster": {ClusterRef},
         "phase": "intended" | "submitted" | "SUCCEEDED" | "FAILED" | "STOPPED" | "LOST",
         "stop_pending": false, "has_records": true, "luggage": {"mlflow": {"run_id": "…"}}}]}

What stays ambiguous: a clear of a *running* task changes neither number (Airflow 3.3). The job was stopped
by then, so the next try starts a new attempt of the same generation: it resumes.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from airflow_provider_air.errors import ProtocolError

LEDGER_KEY = "air_ledger"
ATTEMPTS_KEPT = 12
OnClear = Literal["auto", "fresh", "resume"]

# Metadata keys of our jobs; Ray shows them to whoever can list jobs.
DEPLOYMENT, TASK, GENERATION, ATTEMPT, TRY = (
    "air_deployment",
    "air_task",
    "air_generation",
    "air_attempt",
    "air_try",
)


def slug(text: str, limit: int) -> str:
    """Reduce a text to letters, digits and dashes; ``limit`` is in characters."""
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-")[:limit].strip("-").lower() or "x"


def digest(*parts: object, length: int = 8) -> str:
    """Give a short stable hash of some parts."""
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:length]


@dataclass(frozen=True)
class TaskKey:
    """
    One task instance of one Airflow deployment, whatever its try.

    :param map_index: -1 where the task is not mapped
    """

    deployment: str
    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1

    def __str__(self) -> str:
        mapped = "" if self.map_index < 0 else f"[{self.map_index}]"
        return f"{self.dag_id}/{self.run_id}/{self.task_id}{mapped}"

    def mint_submission_id(self, generation: int, number: int) -> str:
        """Make a new id: readable first, unique by its last part."""
        mapped = "" if self.map_index < 0 else f"-m{self.map_index}"
        name = f"{slug(self.dag_id, 30)}-{slug(self.task_id, 40)}{mapped}"
        return f"air-{name}-g{generation}a{number}-{secrets.token_hex(6)}"

    def run_name(self, run_generation: int) -> str:
        """Name what is stable over the attempts of a generation: Train's and Tune's run folder."""
        name = f"{slug(self.dag_id, 30)}-{slug(self.task_id, 40)}"
        return f"{name}-{digest(self.deployment, self, length=10)}-g{run_generation}"

    def metadata(self, attempt: Attempt, try_number: int) -> dict[str, str]:
        """Give the job metadata by which strays of this task instance are found."""
        return {
            DEPLOYMENT: self.deployment,
            TASK: str(self),
            GENERATION: str(attempt.generation),
            ATTEMPT: str(attempt.number),
            TRY: str(try_number),
        }

    def owns(self, metadata: Mapping[str, str]) -> bool:
        """Whether a job with this metadata was submitted for this task instance."""
        return metadata.get(DEPLOYMENT) == self.deployment and metadata.get(TASK) == str(self)


@dataclass(frozen=True)
class Attempt:
    """
    One submitted Ray job, or the intent to submit it.

    :param phase: ``intended``, ``submitted``, or how it ended
    :param stop_pending: it was asked to stop and could not be seen to end
    :param luggage: what its attachments want back at its end, by their names; JSON without secrets
    """

    generation: int
    number: int
    submission_id: str
    cluster: Mapping[str, Any]
    phase: str = "intended"
    stop_pending: bool = False
    has_records: bool = False
    luggage: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_open(self) -> bool:
        """Whether its end is not known here."""
        return self.phase in ("intended", "submitted")


@dataclass(frozen=True)
class Ledger:
    """What was started for one task instance. Immutable: each change gives a new one, to be stored."""

    generation: int = 1
    run_generation: int = 1
    max_tries: int | None = None
    clear_number: int = 0
    attempts: tuple[Attempt, ...] = field(default_factory=tuple)

    @classmethod
    def from_json(cls, data: Any) -> Ledger:
        """
        Read the stored form; None gives an empty ledger.

        :raises ProtocolError: it was written by a version that we do not understand
        """
        if data is None:
            return cls()
        try:
            if data["schema"] != 1:
                raise ValueError(f"schema {data['schema']!r}")
            fields = {k: v for k, v in data.items() if k not in ("schema", "attempts")}
            return cls(**fields, attempts=tuple(Attempt(**item) for item in data["attempts"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ProtocolError(
                f"The task's state store holds a ledger that this version cannot read ({error})",
                hint=f"Delete the key {LEDGER_KEY!r} of the task's state store once no job of it runs",
            ) from error

    def to_json(self) -> dict[str, Any]:
        """Give the stored form."""
        return {"schema": 1, **asdict(self), "attempts": [asdict(item) for item in self.attempts]}

    def open_try(self, *, max_tries: int, clear_number: int, on_clear: OnClear = "auto") -> Ledger:
        """
        Note the start of a try, and begin a new generation where a person has cleared the task since.

        :param on_clear: ``fresh`` never resumes, ``resume`` always does, ``auto`` resumes after anything
            but a success
        """
        if self.max_tries is None or (self.max_tries, self.clear_number) == (max_tries, clear_number):
            return replace(self, max_tries=max_tries, clear_number=clear_number)
        resumes = on_clear == "resume" or (on_clear == "auto" and not self._succeeded())
        generation = self.generation + 1
        return replace(
            self,
            generation=generation,
            run_generation=self.run_generation if resumes else generation,
            max_tries=max_tries,
            clear_number=clear_number,
        )

    def _succeeded(self) -> bool:
        return bool(self.attempts) and self.attempts[-1].phase == "SUCCEEDED"

    @property
    def current(self) -> Attempt | None:
        """The last attempt of this generation."""
        if self.attempts and self.attempts[-1].generation == self.generation:
            return self.attempts[-1]
        return None

    def earlier_open(self) -> list[Attempt]:
        """Give the attempts before the current one whose end is not known."""
        return [item for item in self.attempts if item.is_open and item != self.current]

    def intend(self, key: TaskKey, cluster: Mapping[str, Any], *, has_records: bool) -> Ledger:
        """Add the next attempt with a new id; to be stored before anything is submitted."""
        number = 1 + max((a.number for a in self.attempts if a.generation == self.generation), default=0)
        name = key.mint_submission_id(self.generation, number)
        attempt = Attempt(self.generation, number, name, dict(cluster), has_records=has_records)
        return replace(self, attempts=(*self.attempts, attempt)[-ATTEMPTS_KEPT:])

    def pack(self, submission_id: str, luggage: Mapping[str, Any]) -> Ledger:
        """Keep what the attachments of an attempt want back at its end."""
        return replace(
            self,
            attempts=tuple(
                replace(item, luggage=dict(luggage)) if item.submission_id == submission_id else item
                for item in self.attempts
            ),
        )

    def mark(self, submission_id: str, phase: str, *, stop_pending: bool = False) -> Ledger:
        """Note what became of an attempt."""
        return replace(
            self,
            attempts=tuple(
                replace(item, phase=phase, stop_pending=stop_pending) if item.submission_id == submission_id else item
                for item in self.attempts
            ),
        )

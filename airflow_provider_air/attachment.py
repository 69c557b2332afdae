"""What rides along with a workload: trackers and feature stores, behind one contract."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Protocol, runtime_checkable

from airflow_provider_air.errors import ProtocolError
from airflow_provider_air.identity import TaskKey


@dataclass(frozen=True)
class Voyage:
    """
    The attempt that an attachment rides along with; crosses processes as JSON.

    :param run_name: stable over the attempts of a generation, new after a clear that starts afresh
    :param workload: ``submit``, ``train``, ``tune`` ...
    :param parameters: what the author set, for trackers to note; plain JSON without secrets
    """

    key: TaskKey
    submission_id: str
    run_name: str
    generation: int
    try_number: int
    workload: str
    cluster: str
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Give the JSON form."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Any) -> Voyage:
        """:raises ProtocolError: this is not the JSON form of a voyage."""
        try:
            return cls(**{**data, "key": TaskKey(**data["key"])})
        except (KeyError, TypeError) as error:
            raise ProtocolError(f"This names no attempt: {error!r}") from error


@dataclass(frozen=True)
class Luggage:
    """
    What an attachment wants the job to have, and to get back at the end.

    :param env_vars: environment of the job; visible to whoever can list jobs, so no secrets
    :param state: JSON that comes back to the attachment at the end; no secrets
    :param secrets: environment of the job that no job listing shows
    """

    env_vars: Mapping[str, str] = field(default_factory=dict)
    state: Mapping[str, Any] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Outcome:
    """
    How the attempt ended.

    :param status: ``SUCCEEDED``, ``FAILED``, ``STOPPED``, ``LOST`` or ``DEADLINE``
    :param result: what the job reported, for SUCCEEDED
    """

    status: str
    message: str = ""
    result: Any = None


@runtime_checkable
class Attachment(Protocol):
    """
    One tracker or feature store of one operator, ready to be used. All calls block and may be repeated.

    They run in the worker; ``on_record`` also in a thread of the triggerer while the job runs, and ``on_end`` when a
    person kills a deferred task.
    """

    def before_submit(self, voyage: Voyage) -> Luggage:
        """
        Prepare the remote side, before anything is submitted.

        :raises AirError: it cannot; nothing is submitted then
        """

    def on_record(self, voyage: Voyage, state: Mapping[str, Any], records: Sequence[Mapping[str, Any]]) -> None:
        """Take records of the driver, in order; each is given at least once."""

    def on_end(self, voyage: Voyage, state: Mapping[str, Any], outcome: Outcome) -> None:
        """Note the outcome; called for every attempt, also where the driver was killed."""


@runtime_checkable
class AttachmentSpec(Protocol):
    """
    What an author writes, such as ``MlflowTracker(...)``: a plain dataclass whose fields are JSON.

    :param name: what its luggage is kept under
    :param opener: ``module:function`` that turns the spec into an :class:`Attachment`, where Airflow is known
    :param required: False lets the job run where the remote side fails
    """

    name: ClassVar[str]
    opener: ClassVar[str]
    template_fields: ClassVar[tuple[str, ...]]
    required: bool

    def validate(self) -> None:
        """:raises ConfigurationError: a field is wrong; the message names it."""

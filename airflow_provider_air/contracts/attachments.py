"""What a tracker, a feature store, lineage add to a run, behind one contract; a run may have several."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

if TYPE_CHECKING:
    from airflow_provider_air.contracts.connections import Connections
    from airflow_provider_air.contracts.jobs import JobRequest
    from airflow_provider_air.contracts.runs import AttemptInfo, DataRef


@dataclass(frozen=True)
class Additions:
    """
    What an attachment wants the job to have, and to get back at its end.

    :param env_vars: environment of the job; visible to whoever can list jobs, so no secrets
    :param secrets: environment of the job that no job listing shows
    :param files: by environment variables of the job that name where each lies on a node, such as a CA bundle
    :param application_env: environment of what the job deploys: of its replicas, where the workload is ``serve``. It
        belongs to the application's configuration, so whoever can list applications sees it, and a change of it is a
        new version
    :param state: JSON that comes back to the attachment with records and at the end; no secrets
    :param payload: files for the driver, by name
    :param folders: local folders that travel with the job, and with what it deploys, by the name that each gets on
        ``sys.path``
    :param pins: what in the author's settings means something else from day to day, such as a model's alias, and what
        it means now; replaced where it is the whole of a text that the driver, or the application, is told
    :param inputs: what the job reads because of it
    :param links: pages that people open, by the XCom keys of their links, such as ``mlflow_url``
    """

    env_vars: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    application_env: Mapping[str, str] = field(default_factory=dict)
    state: Mapping[str, Any] = field(default_factory=dict)
    payload: Mapping[str, bytes] = field(default_factory=dict)
    folders: Mapping[str, Path] = field(default_factory=dict)
    pins: Mapping[str, str] = field(default_factory=dict)
    inputs: tuple[DataRef, ...] = ()
    links: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """
    How the attempt ended.

    :param status: ``SUCCEEDED``, ``SKIPPED`` (no failure: there was nothing to do), ``FAILED``, ``STOPPED``, ``LOST``,
        ``DEADLINE`` or ``ABANDONED``
    :param result: what the job reported, for SUCCEEDED
    """

    status: str
    message: str = ""
    result: Any = None


@runtime_checkable
class Attachment(Protocol):
    """
    One tracker or feature store of one run, ready to be used. All calls block and may be repeated.

    They run in the worker; ``on_records`` also in a thread of the triggerer while the job runs, and ``on_end`` when a
    person kills a deferred task. A state that is not its own, such as an empty one, does no harm.
    """

    def probe(self) -> None:
        """
        See that it can come along, before any cluster starts.

        :raises ConfigurationError: it cannot, and no retry helps
        :raises UnavailableError: its remote side does not answer
        """

    def before_submit(self, attempt: AttemptInfo) -> Additions:
        """
        Prepare the remote side, before anything is submitted.

        :raises AirError: it cannot
        """

    def on_records(self, attempt: AttemptInfo, state: Mapping[str, Any], records: Sequence[Mapping[str, Any]]) -> None:
        """Take records of the driver, in order; each is given at least once."""

    def on_end(self, attempt: AttemptInfo, state: Mapping[str, Any], outcome: Outcome) -> Mapping[str, Any] | None:
        """
        Note the outcome; called for every attempt, also where the driver was killed.

        :return: what has come of it that people want to know, which joins the state; JSON without secrets, such as
            ``{"model": {"name", "version", "url"}}`` of a version that was registered
        """


@runtime_checkable
class AttachmentSpec(Protocol):
    """
    What an author writes, such as ``MlflowTracker(...)``: a plain dataclass whose fields are JSON.

    :param kind: its name in the registry, see :mod:`airflow_provider_air.attachments.registry`
    """

    kind: ClassVar[str]
    template_fields: ClassVar[tuple[str, ...]]

    @property
    def required(self) -> bool:
        """Whether the job needs it; False lets the job run where the remote side fails. A plain field will do."""

    def validate(self) -> None:
        """:raises ConfigurationError: a field is wrong; the message names it."""

    def check(self, request: JobRequest, workload: str, storage: str | None) -> Collection[str]:
        """
        See that it suits this job; asks nobody, and runs in the worker.

        :param storage: URI of the task's storage as the cluster reaches it, or None
        :return: the names of the request's inputs that the job gets through it, so that nobody else must read them,
            such as rows that a feature store joins; empty for what only watches
        :raises ConfigurationError: it does not; the message says what to do
        """

    def open(self, connections: Connections) -> Attachment:
        """
        Make it usable. What needs no connection for :meth:`Attachment.on_end` reads it later, where it needs it: a
        job that has ended is judged whatever has become of the connection meanwhile.

        :raises ConfigurationError: the connection is absent or malformed
        """

"""Takes an operator's attachments along: before the submission, at the end, and when a person kills the task."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from airflow_provider_air.attachment import Attachment, AttachmentSpec, Outcome, Voyage
from airflow_provider_air.errors import AirError, ConfigurationError
from airflow_provider_air.workloads.job import JobRequest

log = logging.getLogger(__name__)


class Riders:
    """
    The attachments of one attempt.

    :param specs: what the author wrote
    :param luggage: what each wanted back, by its name; filled by :meth:`board`
    """

    def __init__(self, specs: Sequence[AttachmentSpec], voyage: Voyage, luggage: Mapping[str, Any]) -> None:
        self._specs = tuple(specs)
        self.voyage = voyage
        self.luggage = dict(luggage)

    def board(self, request: JobRequest) -> JobRequest:
        """
        Prepare the remote sides and give the job what they want it to have; runs in the worker.

        :raises AirError: a required attachment cannot come along
        """
        env_vars: dict[str, str] = {}
        secrets: dict[str, str] = {}
        for spec in self._specs:
            try:
                luggage = self._open(spec).before_submit(self.voyage)
            except AirError as error:
                if spec.required or isinstance(error, ConfigurationError):
                    raise
                log.warning("Going on without %s: %s", spec.name, error)
                continue
            self.luggage[spec.name] = dict(luggage.state)
            env_vars |= luggage.env_vars
            secrets |= luggage.secrets
        return request.given(env_vars, secrets)

    def tell(self, records: Sequence[Mapping[str, Any]]) -> None:
        """
        Hand over records of a job that runs; runs in a thread of the triggerer, or in the worker.

        :raises AirError: an attachment could not take them; all are handed over again at the end
        """
        for spec in self._specs:
            if spec.name in self.luggage:
                self._open(spec).on_record(self.voyage, self.luggage[spec.name], records)

    def alight(self, outcome: Outcome, records: Sequence[Mapping[str, Any]] = ()) -> None:
        """
        Hand over records and outcome; runs in the worker, and in a thread of the triggerer.

        :raises AirError: a required attachment could not take them: the next try hands them over again
        """
        for spec in self._specs:
            if spec.name not in self.luggage:
                continue
            try:
                attachment, state = self._open(spec), self.luggage[spec.name]
                if records:
                    attachment.on_record(self.voyage, state, records)
                attachment.on_end(self.voyage, state, outcome)
            except AirError as error:
                if spec.required:
                    raise
                log.warning("%s did not take the outcome: %s", spec.name, error)

    def alight_quietly(self, outcome: Outcome, records: Sequence[Mapping[str, Any]] = ()) -> None:
        """Hand over an outcome beside which a failing attachment is only worth a warning."""
        try:
            self.alight(outcome, records)
        except AirError as error:
            log.warning("An attachment did not take the outcome %s: %s", outcome.status, error)

    def to_json(self) -> dict[str, Any]:
        """Give the JSON form, for the trigger; no secrets, connections are read where they are used."""
        specs = [{"module": type(s).__module__, "kind": type(s).__qualname__, "fields": asdict(s)} for s in self._specs]  # type: ignore[call-overload]
        return {"specs": specs, "voyage": self.voyage.to_json(), "luggage": self.luggage}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Riders:
        """Read the JSON form that :meth:`to_json` gave in a worker."""
        specs = [getattr(importlib.import_module(s["module"]), s["kind"])(**s["fields"]) for s in data["specs"]]
        return cls(specs, Voyage.from_json(data["voyage"]), data["luggage"])

    @staticmethod
    def _open(spec: AttachmentSpec) -> Attachment:
        module, _, function = spec.opener.partition(":")
        made: Attachment = getattr(importlib.import_module(module), function)(spec)
        return made


def check_spec(spec: Any, field: str) -> None:
    """
    Refuse what is no attachment, before anything is started.

    :raises ConfigurationError: it is none, or one of its fields is wrong
    """
    if spec is None:
        return
    if not isinstance(spec, AttachmentSpec):
        raise ConfigurationError(f"'{field}' must be a spec such as MlflowTracker(), not {spec!r}")
    spec.validate()

"""
Tecton over its HTTP API; its SDK cannot be installed beside Airflow 3, and is not needed here.

Source: the routes that Tecton documents for its materialization jobs and feature services, and its own Airflow
provider 0.1.2. Never run against a live account: the tests speak to a double of these routes.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx

from airflow_provider_air.errors import ConfigurationError, ProtocolError, UnavailableError
from airflow_provider_air.tls import context_for

TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"
STORES = ("online", "offline")
# Tecton tries failed attempts again by itself, so none of these is the end of a job.
LIVE = ("pending", "running", "manual_cancellation_requested")
ANSWER_SECONDS = 20.0
# Inside a signal handler: connecting and answering may take so long each.
QUICK_SECONDS = 1.5


@dataclass(frozen=True)
class Materialization:
    """
    One materialization job.

    :param state: Tecton's own word, in lower case, such as ``running``, ``success`` or ``error``
    """

    job_id: str
    state: str

    @property
    def is_live(self) -> bool:
        """Whether it may still change its state."""
        return self.state in LIVE

    @property
    def has_succeeded(self) -> bool:
        """Whether the features are there."""
        return self.state == "success"


@dataclass(frozen=True)
class Window:
    """
    What a materialization job writes: one feature view's values of a time window, to these stores.

    :param start: first moment, with a zone
    :param end: the moment after the last one
    """

    workspace: str
    feature_view: str
    start: datetime
    end: datetime
    online: bool = True
    offline: bool = True

    def validate(self) -> None:
        """:raises ConfigurationError: a field is wrong; the message names it."""
        for name in ("workspace", "feature_view"):
            check_name(name, getattr(self, name))
        if self.start >= self.end:
            raise ConfigurationError(f"'start' {self.start} is not before 'end' {self.end}")
        if not (self.online or self.offline):
            raise ConfigurationError("'online' and 'offline' are both off: there is nothing to write")

    def to_json(self) -> dict[str, Any]:
        """Give it as Tecton spells it."""
        return {
            "workspace": self.workspace,
            "feature_view": self.feature_view,
            "start_time": self.start.astimezone(UTC).strftime(TIME_FORMAT),
            "end_time": self.end.astimezone(UTC).strftime(TIME_FORMAT),
            "online": self.online,
            "offline": self.offline,
        }


class TectonServer:
    """
    Sends requests to one Tecton deployment; blocks.

    :param base_url: such as ``https://example.tecton.ai``
    :param api_key: what ``tecton api-key create`` printed
    :param verify: see :func:`airflow_provider_air.tls.context_for`
    """

    def __init__(self, base_url: str, api_key: str, verify: bool | str = True) -> None:
        self.base_url = base_url.rstrip("/")
        self.verify = verify
        headers, tls = {"Authorization": f"Tecton-key {api_key}"}, context_for(base_url, verify)
        self._http = httpx.Client(headers=headers, verify=tls, timeout=ANSWER_SECONDS)

    def submit(self, window: Window, *, overwrite: bool) -> Materialization:
        """
        Start a job, with Tecton's own retries.

        :raises ConfigurationError: Tecton refuses it
        """
        body = {**window.to_json(), "overwrite": overwrite, "use_tecton_managed_retries": True}
        # Not again after a lost reply: the next try finds the job by its window.
        return _job(self._call("jobs/submit-materialization-job", body, pauses=()))

    def find(self, window: Window) -> Materialization | None:
        """Look for the newest job of exactly this window that is live or has succeeded."""
        wanted = window.to_json()
        asked = {name: wanted[name] for name in ("workspace", "feature_view")}
        jobs = self._call("jobs/list-materialization-jobs", asked).get("jobs") or []
        same = [job for job in jobs if all(job.get(key) == value for key, value in wanted.items() if key not in asked)]
        for job in sorted(same, key=lambda job: str(job.get("created_at")), reverse=True):
            found = _job({"job": job})
            if found.is_live or found.has_succeeded:
                return found
        return None

    def job(self, workspace: str, feature_view: str, job_id: str) -> Materialization:
        """Ask for a job."""
        return _job(self._call("jobs/get-materialization-job", _named(workspace, feature_view, job_id)))

    def cancel(self, workspace: str, feature_view: str, job_id: str, *, quickly: bool = False) -> None:
        """
        Ask for a job's end; a second call does no harm.

        :param quickly: within 3 s, for a signal handler
        """
        seconds = QUICK_SECONDS if quickly else ANSWER_SECONDS
        named = _named(workspace, feature_view, job_id)
        self._call("jobs/cancel-materialization-job", named, pauses=(), seconds=seconds)

    def ready_time(self, workspace: str, *, kind: str, name: str, store: str) -> datetime | None:
        """
        Give until when features are there, or None where none are.

        :param kind: ``feature_view`` or ``feature_service``
        :param store: ``online`` or ``offline``
        """
        answer = self._call("jobs/get-latest-ready-time", {"workspace": workspace, kind: name})
        text = answer.get(f"{store}_latest_ready_time")
        try:
            return datetime.fromisoformat(text) if text else None
        except ValueError:
            raise ProtocolError(f"Tecton's ready time {text!r} is no time", where=self.base_url) from None

    def check_feature_service(self, workspace: str, name: str) -> None:
        """
        Look a feature service up.

        :raises ConfigurationError: there is none of this name, or the key may not see it
        """
        params = {"workspaceName": workspace, "featureServiceName": name}
        try:
            self._call("feature-service/metadata", {"params": params})
        except ConfigurationError as error:
            raise ConfigurationError(
                f"The feature service {name!r} of the workspace {workspace!r} cannot be served: {error.what}",
                where=error.where,
                hint=error.hint,
            ) from error

    def _call(
        self,
        route: str,
        body: Mapping[str, Any],
        pauses: tuple[float, ...] = (0.5, 2.0, 4.0),
        seconds: float = ANSWER_SECONDS,
    ) -> dict[str, Any]:
        """
        Call one route; transient failures are tried again after each pause.

        :raises UnavailableError: no usable answer
        :raises ConfigurationError: refused
        """
        for pause in (*pauses, None):
            try:
                return self._read(self._send(route, body, seconds), route)
            except UnavailableError:
                if pause is None:
                    raise
            time.sleep(pause)
        raise AssertionError("the last pause is None")

    def _send(self, route: str, body: Mapping[str, Any], seconds: float) -> httpx.Response:
        try:
            return self._http.post(f"{self.base_url}/api/v1/{route}", json=dict(body), timeout=seconds)
        except httpx.HTTPError as error:
            said = str(error) or type(error).__name__
            raise UnavailableError(f"Tecton does not answer: {said}", where=self.base_url) from error

    def _read(self, answer: httpx.Response, route: str) -> dict[str, Any]:
        if answer.status_code >= 500 or answer.status_code in (408, 425, 429):
            raise UnavailableError(f"Tecton answered {answer.status_code} to {route}", where=self.base_url)
        try:
            data = answer.json()
        except ValueError:
            data = None
        if answer.is_success and isinstance(data, dict):
            return data
        # Tecton itself says in JSON what is not there.
        is_strange = answer.status_code == 404 and not isinstance(data, dict)
        if answer.is_success or answer.is_redirect or is_strange:
            raise UnavailableError(
                f"The address does not answer like Tecton to {route} ({answer.status_code})",
                where=self.base_url,
                hint="A proxy in front of it may be starting; if it stays, correct the address in the connection",
            )
        hint = "Check the API key of the tecton connection" if answer.status_code in (401, 403) else None
        said = (data.get("error") or data.get("message") if isinstance(data, dict) else None) or answer.text[:300]
        raise ConfigurationError(
            f"Tecton refused {route} ({answer.status_code}): {said}", where=self.base_url, hint=hint
        )


def check_name(field: str, value: Any) -> None:
    """:raises ConfigurationError: the value of this field is no name."""
    if not isinstance(value, str) or not value.strip():
        raise ConfigurationError(f"'{field}' must be a name, not {value!r}")


def _named(workspace: str, feature_view: str, job_id: str) -> dict[str, str]:
    return {"workspace": workspace, "feature_view": feature_view, "job_id": job_id}


def _job(answer: Mapping[str, Any]) -> Materialization:
    job = answer.get("job")
    if not isinstance(job, Mapping) or not job.get("id") or not job.get("state"):
        raise ProtocolError(f"Tecton names no job: {answer!r}"[:500])
    return Materialization(str(job["id"]), str(job["state"]).lower())

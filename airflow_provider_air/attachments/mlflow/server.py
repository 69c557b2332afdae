"""
One MLflow tracking server over its REST API; ``mlflow`` itself is not needed here.

Source: MLflow 3.17 REST API 2.0.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import httpx

from airflow_provider_air.errors import ConfigurationError, UnavailableError
from airflow_provider_air.tls import bundle_of, context_for

T = TypeVar("T")
ANSWER_SECONDS = 20.0
CONNECT_SECONDS = 5.0
# Between two tries of one call.
PAUSES_SECONDS = (0.5, 2.0, 4.0)
# What is wrong with the request's own content, so that a part of it may be taken.
REFUSALS = (400, 413, 422)


class MlflowRefusal(ConfigurationError):
    """MLflow does not take what a request holds."""


class MlflowServer:
    """
    Sends requests to one tracking server, through the proxies that this process's environment names; blocks.

    :param base_url: the server's address
    :param ui_url: where people reach its pages
    :param auth: user and password, or None
    :param token: bearer token, or None
    :param verify: see :func:`airflow_provider_air.tls.context_for`
    """

    def __init__(
        self,
        base_url: str,
        *,
        ui_url: str | None = None,
        auth: tuple[str, str] | None = None,
        token: str | None = None,
        verify: bool | str = True,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        # As people copy it, it ends with the page that they look at.
        self.ui_url = (ui_url or base_url).partition("#")[0].rstrip("/")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        # What MLflow's own client reads; it takes a user and password before a token.
        named = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")
        self.secrets = (
            dict(zip(named, auth, strict=True)) if auth else {"MLFLOW_TRACKING_TOKEN": token} if token else {}
        )
        # How the job's own client trusts the server as this one does.
        self.job_env = {"MLFLOW_TRACKING_INSECURE_TLS": "true"} if verify is False else {}
        bundle = bundle_of(verify)
        self.job_files = {} if bundle is None else {"MLFLOW_TRACKING_SERVER_CERT_PATH": bundle}
        timeout = httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS)
        tls = context_for(base_url, verify)
        self._http = httpx.Client(auth=auth, headers=headers, verify=tls, timeout=timeout)

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None, **params: Any) -> dict[str, Any]:
        """
        Call one endpoint below ``/api/2.0/mlflow``; transient failures are tried again for some seconds.

        Not for what makes something new each time that it is called: :meth:`create`.

        :raises UnavailableError: no usable answer
        :raises MlflowRefusal: what the request holds is refused
        :raises ConfigurationError: refused: credentials, or the host header guard
        """
        for pause in PAUSES_SECONDS:
            try:
                return self._send(method, path, body, params)
            except UnavailableError:
                time.sleep(pause)
        return self._send(method, path, body, params)

    def create(
        self, path: str, body: Mapping[str, Any], *, made: Callable[[dict[str, Any]], T], find: Callable[[], T | None]
    ) -> T:
        """
        Make something of which MLflow would make another one each time: before it is sent again, it is looked for.

        A server that answers late has made it by the time that it answers the look. MLflow has no token by which it
        would know a creation again, so two are possible where the look overtakes the creation.

        :param made: reads the answer
        :param find: gives what an earlier call has made, or None
        :raises UnavailableError: no usable answer; what was asked for may be there
        :raises ConfigurationError: as for :meth:`call`
        """
        for pause in PAUSES_SECONDS:
            try:
                return made(self._send("POST", path, body))
            except UnavailableError:
                time.sleep(pause)
            found = find()
            if found is not None:
                return found
        return made(self._send("POST", path, body))

    def _send(
        self, method: str, path: str, body: Mapping[str, Any] | None, params: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        try:
            answer = self._http.request(method, f"{self.base_url}/api/2.0/mlflow/{path}", json=body, params=params)
        except httpx.HTTPError as error:
            raise UnavailableError(
                f"MLflow does not answer: {str(error) or type(error).__name__}", where=self.base_url
            ) from error
        if answer.status_code >= 500 or answer.status_code in (408, 425, 429):
            raise UnavailableError(f"MLflow answered {answer.status_code} to {path}", where=self.base_url)
        return self._read(answer, path)

    def _read(self, answer: httpx.Response, path: str) -> dict[str, Any]:
        try:
            data = answer.json()
        except ValueError:
            data = None
        if answer.status_code == 200 and isinstance(data, dict):
            return data
        # MLflow itself says by a code what is not there.
        is_strange = answer.status_code == 404 and not (isinstance(data, dict) and "error_code" in data)
        if answer.status_code == 200 or answer.is_redirect or is_strange:
            raise UnavailableError(
                f"The address does not answer like MLflow to {path} ({answer.status_code})",
                where=self.base_url,
                hint="A proxy in front of it may be starting; if it stays, correct the address in the connection",
            )
        if answer.status_code == 404 and "RESOURCE_DOES_NOT_EXIST" in answer.text:
            return {}
        hint = None
        if answer.status_code in (401, 403):
            hint = "Check login, password or token of the mlflow connection"
            if "Invalid Host header" in answer.text:
                hint = "Start the MLflow server with --allowed-hosts for this address"
        kind = MlflowRefusal if answer.status_code in REFUSALS else ConfigurationError
        raise kind(f"MLflow refused {path} ({answer.status_code}): {answer.text[:300]}", where=self.base_url, hint=hint)

    def put_artifact(self, path: str, file: Path) -> None:
        """
        Upload a file through the server's artefact proxy.

        :param path: below the proxy's root, as ``mlflow-artifacts:`` URIs have it
        :raises UnavailableError: the server did not take it
        """
        url = f"{self.base_url}/api/2.0/mlflow-artifacts/artifacts/{quote(path)}"
        try:
            with file.open("rb") as content:
                answer = self._http.put(url, content=content, timeout=600)
            answer.raise_for_status()
        except httpx.HTTPError as error:
            raise UnavailableError(f"MLflow did not take the artefact: {error}", where=url) from error

    def model_url(self, name: str, version: int) -> str:
        """Give the page of a model version."""
        return f"{self.ui_url}/#/models/{quote(name, safe='')}/versions/{version}"

    def run_url(self, experiment_id: str, run_id: str) -> str:
        """Give the page of a run."""
        return f"{self.ui_url}/#/experiments/{experiment_id}/runs/{run_id}"

"""
One MLflow tracking server over its REST API; ``mlflow`` itself is not needed here.

Source: MLflow 3.17 REST API 2.0.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from airflow_provider_air.errors import ConfigurationError, ProtocolError, UnavailableError
from airflow_provider_air.tls import context_for


class MlflowServer:
    """
    Sends requests to one tracking server; blocks.

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
        self.ui_url = (ui_url or base_url).rstrip("/")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        # What MLflow's own client reads; it takes a user and password before a token.
        named = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")
        self.secrets = (
            dict(zip(named, auth, strict=True)) if auth else {"MLFLOW_TRACKING_TOKEN": token} if token else {}
        )
        self._http = httpx.Client(
            auth=auth, headers=headers, verify=context_for(base_url, verify), timeout=20, trust_env=False
        )

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None, **params: Any) -> dict[str, Any]:
        """
        Call one endpoint below ``/api/2.0/mlflow``; transient failures are tried again for some seconds.

        :raises UnavailableError: no usable answer
        :raises ConfigurationError: refused: credentials, host header guard, or the request itself
        """
        for pause in (0.5, 2.0, 4.0, None):
            try:
                answer = self._http.request(method, f"{self.base_url}/api/2.0/mlflow/{path}", json=body, params=params)
            except httpx.HTTPError as error:
                failure = UnavailableError(
                    f"MLflow does not answer: {str(error) or type(error).__name__}", where=self.base_url
                )
            else:
                if answer.status_code < 500 and answer.status_code != 429:
                    return self._read(answer, path)
                failure = UnavailableError(f"MLflow answered {answer.status_code} to {path}", where=self.base_url)
            if pause is None:
                raise failure
            time.sleep(pause)
        raise AssertionError("unreachable")

    def _read(self, answer: httpx.Response, path: str) -> dict[str, Any]:
        if answer.status_code == 200:
            try:
                data: dict[str, Any] = answer.json()
            except ValueError:
                raise ProtocolError("The address does not answer like MLflow", where=self.base_url) from None
            return data
        if answer.status_code == 404 and "RESOURCE_DOES_NOT_EXIST" in answer.text:
            return {}
        hint = None
        if answer.status_code in (401, 403):
            hint = "Check login, password or token of the mlflow connection"
            if "Invalid Host header" in answer.text:
                hint = "Start the MLflow server with --allowed-hosts for this address"
        raise ConfigurationError(
            f"MLflow refused {path} ({answer.status_code}): {answer.text[:300]}", where=self.base_url, hint=hint
        )

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

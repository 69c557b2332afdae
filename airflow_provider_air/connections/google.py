"""The ``google_cloud_platform`` connection, as Airflow's google provider reads it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import UTC
from typing import Any

from airflow.sdk import Connection
from airflow.sdk.exceptions import AirflowOptionalProviderFeatureException
from airflow.sdk.log import mask_secret

from airflow_provider_air.contracts.connections import GoogleToken
from airflow_provider_air.errors import ConfigurationError, MissingExtraError, UnavailableError
from airflow_provider_air.storage.gcs import may_pass

HINT = "Create one of type 'google_cloud_platform'"


class ConnectedGoogle:
    """
    A :class:`~airflow_provider_air.contracts.connections.GoogleAccount`.

    :param connection: one that is there
    :raises MissingExtraError: the google provider is not installed
    """

    def __init__(self, connection: Connection) -> None:
        try:
            from airflow.providers.google.cloud.hooks.gcs import GCSHook
        except (ImportError, AirflowOptionalProviderFeatureException):
            raise MissingExtraError("apache-airflow-providers-google", "google") from None
        self.conn_id = connection.conn_id
        self._hook: Any = GCSHook

    def storage_client(self) -> Any:
        """Give a ``google.cloud.storage.Client``."""
        with self._asking():
            return self._hook(gcp_conn_id=self.conn_id).get_conn()

    def credentials(self) -> GoogleToken | None:
        """Give a fresh token; None where the connection leads to none that expires."""
        from google.auth.transport.requests import Request

        with self._asking():
            credentials = self._hook(gcp_conn_id=self.conn_id).get_credentials()
            credentials.refresh(Request())
        if not credentials.token or credentials.expiry is None:
            return None
        mask_secret(credentials.token)
        # google.auth counts in UTC and does not say so.
        return GoogleToken(credentials.token, credentials.expiry.replace(tzinfo=UTC).timestamp())

    @contextlib.contextmanager
    def _asking(self) -> Iterator[None]:
        from google.auth.exceptions import GoogleAuthError

        where = f"connection {self.conn_id}"
        try:
            yield
        except GoogleAuthError as error:
            if may_pass(error):
                raise UnavailableError(
                    f"Google does not answer: {error}", where=where, hint="If it stays, correct its key or its identity"
                ) from error
            raise ConfigurationError(
                f"Google gives the connection no token: {error}", where=where, hint="Correct its key or its identity"
            ) from error
        except Exception as error:  # the provider raises whatever a malformed key raises
            raise ConfigurationError(
                f"The connection does not lead into Google: {error}",
                where=where,
                hint="Correct its key or its identity",
            ) from error

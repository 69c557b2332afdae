"""The ``aws`` connection, as Airflow's amazon provider reads it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from airflow.sdk import Connection
from airflow.sdk.exceptions import AirflowOptionalProviderFeatureException
from airflow.sdk.log import mask_secret

from airflow_provider_air.addresses import check_bare
from airflow_provider_air.connections.base import CREDENTIALS_HINT, extra_of
from airflow_provider_air.contracts.connections import AwsCredentials
from airflow_provider_air.errors import ConfigurationError, MissingExtraError, UnavailableError
from airflow_provider_air.storage.s3 import may_pass

HINT = "Create one of type 'aws'"


class ConnectedAws:
    """
    An :class:`~airflow_provider_air.contracts.connections.AwsAccount`.

    :param connection: one that is there; the amazon provider itself, which reads it again, would go on with whatever
        credentials it finds elsewhere
    :raises MissingExtraError: the amazon provider is not installed
    :raises ConfigurationError: its extra is malformed
    """

    def __init__(self, connection: Connection) -> None:
        try:
            from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook
            from botocore.config import Config
        except (ImportError, AirflowOptionalProviderFeatureException):
            raise MissingExtraError("apache-airflow-providers-amazon", "amazon") from None
        self.conn_id = connection.conn_id
        _check_endpoints(extra_of(connection), f"connection {self.conn_id}")
        self._hook: Any = AwsBaseHook
        self._config = Config(connect_timeout=10, read_timeout=60, retries={"max_attempts": 4, "mode": "standard"})

    def client(self, service: str) -> Any:
        """Give a boto3 client of a service; assumes the connection's role."""
        with self._asking():
            return self._hook(aws_conn_id=self.conn_id, client_type=service, config=self._config).get_client_type()

    def region(self) -> str | None:
        """Give the region that the connection names, or else this process's own."""
        with self._asking():
            return self._session().region_name or None

    def endpoint_url(self, service: str) -> str | None:
        """Give the address of a service that the connection names, where it is not Amazon's own."""
        with self._asking():
            hook = self._hook(aws_conn_id=self.conn_id)
            return hook.conn_config.get_service_endpoint_url(service_name=service) or None

    def credentials(self) -> AwsCredentials | None:
        """Give the credentials of a fresh session; None where the connection leads to none."""
        with self._asking():
            credentials = self._session().get_credentials()
            if credentials is None:
                return None
            # Of one session, and frozen first: some kinds know their end only once they have been asked for.
            frozen = credentials.get_frozen_credentials()
        for value in (frozen.secret_key, frozen.token):
            if value:
                mask_secret(value)
        expires = getattr(credentials, "_expiry_time", None) if frozen.token else None
        return AwsCredentials(
            frozen.access_key,
            frozen.secret_key,
            frozen.token or None,
            expires_at=None if expires is None else expires.timestamp(),
        )

    def _session(self) -> Any:
        return self._hook(aws_conn_id=self.conn_id, config=self._config).get_session()

    @contextlib.contextmanager
    def _asking(self) -> Iterator[None]:
        """Roles are assumed while a session is made: what AWS says to that is the connection's business."""
        from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
        from botocore.exceptions import ConnectionError as NoConnection

        where = f"connection {self.conn_id}"
        try:
            yield
        except (NoConnection, HTTPClientError) as error:
            raise UnavailableError(f"AWS does not answer: {error}", where=where) from error
        except ClientError as error:
            if may_pass(error):
                raise UnavailableError(f"AWS failed: {error}", where=where) from error
            raise ConfigurationError(
                f"AWS refuses the connection: {error}", where=where, hint="Correct its keys or its role"
            ) from error
        except BotoCoreError as error:
            raise ConfigurationError(
                f"The connection does not lead into AWS: {error}",
                where=where,
                hint="Correct its keys, profile or role",
            ) from error


def _check_endpoints(extra: Mapping[str, Any], where: str) -> None:
    """See that no address of a service, which jobs get as a plain variable, holds credentials."""
    services = extra.get("service_config")
    for fields in (extra, *(services.values() if isinstance(services, Mapping) else ())):
        url = fields.get("endpoint_url") if isinstance(fields, Mapping) else None
        if isinstance(url, str):
            check_bare(url, "'endpoint_url'", where=where, hint=CREDENTIALS_HINT)

"""Tecton as the features of a deployment; what trains reads the data sets that Tecton writes, by their path."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_air.attachments.online import online_module
from airflow_provider_air.attachments.tecton.server import TectonServer, check_name
from airflow_provider_air.contracts.attachments import Additions, Outcome
from airflow_provider_air.drivers.wire.feature_names import (
    TECTON_CA,
    TECTON_SERVICE,
    TECTON_URL,
    TECTON_VERIFY_TLS,
    TECTON_WORKSPACE,
)
from airflow_provider_air.errors import ConfigurationError
from airflow_provider_air.tls import bundle_of

if TYPE_CHECKING:
    from airflow_provider_air.contracts.connections import Connections
    from airflow_provider_air.contracts.jobs import JobRequest
    from airflow_provider_air.contracts.runs import AttemptInfo

# Ray passes all of an environment in one string of 128 KiB.
MOST_CA_BYTES = 16 * 1024


@dataclass
class TectonFeatures:
    """
    Let replicas read a Tecton feature service: ``features=TectonFeatures("prod", "delay_v1")`` of a deployment.

    They do so by ``from air_features import OnlineFeatures``, with the cluster's own API key: ``TECTON_API_KEY`` in
    the environment of its nodes. The connection gives them the deployment's address; its key stays in Airflow, where
    the service is looked up before anything is started.

    :param workspace: the feature service's workspace
    :param feature_service: its name
    :param tecton_conn_id: the ``tecton`` connection
    """

    kind: ClassVar[str] = "tecton"
    template_fields: ClassVar[tuple[str, ...]] = ("workspace", "feature_service", "tecton_conn_id")
    # Without its features an application would not start.
    required: ClassVar[bool] = True

    workspace: str
    feature_service: str
    tecton_conn_id: str = "tecton_default"

    def validate(self) -> None:
        """:raises ConfigurationError: a field is wrong; the message names it."""
        for name in self.template_fields:
            check_name(name, getattr(self, name))

    def check(self, request: JobRequest, workload: str, storage: str | None) -> Collection[str]:
        """
        Take what serves, and nothing else: Tecton has no route that joins, only its SDK.

        :raises ConfigurationError: the workload is another one
        """
        if workload != "serve":
            raise ConfigurationError(
                "TectonFeatures joins no data sets: it is for what serves",
                hint="Let Tecton write a dataset, and read it by its path: datasets={'train': 's3://...'}",
            )
        return ()

    def open(self, connections: Connections) -> TectonOnline:
        """Give what replicas read by; the connection is read when it is needed."""
        return TectonOnline(self, connections)


class TectonOnline:
    """
    The feature service of one deployment: an :class:`~airflow_provider_air.contracts.attachments.Attachment`.

    Replicas learn the address from it, and no key.
    """

    def __init__(self, spec: TectonFeatures, connections: Connections) -> None:
        self._spec = spec
        self._connections = connections

    def probe(self) -> None:
        """
        Look the feature service up with Airflow's own key, which stays here.

        :raises ConfigurationError: there is none of this name, or the connection is absent or refused
        :raises UnavailableError: Tecton does not answer
        """
        self._server().check_feature_service(self._spec.workspace, self._spec.feature_service)

    def before_submit(self, attempt: AttemptInfo) -> Additions:
        """
        Give the deployment's address, the service's name, and the module that replicas read by.

        :raises ConfigurationError: the connection is absent or malformed
        """
        server = self._server()
        named = {TECTON_WORKSPACE: self._spec.workspace, TECTON_SERVICE: self._spec.feature_service}
        told = {TECTON_URL: server.base_url, **named, **_trust(server.verify)}
        return Additions(application_env=told, folders=online_module())

    def on_records(self, attempt: AttemptInfo, state: Mapping[str, Any], records: Sequence[Mapping[str, Any]]) -> None:
        """Do nothing: Tecton keeps no runs."""

    def on_end(self, attempt: AttemptInfo, state: Mapping[str, Any], outcome: Outcome) -> None:
        """Do nothing: Tecton keeps no runs."""

    def _server(self) -> TectonServer:
        server: TectonServer = self._connections.open("tecton", self._spec.tecton_conn_id)
        return server


def _trust(verify: bool | str) -> dict[str, str]:
    """Tell replicas how to trust Tecton: a file cannot travel with an application, whose environment anybody sees."""
    bundle = bundle_of(verify)
    if bundle is None:
        return {TECTON_VERIFY_TLS: "false"} if verify is False else {}
    if len(bundle) > MOST_CA_BYTES:
        raise ConfigurationError(
            f"The CA bundle of the tecton connection has {len(bundle)} bytes, and replicas get {MOST_CA_BYTES} at most",
            where=str(verify),
            hint="Let 'ca_path' name the CA of Tecton alone",
        )
    return {TECTON_CA: bundle.decode("ascii", "replace")}

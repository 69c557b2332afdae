"""Deletes what runs of this Airflow deployment have left behind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_provider_air.connections.ports import read_fields
from airflow_provider_air.connections.raising import airflow_errors
from airflow_provider_air.errors import ConfigurationError
from airflow_provider_air.workloads import fields

if TYPE_CHECKING:
    from airflow.sdk import Context


class RayCleanUpOperator(BaseOperator):
    """
    Delete what this Airflow deployment has left: what has expired, or whose DAG run is over.

    Clusters that it made, by each back end's own list; live jobs on clusters that stay (they are stopped); runs that
    stay open in trackers (they are ended as killed); staged code, joined rows and results in storages. Checkpoints
    stay. What others made stays, what is in use, what somebody counts on, what is young: the log has a line for each
    thing with the reason. Ages are by the clock of whoever keeps a thing, never by the worker's.

    A neighbour that is away keeps nobody from the rest: the task fails where none could be looked at.

    The XCom is ``{"taken", "would be taken", "spared", "failed": numbers, "asked": how many neighbours, "outages":
    {neighbour: why}, "lines": of what was not spared}``.

    :param ray_conn_ids: ``ray`` connections that say where else clusters are (back ends that need a connection or a
        namespace to look), and on which clusters jobs may be left
    :param clusters: likewise, cluster specs or XComs of the tasks that made one
    :param tracker_conn_ids: connections of trackers in which runs may stay open: of type ``mlflow``
    :param storages: as ``storage=`` of the job operators takes them
    :param only_tell: take nothing, and say what would be taken
    :param keep_clusters_seconds: how old a cluster must be, though its DAG run is over
    :param keep_files_days: for how long code and joined rows are kept after their last use, since a clear may want them
    :param keep_results_days: for how long results are kept, since ``load_result`` may read them long after their run
    :param strict: fail where any neighbour could not be looked at, or anything could not be taken
    """

    template_fields: Sequence[str] = (
        "ray_conn_ids",
        "clusters",
        "tracker_conn_ids",
        "storages",
        "only_tell",
        "keep_clusters_seconds",
        "keep_files_days",
        "keep_results_days",
        "strict",
    )

    def __init__(
        self,
        *,
        ray_conn_ids: Sequence[str] = (),
        clusters: Sequence[Any] = (),
        tracker_conn_ids: Sequence[str] = (),
        storages: Sequence[Any] = (),
        only_tell: bool = False,
        keep_clusters_seconds: float = 3600.0,
        keep_files_days: float = 7.0,
        keep_results_days: float = 30.0,
        strict: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.ray_conn_ids = ray_conn_ids
        self.clusters = clusters
        self.tracker_conn_ids = tracker_conn_ids
        self.storages = storages
        self.only_tell = only_tell
        self.keep_clusters_seconds = keep_clusters_seconds
        self.keep_files_days = keep_files_days
        self.keep_results_days = keep_results_days
        self.strict = strict

    def execute(self, context: Context) -> dict[str, Any]:
        """
        Look, and take.

        :raises AirflowFailException: a field is wrong; not retried
        :raises UnavailableError: no neighbour could be looked at; with ``strict`` also where one could not, or where
            anything could not be taken
        """
        from airflow_provider_air.connections.cleaning import Keeping, Places, check, clean
        from airflow_provider_air.connections.dag_runs import request_of, run_state_of

        with airflow_errors():
            read_fields(self)
            self._check()
            places = Places(self.ray_conn_ids, self.clusters, self.tracker_conn_ids, self.storages)
            keeping = Keeping(self.keep_clusters_seconds, self.keep_files_days, self.keep_results_days)
            report = clean(places, keeping, run_state_of, request_of, self.log, only_tell=self.only_tell)
            check(report, strict=self.strict)
            return report.to_json()

    def _check(self) -> None:
        for name in ("ray_conn_ids", "clusters", "tracker_conn_ids", "storages"):
            if not isinstance(value := getattr(self, name), (list, tuple)):
                raise ConfigurationError(f"{name!r} must be a list, not {value!r}")
        for name in ("keep_clusters_seconds", "keep_files_days", "keep_results_days"):
            fields.number(getattr(self, name), name, minimum=0)

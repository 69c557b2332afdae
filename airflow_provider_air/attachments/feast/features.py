"""Feast as an argument of a workload: its rows are joined with a feature service before the work begins."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_air.attachments.online import online_module
from airflow_provider_air.contracts.attachments import Additions, Outcome
from airflow_provider_air.drivers.wire.feature_names import (
    CONFIG_FILE,
    FEAST_FULL_NAMES,
    FEAST_REPO,
    FEAST_SERVICE,
    FEATURES_FILE,
    TIMESTAMP_COLUMN,
)
from airflow_provider_air.errors import ConfigurationError

if TYPE_CHECKING:
    from airflow_provider_air.contracts.connections import Connections
    from airflow_provider_air.contracts.jobs import JobRequest
    from airflow_provider_air.contracts.runs import AttemptInfo


@dataclass
class FeastFeatures:
    """
    Join a workload's data sets with a Feast feature service: ``features=FeastFeatures("repo", "delay_v1")``.

    The data sets hold the entities: join keys, ``event_timestamp``, and what else should stay in the row, such as the
    label. Each row gets the values that were known at its time. The driver on the Ray cluster joins, once per
    generation, and writes parquet beside the run in its ``storage``; the work reads that instead. The service and its
    fingerprint are in the result, in the tracker, and in the extra of the task's outlets.

    On ``RayServeDeployOperator`` it brings online features instead: replicas read them by
    ``from air_features import OnlineFeatures``.

    :param repo: the feature repository's local folder, which is shipped with the job; its registry and stores must be
        reachable from the cluster
    :param feature_service: its name in the registry
    :param datasets: the names of the data sets to join; by default all. Not for serving
    :param timestamp_column: the data sets' column of times. Not for serving
    :param full_feature_names: name columns ``view__feature``, as where two views have a feature of one name
    :param num_partitions: join values in files over the whole cluster, in so many tasks; by default on the driver's
        node, which keeps the order of the rows, and writes to its disk what does not fit into memory
    """

    kind: ClassVar[str] = "feast"
    template_fields: ClassVar[tuple[str, ...]] = (
        "repo",
        "feature_service",
        "datasets",
        "timestamp_column",
        "full_feature_names",
        "num_partitions",
    )
    # Without its features a job would work on other data than the author wrote down.
    required: ClassVar[bool] = True

    repo: str
    feature_service: str
    datasets: list[str] = field(default_factory=list)
    timestamp_column: str = TIMESTAMP_COLUMN
    full_feature_names: bool = False
    num_partitions: int | None = None

    def validate(self) -> None:
        """
        Check the fields, and that the repository is there; in the worker.

        :raises ConfigurationError: a field is wrong, by its name
        """
        check_service(self.feature_service)
        join_told(self.timestamp_column, self.full_feature_names, self.num_partitions)
        if "://" in str(check_repo(self.repo)):
            raise ConfigurationError(f"FeastFeatures' 'repo' must be a local folder, not {self.repo!r}")

    def check(self, request: JobRequest, workload: str, storage: str | None) -> Collection[str]:
        """
        See that there is something to join and a place for it; in the worker.

        :return: the names of the data sets that it joins
        :raises ConfigurationError: a field does not suit the workload, by its name
        """
        if workload == "serve":
            given = {
                "datasets": self.datasets,
                "timestamp_column": self.timestamp_column != TIMESTAMP_COLUMN,
                "num_partitions": self.num_partitions is not None,
            }
            for name in [name for name, said in given.items() if said]:
                raise ConfigurationError(f"FeastFeatures' {name!r} means nothing to what serves", hint="Leave it out")
            return ()
        known = [item.name for item in request.inputs]
        if not known:
            raise ConfigurationError("'features' has nothing to join", hint="Name the entities' data in 'datasets'")
        if unknown := sorted(set(self.datasets) - set(known)):
            raise ConfigurationError(
                f"FeastFeatures' 'datasets' names {unknown[0]!r}; the data sets are: {', '.join(sorted(known))}"
            )
        if storage is None:
            raise ConfigurationError(
                "'features' needs 'storage'", hint="The joined rows are kept there, for every worker and for a retry"
            )
        return self.datasets or known

    def open(self, connections: Connections) -> FeastRepository:
        """Open nothing: where Feast's stores are is in the repository, and only the cluster reaches them."""
        return FeastRepository(self)


class FeastRepository:
    """
    The feature repository of one run: an :class:`~airflow_provider_air.contracts.attachments.Attachment`.

    The driver on the cluster does the work, and tells of it in its own records.
    """

    def __init__(self, spec: FeastFeatures) -> None:
        self._spec = spec

    def probe(self) -> None:
        """Ask nobody."""

    def before_submit(self, attempt: AttemptInfo) -> Additions:
        """Give the repository, and tell the driver what to join, or replicas what to read."""
        repository = {FEAST_REPO: Path(self._spec.repo)}
        if attempt.workload == "serve":
            names = {FEAST_FULL_NAMES: "1"} if self._spec.full_feature_names else {}
            return Additions(
                application_env={FEAST_SERVICE: self._spec.feature_service, **names},
                folders={**repository, **online_module()},
            )
        told = {
            "feature_service": self._spec.feature_service,
            "datasets": self._spec.datasets,
            "storage_path": attempt.storage,
            **join_told(self._spec.timestamp_column, self._spec.full_feature_names, self._spec.num_partitions),
        }
        return Additions(payload={FEATURES_FILE: json.dumps(told).encode()}, folders=repository)

    def on_records(self, attempt: AttemptInfo, state: Mapping[str, Any], records: Sequence[Mapping[str, Any]]) -> None:
        """Do nothing: Feast keeps no runs."""

    def on_end(self, attempt: AttemptInfo, state: Mapping[str, Any], outcome: Outcome) -> None:
        """Do nothing: Feast keeps no runs."""


def check_service(name: Any) -> None:
    """:raises ConfigurationError: this is no feature service's name."""
    if not isinstance(name, str) or not name.strip():
        raise ConfigurationError(f"'feature_service' must be a name, not {name!r}")


def join_told(timestamp_column: Any, full_feature_names: Any, num_partitions: Any) -> dict[str, Any]:
    """
    Tell how columns are named and where the join runs, where that is not by default.

    :raises ConfigurationError: a field is wrong, by its name
    """
    if not isinstance(timestamp_column, str) or not timestamp_column.strip():
        raise ConfigurationError(f"'timestamp_column' must be a column's name, not {timestamp_column!r}")
    if not isinstance(full_feature_names, bool):
        raise ConfigurationError(f"'full_feature_names' must be True or False, not {full_feature_names!r}")
    if num_partitions is not None and (type(num_partitions) is not int or num_partitions < 1):
        raise ConfigurationError(f"'num_partitions' must be an integer of at least 1, not {num_partitions!r}")
    return {
        **({} if timestamp_column == TIMESTAMP_COLUMN else {"timestamp_column": timestamp_column}),
        **({"full_feature_names": True} if full_feature_names else {}),
        **({} if num_partitions is None else {"num_partitions": num_partitions}),
    }


def check_repo(repo: Any, roots: Sequence[Path] = ()) -> str:
    """
    Look for the repository's configuration, before it travels; in the worker.

    :param roots: where a relative path starts
    :return: its absolute path, or its URI
    :raises ConfigurationError: it is no folder with a ``feature_store.yaml``
    """
    if not isinstance(repo, (str, PurePath)) or not str(repo):
        raise ConfigurationError(f"'repo' must be a folder or the URI of an archive, not {repo!r}")
    if "://" in str(repo):
        return str(repo)
    # DAG files name this class; archives and what they are read with are for who sends one.
    from airflow_provider_air.ray_api.code_files import located

    folder = located(repo, roots)
    if not (folder / CONFIG_FILE).is_file():
        raise ConfigurationError(
            f"'repo' has no {CONFIG_FILE}", where=str(folder), hint="Name the feature repository's folder"
        )
    return str(folder)

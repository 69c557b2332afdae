"""Feast as an argument of a workload: its rows are joined with a feature service before the work begins."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from airflow_provider_air.drivers.feature_names import CONFIG_FILE, FEATURES_FILE
from airflow_provider_air.drivers.online.feast import REPO, SERVICE
from airflow_provider_air.errors import ConfigurationError
from airflow_provider_air.feature_stores.contract import FeaturesSpec, OnlineStore, online_module


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
    """

    template_fields: ClassVar[tuple[str, ...]] = ("repo", "feature_service", "datasets")
    online_opener: ClassVar[str] = "airflow_provider_air.feature_stores.feast:open_online"

    repo: str
    feature_service: str
    datasets: list[str] = field(default_factory=list)

    def validate(self, datasets: Collection[str]) -> None:
        """
        Check the fields; in the worker.

        :param datasets: what the workload reads
        :raises ConfigurationError: a field is wrong, by its name
        """
        self._check_names()
        if not datasets:
            raise ConfigurationError("'features' has nothing to join", hint="Name the entities' data in 'datasets'")
        if unknown := sorted(set(self.datasets) - set(datasets)):
            known = ", ".join(sorted(datasets))
            raise ConfigurationError(f"FeastFeatures' 'datasets' names {unknown[0]!r}; the data sets are: {known}")

    def validate_for_serving(self) -> None:
        """
        Check the fields; in the worker.

        :raises ConfigurationError: a field is wrong, by its name
        """
        self._check_names()
        if self.datasets:
            raise ConfigurationError("FeastFeatures' 'datasets' means nothing to what serves", hint="Leave it out")

    def _check_names(self) -> None:
        check_service(self.feature_service)
        if "://" in str(check_repo(self.repo)):
            raise ConfigurationError(f"FeastFeatures' 'repo' must be a local folder, not {self.repo!r}")

    def payload(self, storage_path: str) -> dict[str, bytes]:
        """
        Give what the driver is told, as a payload file.

        :param storage_path: where the joined rows go, below the run's name
        """
        told = {"feature_service": self.feature_service, "datasets": self.datasets, "storage_path": storage_path}
        return {FEATURES_FILE: json.dumps(told).encode()}

    @property
    def folders(self) -> dict[str, Path]:
        """What travels with the job, by its name there."""
        return {REPO: Path(self.repo)}

    @property
    def serving_folders(self) -> dict[str, Path]:
        """What travels with an application: the repository, and the module that replicas read by."""
        return {**self.folders, **online_module()}

    @property
    def serving_env(self) -> dict[str, str]:
        """What an application's environment says."""
        return {SERVICE: self.feature_service}


def open_online(features: FeastFeatures) -> OnlineStore:
    """Give nothing more: where Feast's stores are is in the repository, and only the cluster reaches them."""
    return OnlineStore()


def check_features(features: Any, datasets: Collection[str], storage: Any) -> FeastFeatures:
    """
    Give a workload's ``features``, checked before anything is started.

    :raises ConfigurationError: it is no FeastFeatures, or one of its fields is wrong
    """
    # Another store says by itself what to do instead.
    if isinstance(features, FeaturesSpec):
        features.validate(datasets)
    if not isinstance(features, FeastFeatures):
        raise ConfigurationError(f"'features' must be FeastFeatures(...), not {features!r}")
    if storage is None:
        raise ConfigurationError(
            "'features' needs 'storage'", hint="The joined rows are kept there, for every worker and for a retry"
        )
    return features


def check_service(name: Any) -> None:
    """:raises ConfigurationError: this is no feature service's name."""
    if not isinstance(name, str) or not name.strip():
        raise ConfigurationError(f"'feature_service' must be a name, not {name!r}")


def check_repo(repo: Any) -> str:
    """
    Look for the repository's configuration, before it travels; in the worker.

    :raises ConfigurationError: it is no folder with a ``feature_store.yaml``
    """
    if not isinstance(repo, str) or not repo:
        raise ConfigurationError(f"'repo' must be a folder or the URI of an archive, not {repo!r}")
    if "://" not in repo and not (Path(repo) / CONFIG_FILE).is_file():
        raise ConfigurationError(
            f"'repo' has no {CONFIG_FILE}", where=repo, hint="Name the feature repository's folder"
        )
    return repo

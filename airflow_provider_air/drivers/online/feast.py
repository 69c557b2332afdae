"""Online features from Feast, in the replica's own process, by the repository that travelled. Source: Feast 0.67."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any, Dict, List, Optional

# All are set by the deploying side.
SERVICE = "FEAST_FEATURE_SERVICE"
FULL_NAMES = "FEAST_FULL_FEATURE_NAMES"
REPO = "air_feature_repo"


class FeastOnline:
    """
    One feature service of the repository.

    :raises RuntimeError: feast is not on the cluster
    :raises feast.errors.FeatureServiceNotFoundException: the registry does not know the service
    """

    def __init__(self, repo: str, feature_service: str) -> None:
        try:
            # The library: this module's own name is one of the package it travels in.
            feast: Any = importlib.import_module("feast")
        except ImportError as error:
            raise RuntimeError(
                "feast is not installed on the cluster; add it to the image, or to runtime_env: {'pip': ['feast']}"
            ) from error
        self._store = feast.FeatureStore(repo_path=repo)
        # Looked up once: by name, each read costs milliseconds more.
        self._service = self._store.get_feature_service(feature_service)
        self.feature_service = feature_service
        self._full = os.environ.get(FULL_NAMES) == "1"
        self.features: List[str] = [
            "%s__%s" % (projection.name_to_use(), feature.name) if self._full else feature.name
            for projection in self._service.feature_view_projections
            for feature in projection.features
        ]

    def read(self, rows: List[Dict[str, Any]]) -> List[Dict[str, Any]]:
        """Read all rows at once."""
        found = self._store.get_online_features(
            features=self._service, entity_rows=rows, full_feature_names=self._full
        ).to_dict()
        return [{name: found[name][i] for name in self.features} for i in range(len(rows))]


def find() -> Optional[FeastOnline]:
    """Open the repository that the application was deployed with; None where there is none."""
    service = os.environ.get(SERVICE)
    folders = [os.path.join(entry, REPO) for entry in sys.path if os.path.isdir(os.path.join(entry, REPO))]
    return FeastOnline(folders[0], service) if service and folders else None

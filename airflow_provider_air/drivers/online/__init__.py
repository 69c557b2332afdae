"""
Online features for what serves: ``from air_features import OnlineFeatures``, in a replica's constructor.

Travels with an application that is deployed with ``features=``, as the package ``air_features``. Stands alone.
Source: Feast 0.67.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any, Dict, List, Sequence

# Both are set by the deploying side.
SERVICE = "FEAST_FEATURE_SERVICE"
REPO = "air_feature_repo"


class OnlineFeatures:
    """
    The values of now, by the feature service that the application was deployed with; make one per replica.

    :raises RuntimeError: the application has no features, or feast is not on the cluster
    :raises feast.errors.FeatureServiceNotFoundException: the registry does not know the service
    """

    def __init__(self) -> None:
        name = os.environ.get(SERVICE)
        folders = [os.path.join(entry, REPO) for entry in sys.path if os.path.isdir(os.path.join(entry, REPO))]
        if not name or not folders:
            raise RuntimeError("this application was deployed without features=FeastFeatures(...)")
        try:
            feast: Any = importlib.import_module("feast")
        except ImportError as error:
            raise RuntimeError(
                "feast is not installed on the cluster; add it to the image, or to runtime_env: {'pip': ['feast']}"
            ) from error
        self._store = feast.FeatureStore(repo_path=folders[0])
        # Looked up once: by name, each read costs milliseconds more.
        self._service = self._store.get_feature_service(name)
        self.feature_service: str = name
        self.features: List[str] = [
            feature.name for projection in self._service.feature_view_projections for feature in projection.features
        ]

    def read(self, entities: Sequence[Dict[str, Any]]) -> List[Dict[str, Any]]:
        """
        Read one row of features for each row of join keys.

        :param entities: ``[{"carrier": "AA"}, ...]``
        :return: for each the values by feature; None where the store has none for that entity
        """
        rows = list(entities)
        if not rows:
            return []
        found = self._store.get_online_features(features=self._service, entity_rows=rows).to_dict()
        return [{name: found[name][i] for name in self.features} for i in range(len(rows))]

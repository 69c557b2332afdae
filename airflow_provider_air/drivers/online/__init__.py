"""
Online features for what serves: ``from air_features import OnlineFeatures``, in a replica's constructor.

Travels with an application that is deployed with ``features=``, as the package ``air_features``. Stands alone.
"""

from __future__ import annotations

from typing import Any, Dict, List, Sequence

from . import feast, tecton


class OnlineFeatures:
    """
    The values of now, by the feature service that the application was deployed with; make one per replica.

    Which store they come from is what travelled with the application.

    :raises RuntimeError: the application has no features, or its store cannot be read; the message says why
    :raises feast.errors.FeatureServiceNotFoundException: Feast's registry does not know the service
    """

    def __init__(self) -> None:
        store: Any = feast.find() or tecton.find()
        if store is None:
            raise RuntimeError("this application was deployed without features=")
        self._store = store
        self.feature_service: str = store.feature_service
        self.features: List[str] = store.features

    def read(self, entities: Sequence[Dict[str, Any]]) -> List[Dict[str, Any]]:
        """
        Read one row of features for each row of join keys; blocks.

        :param entities: ``[{"carrier": "AA"}, ...]``
        :return: for each the values by feature; None where the store has none for that entity
        """
        rows = list(entities)
        return self._store.read(rows) if rows else []

"""Opens ``features=`` of a deployment: a feature store as it is, or by its Airflow connection."""

from __future__ import annotations

import importlib
from typing import Any

from airflow_provider_air.errors import ConfigurationError
from airflow_provider_air.feature_stores.contract import FeaturesSpec, OnlineStore


def check_serving_features(features: Any) -> FeaturesSpec:
    """
    Give an application's ``features``, checked before anything is started; asks nobody.

    :raises ConfigurationError: it is no feature store, or one of its fields is wrong
    """
    if not isinstance(features, FeaturesSpec):
        raise ConfigurationError(f"'features' must be FeastFeatures(...) or TectonFeatures(...), not {features!r}")
    features.validate_for_serving()
    return features


def open_online(features: FeaturesSpec) -> OnlineStore:
    """
    Open the store behind them; runs in the worker, reads connections.

    :raises ConfigurationError: the connection is absent or malformed
    """
    module, _, function = features.online_opener.partition(":")
    opened: OnlineStore = getattr(importlib.import_module(module), function)(features)
    return opened

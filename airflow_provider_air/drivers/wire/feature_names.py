"""What both sides of ``features=`` call things. What replicas read by stands alone, so its names are defined there."""

from __future__ import annotations

from ..online.feast import FULL_NAMES as FEAST_FULL_NAMES
from ..online.feast import REPO as FEAST_REPO
from ..online.feast import SERVICE as FEAST_SERVICE
from ..online.tecton import CA as TECTON_CA
from ..online.tecton import SERVICE as TECTON_SERVICE
from ..online.tecton import URL as TECTON_URL
from ..online.tecton import VERIFY as TECTON_VERIFY_TLS
from ..online.tecton import WORKSPACE as TECTON_WORKSPACE

__all__ = [
    "CONFIG_FILE",
    "FEAST_FULL_NAMES",
    "FEAST_REPO",
    "FEAST_SERVICE",
    "FEATURES_FILE",
    "TECTON_CA",
    "TECTON_SERVICE",
    "TECTON_URL",
    "TECTON_VERIFY_TLS",
    "TECTON_WORKSPACE",
    "TIMESTAMP_COLUMN",
]

# The payload file that says what to join.
FEATURES_FILE = "features.json"
# What makes a folder a feature repository.
CONFIG_FILE = "feature_store.yaml"
# What Feast calls the rows' times where nobody says otherwise.
TIMESTAMP_COLUMN = "event_timestamp"

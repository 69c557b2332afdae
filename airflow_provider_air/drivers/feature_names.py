"""What both sides of ``features=`` call things; standard library only, unlike the driver that joins."""

from __future__ import annotations

# The payload file that says what to join.
FEATURES_FILE = "features.json"
# What makes a folder a feature repository.
CONFIG_FILE = "feature_store.yaml"

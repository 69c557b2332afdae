"""Names that the submitting side and the drivers agree on for Google Cloud Storage; standard library only."""

from __future__ import annotations

# Set in a job's environment, out of sight, where it has a short-lived token of the storage's connection.
ACCESS = "AIR_GCS_TOKEN"
# When the token ends, in epoch seconds.
EXPIRES = "AIR_GCS_TOKEN_EXPIRES"

"""Servers that several suites share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from mlflow_server import mlflow_server


@pytest.fixture(scope="session")
def mlflow_url() -> Iterator[str]:
    """A real MLflow server."""
    with mlflow_server() as url:
        yield url

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def base(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A base folder of our own; pytest's temporary folders have paths that are too long for Ray's sockets."""
    folder = Path(tempfile.mkdtemp(prefix="air-", dir="/tmp"))
    monkeypatch.setenv("AIR_LOCAL_HOME", str(folder))
    yield folder
    shutil.rmtree(folder)

"""The uv that the Makefile uses."""

from __future__ import annotations

import shutil
from pathlib import Path


def uv() -> str:
    """Give the one on PATH, else the project's own."""
    return shutil.which("uv") or str(Path(__file__).parents[1] / ".uv-bootstrap/bin/uv")

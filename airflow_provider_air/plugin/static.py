"""The built bundle, as files of the package: read once, sent with what lets a browser keep it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from airflow_provider_air.pages.report import STATIC

TYPES = {".js": "text/javascript", ".css": "text/css", ".txt": "text/plain", ".svg": "image/svg+xml"}


@dataclass(frozen=True)
class Asset:
    """One file, its type, and the hash by which a browser knows it again."""

    body: bytes
    media_type: str
    hash: str


@cache
def assets() -> dict[str, Asset]:
    """Give the files by their names; none where the package was built without them."""
    files = [path for path in sorted(STATIC.glob("*")) if path.suffix in TYPES] if STATIC.is_dir() else []
    return {path.name: _asset(path) for path in files}


def version() -> str:
    """Name the bundle: another one has another name."""
    return hashlib.sha256("".join(asset.hash for asset in assets().values()).encode()).hexdigest()[:16]


def _asset(path: Path) -> Asset:
    body = path.read_bytes()
    return Asset(body, f"{TYPES[path.suffix]}; charset=utf-8", hashlib.sha256(body).hexdigest()[:16])

"""The places on clusters, as all processes of one user on one host know them: a file, changed under a lock."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from airflow_provider_air.clusters.host import base_folder, lock_base
from airflow_provider_air.errors import ConfigurationError
from airflow_provider_air.runs.admission import OwnPlaces

T = TypeVar("T")
FILE = "places.json"


class HostPlaces:
    """
    Keeps places in the private folder of this user, beside the local clusters; where there can be none, in memory.

    Workers and triggerers of one host share them. The file is small: places go with their jobs, clusters with their
    places.
    """

    def __init__(self) -> None:
        self._own = OwnPlaces()

    def change(self, change: Callable[[dict[str, Any]], T]) -> T:
        """Have one caller at a time change them, plain JSON by cluster; gives what it gives. Blocks for moments."""
        try:
            base = base_folder()
            with lock_base(base, "places"):
                return _change(base / FILE, change)
        except (OSError, ConfigurationError):
            result: T = self._own.change(change)
            return result


def _change(file: Path, change: Callable[[dict[str, Any]], T]) -> T:
    try:
        text = file.read_text()
        places = json.loads(text)
    except (FileNotFoundError, ValueError):
        text, places = "", {}
    result = change(places)
    changed = json.dumps(places)
    if changed != text:
        draft = file.with_suffix(".new")
        draft.write_text(changed)
        draft.rename(file)
    return result

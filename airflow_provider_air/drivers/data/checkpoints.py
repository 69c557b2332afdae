"""Checkpoints as folders of the node that works with them."""

from __future__ import annotations

import contextlib
from typing import Iterator

from . import files


@contextlib.contextmanager
def local_folder(uri: str) -> Iterator[str]:
    """Have a checkpoint as a local folder: as it lies, or downloaded, and then gone afterwards."""
    from ray.train import Checkpoint

    path, filesystem = files.for_ray(uri)
    with Checkpoint(path, filesystem).as_directory() as folder:
        yield folder

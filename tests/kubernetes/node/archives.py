"""Container images without a registry or a builder: a folder becomes an archive for ``ctr images import``."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any, BinaryIO, cast

LAYER = "layer.tar.gz"


@dataclasses.dataclass(frozen=True)
class ImageConfig:
    """What the image says about its containers: ``user`` is numeric where pods say ``runAsNonRoot``."""

    name: str
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    user: str = ""
    env: tuple[str, ...] = ("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",)
    folder: str = "/"

    def document(self, diff_id: str) -> dict[str, Any]:
        """Give the configuration as the OCI image format has it."""
        run = {"Env": list(self.env), "Entrypoint": list(self.entrypoint), "Cmd": list(self.command)}
        return {
            "architecture": "amd64",
            "os": "linux",
            "config": run | {"User": self.user, "WorkingDir": self.folder},
            "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        }


class _Hashed:
    """Hashes what goes through it."""

    def __init__(self, onward: Any) -> None:
        self.digest = hashlib.sha256()
        self._onward = onward

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        self._onward.write(data)
        return len(data)


def write_archive(rootfs: Path, config: ImageConfig, archive: Path) -> None:
    """Write the image of a folder's files, with the owners that they have."""
    layer = archive.with_suffix(".layer")
    with (
        open(layer, "wb") as out,
        gzip.GzipFile(filename="", mode="wb", fileobj=out, compresslevel=1, mtime=0) as packed,
    ):
        hashed = _Hashed(packed)
        with tarfile.open(fileobj=cast("BinaryIO", hashed), mode="w|", format=tarfile.PAX_FORMAT) as tar:
            for path in sorted(rootfs.iterdir()):
                tar.add(path, arcname=path.name)
    document = json.dumps(config.document(f"sha256:{hashed.digest.hexdigest()}")).encode()
    manifest = json.dumps([{"Config": "config.json", "RepoTags": [config.name], "Layers": [LAYER]}]).encode()
    with tarfile.open(archive, "w") as tar:
        _add(tar, "manifest.json", io.BytesIO(manifest), len(manifest))
        _add(tar, "config.json", io.BytesIO(document), len(document))
        with open(layer, "rb") as data:
            _add(tar, LAYER, data, layer.stat().st_size)
    layer.unlink()


def _add(tar: tarfile.TarFile, name: str, data: BinaryIO, size: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = size
    tar.addfile(entry, data)

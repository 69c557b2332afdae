"""
Output that is there once and whole: written to a staging folder, then committed.

Inside the output folder: ``_air_staging/ATTEMPT/`` while an attempt writes (readers skip names that begin
with ``_``), ``_air_commit.json`` from the decision to commit until it is done, so that a killed commit is
finished by the next attempt instead of repeated, and ``_SUCCESS``, the manifest, at the end.
"""

from __future__ import annotations

import concurrent.futures
import json
import uuid
from typing import Any, Dict, List, Optional

import pyarrow.fs

from ..wire import outages
from ..wire.problems import ConfigurationProblem
from . import files

MANIFEST = "_SUCCESS"
INTENT = "_air_commit.json"
STAGING = "_air_staging"
# Object stores move a file by copying it, one request each.
MOVE_THREADS = 8


class StagedOutput:
    """
    One output folder, seen by one attempt.

    :param uri: the output folder
    :param run_name: stable over attempts; who committed what is known by it
    """

    def __init__(self, uri: str, run_name: str) -> None:
        self._uri = uri
        self._fs, self._path = files.open_uri(uri, "output.uri")
        self._run_name = run_name
        # Part of every file's name, so that a commit never meets a name of an earlier one.
        self.attempt = uuid.uuid4().hex[:12]
        self.staging_uri = files.join(uri, STAGING, self.attempt)

    def begin(self) -> Optional[Dict[str, Any]]:
        """
        Finish or clear what earlier attempts left.

        :return: the manifest, where an earlier attempt of this run has committed
        :raises ConfigurationProblem: the folder holds files that are not ours to replace
        :raises Unavailable: the storage is away
        """
        intent = self._json(INTENT)
        if intent is not None:
            self._finish(intent)
        manifest = self._json(MANIFEST)
        outages.patiently(self._clear_staging, "output.uri: cannot clear %s" % self._uri)
        if manifest is not None and manifest.get("run_name") == self._run_name:
            return manifest
        ours = set((manifest or {}).get("files", []))
        strangers = sorted(
            name for name in files.names(self._uri) if not name.startswith(("_", ".")) and name not in ours
        )
        if strangers:
            raise ConfigurationProblem(
                "output.uri: %s holds files that this task did not write (%s...); name an empty or new folder"
                % (self._uri, ", ".join(strangers[:3]))
            )
        return None

    def commit(self, parts: List[Dict[str, Any]], result: Dict[str, Any]) -> None:
        """
        Replace what an earlier run left by this attempt's files.

        :raises Unavailable: the storage is away; the next attempt goes on from here
        """
        intent = {
            "run_name": self._run_name,
            "attempt": self.attempt,
            "files": [part["file"] for part in parts],
            "remove": (self._json(MANIFEST) or {}).get("files", []),
            "result": result,
        }
        files.write(self._fs, self._at(INTENT), json.dumps(intent).encode())
        self._finish(intent)

    def _finish(self, intent: Dict[str, Any]) -> None:
        # Every step may be repeated: a kill anywhere in here is finished by the next attempt.
        outages.patiently(lambda: self._take_steps(intent), "output.uri: cannot commit to %s" % self._uri)

    def _take_steps(self, intent: Dict[str, Any]) -> None:
        self._delete(MANIFEST)
        with concurrent.futures.ThreadPoolExecutor(MOVE_THREADS) as pool:
            list(pool.map(self._delete, intent["remove"]))
            list(pool.map(lambda name: self._move(intent["attempt"], name), intent["files"]))
        manifest = {key: intent[key] for key in ("run_name", "files", "result")}
        files.write(self._fs, self._at(MANIFEST), json.dumps(manifest).encode())
        self._delete(INTENT)
        self._clear_staging()

    def _move(self, attempt: str, name: str) -> None:
        staged = self._at(STAGING, attempt, name)
        if self._exists(staged):
            self._fs.move(staged, self._at(name))
        elif not self._exists(self._at(name)):
            raise FileNotFoundError("the staged file %s is gone; clear the task to write the output again" % staged)

    def _clear_staging(self) -> None:
        if self._exists(self._at(STAGING)):
            self._fs.delete_dir(self._at(STAGING))

    def _delete(self, name: str) -> None:
        if self._exists(self._at(name)):
            self._fs.delete_file(self._at(name))

    def _exists(self, path: str) -> bool:
        return bool(self._fs.get_file_info(path).type != pyarrow.fs.FileType.NotFound)

    def _json(self, name: str) -> Optional[Dict[str, Any]]:
        data = files.read(self._fs, self._at(name))
        try:
            value = json.loads(data) if data else None
        except ValueError:
            return None  # another program's marker
        return value if isinstance(value, dict) else None

    def _at(self, *parts: str) -> str:
        return "/".join([self._path.rstrip("/"), *parts])

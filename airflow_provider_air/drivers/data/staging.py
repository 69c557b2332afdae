"""
Output that is there once and whole: written to a staging folder, then committed.

Inside the output folder, by names that readers skip since they begin with ``_``:

- ``_air_staging/ATTEMPT/`` while an attempt writes
- ``_air_locks/`` while one commits: of several runs that write to one folder, each commits in its turn
- ``_air_commit.json`` from the decision to commit until all is done: what was killed in between is finished by whoever
  comes next, or undone where staged files are gone
- ``_SUCCESS``, the manifest. It always names files that are there and are the whole output of one run: new files come
  first, then the manifest changes in one write, then old files go
"""

from __future__ import annotations

import concurrent.futures
import hashlib
import json
import re
import sys
import time
import uuid
from typing import Any, Dict, Iterable, List, Optional, Set

from ..wire import outages
from ..wire.problems import ConfigurationProblem
from . import files
from .lease import RENEW_SECONDS, Clock, Lease

MANIFEST = "_SUCCESS"
INTENT = "_air_commit.json"
STAGING = "_air_staging"
LOCKS = "_air_locks"
# Object stores move a file by copying it, one request each.
MOVE_THREADS = 8
# What an attempt of another run has staged goes when nothing was added to it for so long.
EXPIRED_SECONDS = 7 * 24 * 3600.0
# Stands in the name of each file that an attempt writes.
ATTEMPT = re.compile(r"air-[0-9a-f]{8}-[0-9a-f]{12}")


class StagedOutput:
    """
    One output folder, seen by one attempt.

    :param uri: the output folder
    :param run_name: stable over attempts; who committed what is known by it
    :ivar attempt: part of the name of every file that is to be committed, so that none meets one of another attempt
    :ivar staging_uri: where these files are written before
    """

    def __init__(self, uri: str, run_name: str, clock: Optional[Clock] = None) -> None:
        self._uri = uri
        self._fs, self._path = files.open_uri(uri, "output.uri")
        self._run_name = run_name
        self._mine = "air-%s-" % hashlib.sha256(run_name.encode()).hexdigest()[:8]
        self.attempt = self._mine + uuid.uuid4().hex[:12]
        self.staging_uri = files.join(uri, STAGING, self.attempt)
        self._lease = Lease(self._fs, self._at(LOCKS), "%s (%s)" % (run_name, self.attempt), clock)

    def begin(self) -> Optional[Dict[str, Any]]:
        """
        Finish or undo what was killed in its commit, and clear what earlier attempts of this run staged.

        :return: the manifest, where an earlier attempt of this run has committed
        :raises ConfigurationProblem: the folder holds files that are not ours to replace
        :raises Unavailable: the storage is away, or another run has been committing for too long
        """
        if self._json(INTENT) is not None or self._left_over():
            with self._lease:
                self._settle()
                for attempt in self._left_over():
                    self._clear(attempt)
        manifest = self._json(MANIFEST)
        if manifest is not None and manifest.get("run_name") == self._run_name:
            return manifest
        ours = set((manifest or {}).get("files", []))
        strangers = sorted(name for name in self._visible() if name not in ours and not ATTEMPT.search(name))
        if strangers:
            raise ConfigurationProblem(
                "output.uri: %s holds files that this task did not write (%s...); name an empty or new folder"
                % (self._uri, ", ".join(strangers[:3]))
            )
        return None

    def commit(self, parts: List[Dict[str, Any]], result: Dict[str, Any]) -> None:
        """
        Replace what earlier runs left by this attempt's files.

        :param parts: of each file below :attr:`staging_uri` its path there (``file``)
        :param result: kept in the manifest
        :raises FileNotFoundError: staged files are gone; what was committed before is as it was
        :raises Unavailable: the storage is away, or another run has been committing for too long; the next attempt goes
            on from here
        """
        with self._lease:
            self._settle()
            names = [part["file"] for part in parts]
            gone = self._gone(self.attempt, names)
            if gone:
                raise FileNotFoundError(
                    "output.uri: the staged file %s is gone, removed by a later attempt of this run or by a rule of "
                    "the bucket; nothing was committed, and the next attempt writes again" % self._at(*gone[0])
                )
            intent = {
                "run_name": self._run_name,
                "attempt": self.attempt,
                "files": names,
                "remove": sorted(self._replaced() - set(names)),
                "result": result,
            }
            self._lease.keep()
            files.write(self._fs, self._at(INTENT), json.dumps(intent).encode())
            self._finish(intent)

    def _settle(self) -> None:
        """Finish the commit that somebody was killed in, or undo it where it cannot be finished."""
        intent = self._json(INTENT)
        if intent is None:
            return
        manifest = self._json(MANIFEST) or {}
        is_switched = manifest.get("attempt") == intent["attempt"]
        gone = [] if is_switched else self._gone(intent["attempt"], intent["files"])
        if not gone:
            self._finish(intent)
            return
        print(
            "output.uri: the commit of %s to %s was killed, and %s is gone: what was there before stays"
            % (intent["run_name"], self._uri, self._at(*gone[0])),
            file=sys.stderr,
            flush=True,
        )
        self._delete(name for name in intent["files"] if name not in manifest.get("files", []))
        files.remove(self._fs, self._at(INTENT))

    def _finish(self, intent: Dict[str, Any]) -> None:
        # Every step may be repeated: a kill anywhere in here is finished by whoever comes next.
        manifest = {key: intent[key] for key in ("run_name", "attempt", "files", "result")}
        if (self._json(MANIFEST) or {}).get("attempt") != intent["attempt"]:
            self._each(lambda name: self._move(intent["attempt"], name), intent["files"])
            self._lease.keep()
            files.write(self._fs, self._at(MANIFEST), json.dumps(manifest).encode())
        self._delete(intent["remove"])
        self._lease.keep()
        files.remove(self._fs, self._at(INTENT))
        self._clear(intent["attempt"])

    def _each(self, step: Any, names: Iterable[str]) -> None:
        """Take a step for each file, several at a time, as the holder of the folder."""
        self._lease.keep()
        cannot = "output.uri: cannot commit to %s" % self._uri
        with concurrent.futures.ThreadPoolExecutor(MOVE_THREADS) as pool:
            waiting = {pool.submit(outages.patiently, lambda name=name: step(name), cannot) for name in names}
            try:
                while waiting:
                    done, waiting = concurrent.futures.wait(waiting, timeout=RENEW_SECONDS / 2)
                    self._lease.keep()
                    for future in done:
                        future.result()
            finally:
                for future in waiting:
                    future.cancel()

    def _move(self, attempt: str, name: str) -> None:
        staged, place = self._at(STAGING, attempt, name), self._at(name)
        if files.exists(self._fs, staged):
            files.make_folder(self._fs, place.rpartition("/")[0])
            self._fs.move(staged, place)
        elif not files.exists(self._fs, place):
            raise FileNotFoundError("output.uri: the staged file %s is gone" % staged)

    def _delete(self, names: Iterable[str]) -> None:
        names = list(names)
        self._each(lambda name: files.remove(self._fs, self._at(name)), names)
        folders = {folder for name in names for folder in _folders(name)}
        for folder in sorted(folders, key=len, reverse=True):
            files.remove_empty(self._fs, self._at(folder))

    def _gone(self, attempt: str, names: List[str]) -> List[List[str]]:
        """List which staged files of an attempt are neither there any more nor in their places yet."""
        staged = files.files_below(self._fs, self._at(STAGING, attempt))
        missing = [name for name in names if name not in staged]
        placed = self._visible() if missing else set()
        return [[STAGING, attempt, name] for name in missing if name not in placed]

    def _replaced(self) -> Set[str]:
        """List what a commit replaces: what was committed, and what a killed or late attempt has left beside it."""
        committed = (self._json(MANIFEST) or {}).get("files", [])
        return {*committed, *(name for name in self._visible() if ATTEMPT.search(name))}

    def _visible(self) -> Set[str]:
        found = files.files_below(self._fs, self._path)
        return {name for name in found if not any(part.startswith(("_", ".")) for part in name.split("/"))}

    def _left_over(self) -> List[str]:
        """List the staging folders of this run's earlier attempts, and of attempts that nobody works on any more."""
        newest: Dict[str, float] = {}
        for name, info in files.files_below(self._fs, self._at(STAGING)).items():
            attempt = name.partition("/")[0]
            newest[attempt] = max(newest.get(attempt, 0.0), info.mtime_ns / 1e9)
        old = time.time() - EXPIRED_SECONDS
        return [
            attempt
            for attempt, added in sorted(newest.items())
            if attempt != self.attempt and (attempt.startswith(self._mine) or added < old)
        ]

    def _clear(self, attempt: str) -> None:
        folder = self._at(STAGING, attempt)

        def clear() -> None:
            if files.exists(self._fs, folder):
                self._fs.delete_dir(folder)

        self._lease.keep()
        outages.patiently(clear, "output.uri: cannot clear %s" % folder)
        files.remove_empty(self._fs, self._at(STAGING))

    def _json(self, name: str) -> Optional[Dict[str, Any]]:
        data = files.read(self._fs, self._at(name))
        try:
            value = json.loads(data) if data else None
        except ValueError:
            return None  # another program's marker
        return value if isinstance(value, dict) else None

    def _at(self, *parts: str) -> str:
        return "/".join([self._path.rstrip("/"), *parts])


def _folders(name: str) -> List[str]:
    """List the folders that a file's path goes through."""
    parts = name.split("/")[:-1]
    return ["/".join(parts[: end + 1]) for end in range(len(parts))]

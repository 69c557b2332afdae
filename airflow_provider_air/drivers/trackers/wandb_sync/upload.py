"""One offline file of a W&B run on its way to the server: what was sent, what is left, and whether it arrived."""

from __future__ import annotations

import glob
import json
import os
import pathlib
import subprocess
import sys
import time
from typing import Any, Dict, List, Optional

from . import offline_files
from .offline_files import Piece
from .server import Server, trusted

# wandb's own mark, which its command line respects; ours says what of a file was sent.
SYNCED, STATE = ".synced", ".air-sync"
# How long the server may take to count what it was sent.
COUNT_SECONDS = 30.0
# What a tracker or an author says of a run of this job, and what would silence the errors that are read here.
FOREIGN = (
    *("WANDB_RUN_ID", "WANDB_NAME", "WANDB_NOTES", "WANDB_RESUME", "WANDB_TAGS", "WANDB_JOB_TYPE", "WANDB_RUN_GROUP"),
    *("WANDB_PROJECT", "WANDB_ENTITY", "WANDB_DISABLED", "WANDB_SILENT", "WANDB_QUIET", "WANDB_SWEEP_ID"),
)
ERROR = "wandb: ERROR "
# Where W&B puts a run that names no project.
NO_PROJECT = "uncategorized"
# An upload ends this long before its job must, so that none goes on beside the next try's.
SPARE_SECONDS = 5.0


class NotUploaded(Exception):
    """A file did not reach the server whole; a retry goes on."""


def is_synced(path: str) -> bool:
    """Whether a file is uploaded, and has not grown since."""
    mark = path + SYNCED
    return os.path.exists(mark) and os.stat(mark).st_mtime >= os.stat(path).st_mtime


class Target:
    """
    Where runs go.

    :param entity: instead of a run's own
    :param project: instead of a run's own
    :param not_after: epoch seconds after which the job must not run, or None
    """

    def __init__(
        self, server: Server, entity: Optional[str], project: Optional[str], not_after: Optional[float] = None
    ) -> None:
        self._server = server
        self._not_after = not_after
        self._entity = entity
        self._project = project

    def project_of(self, piece: Piece) -> str:
        """Name the project that a run goes to."""
        return self._project or piece.project or NO_PROJECT

    def upload(self, piece: Piece, folder: str) -> None:
        """
        Send what the server does not have of a file, and mark it.

        :param folder: an empty one, to work in
        :raises NotUploaded: not all arrived
        :raises server.ServerAway: W&B does not answer
        """
        before = self._rows(piece)
        state = _read_state(piece)
        sent = int(state.get("sent", 0))
        if "before" in state:
            # The last upload broke: what it had sent is there.
            sent += max(0, before - int(state["before"]))
        sent = min(sent, piece.rows)
        _write_state(piece, {"sent": sent, "before": before})
        self._run_wandb(_stage(piece, folder, sent), folder)
        self._check_rows(piece, before + piece.rows - sent, sent, before)
        if piece.is_ended:
            os.remove(piece.path + STATE)
        else:
            _write_state(piece, {"sent": piece.rows})
        pathlib.Path(piece.path + SYNCED).touch()

    def _rows(self, piece: Piece) -> int:
        return self._server.rows(self._entity or piece.entity, self.project_of(piece), piece.run_id)

    def _run_wandb(self, path: str, folder: str) -> None:
        command = [sys.executable, "-m", "wandb", "sync"]
        for option, value in (("--project", self._project), ("--entity", self._entity)):
            command += [option, value] if value else []
        with trusted():
            env = {name: value for name, value in os.environ.items() if name not in FOREIGN}
        env.update(WANDB_MODE="online", WANDB_DIR=folder)
        try:
            done = subprocess.run(
                [*command, path],
                env=env,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                errors="replace",
                check=False,
                timeout=self._seconds_left(),
            )
        except subprocess.TimeoutExpired:
            raise NotUploaded("the job's time is over") from None
        told = self._server.hide(done.stdout)
        errors = [line[len(ERROR) :] for line in told.splitlines() if line.startswith(ERROR)] + _lost_files(folder)
        if done.returncode:
            errors = ["wandb sync ended with exit code %d: %s" % (done.returncode, told.strip()[-500:])]
        if errors:
            print(told, file=sys.stderr, flush=True)
            raise NotUploaded(errors[0])

    def _seconds_left(self) -> Optional[float]:
        return None if self._not_after is None else max(0.0, self._not_after - time.time() - SPARE_SECONDS)

    def _check_rows(self, piece: Piece, wanted: int, sent: int, before: int) -> None:
        end = time.monotonic() + COUNT_SECONDS
        while True:
            there = self._rows(piece)
            if there >= wanted:
                return
            if time.monotonic() > end:
                told = "the server has %d of its %d rows"
                raise NotUploaded(told % (sent + max(0, there - before), piece.rows))
            time.sleep(1.0)


def _stage(piece: Piece, folder: str, sent: int) -> str:
    """Lay out a folder that wandb uploads from: it has the whole piece, but its mark is not ours."""
    # wandb knows an offline run by its folder's name.
    stage = os.path.join(folder, os.path.basename(piece.folder))
    os.mkdir(stage)
    os.symlink(os.path.join(piece.folder, "files"), os.path.join(stage, "files"))
    path = os.path.join(stage, os.path.basename(piece.path))
    if piece.is_ended and not sent:
        os.symlink(piece.path, path)
    else:
        offline_files.write_rest(piece.path, path, sent)
    return path


def _lost_files(folder: str) -> List[str]:
    """Give the files that did not arrive, of which wandb tells its own log only."""
    lost = []
    for path in glob.glob(os.path.join(folder, "**", "debug-sync*.log"), recursive=True):
        with open(path, encoding="utf-8", errors="replace") as file:
            lost += [line for line in file if '"ERROR"' in line and "file transfer: upload" in line]
    return [json.loads(line)["msg"] for line in lost]


def _read_state(piece: Piece) -> Dict[str, Any]:
    try:
        with open(piece.path + STATE) as file:
            return dict(json.load(file))
    except (FileNotFoundError, ValueError):
        return {}


def _write_state(piece: Piece, state: Dict[str, int]) -> None:
    # Whole or not at all: a torn one would forget what was sent.
    with open(piece.path + STATE + ".new", "w") as file:
        json.dump(state, file)
    os.replace(piece.path + STATE + ".new", piece.path + STATE)

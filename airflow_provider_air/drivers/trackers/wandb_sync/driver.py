"""
Uploads offline W&B runs from inside a job: ``python -m air_drivers.trackers.wandb_sync``.

``wandb sync`` does the upload, one file at a time. What it does not do (0.31): it says success and marks a file as
synced also where the upload failed; it sends rows again that a broken upload had sent; it gives up on a file that a
killed driver left. So each file is uploaded from a folder of its own, and its mark is set here, once the server has
its rows.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import re
import shutil
import tempfile
import time
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from ...frame.running import Run, running
from ...wire import outages
from ...wire.problems import ConfigurationProblem
from .. import wandb_run
from . import offline_files, upload
from .offline_files import Piece
from .server import Server, ServerAway

# Earlier ones sync another way.
FLOOR = (0, 31)


class NotAllUploaded(Exception):
    """Runs are left; a retry uploads them."""


class Found(NamedTuple):
    """
    What is below the folder.

    :param runs: what to upload, run by run, the pieces of each in order of time
    :param synced: files that are uploaded already
    :param unfinished: pieces of runs that may still be written
    :param empty: files without a run, of writers that were killed at once
    :param damaged: what cannot be read, as it is reported
    """

    runs: List[List[Piece]]
    synced: List[str]
    unfinished: List[Piece]
    empty: List[str]
    damaged: List[Dict[str, Any]]


def main() -> None:
    """Upload what is not uploaded, and write the ``result`` record."""
    with running(wandb_run.begin) as run:
        run.records.write("result", value=sync(run))


def sync(run: Run) -> Dict[str, Any]:
    """
    Upload the runs below a folder that are not uploaded yet, and tell which.

    Config: ``offline_dir``, ``settle_seconds``, ``clean``, optional ``project`` and ``entity``.

    :raises ConfigurationProblem: there is no such folder, wandb is absent or too old, the key is refused
    :raises Unavailable: W&B does not answer
    :raises NotAllUploaded: some could not be uploaded, all others were
    """
    config = run.config
    root = config["offline_dir"]
    if not os.path.isdir(root):
        raise ConfigurationProblem("offline_dir: there is no folder %s on the node of this job" % root)
    _check_wandb()
    found = look(root, float(config["settle_seconds"]))
    synced: List[Dict[str, Any]] = []
    failed = list(found.damaged)
    if found.runs:
        server = Server(os.environ["WANDB_BASE_URL"], os.environ["WANDB_API_KEY"])
        outages.patiently(server.check_key, "W&B cannot be asked")
        target = upload.Target(server, config.get("entity"), config.get("project"), run.not_after)
        total = len(failed) + sum(len(pieces) for pieces in found.runs)
        for pieces in found.runs:
            done, left = _upload_run(run, target, pieces, (len(synced) + len(failed), total))
            synced += done
            failed += left
    removed = _clean(found, failed) if config["clean"] else 0
    if failed:
        told = "%d of %d could not be uploaded; the first: %s: %s"
        first = failed[0]
        raise NotAllUploaded(told % (len(failed), len(failed) + len(synced), first["folder"], first["reason"]))
    counts = {"already_synced": len(found.synced), "unfinished": len(found.unfinished), "empty": len(found.empty)}
    return {"synced": synced, **counts, "removed": removed, "failed": failed}


def look(root: str, settle_seconds: float) -> Found:
    """
    Sort what is below a folder into what to upload and what to leave.

    A run that may still be written is left whole: one of its pieces has no end and changed lately.
    """
    found = Found([], [], [], [], [])
    runs: Dict[Tuple[str, str, str], List[Piece]] = {}
    for path in offline_files.find(root):
        if upload.is_synced(path):
            found.synced.append(path)
            continue
        try:
            piece = offline_files.read(path)
        except (OSError, offline_files.DamagedFile) as error:
            run_id = offline_files.run_id_of(path)
            found.damaged.append({"folder": os.path.dirname(path), "run_id": run_id, "reason": str(error)})
            continue
        runs.setdefault((piece.entity, piece.project, piece.run_id or path), []).append(piece)
    for pieces in runs.values():
        if any(not p.is_ended and time.time() - offline_files.changed(p.path) < settle_seconds for p in pieces):
            found.unfinished.extend(pieces)
        elif not pieces[0].run_id:
            found.empty.append(pieces[0].path)
        else:
            found.runs.append(sorted(pieces, key=lambda piece: (piece.started, piece.path)))
    found.runs.sort(key=lambda pieces: pieces[0].started)
    return found


def _upload_run(
    run: Run, target: upload.Target, pieces: List[Piece], counted: Tuple[int, int]
) -> Tuple[List[Dict[str, Any]], List[Dict[str, Any]]]:
    done: List[Dict[str, Any]] = []
    left: List[Dict[str, Any]] = []
    before, total = counted
    for piece in pieces:
        reason = _reason_not_to(left) or _upload(target, piece)
        told: Dict[str, Any] = {"run_id": piece.run_id, "project": target.project_of(piece), "folder": piece.folder}
        if reason is None:
            done.append(told)
        else:
            left.append({**told, "reason": reason})
        message = "run %s: %s" % (piece.run_id, "uploaded" if reason is None else "not uploaded: %s" % reason)
        run.records.tell("progress", message=message, phase="sync", done=before + len(done) + len(left), total=total)
    return done, left


def _reason_not_to(left: List[Dict[str, Any]]) -> Optional[str]:
    # W&B takes the pieces of a run in order of time only.
    return "an earlier part of the run is not uploaded" if left else None


def _upload(target: upload.Target, piece: Piece) -> Optional[str]:
    with tempfile.TemporaryDirectory() as folder:
        try:
            target.upload(piece, folder)
        except (upload.NotUploaded, offline_files.DamagedFile, ServerAway, OSError) as error:
            return str(error)
    return None


def _clean(found: Found, failed: List[Dict[str, Any]]) -> int:
    """Remove the folders of runs that are uploaded whole; returns how many."""
    paths = [*found.synced, *(piece.path for pieces in found.runs for piece in pieces)]
    kept = {piece.run_id for piece in found.unfinished} | {told["run_id"] for told in failed}
    # Asked again: one that failed has no mark, and one that grew meanwhile an old one.
    removed = [p for p in paths if offline_files.run_id_of(p) not in kept and upload.is_synced(p)]
    for path in removed:
        shutil.rmtree(os.path.dirname(path))
    return len(removed)


def _check_wandb() -> None:
    try:
        importlib.import_module("wandb.proto.wandb_internal_pb2")
        version = importlib.metadata.version("wandb")
    except ImportError as error:
        raise ConfigurationProblem(
            "wandb is not installed on the cluster; add it to the image, or to runtime_env: {'pip': ['wandb']}"
        ) from error
    if tuple(int(number) for number in re.findall(r"\d+", version)[:2]) < FLOOR:
        raise ConfigurationProblem("wandb %s is on the cluster, but %d.%d is needed" % (version, *FLOOR))

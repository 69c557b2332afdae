"""The records of this process: where their file belongs, and the one writer of it, opened once."""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import sys
import threading
from typing import Any, Optional, Tuple

from ..wire.names import RECORDS_DIR, SUBMISSION_ID, records_name
from ..wire.records import RecordWriter
from .ends import end_of, is_skip
from .leaving import leave

_writer: Optional[RecordWriter] = None
_opening = threading.Lock()
_failed: Optional[BaseException] = None


def path_of(submission_id: str) -> str:
    """Find where the records file belongs: beside the job's own log, so that Ray serves it over HTTP."""
    folder = os.environ.get(RECORDS_DIR) or _job_log_folder()
    return os.path.join(folder, records_name(submission_id))


def _job_log_folder() -> str:
    # Ray's job supervisor points the driver's stdout at <session>/logs/job-driver-<id>.log (Ray 2.51-2.60):
    # reading that link costs nothing, while asking Ray means a ray.init() of some seconds.
    with contextlib.suppress(OSError):
        log = os.readlink("/proc/self/fd/1")
        if re.search(r"/job-driver-[^/]+\.log$", log):
            return os.path.dirname(log)
    import ray

    was_connected = ray.is_initialized()
    if not was_connected:
        ray.init(log_to_driver=False)
    node: Any = ray._private.worker._global_node
    folder = str(node.get_logs_dir_path())
    if not was_connected:
        # Ray takes one ray.init(), and that one is the author's.
        ray.shutdown()
    return folder


def join(records: RecordWriter) -> None:
    """Report through a driver's own records: it runs the user's function in its process, and writes the end."""
    global _writer
    _writer = records


def opened() -> Optional[RecordWriter]:
    """
    Give the writer, and open it first where this process is a script of the user's; None outside of a job.

    :raises RuntimeError: another process of the job has the records, or is to have them
    """
    global _writer
    submission_id = os.environ.get(SUBMISSION_ID)
    with _opening:
        if _writer is None and submission_id:
            if _is_ray_worker():
                # On another node there is no file of the entrypoint's in the way, and nobody would read this one.
                raise RuntimeError("only the entrypoint's process reports; return values to it from Ray's workers")
            _writer = RecordWriter(path_of(submission_id))
            atexit.register(_end)
        return _writer if submission_id else None


def _is_ray_worker() -> bool:
    worker: Any = sys.modules.get("ray._private.worker")
    return worker is not None and worker.global_worker.mode == worker.WORKER_MODE


def watch() -> None:
    """Note what ends a script of the user's inside a job; one that is skipped ends well."""
    if os.environ.get(SUBMISSION_ID):
        # sys.excepthook is not enough: Typer, rich and others put their own in its place.
        sys.addaudithook(_note)


def _note(event: str, arguments: Tuple[Any, ...]) -> None:
    global _failed
    if event != "sys.excepthook":  # raised before any such hook is called
        return
    _failed = arguments[2]
    with contextlib.suppress(Exception):
        if is_skip(_failed) and opened() is not None:
            print("skipped: %s" % end_of(_failed)["message"], file=sys.stderr, flush=True)
            leave(0)  # Python's own way would give the code of an error


def _end() -> None:
    assert _writer is not None
    _writer.write("end", **({"status": "succeeded"} if _failed is None else end_of(_failed)))
    _writer.close()

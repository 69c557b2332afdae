"""
The frame around every driver: payload in, records out, an honest exit code.

A driver is started as ``python -m air_drivers.NAME`` by Ray's job supervisor. What it is told comes by
environment (:mod:`air_drivers.wire.names`) and by a payload folder that travels as one of the job's ``py_modules``.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
import threading
import time
import traceback
from typing import Any, Callable, Dict, Iterator, List, Optional, Protocol

from ..wire.names import (
    EXIT_CONFIGURATION,
    EXIT_NOT_AFTER,
    EXIT_UNAVAILABLE,
    NOT_AFTER,
    PAYLOAD,
    SECRETS,
    SUBMISSION_ID,
)
from ..wire.problems import ConfigurationProblem, Unavailable
from ..wire.records import RecordWriter
from . import interpreter, own_records
from .ends import end_of
from .leaving import leave

# How long threads that the work has left may take before the log says that the job waits for them.
THREADS_SECONDS = 5.0


class Tracked(Protocol):
    """What follows a run's records, such as an open run of W&B."""

    def finish(self, exit_code: int) -> None:
        """Take the end of the run, after its last record."""


class Run:
    """
    One run of a driver.

    :param config: the payload's ``config.json``
    :param records: where to write records
    :param submission_id: the job's id, for names that must be unique per attempt
    :param not_after: epoch seconds after which the job must not run, or None
    """

    def __init__(self, submission_id: str, payload: Optional[str], not_after: Optional[float]) -> None:
        self.submission_id = submission_id
        self.not_after = not_after
        self._payload = payload
        self.config: Dict[str, Any] = json.loads(self.payload("config.json")) if payload else {}
        self.records = RecordWriter(own_records.path_of(submission_id))
        self._pid = os.getpid()

    def payload(self, name: str) -> bytes:
        """
        Read one file that was shipped with the job.

        :raises ConfigurationProblem: there is none of this name
        """
        data = self.optional_payload(name)
        if data is None:
            raise ConfigurationProblem("the job was shipped without the payload file %r" % name)
        return data

    def optional_payload(self, name: str) -> Optional[bytes]:
        """Read one file that may have been shipped with the job."""
        path = os.path.join(self._payload or "", name)
        if not self._payload or not os.path.isfile(path):
            return None
        with open(path, "rb") as file:
            return file.read()

    def leave_if_forked(self, code: int = 0) -> None:
        """End here where this is a child of the job's process, which the author's code has forked and let come back."""
        if os.getpid() != self._pid:
            os._exit(code)


def shipped_folder(name: str) -> str:
    """
    Find a folder that was shipped with the job as one of its ``py_modules``.

    :raises ConfigurationProblem: there is none of this name
    """
    for entry in sys.path:
        folder = os.path.join(entry, name)
        if os.path.isdir(folder):
            return folder
    raise ConfigurationProblem("the shipped folder %r is on no entry of sys.path: %s" % (name, sys.path))


# How long a tracker may take for what it has not sent yet, where the job has no time of its own.
FINISH_SECONDS = 600.0
# Before the job's time is over, so that its end is still seen in time.
SEEN_SECONDS = 15.0
Opener = Callable[[Run], Optional[Tracked]]


def _end_at(run: Run, ended: threading.Event) -> None:
    assert run.not_after is not None
    if ended.wait(max(0.0, run.not_after - time.time())):
        return
    message = "the job passed its not-after time and ended itself"
    print(message, file=sys.stderr, flush=True)
    run.records.write("end", status="failed", error={"type": "NotAfter", "message": message})
    os._exit(EXIT_NOT_AFTER)


def _load_secrets() -> None:
    # Ray runs the hook in the job's workers, not in this process.
    hook = os.environ.get(SECRETS)
    if hook:
        importlib.import_module(hook.rpartition(".")[0]).fill()


def _opened() -> Run:
    not_after = float(os.environ[NOT_AFTER]) if os.environ.get(NOT_AFTER) else None
    if not_after is not None and time.time() > not_after:
        print("refusing to start: the job's not-after time has passed", file=sys.stderr, flush=True)
        sys.exit(EXIT_NOT_AFTER)
    _load_secrets()
    try:
        payload = shipped_folder(os.environ[PAYLOAD]) if os.environ.get(PAYLOAD) else None
        return Run(os.environ[SUBMISSION_ID], payload, not_after)
    except ConfigurationProblem as problem:
        print("configuration error: %s" % problem, file=sys.stderr, flush=True)
        sys.exit(EXIT_CONFIGURATION)


@contextlib.contextmanager
def running(*openers: Opener) -> Iterator[Run]:
    """
    Frame a driver's work; writes the ``end`` record and ends the process with the code that tells the outcome.

    Exit codes: 0 succeeded, or skipped; 1 the user's code raised (traceback in the job's log), or what it gave
    ``sys.exit``; 64 the author must fix something; 69 something that the job needs was away; 75 the not-after time
    passed.

    :param openers: what opens the trackers that the environment asks for, and gives None where it asks for none
    """
    run = _opened()
    own_records.join(run.records)
    ended = threading.Event()
    if run.not_after is not None:
        threading.Thread(target=_end_at, args=(run, ended), daemon=True).start()
    code = 0
    tracked: List[Optional[Tracked]] = []
    streams = sys.stdout, sys.stderr
    try:
        interpreter.need_ray()
        for begin in openers:
            tracked.append(begin(run))
        yield run
        run.records.write("end", status="succeeded")
    except ConfigurationProblem as problem:
        print("configuration error: %s" % problem, file=sys.stderr, flush=True)
        _write_failure(run, problem)
        code = EXIT_CONFIGURATION
    except Unavailable as problem:
        print("unavailable: %s" % problem, file=sys.stderr, flush=True)
        _write_failure(run, problem)
        code = EXIT_UNAVAILABLE
    except BaseException as error:
        # Whatever the author's code has done to them: the driver's own words are for the job's log.
        sys.stdout, sys.stderr = streams
        code = _end_by(run, error)
    finally:
        sys.stdout, sys.stderr = streams
        ended.set()
        run.records.close()
        is_finished = _finish(tracked, code, run.not_after)
        with contextlib.suppress(Exception):
            sys.stdout.flush()
        _tell_of_threads()
    if not is_finished:
        os._exit(code)  # else the tracker would go on at Python's exit
    leave(code)


def _end_by(run: Run, error: BaseException) -> int:
    """Say and write how the work has ended, whatever it raised, and give the exit code."""
    end = end_of(error)
    is_exit = isinstance(error, SystemExit)
    with contextlib.suppress(Exception):
        if end["status"] == "skipped":
            print("skipped: %s" % end["message"], file=sys.stderr, flush=True)
        elif is_exit:
            print(error, file=sys.stderr, flush=True)
        else:
            traceback.print_exc()
    code = 0 if end["status"] == "skipped" else _code_of(error) if isinstance(error, SystemExit) else 1
    run.leave_if_forked(code)
    run.records.write("end", **end)
    return code


def _code_of(error: SystemExit) -> int:
    """Give the exit code of a ``sys.exit`` that came too early: 1 also for text, and for what would say success."""
    return error.code if isinstance(error.code, int) and error.code & 0xFF else 1


def _tell_of_threads() -> None:
    """Have the log say why the job goes on: as any Python, this one waits for threads that are no daemons."""

    left = [each for each in threading.enumerate() if not each.daemon and each is not threading.main_thread()]
    if left:
        names = ", ".join(each.name for each in left)
        told = "the work has ended; the job goes on until its threads end: %s\n" % names
        timer = threading.Timer(THREADS_SECONDS, sys.stderr.write, [told])
        timer.daemon = True
        timer.start()


def _finish(tracked: List[Optional[Tracked]], code: int, not_after: Optional[float]) -> bool:
    """Give trackers the end, which they may take until the job's own time ends; what becomes of it fails no job."""
    threads = [threading.Thread(target=_finish_one, args=(each, code), daemon=True) for each in tracked if each]
    for thread in threads:
        thread.start()
    end = time.time() + FINISH_SECONDS
    end = end if not_after is None else min(end, not_after - SEEN_SECONDS)
    for thread in threads:
        thread.join(max(0.0, end - time.time()))
    is_finished = not any(thread.is_alive() for thread in threads)
    if not is_finished:
        print("the tracker did not take the end of the run in time", file=sys.stderr, flush=True)
    return is_finished


def _finish_one(each: Tracked, code: int) -> None:
    try:
        each.finish(code)
    except Exception as error:
        print("the tracker did not take the end of the run: %s" % error, file=sys.stderr, flush=True)


def _write_failure(run: Run, error: BaseException) -> None:
    run.records.write("end", **end_of(error))

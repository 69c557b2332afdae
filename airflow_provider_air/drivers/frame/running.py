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

from ..wire.failures import error_of
from ..wire.names import EXIT_CONFIGURATION, EXIT_NOT_AFTER, NOT_AFTER, PAYLOAD, SECRETS, SUBMISSION_ID
from ..wire.problems import ConfigurationProblem
from ..wire.records import RecordWriter
from . import own_records


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
    Frame a driver's work; writes the ``end`` record and exits with the code that tells the outcome.

    Exit codes: 0 succeeded; 1 the user's code raised (traceback in the job's log); 64 the author must
    fix something; 75 the not-after time passed.

    :param openers: what opens the trackers that the environment asks for, and gives None where it asks for none
    """
    run = _opened()
    own_records.join(run.records)
    ended = threading.Event()
    if run.not_after is not None:
        threading.Thread(target=_end_at, args=(run, ended), daemon=True).start()
    code = 0
    tracked: List[Optional[Tracked]] = []
    try:
        for begin in openers:
            tracked.append(begin(run))
        yield run
        run.records.write("end", status="succeeded")
    except ConfigurationProblem as problem:
        print("configuration error: %s" % problem, file=sys.stderr, flush=True)
        _write_failure(run, problem)
        code = EXIT_CONFIGURATION
    except Exception as error:
        traceback.print_exc()
        _write_failure(run, error)
        code = 1
    finally:
        ended.set()
        run.records.close()
        for each in filter(None, tracked):
            each.finish(code)
        sys.stdout.flush()
    if code:
        sys.exit(code)


def _write_failure(run: Run, error: BaseException) -> None:
    run.records.write("end", status="failed", error=error_of(error))

"""Drivers as the real processes they are: exit codes, records, refusals."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from airflow_provider_air.drivers.wire.names import records_name
from tests.kinds import parameters
from tests.kinds.logs import ERRORS, Raises
from tests.kinds.outages import FINISHES
from tests.unit.drivers.conftest import HERE, Process, records, ship

ENDS, FINISH_NAMES = parameters(FINISHES)


@pytest.mark.parametrize("payload", ["", "absent"])
def test_a_missing_payload_is_told(folder: Path, run: Process, payload: str) -> None:
    done = run("-m", "air_drivers.function", AIR_PAYLOAD=payload)

    assert done.returncode in (1, 64)
    assert "Error" in done.stderr or "configuration error" in done.stderr


def test_a_missing_payload_file_is_told(folder: Path, run: Process) -> None:
    (folder / "payload" / "config.json").write_text(json.dumps({"python": HERE}))
    done = run("-m", "air_drivers.function")

    assert done.returncode == 64
    assert "'call.pkl'" in done.stderr


def test_a_job_that_is_late_refuses_to_start(folder: Path, run: Process) -> None:
    ship(folder, lambda: 1)
    done = run("-m", "air_drivers.function", AIR_NOT_AFTER=repr(time.time() - 1))

    assert done.returncode == 75
    assert "not-after" in done.stderr
    assert not (folder / "logs" / records_name("air-1")).exists()


# Its time is over soon after its start, however long Python took for that.
ENDS_SOON = """
import os, time
from air_drivers.function import driver

os.environ["AIR_NOT_AFTER"] = repr(time.time() + 3)
driver.main()
"""


def test_a_job_that_runs_too_long_ends_itself(folder: Path, run: Process) -> None:
    def work() -> None:
        import time

        time.sleep(600)

    ship(folder, work)
    done = run("-c", ENDS_SOON)

    assert done.returncode == 75, done.stderr
    assert records(folder)[-1]["error"]["type"] == "NotAfter"


def test_a_job_that_is_done_in_time_does_not_wait_for_its_time(folder: Path, run: Process) -> None:
    ship(folder, lambda: 1)

    assert run("-m", "air_drivers.function", AIR_NOT_AFTER=repr(time.time() + 3600)).returncode == 0


@pytest.mark.parametrize("raises", ERRORS.inputs.values(), ids=list(ERRORS.inputs))
def test_the_end_says_what_was_raised_and_why(folder: Path, run: Process, raises: Raises) -> None:
    ship(folder, raises.function)
    done = run("-m", "air_drivers.function")

    error = records(folder)[-1]["error"]
    said = f"{error['type']}: {error['message']}"
    assert done.returncode == 1
    assert said.startswith(raises.first)
    assert [words for words in raises.says if words not in said] == []
    assert [words for words in raises.hides if words in said] == []


def test_drivers_need_neither_us_nor_airflow(folder: Path, run: Process) -> None:
    code = "import sys, air_drivers.function, air_drivers.report; print([m for m in sys.modules if 'airflow' in m])"

    assert run("-c", code).stdout == "[]\n"


def test_what_is_away_still_ends_the_job_by_a_code_of_its_own(folder: Path, run: Process) -> None:
    def work() -> None:
        from air_drivers.wire.problems import Unavailable

        raise Unavailable("storage_path: S3 says 503")

    ship(folder, work)
    done = run("-m", "air_drivers.function")

    assert done.returncode == 69
    assert "unavailable: storage_path: S3 says 503" in done.stderr
    assert "Traceback" not in done.stderr
    assert records(folder)[-1]["error"] == {"type": "Unavailable", "message": "storage_path: S3 says 503"}


# A tracker that is odd at the end, and work that fails where the test wants it.
FINISHING = """
import sys, threading
from air_drivers.frame import running

how, seconds = sys.argv[1], float(sys.argv[2])
running.FINISH_SECONDS = seconds

class Tracker:
    def finish(self, exit_code):
        print("finished with", exit_code, flush=True)
        if "fails" in how:
            raise ConnectionRefusedError(111, "Connection refused")
        # As a tracker does that sends what is left before Python may end.
        threading.Thread(target=threading.Event().wait, daemon=False).start()
        threading.Event().wait()

with running.running(lambda run: Tracker()) as run:
    if "failure" in how:
        raise KeyError("y")
"""


@pytest.mark.parametrize(("name", "code"), list(zip(FINISH_NAMES, ENDS, strict=True)))
def test_a_tracker_that_does_not_take_the_end_of_a_run_changes_nothing(
    folder: Path, run: Process, name: str, code: int
) -> None:
    done = run("-c", FINISHING, name, "0.3", AIR_PAYLOAD="")

    assert done.returncode == code, done.stderr
    assert f"finished with {code}" in done.stdout
    assert "the tracker did not take the end of the run" in done.stderr
    assert records(folder)[-1]["status"] == ("failed" if code else "succeeded")


def test_a_tracker_does_not_hold_the_job_past_its_own_time(folder: Path, run: Process) -> None:
    from airflow_provider_air.drivers.frame.running import SEEN_SECONDS

    before = time.time()
    done = run("-c", FINISHING, "it hangs", "600", AIR_PAYLOAD="", AIR_NOT_AFTER=repr(before + SEEN_SECONDS + 3))

    assert done.returncode == 0, done.stderr
    assert "in time" in done.stderr
    assert time.time() < before + SEEN_SECONDS + 3


# A process that crashes where it is taken apart, as one whose native threads still run then now and then does.
CRASHING = """
import atexit, ctypes, sys, threading
from air_drivers.frame import running

libc = ctypes.CDLL(None)
libc.__cxa_atexit(ctypes.cast(libc.abort, ctypes.c_void_p), None, None)
atexit.register(print, "at the exit")
with running.running() as run:
    threading.Timer(0.1, print, ["by a thread"]).start()
    libc.printf(b"by C" + bytes([10]))
    %s
"""


@pytest.mark.parametrize(
    ("work", "code"), [("pass", 0), ("raise KeyError('y')", 1), ("sys.exit(5)", 5), ("sys.exit(300)", 44)]
)
def test_the_end_of_a_process_changes_no_outcome_and_loses_no_word(
    folder: Path, run: Process, work: str, code: int
) -> None:
    done = run("-c", CRASHING % work, AIR_PAYLOAD="")

    assert done.returncode == code, done.stderr
    assert done.stdout.index("by a thread") < done.stdout.index("at the exit")
    assert "by C" in done.stdout

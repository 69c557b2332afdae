"""Each function of the second day's table, in the process that runs it: its value, its end, its exit code."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from airflow_provider_air.drivers.wire.values import decode
from airflow_provider_air.runs.failures import find_end
from tests.kinds import functions, parameters
from tests.kinds.functions import KINDS, Call
from tests.unit.drivers.conftest import Process, records, ship

CALLS = [(name, call) for name, call in zip(*reversed(parameters(KINDS)), strict=True) if isinstance(call, Call)]


@pytest.fixture
def bare(folder: Path) -> Path:
    """A cluster without the packages that only Airflow's side has, and with another cloudpickle."""
    for name in ("airflow", "pendulum"):
        (folder / f"{name}.py").write_text(f"raise ModuleNotFoundError(\"No module named '{name}'\", name='{name}')\n")
    (folder / "cloudpickle").mkdir()
    (folder / "cloudpickle" / "__init__.py").write_text("another_version = 1\n")
    return folder


@pytest.mark.parametrize("call", [call for _, call in CALLS], ids=[name for name, _ in CALLS])
def test_a_function_ends_as_it_says(call: Call, bare: Path, run: Process) -> None:
    ship(bare, call.function, *call.args)

    done = run("-m", "air_drivers.function")

    assert done.returncode == call.code, done.stderr
    found = records(bare)
    if call.end is None:
        assert found == []
        return
    end = find_end(found)
    assert end is not None
    said = {key: value for key, value in end.items() if key not in ("v", "seq", "t", "kind")}
    assert json.loads(re.sub(r"line \d+\)", "line N)", json.dumps(said))) == {
        "status": call.status,
        **call.end,
    }
    assert [decode(record["value"]) for record in found if record["kind"] == "result"] == (
        [call.value] if call.status == "succeeded" else []
    )


def test_what_the_function_has_done_to_its_output_does_not_hide_its_trace(bare: Path, run: Process) -> None:
    ship(bare, functions.redirects_and_raises)

    assert "ValueError: told all the same" in run("-m", "air_drivers.function").stderr


def test_a_skip_is_one_line_of_the_log(bare: Path, run: Process) -> None:
    ship(bare, functions.reports_a_skip)

    assert run("-m", "air_drivers.function").stderr == "skipped: no new files\n"


def test_the_log_says_which_thread_the_job_waits_for(bare: Path, run: Process) -> None:
    def leaves_a_thread() -> None:
        import threading

        from air_drivers.frame import running  # its name on a cluster

        running.THREADS_SECONDS = 0.01
        wait = threading.Event().wait
        threading.Thread(target=wait, args=(1.0,), name="uploads").start()

    ship(bare, leaves_a_thread)
    done = run("-m", "air_drivers.function")

    assert (done.returncode, done.stderr) == (0, "the work has ended; the job goes on until its threads end: uploads\n")


@pytest.mark.parametrize("name", ["forks, and the child returns", "forks, and the child exits"])
def test_a_child_that_comes_back_leaves_without_a_word(name: str, bare: Path, run: Process) -> None:
    ship(bare, dict(CALLS)[name].function)

    assert run("-m", "air_drivers.function").stderr == ""

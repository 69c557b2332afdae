"""A script of the user's own, which reports to Airflow."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_air.drivers.wire.values import decode
from airflow_provider_air.runs.ends import encoded_result_of
from tests.kinds import parameters
from tests.kinds.metrics import REPORTING
from tests.unit.drivers.conftest import Process, records

SCRIPTS, NAMES = parameters(REPORTING)


def script(folder: Path, text: str) -> str:
    path = folder / "train.py"
    path.write_text(f"from air_drivers import report\n{text}\n")
    return str(path)


def test_a_script_reports_progress_metrics_and_its_result(folder: Path, run: Process) -> None:
    path = script(
        folder,
        "report.progress('epoch', done=1, total=2)\n"
        "report.metric({'rmse': 1}, step=1)\n"
        "report.checkpoint('s3://b/c')\n"
        "report.result((1, 2))",
    )

    assert run(path).returncode == 0
    found = records(folder)
    assert [item["kind"] for item in found] == ["progress", "metric", "checkpoint", "result", "end"]
    assert decode(encoded_result_of(found, where="air-1")) == (1, 2)


def test_a_script_that_raises_says_so_in_its_end(folder: Path, run: Process) -> None:
    path = script(folder, "report.progress('x')\nraise ValueError('bad data')")
    done = run(path)

    assert done.returncode == 1
    assert "ValueError: bad data" in done.stderr
    assert records(folder)[-1]["error"] == {"type": "ValueError", "message": "bad data"}


def test_a_script_runs_by_hand_too(folder: Path, run: Process) -> None:
    path = script(folder, "report.progress('x')\nreport.result(object)\nprint('done')")
    assert run(path, AIR_SUBMISSION_ID="").stdout == "done\n"
    assert not list((folder / "logs").iterdir())


@pytest.mark.parametrize(("does", "kinds"), SCRIPTS, ids=NAMES)
def test_whatever_is_reported_the_work_goes_on(folder: Path, run: Process, does: str, kinds: list[str]) -> None:
    done = run(script(folder, f"{does}\n{does}\nreport.result(1)"))

    assert done.returncode == 0, done.stderr
    assert [item["kind"] for item in records(folder)] == [*kinds, *kinds, "result", "end"]
    # One warning at most, however often it is reported.
    assert len(done.stderr.splitlines()) == (0 if kinds else 1), done.stderr


def test_a_child_of_the_script_cannot_spoil_its_records(folder: Path, run: Process) -> None:
    path = script(
        folder,
        "import subprocess, sys\n"
        "report.progress('mine')\n"
        "code = 'from air_drivers import report; [report.progress(\"child\") for _ in range(9)]; '\n"
        "done = subprocess.run([sys.executable, '-c', code], stderr=subprocess.PIPE, text=True)\n"
        "assert (done.returncode, len(done.stderr.splitlines())) == (0, 1), done.stderr\n"
        "code = 'from air_drivers import report; report.result(1)'\n"
        "assert subprocess.run([sys.executable, '-c', code], stderr=subprocess.DEVNULL).returncode == 1\n"
        "report.result(1)",
    )
    done = run(path)

    assert done.returncode == 0, done.stderr
    assert [item["kind"] for item in records(folder)] == ["progress", "result", "end"]


TYPER = "import typer\napp = typer.Typer()\n@app.command()\ndef main():\n    {}\napp(args=[])"
RICH = "import rich.traceback\nrich.traceback.install()\n{}"
CLICK = "import click\n@click.command()\ndef main():\n    {}\nmain(args=[])"
OWN_HOOK = "import sys\nsys.excepthook = lambda *told: None\n{}"
GROUP = """
import asyncio
async def one():
    {}
async def main():
    async with asyncio.TaskGroup() as group:
        group.create_task(one())
        group.create_task(asyncio.sleep(100))
asyncio.run(main())
"""
POOL = """
from concurrent.futures import ThreadPoolExecutor
def one():
    {}
with ThreadPoolExecutor(1) as pool:
    pool.submit(one).result()
"""
NOTHING = "report.skip('no new files')"
AIRFLOWS = "raise type('AirflowSkipException', (Exception,), {})('no new files')"
RAYS = "raise type('RayTaskError', (report.Skipped,), {'cause': report.Skipped('no new files')})('a trace')"
SKIPS = {
    "at once": NOTHING,
    "after a report": f"report.progress('x')\n{NOTHING}",
    "by Airflow's own": AIRFLOWS,
    "in a Ray task": RAYS,
    "in a coroutine": f"import asyncio\nasync def main():\n    {NOTHING}\nasyncio.run(main())",
    "in a group of coroutines": GROUP.format(NOTHING),
    "in a group of coroutines, by Airflow's own": GROUP.format(AIRFLOWS),
    "in a thread of a pool": POOL.format(NOTHING),
    "in a command of click": CLICK.format(NOTHING),
    "in a command of Typer": TYPER.format(NOTHING),
    "in a command of Typer, by Airflow's own": TYPER.format(AIRFLOWS),
    "in a command of Typer, in a Ray task": TYPER.format(RAYS),
    "with tracebacks of rich": RICH.format(NOTHING),
    "with a hook of its own": OWN_HOOK.format(NOTHING),
}


@pytest.mark.parametrize("text", SKIPS.values(), ids=SKIPS.keys())
def test_a_script_that_finds_nothing_to_do_ends_well_and_says_so(text: str, folder: Path, run: Process) -> None:
    done = run(script(folder, text))

    assert (done.returncode, done.stderr) == (0, "skipped: no new files\n")
    end = records(folder)[-1]
    assert (end["kind"], end["status"], end["message"]) == ("end", "skipped", "no new files")


def test_a_skip_lets_threads_and_exit_functions_do_their_work(folder: Path, run: Process) -> None:
    text = (
        "import atexit, threading, time\n"
        "atexit.register(print, 'exit function')\n"
        "threading.Thread(target=lambda: (time.sleep(0.3), print('thread'))).start()\n"
    )
    done = run(script(folder, text + TYPER.format(NOTHING)))

    assert (done.returncode, done.stdout.splitlines()) == (0, ["thread", "exit function"])
    assert records(folder)[-1]["status"] == "skipped"


@pytest.mark.parametrize("shown_by", [TYPER, RICH, CLICK, OWN_HOOK], ids=["Typer", "rich", "click", "a hook"])
def test_whatever_shows_an_error_the_end_says_it(shown_by: str, folder: Path, run: Process) -> None:
    raises = "raise type('AirflowFailException', (Exception,), {})('bad table') from KeyError('id')"

    assert run(script(folder, "report.progress('x')\n" + shown_by.format(raises))).returncode == 1
    end = records(folder)[-1]
    assert (end["status"], end["no_retry"]) == ("failed", True)
    assert end["error"] == {"type": "AirflowFailException", "message": "bad table\ncaused by KeyError: 'id'"}


def test_a_skip_beside_a_failure_is_a_failure(folder: Path, run: Process) -> None:
    text = f"def skip(): {NOTHING}\ntry: skip()\nexcept Exception as error: found = error\n"
    text += "report.progress('x')\nraise ExceptionGroup('two', [found, ValueError('bad')])"

    assert run(script(folder, text)).returncode == 1
    assert records(folder)[-1]["status"] == "failed"


def test_a_script_that_gives_up_says_that_no_retry_can_help(folder: Path, run: Process) -> None:
    text = "class AirflowFailException(Exception): pass\nreport.progress('x')\nraise AirflowFailException('bad table')"

    assert run(script(folder, text)).returncode == 1
    assert records(folder)[-1]["no_retry"] is True


def test_a_skip_by_hand_raises_what_is_skipped(folder: Path, run: Process) -> None:
    done = run(script(folder, "report.skip('no new files')"), AIR_SUBMISSION_ID="")

    assert done.returncode == 1
    assert "Skipped: no new files" in done.stderr


def test_a_fork_of_the_script_says_so_once_and_goes_on(folder: Path, run: Process) -> None:
    path = script(
        folder,
        "import os\n"
        "report.progress('mine')\n"
        "if os.fork() == 0:\n"
        "    report.progress('child'); report.metric({'a': 1}); os._exit(7)\n"
        "assert os.waitstatus_to_exitcode(os.wait()[1]) == 7\n"
        "report.result(1)",
    )
    done = run(path)

    assert done.returncode == 0, done.stderr
    assert [item["kind"] for item in records(folder)] == ["progress", "result", "end"]
    assert len(done.stderr.splitlines()) == 1


def test_all_threads_of_the_script_report(folder: Path, run: Process) -> None:
    path = script(
        folder,
        "import contextlib, threading\n"
        "from air_drivers.frame import own_records\n"
        "gate, both, path_of = threading.Barrier(8), threading.Barrier(2), own_records.path_of\n"
        "def held(name):\n"  # until a second thread opens the records too, which none should
        "    with contextlib.suppress(threading.BrokenBarrierError): both.wait(0.5)\n"
        "    return path_of(name)\n"
        "own_records.path_of = held\n"
        "def work(n):\n"
        "    gate.wait()\n"
        "    for _ in range(20): report.metric({'a': n})\n"
        "threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]\n"
        "[t.start() for t in threads]; [t.join() for t in threads]\n"
        "report.result(1)",
    )
    done = run(path)

    assert (done.returncode, done.stderr) == (0, "")
    assert [item["kind"] for item in records(folder)] == ["metric"] * 160 + ["result", "end"]


def test_what_is_reported_after_the_end_is_said_once(folder: Path, run: Process) -> None:
    path = script(
        folder,
        "import atexit\natexit.register(lambda: [report.progress('late') for _ in range(9)])\nreport.result(1)",
    )
    done = run(path)

    assert done.returncode == 0
    assert len(done.stderr.splitlines()) == 1
    assert [item["kind"] for item in records(folder)] == ["result", "end"]


FULL_DISK = """
import resource
def room(size): resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
report.metric({'a': 0})
room(1000)
for n in range(100): report.metric({'a': n})
room(resource.RLIM_INFINITY)
report.metric({'a': 100})
report.result(1)
"""


def test_a_disk_that_is_full_for_a_while_costs_reports_and_nothing_else(folder: Path, run: Process) -> None:
    done = run(script(folder, FULL_DISK))

    assert done.returncode == 0, done.stderr
    assert len(done.stderr.splitlines()) == 1
    found = records(folder)
    assert [item["kind"] for item in found][-2:] == ["result", "end"]
    assert found[-3]["values"] == {"a": 100}
    assert 3 < len(found) < 30


def test_a_result_that_the_disk_does_not_take_fails_the_script(folder: Path, run: Process) -> None:
    done = run(script(folder, FULL_DISK.replace("room(resource.RLIM_INFINITY)\n", "")))

    assert done.returncode == 1
    assert "OSError" in done.stderr


def test_a_worker_of_rays_does_not_write_where_nobody_reads(folder: Path, run: Process) -> None:
    # What Ray has in its workers' processes; a worker on another node finds no file of the entrypoint's.
    path = script(
        folder,
        "import sys, types\n"
        "worker = types.ModuleType('worker')\n"
        "worker.WORKER_MODE, worker.global_worker = 1, types.SimpleNamespace(mode=1)\n"
        "sys.modules['ray._private.worker'] = worker\n"
        "for n in range(9): report.metric({'a': n})\n"
        "try: report.result(1)\n"
        "except RuntimeError: print('refused')",
    )
    done = run(path)

    assert (done.returncode, done.stdout) == (0, "refused\n")
    assert len(done.stderr.splitlines()) == 1
    assert not list((folder / "logs").iterdir())

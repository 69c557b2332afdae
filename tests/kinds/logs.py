"""
What jobs write into their logs, and what they fail with.

Inputs are of three forms: a :class:`Written` log, a :class:`Raises` function that fails, and the failures of a run's
:class:`Workers`.
"""

from __future__ import annotations

import asyncio
import io
import multiprocessing
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from tests.kinds import Kind


@dataclass(frozen=True)
class Written:
    """
    What a job writes into its log.

    :param lines: what the task log shows of it, once the job has ended
    """

    log: bytes
    lines: list[str]


@dataclass(frozen=True)
class Raises:
    """
    What fails.

    :param says: what the error of the task says: its first line, and what else is in it
    :param hides: what must not be in it
    """

    function: Callable[[], Any]
    first: str
    says: list[str] = field(default_factory=list)
    hides: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Workers:
    """
    What workers of one run have raised, by rank.

    :param seconds: when each of them did
    :param blamed: what the error of the task says
    """

    failures: Mapping[int, Callable[[], BaseException]]
    blamed: str
    seconds: Mapping[int, float] = field(default_factory=dict)


def tqdm_bar(count: int, *, leave: bool = True) -> bytes:
    """Give what tqdm writes for one bar of a fixed width, without its clock."""
    from tqdm import tqdm  # type: ignore[import-untyped, unused-ignore]

    file = io.StringIO()
    for _ in tqdm(range(count), file=file, mininterval=0, leave=leave, bar_format="{percentage:3.0f}%|{bar:10}|"):
        pass
    return file.getvalue().encode()


def nested_bars() -> bytes:
    """Give what tqdm writes for a bar inside of another."""
    from tqdm import tqdm  # type: ignore[import-untyped, unused-ignore]

    file, form = io.StringIO(), "{desc}: {percentage:3.0f}%"
    for _ in tqdm(range(3), file=file, mininterval=0, bar_format=form, desc="outer"):
        for _ in tqdm(range(50), file=file, mininterval=0, bar_format=form, desc="inner", leave=False):
            pass
    return file.getvalue().encode()


def rich_bars() -> bytes:
    """Give what rich writes for two bars, drawn anew by moving the cursor up."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    file = io.StringIO()
    console = Console(file=file, force_terminal=True, color_system=None, width=40, legacy_windows=False)
    columns = (TextColumn("{task.description}"), BarColumn(10), TaskProgressColumn())
    with Progress(*columns, console=console, auto_refresh=False) as progress:
        first, second = progress.add_task("A", total=20), progress.add_task("B", total=20)
        for _ in range(20):
            progress.advance(first)
            progress.advance(second)
            progress.refresh()
    return file.getvalue().encode()


PIP = b"Downloading torch\r\n\r\x1b[2K   1.0/9.9 MB\r\x1b[2K   9.9/9.9 MB\x1b[0m \x1b[31m3.1 MB/s\x1b[0m\nInstalled\n"
STATES = b"".join(b"\rstep %d" % number for number in range(1000))

BARS = Kind(
    "a progress bar (`tqdm`, `rich`, `pip`, a counter of your own) that is drawn over itself",
    "its state every 15 s while it goes on, and one line at its end; a thousand states are no thousand lines",
    {
        "a bar of tqdm": Written(tqdm_bar(50), ["100%|##########|"]),
        "a bar and what follows it": Written(tqdm_bar(50) + b"done\n", ["100%|##########|", "done"]),
        "a bar that is wiped out": Written(tqdm_bar(50, leave=False) + b"done\n", ["done"]),
        "a bar in a bar": Written(nested_bars(), ["outer:   0%", "outer: 100%"]),
        "two bars of rich": Written(rich_bars(), ["A              0%", "A ━━━━━━━━━━ 100%", "B ━━━━━━━━━━ 100%"]),
        "pip": Written(PIP, ["Downloading torch", "   9.9/9.9 MB\x1b[0m \x1b[31m3.1 MB/s\x1b[0m", "Installed"]),
        "a thousand states without an end": Written(STATES, ["step 999"]),
        "states that end with the return": Written(b"10%\r20%\r30%\r\nend\n", ["30%", "end"]),
        "a shorter state over a longer one": Written(b"working 100 of 100\rdone\n", ["done"]),
        "a message into the middle of a bar": Written(b"\r50%\r   \rnote\n\r100%\n", ["note", "100%"]),
        "wiped out by a sequence": Written(b"50%\r\x1b[Kdone\n", ["done"]),
        "to the first column by a sequence": Written(b"50%\x1b[1G100%\n", ["100%"]),
        "by a place that is kept": Written(b"\x1b[s10%\x1b[u50%\x1b[u100%\ndone\n", ["100%", "done"]),
        "by a place that is kept, as of DEC": Written(b"\x1b710%\x1b850%\x1b8100%\n", ["100%"]),
        "by a place behind a text": Written(b"step: \x1b[s10%\x1b[u100%\n", ["step: 100%"]),
        "by a place in a line above": Written(b"\x1b[s10%\nnote\n\x1b[u100%\n", ["10%", "note", "100%"]),
        "by a place that nobody has kept": Written(b"10%\x1b[u100%\n", ["100%"]),
        "by clearing the screen": Written(b"\x1b[2J\x1b[H10%\x1b[2J\x1b[H50%\x1b[2J\x1b[H100%\n", ["100%"]),
        "by going to the first row and column": Written(b"10%\x1b[1;1H50%\x1b[1;1f100%\n", ["100%"]),
        "as apt does, in the terminal's last row": Written(
            b"Unpacking a ... \x1b7\x1b[24;0f\x1b[42mProgress: [10%]\x1b[49m\x1b8done\n"
            b"\x1b7\x1b[24;0f\x1b[42mProgress: [90%]\x1b[49m\x1b8Setting up a\n",
            ["Unpacking a ... done", "Setting up a"],
        ),
    },
)
BACKSPACES = Kind(
    "a counter or a spinner that goes back by backspaces",
    "as a bar: what was there last",
    {
        "a spinner": Written(b"loading |\b/\b-\b\\\bdone\n", ["loading done"]),
        "a counter": Written(b"10%\b\b\b20%\b\b\b\b30%\b\b\b\n", ["30%"]),
        "a typing mistake": Written(b"teh\b\bhe\n", ["the"]),
        "of a wide character": Written("größe\b\b\b\be\n".encode(), ["ge"]),
        "more of them than characters": Written(b"ab\b\b\b\b\bc\n", ["c"]),
    },
)
LINE_ENDS = Kind(
    "lines that end as on Windows, empty lines, a last line without an end",
    "a line each",
    {
        "as on Windows": Written(b"one\r\ntwo\r\n", ["one", "two"]),
        "with two returns": Written(b"one\r\r\ntwo\r\r\n", ["one", "two"]),
        "empty lines": Written(b"one\n\n\ntwo\n", ["one", "", "", "two"]),
        "no end": Written(b"one\ntwo", ["one", "two"]),
        "a return and no end": Written(b"one\ntwo\r", ["one", "two"]),
        "nothing": Written(b"", []),
    },
)
CHARACTERS = Kind(
    "characters of more than one byte",
    "whole, however the log was cut into reads; a byte order mark is left out",
    {
        "umlauts": Written("Größe: 3 €\n".encode(), ["Größe: 3 €"]),
        "an emoji of many parts": Written("👩‍👩‍👧‍👦 done\n".encode(), ["👩‍👩‍👧‍👦 done"]),
        "Chinese in a bar": Written("\r第一步\r第二步\n".encode(), ["第二步"]),
        "a byte order mark": Written(b"\xef\xbb\xbffirst\n", ["first"]),
    },
)
BYTES = Kind(
    "bytes that are no text: broken UTF-8, another encoding, NUL and other control characters",
    r"broken ones as `�`, control characters spelled out (`\x00`); nothing is lost behind them",
    {
        "Latin-1": Written("Größe\n".encode("latin-1"), ["Gr��e"]),
        "cut in the middle": Written("ab€".encode()[:-1] + b"\ncd\n", ["ab�", "cd"]),
        "NUL": Written(b"a\0b\n", [r"a\x00b"]),
        "a bell and a form feed": Written(b"a\x07b\x0cc\n", [r"a\x07b\x0cc"]),
        "UTF-16": Written("ab".encode("utf-16-le") + b"\n", [r"a\x00b\x00"]),
        "a tab stays": Written(b"a\tb\n", ["a\tb"]),
    },
)
COLOURS = Kind(
    "colours and links of a terminal",
    "kept in the log, left out of error messages; what moves a cursor or sets a title is left out everywhere",
    {
        "red": Written(b"\x1b[31mred\x1b[0m\n", ["\x1b[31mred\x1b[0m"]),
        "a link": Written(b"\x1b]8;;http://a\x1b\\here\x1b]8;;\x1b\\\n", ["\x1b]8;;http://a\x1b\\here\x1b]8;;\x1b\\"]),
        "a title and a hidden cursor": Written(b"\x1b]0;title\x07\x1b[?25lrun\x1b[?25h\n", ["run"]),
        "a bar and a cursor that comes back": Written(b"\r50%\r100%\r\x1b[?25h\n", ["100%"]),
        "an error in colours": Raises(
            lambda: fail(ValueError("\x1b[1;31mbad\x1b[0m \x1b]8;;http://a\x07row\x1b]8;;\x07 7")),
            "ValueError: bad row 7",
            hides=["\x1b"],
        ),
        "an error with a bar": Raises(
            lambda: fail(OSError("10%\r50%\r100%\nno space left")), "OSError: 100%", ["no space left"], ["50%"]
        ),
    },
)
LONG = Kind(
    "a line of more than 64 KiB",
    "its first 64 KiB, and how much is left out; the whole log is in Ray's dashboard",
    {
        "a hundred thousand characters": Written(
            b"x" * 100_000 + b"\nnext\n",
            ["x" * 65_536 + " […]", "[34464 more bytes of that line are left out]", "next"],
        ),
        "without an end": Written(
            b"x" * 100_000, ["x" * 65_536 + " […]", "[34464 more bytes of that line are left out]"]
        ),
        "cut between characters": Written(
            b"x" + "ä".encode() * 40_000 + b"\n",
            ["x" + "ä" * 32_767 + " […]", "[14466 more bytes of that line are left out]"],
        ),
    },
)


def fail(error: BaseException) -> None:
    """Raise."""
    raise error


def caused() -> None:
    """Fail because of another failure."""
    row: dict[str, int] = {}
    try:
        row["user_id"]
    except KeyError as error:
        raise ValueError("row 7 is bad") from error


def in_handling() -> None:
    """Fail while handling another failure."""
    try:
        raise ConnectionError("the store is away")
    except ConnectionError:
        fail(RuntimeError("cannot tidy up"))


def hidden() -> None:
    """Fail, and hide why."""
    try:
        raise ConnectionError("the store is away")
    except ConnectionError:
        raise RuntimeError("no data") from None


def chained(length: int) -> None:
    """Fail because of so many others."""
    error: Exception | None = None
    for number in range(length):
        try:
            raise ValueError(f"number {number}") from error
        except ValueError as caught:
            error = caught
    fail(error or ValueError())


def in_a_ring() -> None:
    """Fail with an error that is its own cause's cause."""
    first, second = ValueError("one"), ValueError("two")
    first.__cause__, second.__cause__ = second, first
    raise first


def grouped() -> None:
    """Fail with several errors at once."""
    raise ExceptionGroup("3 files", [OSError("a is bad"), ExceptionGroup("inner", [KeyError("b")]), ValueError("c\nd")])


def in_coroutines() -> None:
    """Fail in a task of a group, because of another failure."""

    async def one() -> None:
        caused()

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(one())

    asyncio.run(main())


def in_a_group_of_its_cause() -> None:
    """Fail with a group whose member was caused by the group."""
    member = ValueError("row 7 is bad")
    group = ExceptionGroup("2 files", [member, OSError("a is bad")])
    member.__cause__ = group
    raise group


def in_an_executor() -> None:
    """Fail in a process of an executor."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as pool:
        pool.submit(caused).result()


def in_a_pool() -> None:
    """Fail in a process of a pool."""
    with multiprocessing.get_context("fork").Pool(1) as pool:
        pool.apply(caused)


def in_a_pool_because_of() -> None:
    """Fail because of a failure in a process of a pool."""
    try:
        in_a_pool()
    except ValueError as error:
        raise RuntimeError("no features") from error


def by_joblib() -> None:
    """Fail in a process of joblib's."""
    import joblib  # type: ignore[import-untyped, unused-ignore]

    joblib.Parallel(n_jobs=2, backend="loky")(joblib.delayed(caused)() for _ in range(2))


def caused_by_a_group() -> Exception:
    """Give an error that a group has caused."""
    error = RuntimeError("no data")
    error.__cause__ = raised_by(in_coroutines)
    return error


def many() -> None:
    """Fail with a hundred errors at once."""
    raise ExceptionGroup("files", [OSError(f"file {number}") for number in range(100)])


def asserted() -> None:
    """Fail with an error that says nothing."""
    rows = 0
    assert rows == 1


def compiled() -> None:
    """Fail with code that is none."""
    compile("x = 1\ny = = 2\n", "train.py", "exec")


class Mute(Exception):
    """It cannot say what it is."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


class Rigid(Exception):
    """It cannot be moved to another process, and lets nobody write on it."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(f"{what}: {why}")

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(name)


def noted() -> None:
    """Fail with a note."""
    error = ValueError("bad row")
    error.add_note("in file 7.parquet")
    raise error


ERRORS = Kind(
    "an exception that another one has caused (`raise … from …`, or while handling it), a group, a note",
    "the error names each, with its text: `ValueError: … caused by KeyError: …`; `from None` hides as it should",
    {
        "from another": Raises(caused, "ValueError: row 7 is bad", ["caused by KeyError: 'user_id'"]),
        "while handling another": Raises(
            in_handling, "RuntimeError: cannot tidy up", ["while handling ConnectionError: the store is away"]
        ),
        "from None": Raises(hidden, "RuntimeError: no data", hides=["the store is away"]),
        "a chain of a thousand": Raises(
            lambda: chained(1000), "ValueError: number 999", ["number 998", "number 991"], ["number 990"]
        ),
        "a ring": Raises(in_a_ring, "ValueError: one", ["caused by ValueError: two"]),
        "a group": Raises(
            grouped, "ExceptionGroup: 3 files (3 sub-exceptions)", ["- OSError: a is bad", "  - KeyError: 'b'", "  d"]
        ),
        "a group whose member has a cause": Raises(
            in_coroutines,
            "ExceptionGroup: unhandled errors in a TaskGroup (1 sub-exception)",
            ["- ValueError: row 7 is bad\n  caused by KeyError: 'user_id'"],
        ),
        "a group that caused its own member": Raises(
            in_a_group_of_its_cause, "ExceptionGroup: 2 files", ["- ValueError: row 7 is bad", "- OSError: a is bad"]
        ),
        "a group that caused another": Raises(
            lambda: fail(caused_by_a_group()),
            "RuntimeError: no data",
            ["caused by ExceptionGroup", "KeyError: 'user_id'"],
        ),
        "a group of Ray tasks": Raises(
            lambda: fail(BaseExceptionGroup("2 tasks", [task_error(raised_by(caused))])),
            "ExceptionGroup: 2 tasks",
            ["- ValueError: row 7 is bad\n  caused by KeyError: 'user_id'"],
            ["RayTaskError"],
        ),
        "a group of a hundred": Raises(many, "ExceptionGroup: files", ["file 9", "- and 90 more"], ["file 10\n"]),
        "a note": Raises(noted, "ValueError: bad row", ["in file 7.parquet"]),
    },
)
POOLS = Kind(
    "an exception in a process of `ProcessPoolExecutor`, `multiprocessing.Pool` or joblib, which has a cause",
    "as any other: its cause is in the error",
    {
        "in an executor": Raises(
            in_an_executor, "ValueError: row 7 is bad", ["caused by KeyError: 'user_id'"], ['"""']
        ),
        "in a pool": Raises(in_a_pool, "ValueError: row 7 is bad", ["caused by KeyError: 'user_id'"], ['"""']),
        "by joblib": Raises(by_joblib, "ValueError: row 7 is bad", ["caused by KeyError: 'user_id'"], ['"""']),
        "because of one in a pool": Raises(
            in_a_pool_because_of,
            "RuntimeError: no features",
            ["caused by ValueError: row 7 is bad\ncaused by KeyError: 'user_id'"],
            ['"""'],
        ),
        "in a pool of a Ray task": Raises(
            lambda: fail(task_error(raised_by(in_a_pool))),
            "ValueError: row 7 is bad\ncaused by KeyError: 'user_id'",
            hides=['"""'],
        ),
    },
)
QUIET = Kind(
    "an exception that says little or nothing",
    "its type, and where it was raised; a syntax error with its line",
    {
        "a missing key": Raises(lambda: fail(KeyError("x")), "KeyError: 'x'"),
        "an assertion": Raises(asserted, "AssertionError: raised in asserted (logs.py, line ", ["assert rows == 1"]),
        "one whose text cannot be had": Raises(lambda: fail(Mute()), "Mute: (its text cannot be had: RuntimeError)"),
        "code that is none": Raises(compiled, "SyntaxError: invalid syntax (train.py, line 2): y = = 2"),
        "a missing module": Raises(
            lambda: __import__("nosuch_package.part"),
            "ModuleNotFoundError: No module named 'nosuch_package'",
            ["runtime_env={'pip': ['nosuch_package']}", "working_dir"],
        ),
        "one that cannot be written on": Raises(lambda: fail(Rigid("disk", "full")), "Rigid: disk: full"),
        "a text of ten million characters": Raises(
            lambda: fail(ValueError("begin" + "x" * 10_000_000 + "end")), "ValueError: begin", ["left out", "end"]
        ),
    },
)


def task_error(cause: BaseException) -> BaseException:
    """Give what Ray raises where a task has failed; a cause is moved, and loses its own causes."""
    import traceback

    from ray import cloudpickle
    from ray.exceptions import RayTaskError

    text = "".join(traceback.format_exception(cause))
    moved = cloudpickle.loads(cloudpickle.dumps(cause))
    failed = RayTaskError("work", text, moved, proctitle="ray::work", pid=7, ip="10.0.0.7")
    raised: BaseException = failed.as_instanceof_cause()
    return raised


def raised_by(function: Callable[[], Any]) -> BaseException:
    """Give what a function raises."""
    try:
        function()
    except BaseException as error:  # noqa: BLE001  # whatever it is, it is what the test is about
        return error
    raise AssertionError("it has not failed")


def _twice() -> None:
    raise task_error(task_error(raised_by(caused)))


def _unreadable() -> None:
    import traceback

    from ray.exceptions import UnserializableException

    raise UnserializableException("".join(traceback.format_exception(raised_by(caused))))


def _actor() -> None:
    import traceback

    from ray.exceptions import ActorDiedError, RayTaskError

    error = raised_by(caused)
    text = "".join(traceback.format_exception(error))
    raise ActorDiedError(RayTaskError("A", text, error, "ray::A.__init__", 7, "10.0.0.7"))


def _data() -> None:
    from ray.exceptions import UserCodeException

    try:
        caused()
    except ValueError as error:
        wrapped = UserCodeException("UDF failed to process a data block.")
        wrapped.__cause__ = error
        raise task_error(wrapped) from None


def _workers() -> BaseException:
    from ray.train import WorkerGroupError

    error: BaseException = WorkerGroupError("", {0: RuntimeError("NCCL aborted"), 2: MemoryError("GPU 0 is full")})
    return error


WRAPPED = Kind(
    "an exception of a Ray task, an actor's `__init__`, a function of Ray Data, a Train run inside of a Tune trial",
    "your own exception and its causes, not Ray's wrapper around them",
    {
        "of a task": Raises(lambda: fail(task_error(ValueError("bad"))), "ValueError: bad", hides=["RayTaskError"]),
        "with a cause": Raises(
            lambda: fail(task_error(raised_by(caused))), "ValueError: row 7 is bad", ["caused by KeyError: 'user_id'"]
        ),
        "of a task of a task": Raises(_twice, "ValueError: row 7 is bad", ["caused by KeyError"], ["ray::"]),
        "that cannot be moved": Raises(_unreadable, "ValueError: row 7 is bad", ["caused by KeyError: 'user_id'"]),
        "of an actor's init": Raises(_actor, "ValueError: row 7 is bad", ["caused by KeyError: 'user_id'"]),
        "of a function of Ray Data": Raises(
            _data, "ValueError: row 7 is bad", ["caused by KeyError: 'user_id'"], ["UDF failed"]
        ),
        "of a run in a trial": Raises(
            lambda: fail(task_error(_workers())), "WorkerGroupError: worker 2: MemoryError: GPU 0 is full"
        ),
    },
)


def _died() -> BaseException:
    from ray.exceptions import ActorDiedError
    from ray.train.v2._internal.exceptions import WorkerHealthCheckFailedError

    error: BaseException = WorkerHealthCheckFailedError("A worker health check failed.", ActorDiedError())
    return error


def _timed_out() -> BaseException:
    from ray.train.v2._internal.exceptions import BroadcastCollectiveTimeoutError

    error: BaseException = BroadcastCollectiveTimeoutError(1800.0, [3], 1800.0)
    return error


def _nccl() -> BaseException:
    return RuntimeError("NCCL communicator was aborted on rank 0")


def _gloo() -> BaseException:
    return RuntimeError("[gloo/transport/tcp/pair.cc:534] Connection closed by peer [10.0.0.3]:2145")


def _full() -> BaseException:
    return MemoryError("CUDA out of memory")


def _bad() -> BaseException:
    return raised_by(caused)


def _says(text: str, kind: type[BaseException] = RuntimeError) -> Callable[[], BaseException]:
    return lambda: kind(text)


def _before(blamed: BaseException) -> Workers:
    """An error of one's own, a minute before what comes of it."""
    text = f"worker 1: {type(blamed).__name__}: {blamed}"
    return Workers({0: _says("Socket Timeout"), 1: lambda: blamed}, text, {0: 160.0, 1: 100.0})


# What is said of a line that is lost, by PyTorch, gloo, JAX and TensorFlow.
LOST_LINES = [
    "NCCL communicator was aborted on rank 0",
    "NCCL Error 6: unhandled system error, ncclRemoteError",
    "[gloo/transport/tcp/pair.cc:534] Connection closed by peer [10.0.0.3]:2145",
    "[Rank 0] Ranks 3 failed to pass monitoredBarrier in 1800000 ms",
    "Socket Timeout",
    "wait timeout after 1800000ms, keys: /default_pg/0//worker_count",
    "[c10d] The client socket has failed to connect to any network address of (10.0.0.1, 29500)",
    "recvValue failed on SocketImpl(fd=7, addr=[10.0.0.1]:4711)",
    "Application timeout caused pair closure",
    "Timed out waiting 1800000ms for recv operation to complete",
    "Timed out after 601 seconds waiting for clients. 1/2 clients joined.",
    "Failed to recv, got 0 bytes. Connection was likely closed. Did the remote server shutdown or crash?",
    "TCPStore: the get timed out",
    "DEADLINE_EXCEEDED: Barrier timed out. Id: shutdown",
    "UNAVAILABLE: Coordination service agent is in the error state",
    "Collective ops is aborted by: the worker is away",
    "Broken pipe",
    "Watchdog caught an operation that has not ended in time",
]
# What authors say in words like these.
OWN_WORDS: list[BaseException] = [
    ValueError("barrier option 7: negative price"),
    RuntimeError("barrier option 7: negative price"),
    KeyError("igloo"),
    FileNotFoundError(2, "there is none", "/mnt/store/runtime/x.parquet"),
    RuntimeError("/mnt/store/runtime/x.parquet has no rows"),
    ValueError("the stored features of time 3 are NaN"),
    ValueError("NCCL_DEBUG is no flag"),
    OSError("connection refused: feature store db:5432"),
    ConnectionRefusedError(111, "Connection refused"),
    ValueError("a collective agreement of 1987"),
    KeyError("all_reduce"),
    AssertionError("watchdogs: 3"),
]


RANKS = Kind(
    "several workers of a Train run that fail one after the other: one has run out of memory, the others lose their "
    "line to it",
    "the error is of the worker that failed first; what the others raised is in the log. Where times are not known, or "
    "alike, an error of your own is before a worker that died, and that before NCCL, Gloo and time-outs",
    {
        "rank 3 before NCCL": Workers({0: _nccl, 1: _gloo, 3: _full}, "worker 3: MemoryError: CUDA out of memory"),
        "NCCL that was seen first": Workers(
            {0: _nccl, 3: _full}, "worker 3: MemoryError: CUDA out of memory", {0: 100.0, 3: 100.1}
        ),
        "two of their own, by time": Workers(
            {0: _bad, 3: _full}, "worker 3: MemoryError: CUDA out of memory", {0: 101.0, 3: 100.0}
        ),
        "two of their own at once": Workers({1: _full, 2: _bad}, "worker 1: MemoryError: CUDA out of memory"),
        "a worker that died": Workers({0: _gloo, 1: _timed_out, 2: _died}, "worker 2: ActorDiedError: The actor died"),
        "an error before a death": Workers({0: _died, 5: _bad}, "worker 5: ValueError: row 7 is bad"),
        "only consequences": Workers({0: _nccl, 1: _gloo}, "worker 1: RuntimeError: [gloo", {0: 7.0, 1: 6.0}),
        "a time-out of Ray's own": Workers({0: _timed_out, 3: _bad}, "worker 3: ValueError: row 7 is bad"),
        **{
            f"a lost line: {text[:40]}": Workers({0: _says(text), 3: _bad}, "worker 3: ValueError: row 7 is bad")
            for text in LOST_LINES
        },
        **{f"words of one's own: {error!r}": _before(error) for error in OWN_WORDS},
        "long before another": Workers(
            {0: _says("the DataLoader has ended"), 1: _says("db", ConnectionRefusedError)},
            "worker 1: ConnectionRefusedError: db",
            {0: 200.0, 1: 100.0},
        ),
        "a lost line of LightGBM": Workers(
            {0: _says("Socket recv error, code: 104", type("LightGBMError", (Exception,), {})), 3: _bad},
            "worker 3: ValueError: row 7 is bad",
        ),
        "a lost line of PyTorch": Workers(
            {0: _says("it is gone", type("DistStoreError", (RuntimeError,), {})), 3: _bad},
            "worker 3: ValueError: row 7 is bad",
        ),
        "a cause is kept": Workers({4: _bad}, "caused by KeyError: 'user_id'"),
        "one that cannot be moved": Workers({1: lambda: Rigid("disk", "full")}, "worker 1: Rigid: disk: full"),
    },
)
LAST_LINES = Kind(
    "the driver's last lines in the error of a job",
    "bars as their last state, no colours, the traceback to its end",
    {
        "a bar before a traceback": Raises(
            lambda: fail(JobMessage("exit code 1:\n" + STATES.decode() + "\nValueError: bad")),
            "exit code 1",
            ["step 999\nValueError: bad"],
            ["step 998"],
        ),
        "a traceback in colours": Raises(
            lambda: fail(
                JobMessage('exit code 1:\n\x1b[1mTraceback\x1b[0m\n  \x1b[35mFile\x1b[0m "a.py"\nKeyError: 1')
            ),
            "exit code 1",
            ['Traceback\n  File "a.py"\nKeyError: 1\n'],
            ["\x1b"],
        ),
        "a missing module of a script": Raises(
            lambda: fail(JobMessage("exit code 1:\nModuleNotFoundError: No module named 'torch.nn'")),
            "exit code 1",
            ["runtime_env={'pip': ['torch']}"],
        ),
    },
)


class JobMessage(Exception):
    """Stands for what Ray says of a job that runs no driver of ours."""


KINDS = [BARS, BACKSPACES, LINE_ENDS, CHARACTERS, BYTES, COLOURS, LONG]
KINDS += [ERRORS, POOLS, QUIET, WRAPPED, RANKS, LAST_LINES]


def named(form: type) -> list[tuple[str, Any]]:
    """Give the inputs of one form, by name."""
    return [(name, value) for kind in KINDS for name, value in kind.inputs.items() if isinstance(value, form)]

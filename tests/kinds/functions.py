"""Functions of ``@task.ray``, and how they end: each input is one to run, with what must become of it."""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import enum
import functools
import importlib
import io
import logging
import math
import os
import shutil
import sys
import threading
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, make_dataclass
from typing import Any

import numpy
import pandas
import pendulum
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

from tests.kinds import Kind


@dataclass(frozen=True)
class Call:
    """
    A call and its end.

    :param value: what comes home
    :param code: the driver's exit code
    :param end: what the closing record says beside its status; None: there is none
    """

    function: Callable[..., Any]
    args: tuple[Any, ...] = ()
    value: Any = None
    code: int = 0
    status: str = "succeeded"
    end: dict[str, Any] | None = field(default_factory=dict)


def failed(function: Callable[..., Any], kind: str, message: str, code: int = 1, **more: Any) -> Call:
    end = {"error": {"type": kind, "message": message}, **more}
    return Call(function, code=code, status="failed", end=end)


def undone(function: Callable[..., Any], place: str = "", kind: str = "ObjectRef") -> Call:
    why = {
        "ObjectRef": "whose object ends with the job: return ray.get(...) of it",
        "ObjectRefGenerator": "whose objects end with the job: return ray.get(list(...)) of it",
    }
    return failed(function, "ConfigurationProblem", f"the return value{place} is a Ray {kind}, {why[kind]}", 64)


def skipped(function: Callable[..., Any], why: str) -> Call:
    return Call(function, status="skipped", end={"message": why})


# What a DAG file has beside the function


class Colour(enum.Enum):
    RED = "red"


@dataclass
class Point:
    x: float
    y: float = 2.0

    def length(self) -> float:
        return math.hypot(self.x, self.y)


def ref(kind: str = "ObjectRef") -> Any:
    """Give what looks like Ray's own."""
    return type(kind, (), {})()


class Base:
    factor = 2


class Scale(Base):
    def __init__(self, by: float) -> None:
        self.by = by

    def __call__(self, value: float) -> float:
        return value * self.by * self.factor

    def method(self, value: float) -> float:
        return float(super().__getattribute__("by")) + value

    @classmethod
    def of_class(cls, value: float) -> float:
        return value * cls.factor

    @staticmethod
    def static(value: float) -> float:
        return value


class Odd(Exception):
    def __init__(self) -> None:
        super().__init__("odd")
        self.lock = threading.Lock()


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class MySkip(AirflowSkipException):
    pass


LIMITS = {"low": 1, "high": 9}
SQUARE: Callable[[int], int] = lambda number: number * number  # noqa: E731  # as people write it
LOG = logging.getLogger("dag")
BEGIN = pendulum.datetime(2026, 1, 2)
ROWS = typing.NamedTuple("ROWS", [("a", int)])  # noqa: UP014


def logged(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def around(*args: Any, **kwargs: Any) -> Any:
        LOG.info("begin")
        return function(*args, **kwargs)

    return around


@logged
@logged
def decorated(number: int) -> int:
    return SQUARE(number) + LIMITS["low"]


def uses_all() -> list[Any]:
    return [Colour("red").value, Point(0).length(), ROWS(3).a, Scale(2)(1), decorated(2), Colour.RED is Colour("red")]


@functools.cache
def cached(number: int) -> int:
    return SQUARE(number)


class Model:
    @functools.cached_property
    def weights(self) -> list[int]:
        return [1, 2]

    @functools.lru_cache(maxsize=3)  # noqa: B019  # as people write it
    def predict(self, number: int) -> int:
        return number + len(self.weights)


UserId = typing.NewType("UserId", int)


def caches() -> list[Any]:
    model = Model()
    return [cached(2), cached(2), cached.cache_info().hits, model.weights, model.predict(1), UserId(7)]


def closure(step: int) -> Callable[[int], int]:
    return lambda number: number + step


async def awaited(number: int) -> int:
    await asyncio.sleep(0)
    return number


def recursive(number: int) -> int:
    return 1 if number < 2 else number * recursive(number - 1)


def yields() -> Iterator[int]:
    yield 1


async def yields_later() -> Any:
    yield 1


def hinted(when: pendulum.DateTime, *, points: list[Point] | None = None) -> pendulum.DateTime:
    return when


# As in a file without the __future__ import, where hints are the classes themselves.
hinted.__annotations__ = {"when": pendulum.DateTime, "points": list[Point] | None, "return": pendulum.DateTime}


class Flight:
    at = None


Flight.__annotations__ = {"at": pendulum.DateTime | None}
ROW = typing.NamedTuple("ROW", [("at", pendulum.DateTime), ("count", int)])  # noqa: UP014
RUN = make_dataclass("RUN", [("at", pendulum.DateTime | None, None), ("hours", list[int], field(default_factory=list))])


def hinted_classes() -> list[Any]:
    return [Flight().at, ROW(1, 2).count, RUN().hours, fields(RUN)[1].type == list[int]]  # type: ignore[arg-type]


def defaulted(when: Any = BEGIN) -> str:
    return str(when)


def uses_cloudpickle() -> int:
    import cloudpickle

    return int(cloudpickle.another_version)


# How it ends


def exits(*code: Any) -> Callable[[], None]:
    return lambda: sys.exit(*code)


def leaves(code: int) -> Callable[[], None]:
    return lambda: os._exit(code)


def raises(error: Callable[..., BaseException], *args: Any) -> Callable[[], None]:
    def work() -> None:
        raise error(*args)

    return work


async def cancelled() -> None:
    raise asyncio.CancelledError("the loop is closed")


async def exits_late() -> None:
    await asyncio.sleep(0)
    sys.exit(0)


def reports_a_skip() -> None:
    from air_drivers import report  # its name on a cluster

    report.skip("no new files")


def skips_in_a_ray_task() -> None:
    # Of the shape in which Ray raises what a task has raised (2.60): RayTaskError.as_instanceof_cause().
    cause = AirflowSkipException("no new files")
    kind = type("RayTaskError(AirflowSkipException)", (RuntimeError, AirflowSkipException), {"cause": cause})
    raise kind("a trace of the worker")


def groups() -> None:
    group: Any = vars(builtins)["ExceptionGroup"]
    raise group("two shards", [ValueError("a"), group("inner", [KeyError("b")])])


def groups_an_interrupt() -> None:
    group: Any = vars(builtins)["BaseExceptionGroup"]
    raise group("stopped", [KeyboardInterrupt("x")])


# What it does to its process


def forks(child: str) -> Callable[[], int]:
    def work() -> int:
        number = os.fork()
        if number == 0 and child == "exits":
            sys.exit(0)
        if number == 0 and child == "raises":
            raise ValueError("the child's")
        if number == 0:
            return 3
        os.waitpid(number, 0)
        return 7

    return work


def changes_folder() -> int:
    os.chdir("/")
    return 7


def deletes_folder() -> int:
    os.mkdir("here")
    os.chdir("here")
    shutil.rmtree(os.getcwd())
    return 7


def redirects() -> int:
    sys.stdout = sys.stderr = io.StringIO()
    print("nowhere")
    return 7


def closes() -> int:
    sys.stdout.close()
    sys.stderr.close()
    return 7


def removes() -> int:
    sys.stdout = sys.stderr = None
    return 7


def redirects_and_raises() -> None:
    sys.stdout = sys.stderr = io.StringIO()
    raise ValueError("told all the same")


def closes_and_raises() -> None:
    sys.stdout.close()
    sys.stderr.close()
    raise ValueError("told all the same")


def shadows() -> int:
    with contextlib.redirect_stdout(None):
        print("nowhere")
    return 7


def leaves_a_thread() -> int:
    threading.Timer(0.2, lambda: None).start()
    return 7


UNDONE = "the function has a yield, so that calling it does nothing yet: "
NOT_THERE = (
    "the function needs the module 'pendulum', which is not on the cluster; put it into the code folder "
    "(working_dir), into runtime_env pip, or import it inside the function from an installed package"
)

KINDS = [
    Kind(
        "a function with what it uses of its DAG file: constants, functions, lambdas, classes, enums, dataclasses, "
        "loggers, decorators, closures, functions and properties with a cache",
        "travels by value",
        {
            "all that a file has": Call(uses_all, value=["red", 2.0, 3, 4, 5, True]),
            "caches": Call(caches, value=[4, 4, 1, [1, 2], 3, 7]),
            "a function with a cache": Call(functools.partial(cached, 3), value=9),
            "a closure": Call(closure(2), (3,), value=5),
            "a lambda": Call(lambda a, b=2: a + b, (3,), value=5),
            "decorated twice": Call(decorated, (3,), value=10),
            "recursive": Call(recursive, (4,), value=24),
            "arguments of its classes": Call(lambda *found: found[0] is found[1], (Colour.RED, Colour.RED), value=True),
        },
    ),
    Kind(
        "a method, an `async def`; as `train_loop=` and the like also `functools.partial` and an object that can be "
        "called, which Airflow's own decorators do not take",
        "called as they are; a coroutine is awaited",
        {
            "partial": Call(functools.partial(decorated, number=4), value=17),
            "partial of a partial": Call(functools.partial(functools.partial(max, 1), 2), (3,), value=3),
            "an object": Call(Scale(2.0), (3,), value=12.0),
            "a method": Call(Scale(2).method, (3,), value=5),
            "a class method": Call(Scale.of_class, (3,), value=6),
            "a static method": Call(Scale.static, (3,), value=3),
            "async": Call(awaited, (7,), value=7),
            "async, decorated": Call(logged(awaited), (7,), value=7),
            "a builtin": Call(sum, ([1, 2],), value=3),
        },
    ),
    Kind(
        "another version of `cloudpickle` on the cluster, or none",
        "plays no role: the worker's own comes along",
        {"another version": Call(uses_cloudpickle, value=1)},
    ),
    Kind(
        "type hints of packages that the cluster does not have, of functions, classes, dataclasses and named tuples",
        "travel as text, as `from __future__ import annotations` makes them",
        {
            "hints": Call(hinted, ("now",), value="now"),
            "hints of classes": Call(hinted_classes, value=[None, 2, [], True]),
        },
    ),
    Kind(
        "a default, a global or a base class of a package that the cluster does not have, such as `pendulum`",
        "the task fails at once, without a retry; the message names the package",
        {"a default": failed(defaulted, "ConfigurationProblem", NOT_THERE, code=64)},
    ),
    Kind(
        "a `yield` in the function; an `ObjectRef` as its value, or anywhere inside of it",
        "the task fails without a retry: return the list, or `ray.get(...)` of it",
        {
            "a generator": failed(yields, "ConfigurationProblem", UNDONE + "return list(...) of what it yields", 64),
            "an async generator": failed(
                yields_later, "ConfigurationProblem", UNDONE + "return a list of what it yields", 64
            ),
            "an ObjectRef": undone(lambda: ref()),
            "a real ObjectRef": undone(lambda: [importlib.import_module("ray").ObjectRef.from_random()], "[0]"),
            "a list of ObjectRefs": undone(lambda: [1, ref(), ref()], "[1]"),
            "a tuple of ObjectRefs": undone(lambda: ({}, (ref(),)), "[1][0]"),
            "a dict of ObjectRefs": undone(lambda: {"auc": 0.9, "parts": {7: [ref()]}}, "['parts'][7][0]"),
            "a set of ObjectRefs": undone(lambda: {ref()}, "[0]"),
            "an ObjectRef in a dataclass": undone(lambda: Point(1.0, ref()), ".y"),
            "an ObjectRef in an array": undone(lambda: numpy.array([ref()], dtype=object), "[0]"),
            "an ObjectRef in a DataFrame": undone(lambda: pandas.DataFrame({"a": [ref()]}), "['data'][0][0]"),
            "an ObjectRefGenerator": undone(lambda: ref("ObjectRefGenerator"), kind="ObjectRefGenerator"),
            "a list of ObjectRefGenerators": undone(
                lambda: [ref("ObjectRefGenerator")], "[0]", kind="ObjectRefGenerator"
            ),
        },
    ),
    Kind(
        "`sys.exit()`, `sys.exit(0)`, `exit()`, `raise SystemExit`",
        "an end as by `return`: the result is None",
        {
            "sys.exit()": Call(exits()),
            "sys.exit(0)": Call(exits(0)),
            "exit()": Call(lambda: exit()),
            "SystemExit": Call(raises(SystemExit)),
            "sys.exit(0) in a coroutine": Call(exits_late),
        },
    ),
    Kind(
        '`sys.exit(3)`, `sys.exit("no such table")`',
        "a failure, with this exit code (1 for text) and text",
        {
            "sys.exit(3)": failed(exits(3), "SystemExit", "3", 3),
            "sys.exit(-1)": failed(exits(-1), "SystemExit", "-1", 255),
            "sys.exit(64)": failed(exits(64), "SystemExit", "64", 64),
            "sys.exit(256)": failed(exits(256), "SystemExit", "256", 1),
            "sys.exit(text)": failed(exits("no such table"), "SystemExit", "no such table", 1),
            "sys.exit('')": failed(exits(""), "SystemExit", "", 1),
        },
    ),
    Kind(
        '`raise AirflowSkipException("…")`, imported at the top of the DAG file; or, in a script as well, '
        '`from air_drivers import report`, then `report.skip("…")`; in a Ray task, too',
        "the task is skipped, with this reason, whatever shows errors (Typer, rich); the cluster needs no Airflow. "
        "Trackers are told of no failure",
        {
            "AirflowSkipException": skipped(raises(AirflowSkipException, "no new files"), "no new files"),
            "AirflowSkipException without a reason": skipped(raises(AirflowSkipException), ""),
            "a class of its own": skipped(raises(MySkip, "no new files"), "no new files"),
            "report.skip": skipped(reports_a_skip, "no new files"),
            "in a Ray task": skipped(skips_in_a_ray_task, "no new files"),
        },
    ),
    Kind(
        "`raise AirflowFailException`",
        "the task fails, without a retry",
        {
            "AirflowFailException": failed(
                raises(AirflowFailException, "bad table"), "AirflowFailException", "bad table", no_retry=True
            )
        },
    ),
    Kind(
        "any other exception, `AirflowException` among them, whatever its state",
        "a failure by its type and text; retries apply",
        {
            "AirflowException": failed(raises(AirflowException, "away"), "AirflowException", "away"),
            "ValueError": failed(raises(ValueError, "bad"), "ValueError", "bad"),
            "without a text": failed(raises(ValueError), "ValueError", "raised in work (<dynamic-code>, line N)"),
            "cannot be pickled": failed(raises(Odd), "Odd", "odd"),
            "__str__ raises": failed(raises(Mute), "Mute", "(its text cannot be had: RuntimeError)"),
            "no UTF-8": failed(raises(OSError, "caf\udce9"), "OSError", "caf\\udce9"),
            "a group": failed(
                groups,
                "ExceptionGroup",
                "two shards (2 sub-exceptions)\n- ValueError: a\n"
                "- ExceptionGroup: inner (1 sub-exception)\n  - KeyError: 'b'",
            ),
            "a group of what no except takes": failed(
                groups_an_interrupt, "BaseExceptionGroup", "stopped (1 sub-exception)\n- KeyboardInterrupt: x"
            ),
            "CancelledError": failed(cancelled, "CancelledError", "the loop is closed"),
            "KeyboardInterrupt": failed(
                raises(KeyboardInterrupt), "KeyboardInterrupt", "raised in work (<dynamic-code>, line N)"
            ),
        },
    ),
    Kind(
        "`os._exit(0)`, or a crash, before the value is reported",
        "no success: the result is lost, and a retry runs it again",
        {
            "os._exit(0)": Call(leaves(0), end=None),
            "os._exit(3)": Call(leaves(3), code=3, end=None),
        },
    ),
    Kind(
        "a function that changes or deletes its folder, redirects or closes its output, forks",
        "ends as it says; what it has forked ends by itself",
        {
            "changes its folder": Call(changes_folder, value=7),
            "deletes its folder": Call(deletes_folder, value=7),
            "redirects its output": Call(redirects, value=7),
            "closes its output": Call(closes, value=7),
            "has no output": Call(removes, value=7),
            "redirects for a while": Call(shadows, value=7),
            "redirects, and raises": failed(redirects_and_raises, "ValueError", "told all the same"),
            "closes, and raises": failed(closes_and_raises, "ValueError", "told all the same"),
            "forks, and the child returns": Call(forks("returns"), value=7),
            "forks, and the child exits": Call(forks("exits"), value=7),
            "forks, and the child raises": Call(forks("raises"), value=7),
        },
    ),
    Kind(
        "a thread that is no daemon and goes on after the function",
        "the job ends when the thread does, as any Python; its log says which it waits for",
        {"a thread": Call(leaves_a_thread, value=7)},
    ),
]

# Told by other tests: on a real head, or on Airflow's side.
KINDS += [
    Kind(
        "`ray.nodes()`, `ray.cluster_resources()` and the like without `ray.init()`",
        "connect by themselves; a function that does not ask anything of Ray does not connect",
        {
            name: ("ask", name)
            for name in ("ray.nodes", "ray.cluster_resources", "ray.available_resources", "ray.timeline")
        },
    ),
    Kind(
        "a function that calls `ray.init()` itself, with a namespace or a `runtime_env`",
        "its own is the first, and counts",
        {"ray.init(namespace=…)": ("init", "namespace")},
    ),
    Kind(
        "a head whose `PATH` leads to a `python` without Ray first",
        "the driver goes on in the interpreter of Ray's own workers, and says so; where that is not found, the error "
        "names the `python` that ran",
        {"a python without Ray": ("python", "without ray")},
    ),
    Kind(
        "`skip_on_exit_code=99`, or several: `[98, 99]`, in `@task.ray` and `RaySubmitJobOperator`",
        "an entrypoint that ends with it (`sys.exit(99)`) skips the task; by default none does",
        {f"skip_on_exit_code={codes!r}": ("codes", codes) for codes in (99, [98, 99], (99,), {99}, range(90, 100))},
    ),
]

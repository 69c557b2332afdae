"""
What people report as metrics, and how they name things.

Inputs are pairs: what is reported, and the metrics that trackers get of it; of the kinds in :data:`NAMES`, a name that
MLflow refuses or takes; of those in :data:`TASKS`, DAG, run, task and map index.
"""

from __future__ import annotations

import collections
import datetime
import decimal
import enum
import fractions
import math
from typing import Any

import numpy
import pandas
import pyarrow

from tests.kinds import Kind


class Scalar:
    """Has what a scalar of torch or jax has, neither of which is installed here."""

    def __init__(self, *values: Any) -> None:
        self.values = values
        self.shape = () if len(values) == 1 else (len(values),)

    def item(self) -> Any:
        if len(self.values) != 1:
            raise RuntimeError(f"a Tensor with {len(self.values)} elements cannot be converted to Scalar")
        return self.values[0]


class EagerTensor:
    """Has what TensorFlow's has."""

    def __float__(self) -> float:
        return 0.5


class Level(enum.IntEnum):
    """A member is a number."""

    HIGH = 3


class Unspeakable:
    """Raises whatever one asks it."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    def __float__(self) -> float:
        raise RuntimeError("no number")


def holding_itself() -> dict[str, Any]:
    """Give a report of which no end comes."""
    report: dict[str, Any] = {"loss": 1.0}
    report["again"] = report
    return report


CLASSES = pandas.Categorical(["a", "b"])

NUMBERS = [
    Kind(
        "NaN, infinities",
        "themselves in MLflow, W&B and the history's file; None in the XCom and in the task's progress; never best",
        {
            "NaN": ({"a": math.nan}, {"a": math.nan}),
            "infinity": ({"a": math.inf}, {"a": math.inf}),
            "minus infinity": ({"a": -math.inf}, {"a": -math.inf}),
            "numpy's NaN": ({"a": numpy.float32("nan")}, {"a": math.nan}),
            "NaN beside a number": ({"a": math.nan, "b": 1}, {"a": math.nan, "b": 1}),
        },
    ),
    Kind(
        "booleans",
        "1 and 0, as MLflow takes them",
        {
            "true": ({"a": True}, {"a": 1}),
            "false": ({"a": False}, {"a": 0}),
            "numpy's boolean": ({"a": numpy.bool_(True)}, {"a": 1}),
        },
    ),
    Kind(
        "`Decimal`, `Fraction`, members of an `IntEnum`",
        "numbers",
        {
            "decimal": ({"a": decimal.Decimal("0.25")}, {"a": 0.25}),
            "decimal NaN": ({"a": decimal.Decimal("nan")}, {"a": math.nan}),
            "a signalling NaN": ({"a": decimal.Decimal("snan")}, {}),
            "fraction": ({"a": fractions.Fraction(1, 4)}, {"a": 0.25}),
            "member": ({"a": Level.HIGH}, {"a": 3}),
        },
    ),
    Kind(
        "integers beyond 64 bits",
        "the nearest float, or an infinity",
        {
            "2 to the 53 and one": ({"a": 2**53 + 1}, {"a": 2**53 + 1}),
            "2 to the 64": ({"a": 2**64}, {"a": float(2**64)}),
            "a negative one": ({"a": -(2**70)}, {"a": float(-(2**70))}),
            "ten to the 400": ({"a": 10**400}, {"a": math.inf}),
            "minus ten to the 400": ({"a": -(10**400)}, {"a": -math.inf}),
            "a fraction of such": ({"a": fractions.Fraction(10**400, 3)}, {"a": math.inf}),
        },
    ),
    Kind(
        "scalars and arrays of one value: numpy, torch, jax, TensorFlow, pandas; Arrow's scalars",
        "their number",
        {
            "numpy integer": ({"a": numpy.int64(3)}, {"a": 3}),
            "numpy float": ({"a": numpy.float32(0.5)}, {"a": 0.5}),
            "numpy half": ({"a": numpy.float16(0.5)}, {"a": 0.5}),
            "numpy long double": ({"a": numpy.longdouble(0.5)}, {"a": 0.5}),
            "array without dimensions": ({"a": numpy.array(0.5)}, {"a": 0.5}),
            "array of one": ({"a": numpy.array([[0.5]])}, {"a": 0.5}),
            "unsigned": ({"a": numpy.uint64(2**64 - 1)}, {"a": float(2**64)}),
            "tensor": ({"a": Scalar(0.5)}, {"a": 0.5}),
            "tensor of a boolean": ({"a": Scalar(True)}, {"a": 1}),
            "tensor of NaN": ({"a": Scalar(math.nan)}, {"a": math.nan}),
            "TensorFlow": ({"a": EagerTensor()}, {"a": 0.5}),
            "series of one": ({"a": pandas.Series([0.5])}, {"a": 0.5}),
            "array of one that is not masked": ({"a": numpy.ma.masked_invalid([0.5])}, {"a": 0.5}),
            "Arrow's integer": ({"a": pyarrow.scalar(2**53 + 1)}, {"a": 2**53 + 1}),
            "Arrow's small integer": ({"a": pyarrow.scalar(3, pyarrow.uint8())}, {"a": 3}),
            "Arrow's float": ({"a": pyarrow.scalar(0.5)}, {"a": 0.5}),
            "Arrow's boolean": ({"a": pyarrow.scalar(True)}, {"a": 1}),
            "Arrow's decimal": ({"a": pyarrow.scalar(decimal.Decimal("0.25"))}, {"a": 0.25}),
        },
    ),
    Kind(
        "nested dicts",
        "flat names with `/` between, as Ray's own trackers, schedulers and searchers have them",
        {
            "nested": ({"val": {"acc": 0.5}}, {"val/acc": 0.5}),
            "deeply": ({"a": {"b": {"c": 1, "d": 2}}, "e": 3}, {"a/b/c": 1, "a/b/d": 2, "e": 3}),
            "with a slash already": ({"val/acc": 0.5}, {"val/acc": 0.5}),
            "both": ({"a/b": 1, "a": {"c": 2}}, {"a/b": 1, "a/c": 2}),
            "empty": ({"a": {}}, {}),
            "a kind of dict": ({"a": collections.OrderedDict(b=1)}, {"a/b": 1}),
            "numbered": ({"a": {0: 1.0, 1: 2.0}}, {"a/0": 1.0, "a/1": 2.0}),
            "one that holds itself": (holding_itself(), {"loss": 1.0}),
        },
    ),
    Kind(
        "None, what is masked, text, bytes, times, lists, arrays and tensors of several values, whatever else",
        "no metric; in rows and results what it is, or its text",
        {
            "None": ({"a": None}, {}),
            "masked": ({"a": numpy.ma.masked}, {}),
            "masked array of one": ({"a": numpy.ma.masked_array([1.0], mask=[True])}, {}),
            "masked array without dimensions": ({"a": numpy.ma.masked_array(1.0, mask=True), "b": 1}, {"b": 1}),
            "mean of what is masked": ({"a": numpy.ma.masked_invalid([math.nan]).mean()}, {}),
            "Arrow's null": ({"a": pyarrow.scalar(None, pyarrow.int64())}, {}),
            "Arrow's time": ({"a": pyarrow.scalar(5, pyarrow.timestamp("us"))}, {}),
            "Arrow's text": ({"a": pyarrow.scalar("0.5")}, {}),
            "text": ({"a": "0.5"}, {}),
            "numpy's text": ({"a": numpy.str_("0.5")}, {}),
            "bytes": ({"a": b"1"}, {}),
            "date": ({"a": datetime.date(2026, 1, 1)}, {}),
            "duration": ({"a": datetime.timedelta(1)}, {}),
            "numpy's time": ({"a": numpy.datetime64(5, "ns")}, {}),
            "no time": ({"a": pandas.NaT}, {}),
            "no value": ({"a": pandas.NA}, {}),
            "list": ({"a": [1.0]}, {}),
            "array": ({"a": numpy.arange(3)}, {}),
            "empty array": ({"a": numpy.array([])}, {}),
            "confusion matrix": ({"a": pandas.crosstab(CLASSES, CLASSES)}, {}),
            "large tensor": ({"a": Scalar(1.0, 2.0)}, {}),
            "complex": ({"a": 1j}, {}),
            "class": ({"a": object}, {}),
            "ObjectRef": ({"a": type("ObjectRef", (), {})(), "b": 1}, {"b": 1}),
            "what raises": ({"a": Unspeakable(), "b": 1}, {"b": 1}),
        },
    ),
    Kind(
        "names that are no text",
        "their text",
        {
            "number": ({3: 1.0}, {"3": 1.0}),
            "tuple": ({("f1", 0.5): 1.0}, {"('f1', 0.5)": 1.0}),
            "None as a name": ({None: 1.0}, {"None": 1.0}),
            "what has no text": ({Unspeakable(): 1.0}, {"<Unspeakable>": 1.0}),
        },
    ),
]

LARGE = [
    Kind(
        "a large value in a report: a confusion matrix, a page of text",
        "over 16 KiB it is left out of the history's rows and of the result, which say its type and size instead",
        {
            "matrix": (numpy.zeros((800, 800)), "numpy.ndarray of shape (800, 800), 5120000 bytes"),
            "text of a page": ("x" * 20_000, "str of length 20000"),
            "long list": (list(range(20_000)), "list of length 20000"),
            "nested list": ([[0.123456789] * 50] * 50, "list of length 50"),
            "long bytes": (b"x" * 20_000, "bytes of length 20000"),
        },
    ),
]

# Each with what it becomes in MLflow; only names that MLflow refuses have a digest.
NAMES = [
    Kind(
        "metric and parameter names that MLflow takes, in any script",
        "themselves",
        {
            "plain": ("loss", "loss"),
            "with a slash": ("val/acc", "val/acc"),
            "with points and dashes": ("a.b-c_d e:f", "a.b-c_d e:f"),
            "umlauts": ("Größe", "Größe"),
            "Cyrillic": ("точность", "точность"),
            "Chinese": ("准确率", "准确率"),
            "as long as it may be": ("x" * 250, "x" * 250),
        },
    ),
    Kind(
        "metric and parameter names that MLflow refuses: `ndcg@10`, `f1(macro)`, `p+1`, an emoji, a leading or double "
        "slash, over 250 characters",
        "a name that it takes, with a digest so that two never become one: `ndcg_at_10-9316d1`; the original is in the "
        'run\'s tag `air.name.ndcg_at_10-9316d1`. `MlflowPromoteOperator(metric="ndcg@10")` finds it',
        {
            "at": ("ndcg@10", "ndcg_at_10-"),
            "parentheses": ("f1(macro)", "f1_macro_-"),
            "plus": ("p+1", "p_1-"),
            "percent": ("99%", "99_-"),
            "brackets": ("loss[0]", "loss_0_-"),
            "emoji": ("🚀", "_-"),
            "line end": ("loss\n", "loss_-"),
            "NUL": ("a\0b", "a_b-"),
            "half a character": ("a\udc80", "a_-"),
            "leading slash": ("/loss", "loss-"),
            "double slash": ("a//b", "a/b-"),
            "up": ("../a", "a-"),
            "leading points": ("..ab", "ab-"),
            "leading points before what is mapped": ("...a@b", "a_at_b-"),
            "leading points of a step": ("..a/b", "a/b-"),
            "points later on": ("a/..b@c", "a/..b_at_c-"),
            "a point": (".", "x-"),
            "nothing": ("", "x-"),
            "trailing slash": ("a/", "a-"),
            "too long": ("y" * 251, "y" * 190),
            "too long, and another end": ("y" * 250 + "z", "y" * 190),
        },
    ),
]

COMING = [
    Kind(
        '`metric="val/acc"` of a nested report',
        "found, as Tune itself finds it",
        {"a nested metric": ([{"val": {"acc": n / 10}} for n in range(3)], "val/acc", 0.2)},
    ),
    Kind(
        "a metric that comes late: a validation each epoch, or first in the tenth report",
        "one warning after ten reports without it; what is best is judged at the end",
        {
            "in every third report": (
                [{"loss": 1.0, **({"acc": n} if n % 3 == 0 else {})} for n in range(8)],
                "acc",
                6,
            ),
            "first in the twelfth": ([{"loss": 1.0}] * 11 + [{"acc": 0.5}], "acc", 0.5),
            "NaN at times": ([{"acc": 0.5}, {"acc": math.nan}], "acc", 0.5),
            "None at times": ([{"acc": 0.5}, {"acc": None}], "acc", 0.5),
            "masked at times": ([{"acc": -0.5}, {"acc": numpy.ma.masked_invalid([math.nan]).mean()}], "acc", -0.5),
            "a tensor of one": ([{"acc": Scalar(0.5)}], "acc", 0.5),
        },
    ),
    Kind(
        "a metric that never comes, or is NaN each time",
        "the work is done and is kept: `best_…` is None (of Tune: `best_config` and `best_checkpoint`, too), with a "
        "warning in the job's log that names what is reported. Check for None before the next task trains by it",
        {
            "never": ([{"loss": 1.0}] * 3, "acc", None),
            "always NaN": ([{"acc": math.nan}] * 3, "acc", None),
            "always text": ([{"acc": "good"}] * 3, "acc", None),
            "no reports": ([], "acc", None),
        },
    ),
]

# Each with what the script does, and the kinds of the records that arrive.
REPORTING = [
    Kind(
        "`report.progress`, `report.metric` and `report.checkpoint` with whatever; on a full disk, after the end, from "
        "a child process, a thread or a worker of Ray's",
        "the work goes on: one warning on stderr, then quiet. Only the entrypoint's process reports, from all of its "
        "threads",
        {
            "no dict": ("report.metric(0.5)", []),
            "a step that is none": ("report.metric({'a': 1}, step='first')", ["metric"]),
            "a step of NaN": ("report.metric({'a': 1}, step=float('nan'))", ["metric"]),
            "nothing in it": ("report.metric({})", ["metric"]),
            "None as progress": ("report.progress(None, done=None, total='many')", ["progress"]),
            "a very long message": ("report.progress('x' * 9_000_000)", ["progress"]),
            "half a character as message": ("report.progress('\\udc80')", ["progress"]),
            "a path as checkpoint": ("import pathlib; report.checkpoint(pathlib.Path('/a b/ü'))", ["checkpoint"]),
            "a very long checkpoint": ("report.checkpoint('x' * 5_000_000)", []),
            "very many metrics": ("report.metric({'m%06d' % n: n for n in range(50_000)})", ["metric"] * 2),
            "very long names": ("report.metric({'x' * 5_000_000: 1})", ["metric"]),
        },
    ),
    Kind(
        "30,000 reports in ten seconds",
        "all are in the trackers; in the task's log, after twenty lines in ten seconds the last one, and how many are "
        "not shown",
        {"a flood": ("for n in range(300): report.metric({'a': n}, step=n)", ["metric"] * 300)},
    ),
]

TASKS = [
    Kind(
        "DAG, task, run and cluster names in any script and length",
        "readable where they can be, and never one for two: job ids end in a nonce, run folders and cluster names in a "
        "digest of the whole name; tags and W&B's group have the names themselves",
        {
            "plain names": ("flights", "manual__1", "train", -1),
            "another map index": ("flights", "manual__1", "train", 0),
            "a map index of two digits": ("flights", "manual__1", "train", 10),
            "an ending that looks like one": ("flights", "manual__1", "train-m0", -1),
            "another case": ("Flights", "manual__1", "train", -1),
            "another case of the task": ("flights", "manual__1", "Train", -1),
            "a run id with slashes": ("flights", "manual/1/train", "train", -1),
            "a run id with spaces and umlauts": ("flights", "für 2026 – müde", "train", -1),
            "a scheduled run": ("flights", "scheduled__2026-11-26T00:00:00+00:00", "train", -1),
            "a DAG in Cyrillic": ("полёты", "manual__1", "обучение", -1),
            "another one in Cyrillic": ("погода", "manual__1", "обучение", -1),
            "Chinese names": ("航班", "manual__1", "训练", -1),
            "points": ("flights.v2", "manual__1", "group.train", -1),
            "dashes for points": ("flights-v2", "manual__1", "group-train", -1),
            "long ones": ("d" * 250, "r" * 250, "t" * 250, 7),
            "different beyond the cut": ("d" * 249 + "e", "r" * 250, "t" * 250, 7),
            "run ids that differ beyond the cut": ("d" * 250, "r" * 249 + "s", "t" * 250, 7),
        },
    ),
]

KINDS = [*NUMBERS, *LARGE, *COMING, *REPORTING, *NAMES, *TASKS]

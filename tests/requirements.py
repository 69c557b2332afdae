"""What a test may lack on a machine, and whether that skips it or fails it.

``AIR_REQUIRE=kubernetes,postgres,…`` names what has to be here: a test that would be skipped for want of it fails. A
skip for another reason (a back end that has no such thing) is nobody's lack and stays one.
"""

from __future__ import annotations

import os
import re

import pytest

VARIABLE = "AIR_REQUIRE"
NAMES = {
    "chromium": "a headless browser (Debian: apt install chromium)",
    "kubernetes": "a Kubernetes node on this machine: Linux, root, Go and some of Debian's packages (`make kube`)",
    "node": "Node >= 20 and npm, which build the pages of Airflow's UI (`make ui-check`)",
    "packages": "the Python packages of the lock (`make env`)",
    "postgres": "Postgres (Debian: apt install postgresql)",
    "root": "tests that are run by root",
    "torch": "torch and gymnasium (`make torch-tests`)",
}
BY_TORCH_TESTS = ("torch", "gymnasium")
_LACKING = re.compile(r"(?:Skipped: )?lacks (\w+): ")
_NO_IMPORT = re.compile(r"(?:Skipped: )?could not import '(\w+)")


def lacking(name: str, what: str = "") -> str:
    """Give the reason of a skip for want of one of :data:`NAMES`, with what exactly is missing."""
    return f"lacks {name}: {what or NAMES[name]}"


def needs(name: str, met: bool, what: str = "") -> pytest.MarkDecorator:
    """Mark a test that needs one of :data:`NAMES`."""
    return pytest.mark.skipif(not met, reason=lacking(name, what))


def required() -> set[str]:
    """Read what has to be here.

    :raises pytest.UsageError: when one is not known.
    """
    named = {name for name in re.split(r"[,\s]+", os.environ.get(VARIABLE, "")) if name}
    if unknown := named - NAMES.keys():
        raise pytest.UsageError(f"{VARIABLE} has {', '.join(sorted(unknown))}; known: {', '.join(NAMES)}")
    return named


def want_of(reason: str) -> str | None:
    """Say which of :data:`NAMES` a skip's reason is about; None where it is about none."""
    if found := _LACKING.match(reason):
        return found[1]
    if found := _NO_IMPORT.match(reason):
        return "torch" if found[1] in BY_TORCH_TESTS else "packages"
    return None


def refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn the report of a skip for want of what is required into a failure."""
    if not report.skipped or not isinstance(report.longrepr, tuple):
        return
    path, line, reason = report.longrepr
    want = want_of(reason)
    if want in required():
        report.outcome = "failed"
        report.longrepr = f"{path}:{line}: {reason}\n{VARIABLE} says that {want} has to be here."

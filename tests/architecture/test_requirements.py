"""What a machine lacks skips a test, unless it is required here."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.requirements import NAMES, VARIABLE, lacking, required, want_of

REPOSITORY = Path(__file__).parents[2]
LACKING = """
import pytest
from tests.requirements import lacking, needs

@needs("postgres", False)
def test_by_mark():
    pass

def test_in_the_middle():
    pytest.skip(lacking("kubernetes", "Go"))

@pytest.fixture
def node():
    pytest.skip(lacking("kubernetes", "Go"))

def test_by_fixture(node):
    pass

def test_by_import():
    pytest.importorskip("no_such_package")

def test_of_a_kind_that_has_no_such_thing():
    pytest.skip("it cannot be silenced")
"""
LACKING_WHOLE = """
import pytest
pytest.importorskip("no_such_package")

def test_nothing():
    pass
"""


def outcomes(folder: Path, required: str) -> str:
    """Run the tests above with the hooks of this suite; give pytest's last line."""
    (folder / "conftest.py").write_text((REPOSITORY / "tests/conftest.py").read_text())
    (folder / "test_lacking.py").write_text(LACKING)
    (folder / "test_lacking_whole.py").write_text(LACKING_WHOLE)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "--continue-on-collection-errors",
            "--rootdir",
            folder,
            folder,
        ],
        env=os.environ | {VARIABLE: required, "PYTHONPATH": str(REPOSITORY)},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("required", "outcome"),
    [
        ("chromium,root", "6 skipped"),
        ("kubernetes, postgres", "1 failed, 3 skipped, 2 errors"),
        ("packages", "1 failed, 4 skipped, 1 error"),
    ],
)
def test_what_is_required_fails_where_it_would_be_skipped(required: str, outcome: str, tmp_path: Path) -> None:
    assert outcomes(tmp_path, required).startswith(outcome)


def test_a_name_that_is_not_known_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "postgres,kubernets")
    with pytest.raises(pytest.UsageError, match="AIR_REQUIRE has kubernets; known: chromium, kubernetes"):
        required()


def test_every_lack_is_told_by_its_reason() -> None:
    assert {name: want_of(lacking(name, "something")) for name in NAMES} == {name: name for name in NAMES}
    assert want_of("Skipped: could not import 'torch': No module named 'torch'") == "torch"
    assert want_of("nobody is at its address") is None

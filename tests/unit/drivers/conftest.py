"""Drivers as the real processes they are, and a run by hand for what needs none."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_air import drivers
from airflow_provider_air.drivers.frame.running import Run
from airflow_provider_air.drivers.wire.names import RECORDS_DIR, records_name
from airflow_provider_air.drivers.wire.problems import ConfigurationProblem
from airflow_provider_air.drivers.wire.records import RecordBuffer
from airflow_provider_air.workloads.function import function_payload

HERE = ".".join(map(str, sys.version_info[:2]))
Process = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What Ray unpacks: our drivers under the name they have on a cluster, and a payload."""
    source = Path(drivers.__path__[0])
    shutil.copytree(source, tmp_path / "air_drivers", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "payload").mkdir()
    (tmp_path / "logs").mkdir()
    return tmp_path


@pytest.fixture
def run(folder: Path) -> Process:
    """Give the function that runs Python as the cluster would, in the folder."""

    def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        variables = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(folder),
            "AIR_SUBMISSION_ID": "air-1",
            "AIR_PAYLOAD": "payload",
            "AIR_RECORDS_DIR": str(folder / "logs"),
            **environment,
        }
        return subprocess.run(
            [sys.executable, *command],
            env={key: value for key, value in variables.items() if value},
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    return run


def records(folder: Path) -> list[dict[str, Any]]:
    """Give the records that the driver wrote."""
    return RecordBuffer().feed((folder / "logs" / records_name("air-1")).read_bytes())


def ship(folder: Path, function: Any, *args: Any, python: str = HERE, **kwargs: Any) -> None:
    """Put a call into the payload, by value: the driver does not have the test's module."""
    payload = function_payload(function, args, kwargs, code_folders=[])
    for name, data in {**payload, "config.json": json.dumps({"python": python}).encode()}.items():
        (folder / "payload" / name).parent.mkdir(exist_ok=True)
        (folder / "payload" / name).write_bytes(data)


@pytest.fixture
def by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run by hand, whose config the test fills in."""
    monkeypatch.setenv(RECORDS_DIR, str(tmp_path))
    return Run("by-hand", None, None)


def said(words: list[str], problem: pytest.ExceptionInfo[ConfigurationProblem]) -> None:
    """Check that the problem's message holds all these words."""
    assert [word for word in words if word not in str(problem.value)] == [], problem.value

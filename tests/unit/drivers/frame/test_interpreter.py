"""A driver that was started by a python without Ray, as a head's PATH may have it, below a raylet or not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.drivers.conftest import records, ship

# The environment's own interpreter, without the environment: it has no Ray.
WITHOUT_RAY = os.path.realpath(sys.executable)
BELOW = "import subprocess, sys; sys.exit(subprocess.run([sys.argv[1], '-m', 'air_drivers.function']).returncode)"


def which_python() -> list[str]:
    import shutil
    import sys

    return [sys.executable, str(shutil.which("python"))]


def start(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the driver as a grandchild of what looks like a raylet by its command."""
    return subprocess.run(
        [sys.executable, "-c", BELOW, WITHOUT_RAY, *options],
        env={
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": str(folder),
            "AIR_SUBMISSION_ID": "air-1",
            "AIR_PAYLOAD": "payload",
            "AIR_RECORDS_DIR": str(folder / "logs"),
        },
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.skipif(sys.executable == WITHOUT_RAY, reason="the tests run in no environment of their own")
def test_it_goes_on_in_the_interpreter_of_rays_workers(folder: Path) -> None:
    ship(folder, which_python)

    done = start(folder, f"--python_worker_command={sys.executable} setup_worker.py --node-ip-address=10.0.0.1")

    assert done.returncode == 0, done.stderr
    assert f"this job's python is {WITHOUT_RAY} " in done.stderr
    assert f"going on with {sys.executable}" in done.stderr
    assert records(folder)[0]["value"] == [sys.executable, str(Path(sys.executable).with_name("python"))]


@pytest.mark.skipif(sys.executable == WITHOUT_RAY, reason="the tests run in no environment of their own")
@pytest.mark.parametrize("options", [(), (f"--python_worker_command={WITHOUT_RAY} setup_worker.py",)])
def test_where_rays_own_is_not_found_the_error_names_the_one_that_ran(options: tuple[str, ...], folder: Path) -> None:
    ship(folder, which_python)

    done = start(folder, *options)

    assert done.returncode == 64
    message = records(folder)[-1]["error"]["message"]
    assert message.startswith(f"this job's python is {WITHOUT_RAY} (Python 3.")
    assert "runtime_env={'env_vars': {'PATH':" in message

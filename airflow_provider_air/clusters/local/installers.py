"""
Finds what Ray needs to install a job's packages, before a head is started for a job that it could never start.

Ray makes a job's environment out of its own (2.60, ``ray/_private/runtime_env``: pip, uv, virtualenv_utils,
conda_utils). Where its Python is in a virtual environment it copies that, and runs the copy's ``python -m pip``, or
``python -m uv``, which it installs by pip where it is missing. Elsewhere ``virtualenv`` makes one, and brings pip.
Programs of the ``PATH`` play no role, but for ``conda``.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from typing import Any

from airflow_provider_air.errors import ConfigurationError

INSTALLERS = ("pip", "uv", "conda")
_QUESTION = """
import importlib.util, json, sys
there = {name: importlib.util.find_spec(name) is not None for name in ("virtualenv", "pip", "uv")}
print(json.dumps({"is_virtual": sys.prefix != sys.base_prefix, **there}))
"""
_ANSWER_SECONDS = 30.0


def check_installer(python: str, environment: Mapping[str, Any], variables: Mapping[str, str] | None = None) -> None:
    """
    See that a cluster of this Python can set up a runtime environment; asks the interpreter where that is in question.

    :param python: the interpreter that runs the head
    :param variables: the head's own environment variables; None where nobody knows them
    :raises ConfigurationError: it cannot; the message says what is missing
    """
    wanted = next((name for name in INSTALLERS if environment.get(name)), None)
    if wanted == "conda":
        if variables is not None:
            _check_conda(variables)
    elif wanted is not None and (found := _ask(python)) is not None:
        _check_packages(python, wanted, environment[wanted], found)


def _ask(python: str) -> Mapping[str, bool] | None:
    """Ask an interpreter what it has; None where it does not say: then whoever starts it will hear why."""
    try:
        said = subprocess.run(
            [python, "-c", _QUESTION], capture_output=True, cwd="/", timeout=_ANSWER_SECONDS, check=True
        )
        found = json.loads(said.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _check_packages(python: str, wanted: str, value: Any, found: Mapping[str, bool]) -> None:
    needed = ["virtualenv"]
    if found.get("is_virtual"):
        has_own_uv = wanted == "uv" and found.get("uv") and not (isinstance(value, Mapping) and value.get("uv_version"))
        needed += [] if has_own_uv else ["pip"]
    missing = [name for name in needed if not found.get(name)]
    if missing:
        raise ConfigurationError(
            f"'runtime_env' names {wanted!r}, and the Python of the local cluster has no {' and no '.join(missing)}: "
            "Ray could not set up the job's environment",
            where=python,
            hint=f"Install {' and '.join(missing)} there (uv pip install --python {python} {' '.join(missing)}), or "
            f"install the packages themselves there and leave {wanted!r} out",
        )


def _check_conda(variables: Mapping[str, str]) -> None:
    home, program = variables.get("RAY_CONDA_HOME"), variables.get("CONDA_EXE")
    if home:
        path = os.path.join(home, "bin", "conda")
    elif program:
        path = os.path.join(os.path.dirname(program), "conda")
    else:
        path = "conda"
    if shutil.which(path, path=variables.get("PATH", os.defpath)) is None:
        raise ConfigurationError(
            f"'runtime_env' names 'conda', and the local cluster would find none ({path})",
            hint="Install it on the worker's host, or say where it is: LocalCluster(env_vars={'RAY_CONDA_HOME': …})",
        )

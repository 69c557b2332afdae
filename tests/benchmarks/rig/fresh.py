"""Runs a function in a fresh interpreter, so that nothing measured before it is in the way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[3]
RUN = """
import importlib, json, sys
import tests.conftest
module, function, arguments = sys.argv[1:]
value = getattr(importlib.import_module(module), function)(**json.loads(arguments))
print("\\n" + json.dumps(value))
"""


def fresh(module: str, function: str, *, timeout_seconds: float = 600.0, **arguments: Any) -> Any:
    """
    Call a module's function in a process of its own; arguments and value travel as JSON.

    :raises RuntimeError: it failed; the message ends with what it printed last
    """
    command = [sys.executable, "-c", RUN, module, function, json.dumps(arguments)]
    environment = {name: value for name, value in os.environ.items() if name != "AIRFLOW_HOME"}
    done = subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=timeout_seconds
    )
    if done.returncode:
        raise RuntimeError(f"{module}.{function} failed:\n{done.stderr[-4000:]}")
    return json.loads(done.stdout.rstrip().rsplit("\n", 1)[-1])

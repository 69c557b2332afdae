"""The interpreter of this job: it must be one that has Ray, which the ``python`` of a head's ``PATH`` need not be."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from typing import Any, Iterator, List

from ..wire.problems import ConfigurationProblem

# How a raylet is told to start its workers (2.52-2.60).
_WORKERS = re.compile(r"--python_worker_command=(\S+)")


def need_ray() -> None:
    """
    Go on in Ray's own interpreter where this one has no Ray; then this call does not return.

    :raises ConfigurationProblem: it has none, and Ray's own is not found
    """
    if importlib.util.find_spec("ray") is not None:
        return
    here = "this job's python is %s (Python %d.%d), which has no ray" % (sys.executable, *sys.version_info[:2])
    found = [python for python in _pythons_of_raylets() if os.access(python, os.X_OK)]
    if not found or found[0] == sys.executable:
        raise ConfigurationProblem(
            "%s; put the folder of the one that has it first: runtime_env={'env_vars': {'PATH': '/FOLDER:${PATH}'}}, "
            "or in the PATH of 'ray start'" % here
        )
    print("%s: going on with %s" % (here, found[0]), file=sys.stderr, flush=True)
    os.environ["PATH"] = os.pathsep.join([os.path.dirname(found[0]), os.environ.get("PATH", os.defpath)])
    spec: Any = sys.modules["__main__"].__spec__
    os.execv(found[0], [found[0], "-m", spec.parent, *sys.argv[1:]])  # noqa: S606  # no shell wanted


def _pythons_of_raylets() -> List[str]:
    """Give the interpreter of the raylet that this process descends from: its workers started this job."""
    return [found[1] for found in map(_WORKERS.search, _commands_above()) if found]


def _commands_above() -> Iterator[str]:
    process = os.getppid()
    while process > 1:
        try:
            with open("/proc/%d/cmdline" % process, "rb") as file:
                command = file.read().replace(b"\0", b" ").decode("utf-8", "replace")
            with open("/proc/%d/stat" % process, "rb") as file:
                # Behind the command in brackets, which may hold anything: the state, then the parent.
                process = int(file.read().rpartition(b")")[2].split()[1])
        except OSError:
            return
        yield command

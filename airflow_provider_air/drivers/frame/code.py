"""The author's code on the cluster: by import path in the shipped folder, or as a shipped pickle."""

from __future__ import annotations

import importlib
import pickle
import sys
from typing import Any

from ..wire import imports
from ..wire.problems import ConfigurationProblem
from .running import Run


def check_python(expected: str) -> None:
    """
    Refuse another Python minor version: a pickled function is byte code of the version that made it.

    :raises ConfigurationProblem: the cluster's Python differs from ``expected`` (``"3.11"``)
    """
    here = "%d.%d" % sys.version_info[:2]
    if here != expected:
        raise ConfigurationProblem(
            "the function was pickled by Python %s but the cluster runs Python %s; use the same minor "
            "version on both sides, or submit a script with RaySubmitJobOperator" % (expected, here)
        )


def load_call(data: bytes) -> Any:
    """
    Unpickle what to call; only ever what our own side shipped with this job.

    :raises ConfigurationProblem: something that the function needs is not installed on the cluster
    """
    try:
        importlib.import_module("cloudpickle")
    except ImportError:
        # The pickle names functions of "cloudpickle"; Ray carries a copy of it under its own name.
        sys.modules["cloudpickle"] = importlib.import_module("ray.cloudpickle")
        sys.modules["cloudpickle.cloudpickle"] = importlib.import_module("ray.cloudpickle.cloudpickle")
    try:
        return pickle.loads(data)  # noqa: S301  # what our own side shipped with this job
    except ModuleNotFoundError as error:
        raise ConfigurationProblem(
            "the function needs the module %r, which is not on the cluster; put it into the code folder "
            "(working_dir), into runtime_env pip, or import it inside the function from an installed "
            "package" % error.name
        ) from error


def author_object(run: Run, spec: Any, field: str) -> Any:
    """
    Load what the author named: an import path, or ``{"payload": FILE, "python": "3.11"}`` for a pickle.

    :raises ConfigurationProblem: it cannot be loaded here; the message names ``field``
    """
    if isinstance(spec, str):
        return imports.by_path(spec, field)
    check_python(spec["python"])
    found, _, _ = load_call(run.payload(spec["payload"]))
    return found


def author_callable(run: Run, spec: Any, field: str) -> Any:
    """
    Load a function or class as :func:`author_object` does.

    :raises ConfigurationProblem: it cannot be loaded, or cannot be called
    """
    found = author_object(run, spec, field)
    if not callable(found):
        raise ConfigurationProblem("%s: %r is a %s, not a function" % (field, spec, type(found).__name__))
    return found

"""The author's code on the cluster: by import path in the shipped folder, or as a shipped pickle."""

from __future__ import annotations

import io
import os
import pickle
import sys
from typing import Any

from ..wire import imports
from ..wire.names import PAYLOAD
from ..wire.problems import ConfigurationProblem
from .ends import STAND_INS
from .running import Run


def check_python(expected: str) -> None:
    """
    Refuse another Python minor version: a pickled function is byte code of the version that made it.

    :raises ConfigurationProblem: the cluster's Python differs from ``expected`` (``"3.11"``)
    """
    here = "%d.%d" % sys.version_info[:2]
    if here != expected:
        raise ConfigurationProblem(
            "the function was pickled by Python %s but the cluster runs Python %s (%s); use the same minor "
            "version on both sides, or submit a script with RaySubmitJobOperator" % (expected, here, sys.executable)
        )


class _Unpickler(pickle.Unpickler):  # what our own side shipped with this job
    def find_class(self, module: str, name: str) -> Any:
        package, _, rest = module.partition(".")
        if package == "cloudpickle":
            # The one that made the pickle came along: others, Ray's own among them, need not understand it.
            module = ".".join(filter(None, [os.environ[PAYLOAD], package, rest]))
        try:
            return super().find_class(module, name)
        except ModuleNotFoundError as error:
            if package == "airflow" and name in STAND_INS and str(error.name).startswith(package):
                return STAND_INS[name]
            raise


def load_call(run: Run, name: str) -> Any:
    """
    Unpickle what to call: ``(function, args, kwargs)``.

    :param name: of the payload's file
    :raises ConfigurationProblem: something that the function needs is not installed on the cluster
    """
    data = io.BytesIO(run.payload(name))
    try:
        return _Unpickler(data).load()
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
    found, _, _ = load_call(run, spec["payload"])
    return found


def author_fields(run: Run, value: Any, field: str) -> Any:
    """
    Load the pickles that stand anywhere in a field; all else of it stays as it is.

    :raises ConfigurationProblem: one cannot be loaded here
    """
    if isinstance(value, dict):
        if set(value) == {"payload", "python"}:
            return author_object(run, value, field)
        return {key: author_fields(run, item, "%s.%s" % (field, key)) for key, item in value.items()}
    if isinstance(value, list):
        return [author_fields(run, item, field) for item in value]
    return value


def author_callable(run: Run, spec: Any, field: str) -> Any:
    """
    Load a function or class as :func:`author_object` does.

    :raises ConfigurationProblem: it cannot be loaded, or cannot be called
    """
    found = author_object(run, spec, field)
    if not callable(found):
        raise ConfigurationProblem("%s: %r is a %s, not a function" % (field, spec, type(found).__name__))
    return found

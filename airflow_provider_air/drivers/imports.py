"""Find the author's code on the cluster: by import path in the shipped folder, or as a shipped pickle."""

from __future__ import annotations

import importlib
from typing import Any

from . import job
from .function import check_python, load_call


def by_path(path: str, field: str) -> Any:
    """
    Import ``package.module:name`` (or ``package.module.name``) and return the object.

    :param path: where the object lives, importable from the job's working directory
    :param field: the config field the path comes from, for the message
    :raises job.ConfigurationProblem: the module or the name cannot be imported
    """
    module_name, colon, name = path.partition(":")
    if not colon:
        module_name, _, name = path.rpartition(".")
    if not module_name or not name:
        raise job.ConfigurationProblem("%s: %r is no import path; write 'module:name'" % (field, path))
    try:
        found = importlib.import_module(module_name)
    except Exception as error:
        raise job.ConfigurationProblem(
            "%s: cannot import %r on the cluster: %s: %s. Is the file in the code folder (working_dir), and is "
            "everything it imports installed there?" % (field, module_name, type(error).__name__, error)
        ) from error
    try:
        for part in name.split("."):
            found = getattr(found, part)
    except AttributeError:
        raise job.ConfigurationProblem(
            "%s: the module %r has no %r; it has %s"
            % (field, module_name, name, ", ".join(sorted(n for n in vars(found) if not n.startswith("_"))[:20]))
        ) from None
    return found


def author_object(run: job.Run, spec: Any, field: str) -> Any:
    """
    Load what the author named: an import path, or ``{"payload": FILE, "python": "3.11"}`` for a pickle.

    :raises job.ConfigurationProblem: it cannot be loaded here; the message names ``field``
    """
    if isinstance(spec, str):
        return by_path(spec, field)
    check_python(spec["python"])
    found, _, _ = load_call(run.payload(spec["payload"]))
    return found


def author_callable(run: job.Run, spec: Any, field: str) -> Any:
    """
    Load a function or class as :func:`author_object` does.

    :raises job.ConfigurationProblem: it cannot be loaded, or cannot be called
    """
    found = author_object(run, spec, field)
    if not callable(found):
        raise job.ConfigurationProblem("%s: %r is a %s, not a function" % (field, spec, type(found).__name__))
    return found


def need_package(package: str, field: str) -> None:
    """
    Check that a package is importable on the cluster.

    :raises job.ConfigurationProblem: it is not; the message names ``field``
    """
    try:
        importlib.import_module(package)
    except ImportError as error:
        raise job.ConfigurationProblem(
            "%s needs the package %r on the cluster (%s); add it to the image or to runtime_env pip"
            % (field, package, error)
        ) from error

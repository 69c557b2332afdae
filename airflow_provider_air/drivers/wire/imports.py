"""Import paths, ``module:name``: how an author names code, and how that is found where it is needed."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from typing import Any

from .error_kinds import EXPIRED, MISTAKE, OUTAGE, kind_of
from .problems import ConfigurationProblem, Unavailable


def by_path(path: str, field: str) -> Any:
    """
    Import ``package.module:name`` (or ``package.module.name``) and return the object.

    :param path: where the object lives, importable from the job's working directory
    :param field: the config field the path comes from, for the message
    :raises ConfigurationProblem: the module or the name cannot be imported
    :raises Unavailable: the module asks something, when it is imported, that is away, or by expired credentials
    :raises Exception: the module raises it, and nobody knows whether a retry can mend it
    """
    module_name, colon, name = path.partition(":")
    if not colon:
        module_name, _, name = path.rpartition(".")
    if not module_name or not name:
        raise ConfigurationProblem("%s: %r is no import path; write 'module:name'" % (field, path))
    try:
        found = importlib.import_module(module_name)
    except Exception as error:
        kind = kind_of(error)
        if kind in (OUTAGE, EXPIRED):
            told = "%s: importing %r: %s: %s" % (field, module_name, type(error).__name__, error)
            raise Unavailable(told, again=kind == OUTAGE) from error
        if kind != MISTAKE:
            raise
        raise ConfigurationProblem(
            "%s: cannot import %r on the cluster: %s: %s. Is the file in the code folder (working_dir), and is "
            "everything it imports installed there?" % (field, module_name, type(error).__name__, error)
        ) from error
    try:
        for part in name.split("."):
            found = getattr(found, part)
    except AttributeError:
        raise ConfigurationProblem(
            "%s: the module %r has no %r; it has %s"
            % (field, module_name, name, ", ".join(sorted(n for n in vars(found) if not n.startswith("_"))[:20]))
        ) from None
    return found


def need_package(package: str, field: str) -> None:
    """
    Check that a package is installed on the cluster.

    It is not imported: some take seconds, and memory that only workers need.

    :raises ConfigurationProblem: it is not; the message names ``field``
    """
    try:
        is_there = package in sys.modules or importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:  # what it lies in
        is_there = False
    if not is_there:
        raise ConfigurationProblem(
            "%s needs the package %r on the cluster; add it to the image or to runtime_env pip" % (field, package)
        )

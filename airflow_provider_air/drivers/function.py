"""
Runs one Python function: ``python -m air_drivers.function``.

The payload holds ``config.json`` and ``call.pkl``, a cloudpickle of ``(function, args, kwargs)``. The
return value goes home as the ``result`` record. Arguments that stand for stored results are read first.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import pickle
import sys
from typing import Any

from . import job, results
from .records import EncodeError, encode


def check_python(expected: str) -> None:
    """
    Refuse another Python minor version: a pickled function is byte code of the version that made it.

    :raises job.ConfigurationProblem: the cluster's Python differs from ``expected`` (``"3.11"``)
    """
    here = "%d.%d" % sys.version_info[:2]
    if here != expected:
        raise job.ConfigurationProblem(
            "the function was pickled by Python %s but the cluster runs Python %s; use the same minor "
            "version on both sides, or submit a script with RaySubmitJobOperator" % (expected, here)
        )


def load_call(data: bytes) -> Any:
    """
    Unpickle what to call; only ever what our own side shipped with this job.

    :raises job.ConfigurationProblem: something that the function needs is not installed on the cluster
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
        raise job.ConfigurationProblem(
            "the function needs the module %r, which is not on the cluster; put it into the code folder "
            "(working_dir), into runtime_env pip, or import it inside the function from an installed "
            "package" % error.name
        ) from error


def main() -> None:
    """Run the function and report its value."""
    with job.running() as run:
        check_python(run.config["python"])
        function, args, kwargs = load_call(run.payload("call.pkl"))
        value = function(*results.fetched(args), **results.fetched(kwargs))
        if inspect.iscoroutine(value):
            value = asyncio.run(value)
        try:
            results.write(run.records, run.submission_id, encode(value, "the return value"))
        except (EncodeError, results.TooLarge) as error:
            raise job.ConfigurationProblem(str(error)) from error


if __name__ == "__main__":
    main()

"""
Runs one Python function: ``python -m air_drivers.function``.

The payload holds ``config.json`` and ``call.pkl``, a cloudpickle of ``(function, args, kwargs)``. The
return value goes home as the ``result`` record. Arguments that stand for stored results are read first.
"""

from __future__ import annotations

import asyncio
import inspect

from ..frame import stored_results
from ..frame.code import check_python, load_call
from ..frame.running import running
from ..trackers import wandb_run
from ..wire.problems import ConfigurationProblem


def main() -> None:
    """Run the function and report its value."""
    with running(wandb_run.begin) as run:
        check_python(run.config["python"])
        function, args, kwargs = load_call(run.payload("call.pkl"))
        value = function(*stored_results.fetched(args), **stored_results.fetched(kwargs))
        if inspect.iscoroutine(value):
            value = asyncio.run(value)
        try:
            stored_results.write(run.records, run.submission_id, value, "the return value")
        except stored_results.TooLarge as error:
            raise ConfigurationProblem(str(error)) from error

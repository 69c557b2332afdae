"""
Runs one Python function: ``python -m air_drivers.function``.

The payload holds ``config.json`` and ``call.pkl``, a cloudpickle of ``(function, args, kwargs)``. The
return value goes home as the ``result`` record. Arguments that stand for stored results are read first.
"""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

from ..frame import stored_results
from ..frame.code import check_python, load_call
from ..frame.connecting import connect_when_asked
from ..frame.running import running
from ..trackers import wandb_run
from ..wire.problems import ConfigurationProblem
from ..wire.values import Refused

# What a function returns that has not done its work yet, by the name of its type, and what does.
UNDONE = {
    "generator": "the function has a yield, so that calling it does nothing yet: return list(...) of what it yields",
    "async_generator": "the function has a yield, so that calling it does nothing yet: return a list of what it yields",
}
# What of Ray stands for work that nobody has waited for, wherever in a value it is, and what to return instead.
UNDONE_TASKS = {
    "ObjectRef": "whose object ends with the job: return ray.get(...) of it",
    "ObjectRefGenerator": "whose objects end with the job: return ray.get(list(...)) of it",
    "DynamicObjectRefGenerator": "whose objects end with the job: return ray.get(list(...)) of it",
}


def main() -> None:
    """Run the function and report its value."""
    with running(wandb_run.begin) as run:
        check_python(run.config["python"])
        connect_when_asked()
        function, args, kwargs = load_call(run, "call.pkl")
        value = _called(function, stored_results.fetched(args), stored_results.fetched(kwargs))
        run.leave_if_forked()
        if type(value).__name__ in UNDONE:
            raise ConfigurationProblem(UNDONE[type(value).__name__])
        try:
            stored_results.write(run.records, run.submission_id, value, "the return value", UNDONE_TASKS)
        except Refused as error:
            why = UNDONE_TASKS[error.kind]
            raise ConfigurationProblem("%s is a Ray %s, %s" % (error.where, error.kind, why)) from error
        except stored_results.TooLarge as error:
            raise ConfigurationProblem(str(error)) from error


def _called(function: Any, args: Any, kwargs: Any) -> Any:
    """Give the function's value; an exit that tells of no failure ends it as a return does."""
    try:
        value = function(*args, **kwargs)
        return asyncio.run(value) if inspect.iscoroutine(value) else value
    except SystemExit as end:
        if end.code in (None, 0):
            return None
        raise

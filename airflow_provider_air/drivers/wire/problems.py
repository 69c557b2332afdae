"""How the author's work, or a driver, ends other than by success: what must be fixed, what is away, nothing to do."""

from __future__ import annotations


class ConfigurationProblem(Exception):
    """What the author must fix; ends the driver with exit code 64, its message and no traceback."""


class Skipped(Exception):
    """The author's code finds that there is nothing to do: the job succeeds, and the task is skipped."""


class Unavailable(Exception):
    """
    Something that the job needs is away still; ends the driver with exit code 69, so that Airflow's retry asks again.

    :param again: whether it is of use to ask again at once: not where this attempt's credentials have expired
    """

    def __init__(self, message: str, again: bool = True) -> None:
        super().__init__(message)
        self.again = again


class WorkFailed(Exception):
    """The author's code failed somewhere on the cluster; the message says where and what caused it."""

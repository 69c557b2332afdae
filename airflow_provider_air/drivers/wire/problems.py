"""What a driver ends with when a retry cannot help, and when it may."""

from __future__ import annotations


class ConfigurationProblem(Exception):
    """What the author must fix; ends the driver with exit code 64, its message and no traceback."""


class Unavailable(Exception):
    """
    Something that the job needs is away still; ends the driver with exit code 69, so that Airflow's retry asks again.

    :param again: whether it is of use to ask again at once: not where this attempt's credentials have expired
    """

    def __init__(self, message: str, again: bool = True) -> None:
        super().__init__(message)
        self.again = again

"""How the author's work, or a driver, ends other than by success: what the author must fix, and nothing to do."""

from __future__ import annotations


class ConfigurationProblem(Exception):
    """What the author must fix; ends the driver with exit code 64, its message and no traceback."""


class Skipped(Exception):
    """The author's code finds that there is nothing to do: the job succeeds, and the task is skipped."""

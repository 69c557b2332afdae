"""What a driver ends with when a retry cannot help."""

from __future__ import annotations


class ConfigurationProblem(Exception):
    """What the author must fix; ends the driver with exit code 64, its message and no traceback."""


class WorkFailed(Exception):
    """The author's code failed somewhere on the cluster; the message says where and what caused it."""

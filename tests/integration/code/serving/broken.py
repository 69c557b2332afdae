"""A module that cannot be imported where its dependency is missing."""

import a_package_that_nobody_installed  # noqa: F401

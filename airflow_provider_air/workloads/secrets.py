"""
Secrets for one job, out of sight of those who list jobs.

Ray shows every ``runtime_env.env_vars`` value in its job listings, while a package can only be asked for by
its name. So secrets travel as a package of their own. Ray's ``worker_process_setup_hook`` puts them into the
environment of the job's workers on all nodes; it does not run for the entrypoint, where our drivers do the same,
and for commands of the author's the shell does.
They lie on the nodes' disks, readable by Ray's own user alone, as long as Ray keeps the job's environment there.

Files that environment variables name, such as a CA bundle, travel with them, since they must lie on each node, too.

Source: Ray 2.60, ``_private/runtime_env/setup_hook.py``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from airflow_provider_air.contracts.names import digest
from airflow_provider_air.errors import ConfigurationError
from airflow_provider_air.ray_api.packages import Package, package_files

HOOK = "worker_process_setup_hook"

_MODULE = '''
"""Puts the secrets of one job into the environment of its processes."""

import importlib
import json
import os

NEXT = {next!r}


def fill():
    folder = os.path.dirname(os.path.abspath(__file__))
    path = os.path.join(folder, "secrets.json")
    os.chmod(path, 0o600)
    with open(path) as file:
        found = json.load(file)
    if os.path.isdir(os.path.join(folder, "files")):
        for name in os.listdir(os.path.join(folder, "files")):
            found[name] = os.path.join(folder, "files", name)
    os.environ.update(found)
    return found


def load():
    fill()
    if NEXT:
        module, _, name = NEXT.rpartition(".")
        getattr(importlib.import_module(module), name)()
'''

_MAIN = """
import shlex

from . import fill

for name, value in fill().items():
    print("export %s=%s" % (name, shlex.quote(value)))
"""


def pack_secrets(
    secrets: Mapping[str, str], submission_id: str, *, next_hook: object, files: Mapping[str, bytes] | None = None
) -> tuple[Package, str]:
    """
    Pack the secrets of one attempt.

    :param submission_id: makes the package this attempt's own, so that Ray forgets it with the job
    :param next_hook: the author's own ``worker_process_setup_hook``, which runs afterwards
    :param files: by the environment variables that name where each lies
    :return: the package, for ``py_modules``, and the hook
    :raises ConfigurationError: the author's hook is no import path
    """
    if next_hook is not None and (not isinstance(next_hook, str) or "." not in next_hook):
        raise ConfigurationError(
            f"'runtime_env' {HOOK} must be the import path of a function, not {next_hook!r}",
            hint="Ray takes nothing else for submitted jobs",
        )
    module = f"air_secrets_{digest(submission_id, length=16)}"
    packed = {
        f"{module}/__init__.py": _MODULE.format(next=next_hook).encode(),
        f"{module}/__main__.py": _MAIN.encode(),
        f"{module}/secrets.json": json.dumps(dict(secrets)).encode(),
        **{f"{module}/files/{name}": data for name, data in (files or {}).items()},
    }
    # Ray's nodes give unpacked files these rights (2.60); "fill" sees to it where they do not.
    return package_files(packed, mode=0o600), f"{module}.load"


def with_secrets(entrypoint: str, hook: str) -> str:
    """Let the shell that runs an author's command put the secrets into its environment first."""
    module = hook.rpartition(".")[0]
    return f'air_env="$(python -m {module})" && eval "$air_env" || exit 1; unset air_env; {entrypoint}'

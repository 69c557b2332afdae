"""Ray's runtime environment as authors write it: what it names of this host is read here, where the DAG runs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

from airflow_provider_air.errors import ConfigurationError
from airflow_provider_air.ray_api.code_files import located
from airflow_provider_air.workloads.requirements import expanded, packages_of, read_text

INSTALLERS = ("pip", "uv", "conda")


def environment_of(runtime_env: Any, roots: Sequence[Path]) -> dict[str, Any]:
    """
    Give a runtime environment as plain JSON, with the packages of ``pip``, ``uv`` and ``conda`` that files name.

    Runs in the worker; local code in it is another step's, see :mod:`.local_code`.

    :param runtime_env: a dict, or Ray's own ``RuntimeEnv``; paths may be text or of :mod:`pathlib`
    :param roots: where relative paths start
    :raises ConfigurationError: it is no such thing, or a file cannot be read; the message names the field
    """
    if not isinstance(runtime_env, Mapping):
        raise ConfigurationError(f"'runtime_env' must be a dict, not {type(runtime_env).__name__}")
    environment: dict[str, Any] = {name: _plain(value) for name, value in runtime_env.items()}
    named = [name for name in INSTALLERS if environment.get(name)]
    if len(named) > 1:
        # Ray accepts such a job and fails it later, as if the cluster were to blame (2.60).
        raise ConfigurationError(f"'runtime_env' names {' and '.join(named)}", hint="Ray takes one of them")
    _check_plain(environment)
    for name in named:
        environment[name] = (_conda if name == "conda" else _packages)(environment[name], f"runtime_env.{name}", roots)
        if not environment[name]:
            # A file that names nothing asks for nothing.
            del environment[name]
    _check_plain(environment)
    return environment


def _check_plain(environment: Mapping[str, Any]) -> None:
    try:
        json.dumps(environment)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"'runtime_env' is no plain JSON: {error}") from None


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, PurePath) else value


def _packages(value: Any, field: str, roots: Sequence[Path], where: str | None = None) -> Any:
    """Give ``pip`` or ``uv`` with a list of packages, as Ray wants it on the cluster."""
    if isinstance(value, str):
        return packages_of(located(value, roots), field)
    if isinstance(value, dict):
        packages = _packages(value.get("packages"), f"{field}.packages", roots)
        return {**value, "packages": packages} if packages else None
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ConfigurationError(
            f"'{field}' must be a list of packages, or the path of a file that lists them, not {value!r}"
        )
    return expanded(value, field, lambda name: located(name, roots), where)


def _conda(value: Any, field: str, roots: Sequence[Path]) -> Any:
    """Give ``conda`` as Ray wants it on the cluster: the content of a file; a name is that of an environment there."""
    start, where = roots, None
    if isinstance(value, str):
        if not value.endswith((".yml", ".yaml")):
            return value
        path = located(value, roots)
        start, where = (path.parent,), str(path)
        value = _yaml(path, field)
    if not isinstance(value, dict):
        raise ConfigurationError(f"'{field}' must be an environment's name, file or content, not {value!r}")
    dependencies = value.get("dependencies")
    if not isinstance(dependencies, list):
        return value
    return {
        **value,
        "dependencies": [
            {**item, "pip": _packages(item["pip"], f"{field}.pip", start, where)}
            if isinstance(item, dict) and item.get("pip")
            else item
            for item in dependencies
        ],
    }


def _yaml(path: Path, field: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(read_text(path, field))
    except yaml.YAMLError as error:
        raise ConfigurationError(f"'{field}' names a file that is no YAML: {error}", where=str(path)) from None

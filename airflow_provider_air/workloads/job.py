"""
The one shape that every workload becomes, and the step from there to what Ray takes.

A ``JobRequest`` is what a workload wants; :func:`prepare` checks all limits and packs code, so that nothing remote has
been started when something is wrong.
"""

from __future__ import annotations

import importlib.resources
import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from airflow_provider_air.contracts.jobs import EntrypointResources, JobRequest, PreparedJob
from airflow_provider_air.contracts.names import OUR_METADATA, digest
from airflow_provider_air.drivers.wire import names as driver_names
from airflow_provider_air.errors import ConfigurationError
from airflow_provider_air.ray_api.models import JobSubmission
from airflow_provider_air.ray_api.packages import Package, package_files, package_folder
from airflow_provider_air.ray_api.requests import MAX_ENTRYPOINT_BYTES, MAX_ENVIRONMENT_BYTES
from airflow_provider_air.workloads.entrypoint import command_of
from airflow_provider_air.workloads.environment import environment_of
from airflow_provider_air.workloads.local_code import Packing, ship_code
from airflow_provider_air.workloads.secrets import HOOK, pack_secrets, with_secrets


def prepare(
    request: JobRequest,
    submission_id: str,
    *,
    metadata: Mapping[str, str],
    not_after: float | None,
    packing: Packing | None = None,
) -> PreparedJob:
    """
    Check a request, pack what it ships, and give it its name.

    Runs in the worker; reads local folders, sends nothing.

    :param not_after: epoch seconds after which the job must not start; our drivers also end themselves then
    :param packing: what has packed the request's code before, where something has
    :raises ConfigurationError: something is wrong or too large; the message names the argument
    """
    packing = packing or Packing()
    entrypoint = command_of(request.entrypoint)
    _check_metadata(request.metadata)
    _check_resources(request.resources)
    environment = environment_of(request.runtime_env, request.local_roots)
    packages, staged = ship_code(request, environment, packing)
    own = _check_env_vars(environment.get("env_vars") or {})
    context_env = {name: value for name, value in request.context_env.items() if name not in own}
    env_vars = {**context_env, **own}
    if request.payload is not None:
        payload = _payload_package(request.payload)
        shipped = [packing.folder(path, prefix=f"{name}/", field_name=name) for name, path in request.folders.items()]
        # Folders first: what of this belongs to the job alone, and not to what it deploys, is known by being last.
        ours = [*shipped, _drivers_package(), payload]
        packages += ours
        environment["py_modules"] = [*environment.get("py_modules", []), *(package.uri for package in ours)]
        env_vars |= {
            driver_names.SUBMISSION_ID: submission_id,
            driver_names.PAYLOAD: _payload_name(request.payload),
        }
        if context_env:
            env_vars[driver_names.CONTEXT] = ",".join(context_env)
        if not_after is not None:
            env_vars[driver_names.NOT_AFTER] = repr(not_after)
    elif not_after is not None:
        entrypoint = _guarded(entrypoint, not_after)
    env_vars |= request.driver_env
    if request.secrets or request.files:
        theirs = environment.get(HOOK)
        hidden, hook = pack_secrets(request.secrets, submission_id, next_hook=theirs, files=request.files)
        packages.append(hidden)
        environment |= {"py_modules": [*environment.get("py_modules", []), hidden.uri], HOOK: hook}
        env_vars[driver_names.SECRETS] = hook
        if request.payload is None:
            entrypoint = with_secrets(entrypoint, hook)
    if env_vars:
        environment["env_vars"] = env_vars
    named = {**request.metadata, **metadata}
    submission = _submission(submission_id, entrypoint, environment, named, request.resources)
    _check_size(submission)
    return PreparedJob(submission, tuple(packages), tuple(staged), request.rollout, tuple(context_env))


def _submission(
    submission_id: str,
    entrypoint: str,
    environment: Mapping[str, Any],
    metadata: Mapping[str, str],
    resources: EntrypointResources,
) -> JobSubmission:
    return JobSubmission(
        submission_id,
        entrypoint,
        environment,
        metadata,
        resources.num_cpus,
        resources.num_gpus,
        resources.memory,
        resources.resources,
        resources.label_selector,
    )


def _check_resources(resources: EntrypointResources) -> None:
    """:raises ConfigurationError: an amount is negative or no number; the message names it."""
    for name in ("resources", "label_selector"):
        if not isinstance(getattr(resources, name) or {}, Mapping):
            raise ConfigurationError(f"'entrypoint_{name}' must be a dict, not {getattr(resources, name)!r}")
    amounts = {f"entrypoint_{name}": getattr(resources, name) for name in ("num_cpus", "num_gpus", "memory")}
    amounts |= {f"entrypoint_resources[{name!r}]": amount for name, amount in (resources.resources or {}).items()}
    for name, amount in amounts.items():
        number = isinstance(amount, (int, float)) and not isinstance(amount, bool) and 0 <= amount < float("inf")
        if amount is not None and not number:
            raise ConfigurationError(f"'{name}' must be a number of at least 0, not {amount!r}")
    if resources.memory is not None and resources.memory != int(resources.memory):
        raise ConfigurationError(f"'entrypoint_memory' is a whole number of bytes, not {resources.memory!r}")
    for key, value in (resources.label_selector or {}).items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise ConfigurationError(f"'entrypoint_label_selector' maps str to str, not {key!r} to {value!r}")


def _check_metadata(metadata: Any) -> None:
    if not isinstance(metadata, Mapping):
        raise ConfigurationError(f"'metadata' must be a dict, not {type(metadata).__name__}")
    for key, value in metadata.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise ConfigurationError(f"'metadata' maps str to str, but {key!r} maps to {value!r}")
        if key in OUR_METADATA:
            raise ConfigurationError(f"The metadata key {key!r} is reserved", hint="Use another name")


def _check_env_vars(env_vars: Any) -> dict[str, str]:
    if not isinstance(env_vars, Mapping):
        raise ConfigurationError(f"'env_vars' must map str to str, not {env_vars!r}")
    for key, value in env_vars.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise ConfigurationError(f"'env_vars' maps str to str, but {key!r} is of type {type(value).__name__}")
        if not key or "=" in key or "\0" in key + value:
            raise ConfigurationError(f"'env_vars' holds {key!r}, which no process environment can carry")
        if key in driver_names.OURS:
            raise ConfigurationError(f"The environment variable {key!r} is reserved for the provider")
    return dict(env_vars)


def _guarded(entrypoint: str, not_after: float) -> str:
    # A command of the user's cannot be asked to look at the clock, so the shell does before it starts.
    late = "echo 'refusing to start: the not-after time of this job has passed' >&2"
    return (
        f'if [ "$(date +%s)" -gt {int(not_after)} ]; then {late}; exit {driver_names.EXIT_NOT_AFTER}; fi; {entrypoint}'
    )


@cache
def _drivers_package() -> Package:
    """Pack our drivers under the name that they have on the cluster."""
    root = importlib.resources.files("airflow_provider_air.drivers")
    with importlib.resources.as_file(root) as folder:
        return package_folder(folder, prefix="air_drivers/", links_within=None)


def _payload_name(payload: Mapping[str, bytes]) -> str:
    parts = [part for name in sorted(payload) for part in (name, payload[name].hex())]
    return f"air_payload_{digest(*parts, length=16)}"


def _payload_package(payload: Mapping[str, bytes]) -> Package:
    name = _payload_name(payload)
    return package_files({f"{name}/{file}": data for file, data in payload.items()})


def _check_size(submission: JobSubmission) -> None:
    if len(submission.entrypoint.encode()) > MAX_ENTRYPOINT_BYTES:
        raise ConfigurationError(
            f"'entrypoint' is longer than {MAX_ENTRYPOINT_BYTES // 1024} KiB",
            hint="Put the command into a script in the working_dir",
        )
    environment = json.dumps({"runtime_env": dict(submission.runtime_env), "metadata": dict(submission.metadata)})
    if len(environment.encode()) > MAX_ENVIRONMENT_BYTES:
        raise ConfigurationError(
            f"'runtime_env' and 'metadata' together are {len(environment) // 1024} KiB; Ray passes them in one "
            f"environment string of at most {MAX_ENVIRONMENT_BYTES // 1024} KiB",
            hint="Ship large values as a file in the working_dir",
        )

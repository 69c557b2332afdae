"""What an author writes to have a Ray cluster on the worker's own host."""

from __future__ import annotations

import hashlib
import json
import math
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from airflow_provider_air.errors import ConfigurationError

MIB = 1024 * 1024

SMALLEST_OBJECT_STORE_BYTES = 75 * MIB
"""What Ray itself demands. Source: ``OBJECT_STORE_MINIMUM_MEMORY_BYTES``, Ray 2.60"""

RESERVED_ENV_VARS = frozenset(
    {"RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "AIR_LOCAL_CLUSTER"}
)
"""What ties a head to its own cluster: an author who set these would reach, or open, another one."""


@dataclass
class LocalCluster:
    """
    Have a Ray cluster on the host of the worker, supervised, on its own ports and with its own token.

    It is adopted while it lives and matches, and goes by itself after its time-outs, even if Airflow is gone.
    ``LocalCluster(name="serving", ttl_seconds=None, idle_timeout_seconds=None)`` stays up between runs.
    All processes of Airflow that use it must run on that host as the same user.

    :param name: unique on this host; by default made of the DAG, the run and the task group
    :param num_cpus: logical CPUs that Ray schedules; None takes all of the host. May exceed the host's
    :param num_gpus: logical GPUs; None takes what Ray detects
    :param object_store_memory_bytes: shared memory for Ray objects, taken as it is used. 512 MiB by default:
        enough for small data, and several clusters fit on a laptop (Ray spills to disk what is more).
        None gives Ray's own choice, 30 % of the memory
    :param resources: custom resources, such as ``{"worker": 1}``
    :param env_vars: environment of the head, and so of everything that runs on it; not for secrets
    :param pass_env: names, or patterns such as ``AWS_*``, of what the head takes over from the worker's environment
        beside what every program needs (``PATH``, ``LANG``, CUDA's ...): keys of clouds only where they are named here
    :param ttl_seconds: the cluster goes this long after its creation, used or not; None means never
    :param idle_timeout_seconds: the cluster goes when no job, driver or Serve application lived on it for
        this long; None means never
    :param startup_timeout_seconds: a head that takes longer to be ready counts as failed
    :param python: path of the interpreter whose Ray runs; by default the worker's own. ``python`` in an
        entrypoint is this interpreter too
    """

    backend: ClassVar[str] = "local"
    template_fields: ClassVar[tuple[str, ...]] = (
        "name",
        "num_cpus",
        "num_gpus",
        "object_store_memory_bytes",
        "resources",
        "env_vars",
        "pass_env",
        "ttl_seconds",
        "idle_timeout_seconds",
        "startup_timeout_seconds",
        "python",
    )

    name: str | None = None
    num_cpus: int | None = None
    num_gpus: int | None = None
    object_store_memory_bytes: int | None = 512 * MIB
    resources: dict[str, float] = field(default_factory=dict)
    env_vars: dict[str, str] = field(default_factory=dict)
    pass_env: Sequence[str] = ()
    ttl_seconds: float | None = 12 * 3600.0
    idle_timeout_seconds: float | None = 30 * 60.0
    startup_timeout_seconds: float = 180.0
    python: str | None = None

    def validate(self) -> None:
        """
        Check the fields after rendering. Runs in the worker, on the cluster's host.

        :raises ConfigurationError: a field is wrong; the message names it
        """
        if self.name is not None and not str(self.name).strip():
            raise _wrong("name", self.name, "a non-empty text, or None")
        _check_whole("num_cpus", self.num_cpus, least=0)
        _check_whole("num_gpus", self.num_gpus, least=0)
        _check_whole("object_store_memory_bytes", self.object_store_memory_bytes, least=SMALLEST_OBJECT_STORE_BYTES)
        _check_resources(self.resources)
        _check_env_vars(self.env_vars)
        _check_pass_env(self.pass_env)
        _check_seconds("ttl_seconds", self.ttl_seconds, may_be_none=True)
        _check_seconds("idle_timeout_seconds", self.idle_timeout_seconds, may_be_none=True)
        _check_seconds("startup_timeout_seconds", self.startup_timeout_seconds, may_be_none=False)
        if self.python is not None and not _is_program(self.python):
            raise _wrong("python", self.python, "the absolute path of a Python interpreter on this host")

    def interpreter(self) -> str:
        """Give the path of the interpreter whose Ray runs; asked on the cluster's host, not at parse time."""
        return self.python or sys.executable

    def fingerprint(self) -> str:
        """
        Digest what makes two specs ask for the same cluster.

        The name and the three time-outs are left out: a cluster with other time-outs is adopted and takes
        over the new ones.
        """
        wish = {
            "num_cpus": self.num_cpus,
            "num_gpus": self.num_gpus,
            "object_store_memory_bytes": self.object_store_memory_bytes,
            "resources": self.resources,
            "env_vars": self.env_vars,
            "pass_env": sorted(self.pass_env),
            "python": self.interpreter(),
        }
        return hashlib.sha256(json.dumps(wish, sort_keys=True).encode()).hexdigest()[:16]


def _wrong(name: str, value: Any, wanted: str) -> ConfigurationError:
    return ConfigurationError(f"LocalCluster({name}={value!r}) is wrong", hint=f"{name} must be {wanted}")


def _is_program(path: str) -> bool:
    return os.path.isabs(path) and os.path.isfile(path) and os.access(path, os.X_OK)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _check_whole(name: str, value: Any, *, least: int) -> None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    if value is not None and (not whole or value < least):
        raise _wrong(name, value, f"a whole number of at least {least}, or None")


def _check_seconds(name: str, value: Any, *, may_be_none: bool) -> None:
    if value is None and may_be_none:
        return
    if not _is_number(value) or value <= 0:
        raise _wrong(name, value, "a positive number of seconds" + (", or None" if may_be_none else ""))


def _check_resources(resources: Any) -> None:
    if not isinstance(resources, Mapping):
        raise _wrong("resources", resources, "a dict of resource names and amounts")
    for name, amount in resources.items():
        if not isinstance(name, str) or not name or not _is_number(amount) or amount < 0:
            raise _wrong("resources", resources, "a dict of resource names and amounts")
        if name in ("CPU", "GPU", "memory", "object_store_memory"):
            raise _wrong("resources", resources, f"about custom resources; {name} has its own field")


def _check_env_vars(env_vars: Any) -> None:
    if not isinstance(env_vars, Mapping) or not all(
        isinstance(name, str) and name and "=" not in name and isinstance(value, str)
        for name, value in env_vars.items()
    ):
        # Names only: a value may be something that its author should not have put here.
        shown = sorted(map(str, env_vars)) if isinstance(env_vars, Mapping) else type(env_vars).__name__
        raise _wrong("env_vars", shown, "a dict of text to text")
    if reserved := sorted(RESERVED_ENV_VARS & set(env_vars)):
        raise _wrong("env_vars", sorted(env_vars), f"without {', '.join(reserved)}: the cluster sets these")


def _check_pass_env(names: Any) -> None:
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) and name.strip() for name in names):
        raise _wrong("pass_env", names, "a list of names or patterns, such as ['AWS_*']")
    if never := [name for name in names if name.startswith(("AIRFLOW", "_AIRFLOW", "RAY_"))]:
        raise _wrong(
            "pass_env", names, f"without {never[0]}: a cluster never gets settings of Airflow and other clusters"
        )

"""Which backends there are; each is imported when it is first used. A new one is one file and one line here."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

from airflow_provider_air.clusters.contract import ClusterBackend, ClusterSpec
from airflow_provider_air.errors import ConfigurationError
from airflow_provider_air.ray_api.transport import Transport

_ROOT = "airflow_provider_air.clusters"
# name -> where its spec and its backend are
_SPECS = {
    "existing": f"{_ROOT}.existing:ExistingCluster",
    "local": f"{_ROOT}.local.spec:LocalCluster",
}
_BACKENDS = {
    "existing": f"{_ROOT}.existing:ExistingBackend",
    "local": f"{_ROOT}.local.backend:LocalBackend",
}
BACKEND_NAMES = tuple(_BACKENDS)


def _load(places: Mapping[str, str], name: str) -> Any:
    if name not in places:
        raise ConfigurationError(
            f"There is no cluster back end {name!r}", hint=f"Known ones: {', '.join(BACKEND_NAMES)}"
        )
    module, _, attribute = places[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


def open_backend(name: str, connect: Callable[[str], Transport]) -> ClusterBackend:
    """
    Give a backend by its name.

    :param connect: turns the id of a ``ray`` connection into a transport, for backends that need one
    :raises ConfigurationError: there is no such backend
    """
    kind = _load(_BACKENDS, name)
    made: ClusterBackend = kind(connect) if name == "existing" else kind()
    return made


def build_spec(name: str, fields: dict[str, Any]) -> ClusterSpec:
    """
    Make a cluster spec from plain data, such as a connection's extra.

    :raises ConfigurationError: there is no such backend, or it has no such field
    """
    kind = _load(_SPECS, name)
    try:
        made: ClusterSpec = kind(**fields)
    except TypeError as error:
        raise ConfigurationError(f"The cluster spec for back end {name!r} is wrong: {error}") from None
    return made

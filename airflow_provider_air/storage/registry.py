"""
What an author writes as ``storage=``, turned into a spec.

Other packages add places by the scheme of their URIs, with an entry point of the group :data:`ENTRY_POINTS`: its name
is the scheme, and what it names takes a URI and gives a
:class:`~airflow_provider_air.contracts.storage.StorageSpec`. Then ``storage="scheme://…"`` is that spec; an author may
as well write the spec itself, which needs no registration.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any

from airflow_provider_air.contracts.storage import StorageSpec
from airflow_provider_air.errors import ConfigurationError
from airflow_provider_air.storage.cluster_uri import ClusterUri
from airflow_provider_air.storage.shared_folder import SharedFolder

ENTRY_POINTS = "airflow_provider_air.storage"


def spec_of(value: Any) -> StorageSpec:
    """
    Give the spec of a place, checked; asks nobody.

    A spec is one already, a path is a :class:`~airflow_provider_air.storage.shared_folder.SharedFolder`, a URI of a
    scheme that somebody has registered is theirs, any other URI is one that only the cluster reaches.

    :raises ConfigurationError: it is no storage, or one of its fields is wrong
    """
    spec = _of_text(value) if isinstance(value, str) else value
    if not isinstance(spec, StorageSpec) or isinstance(spec, type):
        raise ConfigurationError(f"'storage' must be a storage, a path or a URI, not {spec!r}")
    spec.validate()
    return spec


def _of_text(text: str) -> Any:
    scheme, mark, _ = text.partition("://")
    if not mark:
        return SharedFolder(text)
    found = entry_points(group=ENTRY_POINTS, name=scheme.lower())
    if not found:
        return ClusterUri(text)
    if len(places := {entry.value for entry in found}) > 1:
        raise ConfigurationError(
            f"Several packages say what {scheme}:// is: {', '.join(sorted(places))}",
            hint="Uninstall all but one, or give the spec itself as 'storage'",
        )
    (entry, *_) = found
    try:
        kind = entry.load()
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(
            f"What is registered for {scheme}:// cannot be loaded: {error}", where=entry.value
        ) from error
    return kind(text)

"""
Code of applications in the cluster's own store, for as long as a version needs it.

Ray deletes a package with its last use, so an application whose only replica dies would lose its code (Ray 2.60: only
nodes that had unpacked it could start another). A pin keeps it, but cannot be taken away before its time. So
applications get a copy under a name that nobody else uses, which is deleted with the last version that needs it.
"""

from __future__ import annotations

from typing import Any, Dict, Iterable, List, Mapping, Optional, Set

from ..wire.problems import ConfigurationProblem

# As good as for ever, and renewed by each deployment.
KEEP_SECONDS = 400 * 24 * 3600
_STORE = "gcs://"
_COPY = "gcs://air_serve_"
# A wheel's name has fields, one of which nobody reads: its build, the third of six.
_BUILD, _NO_BUILD = "_airserve", "0airserve"


def copy_of(uri: str) -> str:
    """Give the name of a package's copy; what is no package in the cluster's store, or a copy already, stays."""
    if not uri.startswith(_STORE) or _source_of(uri) is not None:
        return uri
    if not uri.endswith(".whl"):
        return _COPY + uri[len(_STORE) :]
    parts = uri.split("-")
    build = parts[2] + _BUILD if len(parts) == 6 else _NO_BUILD
    return "-".join([*parts[:2], build, *parts[-3:]])


def _source_of(copy: str) -> Optional[str]:
    if copy.startswith(_COPY):
        return _STORE + copy[len(_COPY) :]
    parts = copy.split("-")
    if not copy.endswith(".whl") or len(parts) != 6 or not parts[2].endswith((_BUILD, _NO_BUILD)):
        return None
    build = [] if parts[2] == _NO_BUILD else [parts[2][: -len(_BUILD)]]
    return "-".join([*parts[:2], *build, *parts[-3:]])


def with_copies(application: Mapping[str, Any]) -> Dict[str, Any]:
    """Give an application's configuration with the names of copies."""
    changed = dict(application)
    if changed.get("runtime_env"):
        changed["runtime_env"] = _copied(changed["runtime_env"])
    deployments = []
    for deployment in changed.get("deployments") or []:
        options = dict(deployment.get("ray_actor_options") or {})
        if options.get("runtime_env"):
            deployment = dict(deployment, ray_actor_options=dict(options, runtime_env=_copied(options["runtime_env"])))
        deployments.append(deployment)
    if deployments:
        changed["deployments"] = deployments
    return changed


def _copied(environment: Mapping[str, Any]) -> Dict[str, Any]:
    changed = dict(environment)
    if isinstance(changed.get("working_dir"), str):
        changed["working_dir"] = copy_of(changed["working_dir"])
    if changed.get("py_modules"):
        changed["py_modules"] = [copy_of(uri) if isinstance(uri, str) else uri for uri in changed["py_modules"]]
    return changed


def code_of(applications: Iterable[Mapping[str, Any]]) -> List[str]:
    """Give the URIs of all code that applications need to start a replica."""
    found: Set[str] = set()
    for application in applications:
        environments = [application.get("runtime_env")]
        for deployment in application.get("deployments") or []:
            environments.append((deployment.get("ray_actor_options") or {}).get("runtime_env"))
        for environment in environments:
            uris = [(environment or {}).get("working_dir"), *((environment or {}).get("py_modules") or [])]
            found |= {uri for uri in uris if isinstance(uri, str)}
    return sorted(found)


def check(store: Any, applications: Iterable[Mapping[str, Any]]) -> None:
    """
    Refuse code that is not there to be copied.

    :param store: Ray's GCS client
    :raises ConfigurationProblem: a package is not on the cluster
    """
    for uri in code_of(applications):
        source = _source_of(uri)
        if source is not None and not any(store.internal_kv_exists(name.encode(), None) for name in (uri, source)):
            raise ConfigurationProblem("the package %s is not on the cluster, or no more; ship the code anew" % source)


def keep(store: Any, applications: Iterable[Mapping[str, Any]]) -> None:
    """Make sure that the copies which applications need are there; called under the lock of the configuration."""
    for uri in code_of(applications):
        source = _source_of(uri)
        if source is None:
            continue
        store.pin_runtime_env_uri(uri, KEEP_SECONDS)
        data = None if store.internal_kv_exists(uri.encode(), None) else store.internal_kv_get(source.encode(), None)
        if data is not None:
            store.internal_kv_put(uri.encode(), data, True, None)


def copies(store: Any) -> Set[str]:
    """Give the names of all copies on the cluster."""
    names = {key.decode() for key in store.internal_kv_keys(_STORE.encode(), None)}
    return {name for name in names if _source_of(name) is not None}


def drop(store: Any, uris: Iterable[str]) -> None:
    """Delete copies; called under the lock of the configuration, of those that no application needs."""
    for uri in uris:
        store.internal_kv_del(uri.encode(), False, None)

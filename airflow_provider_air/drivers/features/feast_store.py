"""A Feast feature repository, opened on the cluster. Feast is imported here only. Source: Feast 0.67."""

from __future__ import annotations

import importlib
import os
import re
from typing import Any, Dict

from ..wire import outages
from ..wire.feature_names import CONFIG_FILE
from ..wire.problems import ConfigurationProblem

REGISTRY_AWAY = "repo: Feast's registry does not answer"


def feast() -> Any:
    """
    Import Feast.

    :raises ConfigurationProblem: it is not on the cluster
    """
    try:
        importlib.import_module("feast.errors")
        return importlib.import_module("feast")
    except ImportError as error:
        raise ConfigurationProblem(
            "feast is not installed on the cluster; add it to the image, or to runtime_env: {'pip': ['feast']}"
        ) from error


def opened(repo: str) -> Any:
    """
    Open the store of a repository's folder.

    :raises ConfigurationProblem: feast is absent, the folder is no repository, or its registry would go with the job
    :raises Unavailable: its registry is away
    """
    library = feast()
    # A time without a zone is UTC in Postgres, too, and not of the server's zone.
    os.environ.setdefault("PGTZ", "UTC")
    path = os.path.join(repo, CONFIG_FILE)
    if not os.path.isfile(path):
        raise ConfigurationProblem("repo: there is no %s in it" % CONFIG_FILE)
    import yaml

    with open(path) as file:
        told = yaml.safe_load(os.path.expandvars(file.read())) or {}
    registry = told.get("registry")
    _check_place("registry", registry.get("path") if isinstance(registry, dict) else registry)
    return outages.asked(lambda: library.FeatureStore(repo_path=repo), "repo: Feast does not open it")


def _check_place(field: str, path: Any) -> None:
    text = str(path or "/")
    if os.path.isabs(text) or ("://" in text and not re.match(r"sqlite:///[^/]", text)):
        return
    raise ConfigurationProblem(
        "repo: the %s of %s has the relative path %r, which would go with the job; use an absolute path on shared "
        "storage, a database or a bucket" % (field, CONFIG_FILE, text)
    )


def check_online_store(store: Any) -> None:
    """:raises ConfigurationProblem: what is written to the store's online store would go with the job."""
    # Without a path, Feast's default is relative, too.
    _check_place("online_store", getattr(store.config.online_store, "path", None))


def service(store: Any, name: str) -> Any:
    """
    Look up a feature service.

    :raises ConfigurationProblem: the registry does not know it; the message names those that it does
    :raises Unavailable: the registry is away
    """
    try:
        return outages.patiently(lambda: store.get_feature_service(name), REGISTRY_AWAY)
    except feast().errors.FeatureServiceNotFoundException as error:
        names = ", ".join(sorted(known.name for known in store.list_feature_services())) or "none"
        raise ConfigurationProblem(
            "feature_service: the project %r has no %r; it has: %s. Run FeastApplyOperator first, or correct the name"
            % (store.project, name, names)
        ) from error


def views(store: Any) -> Dict[str, Any]:
    """
    Give the views that hold values, by name: all but on-demand ones.

    :raises Unavailable: the registry is away
    """
    found = outages.patiently(lambda: [*store.list_feature_views(), *store.list_stream_feature_views()], REGISTRY_AWAY)
    return {view.name: view for view in found}

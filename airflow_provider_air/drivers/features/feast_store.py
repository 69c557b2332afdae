"""A Feast feature repository, opened on the cluster. Feast is imported here only. Source: Feast 0.67."""

from __future__ import annotations

import importlib
import os
import re
from typing import Any, Dict, Iterator

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
    registry = configuration(repo).get("registry")
    _check_place("registry", registry.get("path") if isinstance(registry, dict) else registry)
    return outages.asked(lambda: library.FeatureStore(repo_path=repo), "repo: Feast does not open it")


class Lazily:
    """
    A repository's store, opened when it is first asked for: the import of Feast alone takes seconds.

    :param repo: the repository's folder
    """

    def __init__(self, repo: str) -> None:
        self._repo = repo
        self._store: Any = None

    def __call__(self) -> Any:
        """Give the store; raises as :func:`opened` does."""
        if self._store is None:
            self._store = opened(self._repo)
        return self._store


def configuration(repo: str) -> Dict[str, Any]:
    """
    Read a repository's configuration, with the environment's variables in it, as Feast does; without Feast.

    :raises ConfigurationProblem: there is none, or it is no YAML of one
    """
    path = os.path.join(repo, CONFIG_FILE)
    if not os.path.isfile(path):
        raise ConfigurationProblem("repo: there is no %s in it" % CONFIG_FILE)
    import yaml

    try:
        with open(path) as file:
            told = yaml.safe_load(os.path.expandvars(file.read())) or {}
    except yaml.YAMLError as error:
        raise ConfigurationProblem("repo: %s is no YAML: %s" % (CONFIG_FILE, error)) from error
    if not isinstance(told, dict):
        raise ConfigurationProblem("repo: %s holds no fields" % CONFIG_FILE)
    return told


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


def computed_views(store: Any) -> Dict[str, Any]:
    """
    Give the on-demand views by name.

    :raises Unavailable: the registry is away
    """
    return {view.name: view for view in outages.patiently(store.list_on_demand_feature_views, REGISTRY_AWAY)}


def projections(service: Any, computed: Dict[str, Any]) -> Iterator[Any]:
    """
    Give how a service projects the views that hold values, also those that it only computes from.

    :param computed: see :func:`computed_views`
    """
    for projection in service.feature_view_projections:
        if projection.name in computed:
            yield from computed[projection.name].source_feature_view_projections.values()
        else:
            yield projection


def view(known: Dict[str, Any], name: str) -> Any:
    """
    Look up a view among those that the registry has.

    :raises ConfigurationProblem: there is none of this name
    """
    if name not in known:
        raise ConfigurationProblem(
            "feature_service: it names the feature view %r, which the registry no longer has; run FeastApplyOperator"
            % name
        )
    return known[name]

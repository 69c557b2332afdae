"""
What a feature service asks of which files, as JSON: compiled from Feast's registry by whoever has Feast open, and kept
in the storage by the registry's version, so that a join of files needs no Feast.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from typing import List, Optional

from ..data import files
from ..wire.problems import ConfigurationProblem, Unavailable
from . import feast_store

# Grows with what is kept; a plan of another version is compiled anew.
VERSION = 1
FOLDER = "_air_feature_plans"


@dataclass(frozen=True)
class ViewPlan:
    """
    One feature view's values, in a parquet file or folder.

    :param view: what Feast calls it in this service
    :param uri: the source's; a relative path starts in the repository
    :param endpoint: an S3 endpoint of its own, or ""
    :param keys: pairs: the column of the rows, the column of the source
    :param timestamp: the source's column of event times
    :param created: that of creation times, or None
    :param ttl_seconds: how old a value may be; 0 has no bound
    :param features: pairs: the feature, the column of the source
    """

    view: str
    uri: str
    endpoint: str
    keys: List[List[str]]
    timestamp: str
    created: Optional[str]
    ttl_seconds: float
    features: List[List[str]]

    @property
    def columns(self) -> List[str]:
        """The columns of the source that are read."""
        raws = [raw for _, raw in [*self.keys, *self.features]]
        return [*raws, self.timestamp, *([self.created] if self.created else [])]


@dataclass(frozen=True)
class ComputedPlan:
    """
    One on-demand feature view.

    :param view: what Feast calls it in this service
    :param name: its name in the registry
    :param features: those that the service has
    :param inputs: the columns of the rows that it reads beside features
    """

    view: str
    name: str
    features: List[str]
    inputs: List[str]


@dataclass(frozen=True)
class JoinPlan:
    """
    What a feature service is made of.

    :param by_files: whether all values are in parquet, so that no offline store is asked
    :param served: pairs: the view, the feature: what the service has, in its order, without what only computing needs
    """

    project: str
    feature_service: str
    fingerprint: str
    by_files: bool
    views: List[ViewPlan]
    computed: List[ComputedPlan]
    served: List[List[str]] = field(default_factory=list)

    @property
    def join_keys(self) -> List[str]:
        """The rows' columns of keys."""
        return sorted({key for view in self.views for key, _ in view.keys})

    @property
    def keys(self) -> List[str]:
        """The columns that the rows must have beside their time: join keys, and what on-demand views read."""
        return sorted({*self.join_keys, *(name for view in self.computed for name in view.inputs)})

    @property
    def carried(self) -> List[str]:
        """The columns by which the joined features travel, see :func:`carried_name`."""
        return [carried_name(view.view, feature) for view in self.views for feature, _ in view.features]

    def names(self, full: bool) -> List[str]:
        """
        Give the columns that the service adds to a row.

        :param full: ``view__feature``, as Feast's ``full_feature_names`` has it
        :raises ConfigurationProblem: two features have one name
        """
        found = [name_of(view, feature, full) for view, feature in self.served]
        twice = sorted({name for name in found if found.count(name) > 1})
        if twice:
            raise ConfigurationProblem(
                "feature_service: %r has several features named %s; tell them apart by full_feature_names=True"
                % (self.feature_service, ", ".join(twice))
            )
        return found


def name_of(view: str, feature: str, full: bool) -> str:
    """Give a feature's column."""
    return "%s__%s" % (view, feature) if full else feature


def carried_name(view: str, feature: str) -> str:
    """Give the column of a feature on its way to the output, beside columns of the rows that may have its name."""
    return "air:%s:%s" % (view, feature)


def kept(repo: str, storage: Optional[str], service: str) -> Optional[JoinPlan]:
    """
    Look for the plan of the registry as it is now, without Feast.

    :param repo: the repository's folder
    :param storage: URI below which plans are kept, or None
    :return: None where there is none, or where the registry is none that can be told so
    """
    version = version_of(repo)
    if storage is None or version is None:
        return None
    with contextlib.suppress(ConfigurationProblem, Unavailable):  # then it is compiled, which says what is wrong
        data = files.read(*files.open_uri(_place(storage, version, service), "storage"))
        return _read(data) if data else None
    return None


def keep(repo: str, storage: Optional[str], plans: List[JoinPlan], version: Optional[str]) -> None:
    """
    Keep plans for the next join; a storage that does not take them costs that one a few seconds.

    :param version: the registry's before the plans were compiled: where it is another now, they may be of either, and
        are not kept
    """
    if storage is None or version is None or version_of(repo) != version:
        return
    for each in plans:
        with contextlib.suppress(ConfigurationProblem, Unavailable, OSError):
            filesystem, path = files.open_uri(_place(storage, version, each.feature_service), "storage")
            files.write(filesystem, path, json.dumps({"version": VERSION, **asdict(each)}).encode())


def _read(data: bytes) -> Optional[JoinPlan]:
    try:
        told = json.loads(data)
        if told.pop("version") != VERSION:
            return None
        views = [ViewPlan(**view) for view in told.pop("views")]
        computed = [ComputedPlan(**view) for view in told.pop("computed")]
        return JoinPlan(views=views, computed=computed, **told)
    except (ValueError, KeyError, TypeError):
        return None


def _place(storage: str, version: str, service: str) -> str:
    name = hashlib.sha256(json.dumps([version, service]).encode()).hexdigest()[:32]
    return files.join(files.absolute(storage), FOLDER, name + ".json")


def version_of(repo: str) -> Optional[str]:
    """
    Tell a registry from what it was before: by the bytes of its file, and by the repository's configuration.

    :return: None where the registry is none that can be told so
    """
    told = feast_store.configuration(repo)
    registry = told.get("registry")
    options = registry if isinstance(registry, dict) else {"path": registry}
    if options.get("registry_type", "file") != "file" or set(options) - {"path", "registry_type", "cache_ttl_seconds"}:
        return None
    path = str(options.get("path") or "")
    if not ("://" in path or os.path.isabs(path)):
        return None
    with contextlib.suppress(ConfigurationProblem, Unavailable):
        data = files.read(*files.open_uri(path, "repo"))
        whole = json.dumps(told, sort_keys=True, default=str).encode()
        return None if data is None else hashlib.sha256(whole + b"\0" + data).hexdigest()
    return None

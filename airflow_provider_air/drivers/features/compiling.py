"""A feature service's plan, compiled from the objects of Feast's registry. Source: Feast 0.67."""

from __future__ import annotations

import hashlib
from typing import Any, Dict, List

from . import feast_store
from .plan import ComputedPlan, JoinPlan, ViewPlan

# The offline stores whose values are files that we can read as well as they do.
FILE_STORES = frozenset({"dask", "duckdb", "file"})
DUMMY_KEY = "__dummy_id"


def compiled(store: Any, name: str) -> JoinPlan:
    """
    Compile a service's plan.

    :param store: an open ``FeatureStore``
    :raises ConfigurationProblem: the registry does not know the service, or a view that it names
    :raises Unavailable: the registry is away
    """
    service = feast_store.service(store, name)
    stored, on_demand = feast_store.views(store), feast_store.computed_views(store)
    joined: Dict[str, _Joined] = {}
    computed: List[ComputedPlan] = []
    served: List[List[str]] = []
    for projection in service.feature_view_projections:
        features = [feature.name for feature in projection.features]
        served += [[projection.name_to_use(), feature] for feature in features]
        if projection.name in on_demand:
            view = on_demand[projection.name]
            computed.append(
                ComputedPlan(projection.name_to_use(), view.name, features, sorted(view.get_request_data_schema()))
            )
    for projection in feast_store.projections(service, on_demand):
        _add(joined, projection, stored)
    by_files = str(store.config.offline_store.type) in FILE_STORES and all(j.by_files for j in joined.values())
    return JoinPlan(
        project=store.project,
        feature_service=service.name,
        fingerprint=_fingerprint({**stored, **on_demand}, service),
        by_files=by_files,
        views=[each.plan(key) for key, each in joined.items()],
        computed=computed,
        served=served,
    )


class _Joined:
    """One view's projection, and the features that are wanted of it, by the service or by what is computed."""

    def __init__(self, view: Any, projection: Any) -> None:
        self._view, self._projection = view, projection
        self.features: List[str] = []
        self._source = view.batch_source
        # A pinned version of a view is one that the registry's lists do not give.
        self.by_files = projection.version_tag is None and _is_parquet(self._source)

    def plan(self, name: str) -> ViewPlan:
        """Give it as a plan; of a source that is no file only keys and features mean something."""
        raw = {new: old for old, new in (self._source.field_mapping or {}).items()}
        renamed = self._projection.join_key_map or {}
        keys = [key for key in self._view.join_keys if key != DUMMY_KEY]
        created = self._source.created_timestamp_column
        options = getattr(self._source, "file_options", None)
        return ViewPlan(
            view=name,
            uri=str(getattr(options, "uri", "")),
            endpoint=str(getattr(options, "s3_endpoint_override", "") or ""),
            keys=[[renamed.get(key, key), raw.get(key, key)] for key in keys],
            timestamp=raw.get(self._source.timestamp_field, self._source.timestamp_field),
            created=raw.get(created, created) or None,
            ttl_seconds=self._view.ttl.total_seconds() if self._view.ttl else 0.0,
            features=[[feature, raw.get(feature, feature)] for feature in self.features],
        )


def _add(joined: Dict[str, _Joined], projection: Any, stored: Dict[str, Any]) -> None:
    name = projection.name_to_use()
    view = feast_store.view(stored, projection.name)
    each = joined.setdefault(name, _Joined(view, projection))
    each.features += [f.name for f in projection.features if f.name not in each.features]


def _is_parquet(source: Any) -> bool:
    options = getattr(source, "file_options", None)
    if options is None or getattr(source, "connection_ref", None) is not None:
        return False
    kind = type(options.file_format).__name__
    return kind in ("NoneType", "ParquetFormat")


def _fingerprint(known: Dict[str, Any], service: Any) -> str:
    used = {projection.name for projection in service.feature_view_projections}
    specs = [
        str(service.to_proto().spec),
        *(str(known[name].to_proto().spec) for name in sorted(known) if name in used),
    ]
    return hashlib.sha256("\n".join(specs).encode()).hexdigest()[:16]

"""Feast as jobs: what an author says, and what the driver is told."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from airflow_provider_air.errors import ConfigurationError
from airflow_provider_air.workloads import fields

ENTRYPOINT = "python -m air_drivers.features"


def join_payload(
    *,
    feature_service: str,
    entities_uri: Any,
    entities_sql: Any = None,
    entities_format: Any = None,
    entities_options: Any = None,
    output_uri: Any,
    run_name: str,
    storage_path: str | None = None,
    how: Mapping[str, Any] | None = None,
) -> dict[str, bytes]:
    """
    Tell the driver what to join; in the worker.

    :param entities_uri: the rows by place; else
    :param entities_sql: by a query, which the store's own offline store runs
    :param storage_path: where the feature service's plan is kept, or None
    :param how: what else the driver is told, such as names of columns
    :raises ConfigurationError: a field is wrong, by its name
    """
    if (entities_uri is None) == (entities_sql is None):
        raise ConfigurationError(
            "Exactly one of 'entities_uri' and 'entities_sql' says what to join",
            hint="Give a place, or a query for the repository's offline store",
        )
    if entities_uri is None:
        fields.query(entities_sql, "entities_sql")
    else:
        fields.uri(entities_uri, "entities_uri")
    fields.uri(output_uri, "output_uri")
    if entities_uri is None and (entities_format is not None or entities_options):
        raise ConfigurationError("'entities_format' and 'entities_options' belong to 'entities_uri'", hint="Leave out")
    fields.data_format(entities_format, "entities_format", importable=True)
    fields.mapping(entities_options, "entities_options")
    files = {"uri": entities_uri, "format": entities_format, "options": entities_options}
    config = {
        "feature_service": feature_service,
        "entities": {"sql": entities_sql} if entities_uri is None else {k: v for k, v in files.items() if v},
        "output": output_uri,
        "run_name": run_name,
        "storage_path": storage_path,
        **(how or {}),
    }
    return _payload("join", config)


def apply_payload(storage_path: str | None = None) -> dict[str, bytes]:
    """
    Tell the driver to register the repository.

    :param storage_path: where the feature services' plans are kept, or None
    """
    return _payload("apply", {"storage_path": storage_path})


def materialize_payload(
    *, start: Any, end: Any, feature_views: Sequence[str], storage_path: str | None = None
) -> dict[str, bytes]:
    """
    Tell the driver which window to bring into the online store; in the worker.

    :param start: None goes on where the registry says that the last time ended
    :raises ConfigurationError: a field is wrong, by its name
    """
    first, last = fields.moment(start, "start"), fields.moment(end, "end")
    if last is None:
        raise ConfigurationError("'end' is missing")
    if first is not None and first >= last:
        raise ConfigurationError(f"'start' {first} is not before 'end' {last}")
    _check_views(feature_views)
    return _payload(
        "materialize",
        {
            "start": first and first.isoformat(),
            "end": last.isoformat(),
            "feature_views": list(feature_views),
            "storage_path": storage_path,
        },
    )


def freshness_payload(*, fresh_at: Any, feature_views: Sequence[str]) -> dict[str, bytes]:
    """
    Tell the driver until when values must be in the online store; in the worker.

    :raises ConfigurationError: a field is wrong, by its name
    """
    wanted = fields.moment(fresh_at, "fresh_at")
    if wanted is None:
        raise ConfigurationError("'fresh_at' is missing")
    _check_views(feature_views)
    return _payload("freshness", {"fresh_at": wanted.isoformat(), "feature_views": list(feature_views)})


def _check_views(feature_views: Any) -> None:
    if isinstance(feature_views, str) or not all(isinstance(name, str) for name in feature_views):
        raise ConfigurationError(f"'feature_views' must be a list of names, not {feature_views!r}")


def _payload(action: str, config: dict[str, Any]) -> dict[str, bytes]:
    told = {"action": action, **{name: value for name, value in config.items() if value not in (None, [])}}
    return {"config.json": json.dumps(told).encode()}

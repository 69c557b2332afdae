"""Checks of what authors write, before anything remote starts; each message names the field."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from airflow_provider_air.addresses import check_bare
from airflow_provider_air.errors import ConfigurationError
from airflow_provider_air.workloads.code import IMPORT_PATH

DATA_FORMATS = ("parquet", "csv", "json")
DATASET_KEYS = frozenset({"uri", "sql", "format", "columns", "options", "split", "split_by", "seed"})
# What says how to read a place means nothing to a query.
WITHOUT_SQL = frozenset({"uri", "format", "options"})
MODES = ("min", "max")
RUN_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_.\-]{0,199}$")


def plain_json(value: Any, field: str) -> None:
    """
    Check that a value survives JSON.

    :raises ConfigurationError: it does not
    """
    try:
        json.dumps(value)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"'{field}' is no plain JSON: {error}") from None


def mapping(value: Any, field: str) -> None:
    """
    Check that a value is a dict with text keys, of plain JSON; None passes.

    :raises ConfigurationError: it is not
    """
    if value is None:
        return
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise ConfigurationError(f"'{field}' must be a dict with text keys, not {value!r}")
    plain_json(value, field)


def objects(value: Any, field: str) -> None:
    """
    Check what describes objects: JSON, in which functions and classes may stand anywhere; None passes.

    :raises ConfigurationError: something else is in it, such as an object of Ray's own
    """

    def stands_for(item: Any) -> str:
        if callable(item):
            return ""
        raise TypeError(f"{type(item).__name__} cannot travel")

    try:
        json.dumps(value, default=stands_for)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(
            f"'{field}' is no plain JSON: {error}",
            hint="Write a dict of its fields, an import path, {'name': PATH, 'args': {...}}, or a function",
        ) from None


def object_mapping(value: Any, field: str) -> None:
    """
    Check a dict with text keys that describes objects, see :func:`objects`; None passes.

    :raises ConfigurationError: it is not
    """
    if value is not None and (not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value)):
        raise ConfigurationError(f"'{field}' must be a dict with text keys, not {value!r}")
    objects(value, field)


def points(value: Any) -> None:
    """
    Check the configs that a search tries first; None passes.

    :raises ConfigurationError: they are no list of dicts of plain JSON
    """
    if value is not None and not isinstance(value, (list, tuple)):
        raise ConfigurationError(f"'points_to_evaluate' must be a list of dicts, not {value!r}")
    for point in value or ():
        if not isinstance(point, Mapping):
            raise ConfigurationError(f"'points_to_evaluate' must hold dicts, not {point!r}")
        mapping(point, "points_to_evaluate")


def number(value: Any, field: str, *, minimum: float, integer: bool = False) -> None:
    """
    Check a number; None passes.

    :raises ConfigurationError: it is no number, or below ``minimum``
    """
    if value is None:
        return
    kinds = int if integer else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or value < minimum:
        raise ConfigurationError(
            f"'{field}' must be {'an integer' if integer else 'a number'} of at least {minimum:g}, not {value!r}"
        )


def metric(name: Any, mode: Any, *, required: bool) -> None:
    """
    Check a metric and the direction that is better.

    :raises ConfigurationError: one of them is missing or wrong
    """
    if name is None and not required:
        if mode is not None:
            raise ConfigurationError("'mode' says how to compare, but 'metric' does not say what")
        return
    if not isinstance(name, str) or not name:
        raise ConfigurationError(f"'metric' must name a metric that the code reports, not {name!r}")
    if mode not in MODES:
        raise ConfigurationError(f"'mode' must be 'min' or 'max', not {mode!r}")


def uri(value: Any, field: str) -> None:
    """
    Check the form of a URI or path, or of a list of them.

    :raises ConfigurationError: it is empty or no text, or holds a password
    """
    values = value if isinstance(value, list) and value else [value]
    if not all(isinstance(item, str) and item.strip() for item in values):
        raise ConfigurationError(f"'{field}' must be a URI or a path, not {value!r}")
    for item in values:
        check_bare(item, f"'{field}'")


def query(value: Any, field: str) -> None:
    """
    Check the form of an SQL query.

    :raises ConfigurationError: it is empty or no text
    """
    if not isinstance(value, str) or not value.strip():
        raise ConfigurationError(f"'{field}' must be an SQL query, not {value!r}")


def data_format(value: Any, field: str, *, importable: bool) -> None:
    """
    Check a data format; None passes.

    :param importable: whether an import path of a reader is allowed too
    :raises ConfigurationError: it is unknown
    """
    if value is None or value in DATA_FORMATS:
        return
    if not (importable and isinstance(value, str) and IMPORT_PATH.match(value)):
        other = " or the import path of a reader" if importable else ""
        raise ConfigurationError(f"'{field}' must be one of {', '.join(DATA_FORMATS)}{other}, not {value!r}")


def dataset(spec: Any, field: str) -> None:
    """
    Check one dataset: a URI, a list of them, or a dict of :data:`DATASET_KEYS` with at least ``uri`` or ``sql``.

    :raises ConfigurationError: something in it is wrong
    """
    if isinstance(spec, (str, list)):
        uri(spec, field)
        return
    mapping(spec, field)
    if not isinstance(spec, Mapping):
        raise ConfigurationError(f"'{field}' must be a URI or a dict with 'uri', not {spec!r}")
    if unknown := sorted(set(spec) - DATASET_KEYS):
        raise ConfigurationError(f"'{field}' has no field {unknown[0]!r}; it has {', '.join(sorted(DATASET_KEYS))}")
    if "sql" in spec:
        query(spec["sql"], f"{field}.sql")
        if other := sorted(set(spec) & WITHOUT_SQL):
            raise ConfigurationError(f"'{field}' has both 'sql' and {other[0]!r}", hint="Give a query or a place")
    else:
        uri(spec.get("uri"), f"{field}.uri")
    data_format(spec.get("format"), f"{field}.format", importable=True)
    columns = spec.get("columns")
    if columns is not None and not (isinstance(columns, list) and all(isinstance(c, str) for c in columns)):
        raise ConfigurationError(f"'{field}.columns' must be a list of names, not {columns!r}")
    _split(spec.get("split"), f"{field}.split")


def datasets(specs: Any) -> None:
    """
    Check datasets by name.

    :raises ConfigurationError: something in one of them is wrong
    """
    if specs is None:
        return
    if not isinstance(specs, Mapping):
        raise ConfigurationError(f"'datasets' must map names to URIs or dicts, not {specs!r}")
    for name, spec in specs.items():
        dataset(spec, f"datasets.{name}")


def submission_id(value: Any) -> None:
    """:raises ConfigurationError: it names no job."""
    if not isinstance(value, str) or not value.strip():
        raise ConfigurationError("'submission_id' is empty", hint="Pass the XCom of the submitting task")


def moment(value: Any, field: str) -> datetime | None:
    """
    Read a time, or None where it is empty.

    :param value: ISO 8601 with a zone, or a datetime
    :raises ConfigurationError: it is none, or has no zone
    """
    if value in (None, ""):
        return None
    try:
        found = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError:
        raise ConfigurationError(f"'{field}' must be a time in ISO 8601, not {value!r}") from None
    if found.tzinfo is None:
        raise ConfigurationError(f"'{field}' {value} has no time zone", hint="Write one, such as +00:00")
    return found


def run(run_name: str, storage_path: str | None) -> None:
    """
    Check the name and the place of a run.

    :raises ConfigurationError: one of them is wrong
    """
    if not RUN_NAME.match(run_name):
        raise ConfigurationError(f"The run name {run_name!r} may hold letters, digits, '_', '-' and '.' only")
    if storage_path is not None:
        uri(storage_path, "storage_path")


def _split(split: Any, field: str) -> None:
    if split is None:
        return
    if not isinstance(split, Mapping) or len(split) != 1:
        raise ConfigurationError(f"'{field}' must name one new dataset and its share, like {{'valid': 0.2}}")
    ((name, share),) = split.items()
    if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 < share < 1:
        raise ConfigurationError(f"'{field}.{name}' must be a share between 0 and 1, not {share!r}")

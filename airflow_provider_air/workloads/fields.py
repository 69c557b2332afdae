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
DATASET_KEYS = frozenset(
    {"uri", "reader", "sql", "format", "columns", "options", "split", "split_by", "split_type", "seed"}
)
# What says how to read a place means nothing to a query; a reader that is named knows all but its options.
WITHOUT = {"sql": frozenset({"uri", "reader", "format", "options"}), "reader": frozenset({"uri", "format"})}
SPLIT_TYPES = ("random", "hash", "order")
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


def names(value: Any, field: str) -> None:
    """
    Check a list of different names; None passes.

    :raises ConfigurationError: it is none
    """
    if value is None:
        return
    if not (isinstance(value, list) and value and all(isinstance(name, str) and name for name in value)):
        raise ConfigurationError(f"'{field}' must be a list of names, not {value!r}")
    if len(set(value)) < len(value):
        raise ConfigurationError(f"'{field}' names a column twice: {', '.join(value)}")


def dataset(spec: Any, field: str) -> None:
    """
    Check one dataset: a URI, a list of them, or a dict of :data:`DATASET_KEYS` with ``uri``, ``reader`` or ``sql``.

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
    _source(spec, field)
    data_format(spec.get("format"), f"{field}.format", importable=True)
    names(spec.get("columns"), f"{field}.columns")
    _split(spec, field)


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


def _source(spec: Mapping[str, Any], field: str) -> None:
    kind = next((key for key in ("sql", "reader") if key in spec), "uri")
    if other := sorted(set(spec) & WITHOUT.get(kind, frozenset())):
        raise ConfigurationError(
            f"'{field}' has both {kind!r} and {other[0]!r}",
            hint="Give a place, a query, or a reader that knows the place",
        )
    if kind == "sql":
        query(spec["sql"], f"{field}.sql")
    elif kind == "uri":
        uri(spec.get("uri"), f"{field}.uri")
    elif not (isinstance(spec["reader"], str) and IMPORT_PATH.match(spec["reader"])):
        raise ConfigurationError(
            f"'{field}.reader' must be an import path, such as ray.data.read_iceberg, not {spec['reader']!r}"
        )
    options = spec.get("options")
    mapping(options, f"{field}.options")
    for name, value in (options or {}).items():
        if isinstance(value, str) and "://" in value:
            hint = "Let a function of your own in working_dir read it, and the credentials from its environment"
            check_bare(value, f"'{field}.options.{name}'", hint=hint)


def _split(spec: Mapping[str, Any], field: str) -> None:
    split = spec.get("split")
    if split is None:
        if alone := [key for key in ("split_by", "split_type", "seed") if spec.get(key) is not None]:
            raise ConfigurationError(
                f"'{field}.{alone[0]}' says how to split, but '{field}.split' does not say into what"
            )
        return
    if not isinstance(split, Mapping) or not split or not all(isinstance(name, str) and name for name in split):
        raise ConfigurationError(
            f"'{field}.split' must name new datasets and their shares, like {{'valid': 0.1, 'test': 0.1}}"
        )
    for name, share in split.items():
        if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 < share < 1:
            raise ConfigurationError(f"'{field}.split.{name}' must be a share between 0 and 1, not {share!r}")
    if sum(split.values()) >= 1:
        raise ConfigurationError(f"'{field}.split' leaves nothing for the rest: the shares' sum is not below 1")
    _split_type(spec, field)


def _split_type(spec: Mapping[str, Any], field: str) -> None:
    by, how = spec.get("split_by"), spec.get("split_type")
    if by is not None and not isinstance(by, str):
        raise ConfigurationError(f"'{field}.split_by' must be the name of a column, not {by!r}")
    if how is not None and how not in SPLIT_TYPES:
        raise ConfigurationError(f"'{field}.split_type' must be one of {', '.join(SPLIT_TYPES)}, not {how!r}")
    if (how == "random" and by) or (how in ("hash", "order") and not by):
        need = "takes no" if by else "needs a"
        raise ConfigurationError(f"'{field}.split_type' {how} {need} '{field}.split_by'")
    number(spec.get("seed"), f"{field}.seed", minimum=0, integer=True)
    if how == "order" and spec.get("seed") is not None:
        raise ConfigurationError(f"'{field}.seed' means nothing to a split by order", hint="Leave it out")

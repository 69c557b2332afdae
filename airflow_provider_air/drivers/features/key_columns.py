"""
How two columns of join keys are compared: as SQL for both sides, so that a key is the same on both or on neither.

A missing key equals a missing key, and NaN is one: so Feast's file store (dask, pandas) has it. An integer that a float
cannot tell from its neighbour equals no float. Of a hive partition nobody knows whether it is a number: the text equals
the integer that is written so.
"""

from __future__ import annotations

from typing import Any, Optional, Tuple

import pyarrow
import pyarrow.types as types

from ..wire.problems import ConfigurationProblem
from . import arrow_types

INTEGERS, LARGE_INTEGERS, NUMBERS, TEXTS, TIMES = "BIGINT", "HUGEINT", "DOUBLE", "VARCHAR", "TIME"
BOOLEANS, BYTES = "BOOLEAN", "BLOB"
# Where there is none, so that an equality finds it.
_NOTHING = {TEXTS: "''", BOOLEANS: "false", BYTES: "''::BLOB"}


def compared_as(left: Any, right: Any, what: str, partitions: Tuple[bool, bool] = (False, False)) -> str:
    """
    Say as what two columns of keys are compared.

    :param left: an Arrow type, ``right`` another
    :param what: both columns' names, for a message
    :param partitions: whether the left one is a hive partition's, and the right one
    :raises ConfigurationProblem: they can have no value in common, or are no keys at all
    """
    given = [_class_of(left), _class_of(right)]
    classes = set(given) - {"NULL"}
    if not classes:
        return TEXTS
    if len(classes) == 1 and None not in classes:
        return str(classes.pop())
    classes = {each for each, is_told in zip(given, partitions) if not (is_told and each == TEXTS)} - {"NULL"}
    if classes <= {INTEGERS, LARGE_INTEGERS, NUMBERS}:
        return LARGE_INTEGERS if LARGE_INTEGERS in classes else INTEGERS
    raise ConfigurationProblem(
        "%s: %s in the rows and %s in the feature view's source are no keys that can be equal; make them one type"
        % (what, left, right)
    )


def is_time(kind: Any) -> bool:
    """Whether keys of this Arrow type are compared as times."""
    return _class_of(kind) == TIMES


def in_sql(column: str, kind: Any, compared: str) -> Tuple[str, str]:
    """
    Write a column of keys as SQL: its value, never null, and what it is: 0, 1 if it is missing, 2 if nothing equals it.

    :param column: its name, in SQL
    :param kind: the Arrow type of its values as they came
    :param compared: what :func:`compared_as` gives
    """
    nothing = _NOTHING.get(compared, "0")
    if _class_of(kind) == "NULL":
        return "%s::%s" % (nothing, _sql_type(compared)), "1"
    missing, value, alone = "%s IS NULL" % column, "%s::%s" % (column, _sql_type(compared)), "false"
    if _class_of(kind) == TEXTS and compared != TEXTS:
        number = "TRY_CAST(%s AS %s)" % (column, compared)
        alone = "(%s IS NULL OR %s::VARCHAR <> %s)" % (number, number, column)
        value = number
    elif _class_of(kind) == NUMBERS:
        missing = "(%s OR isnan(%s))" % (missing, column)
        value = "%s::DOUBLE + 0.0" % column  # both zeros are one
        if compared != NUMBERS:
            alone = "(floor(%s) <> %s OR abs(%s) >= 9007199254740992)" % (column, column, column)
            value = "CASE WHEN NOT %s THEN %s::%s END" % (alone, column, compared)
    mark = "CASE WHEN %s THEN 1 WHEN %s THEN 2 ELSE 0 END" % (missing, alone)
    return "CASE WHEN %s THEN %s ELSE coalesce(%s, %s) END" % (missing, nothing, value, nothing), mark


def _sql_type(compared: str) -> str:
    return INTEGERS if compared == TIMES else compared


def _class_of(kind: Any) -> Optional[str]:
    kind = arrow_types.plain(kind)
    if isinstance(kind, pyarrow.BaseExtensionType):
        return _class_of(kind.storage_type)
    if types.is_decimal(kind):
        return "DECIMAL(38, %d)" % kind.scale if kind.precision <= 38 else None
    for is_kind, name in _CLASSES:
        if is_kind(kind):
            return name
    return None


_CLASSES = (
    (types.is_null, "NULL"),
    (types.is_uint64, LARGE_INTEGERS),
    (types.is_integer, INTEGERS),
    (types.is_floating, NUMBERS),
    (types.is_boolean, BOOLEANS),
    (types.is_timestamp, TIMES),
    (types.is_date, TIMES),
    (lambda kind: types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind), TEXTS),
    (lambda kind: types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind), BYTES),
)

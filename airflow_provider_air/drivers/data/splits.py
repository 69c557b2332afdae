"""
One data set in parts, the same in every epoch, attempt and size of cluster: where a row goes depends on the row alone.

At random, by the hash of the whole row; by a column's hash, so that rows of one key stay together; or by a column's
order, such as a time, so that the newest rows are the last part.
"""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Tuple

import numpy
import pyarrow
import pyarrow.compute
from pyarrow import types

from ..wire import outages
from ..wire.problems import ConfigurationProblem

# How many different values of a column the driver holds, uncounted.
MOST_VALUES = 4_000_000
# Of the hash function splitmix64.
_MIX = [(30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)]
_NULL = 0x9E3779B97F4A7C15


def parts(dataset: Any, shares: Dict[str, float], how: str, by: Optional[str], seed: int, field: str) -> Dict[str, Any]:
    """
    Split a data set, lazily; only to split by order reads a column of it now. Runs in the driver.

    :param shares: of each part but the first, which is what remains, and has the name ``""``
    :param how: ``random``, ``hash`` or ``order``
    :param by: the column, unless it is ``random``
    :raises ConfigurationProblem: the column has too few values, or they have no order; the message names ``field``
    """
    names = ["", *shares]
    if how == "order":
        cuts = [None, *_cuts(dataset, str(by), list(shares.values()), field), None]
        return {
            name: _kept(dataset, between, {"by": by, "low": cuts[at], "high": cuts[at + 1]})
            for at, name in enumerate(names)
        }
    ends = [0.0, *numpy.cumsum([1.0 - sum(shares.values()), *shares.values()])]
    ends[-1] = 1.0
    return {
        name: _kept(dataset, drawn, {"by": by, "seed": seed, "low": float(ends[at]), "high": float(ends[at + 1])})
        for at, name in enumerate(names)
    }


def _kept(dataset: Any, function: Any, arguments: Dict[str, Any]) -> Any:
    return dataset.map_batches(
        function, fn_kwargs=arguments, batch_format="pyarrow", batch_size=None, zero_copy_batch=True
    )


def drawn(table: Any, by: Optional[str], seed: int, low: float, high: float) -> Any:
    """Keep the rows whose hash, as a share of all hashes, is at least ``low`` and below ``high``. Runs in map tasks."""
    names = sorted(table.column_names) if by is None else [by]
    found = numpy.full(table.num_rows, seed % 2**64, dtype="uint64")
    for name in names:
        found = _mixed(found ^ _hashed(table.column(name).combine_chunks()))
    share = (found >> numpy.uint64(11)).astype("float64") / float(1 << 53)
    return table.filter(pyarrow.array((share >= low) & (share < high)))


def _mixed(values: Any) -> Any:
    values = values + numpy.uint64(_NULL)  # wraps
    for shift, factor in _MIX:
        values = (values ^ (values >> numpy.uint64(shift))) * numpy.uint64(factor)
    return values ^ (values >> numpy.uint64(31))


def _hashed(column: Any) -> Any:
    """Give a number of 64 bits for each value; the same for the same value in another type: 1 and 1.0, a dictionary."""
    if types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if types.is_floating(column.type):
        return _of_floats(column)
    if types.is_integer(column.type) or types.is_boolean(column.type) or types.is_temporal(column.type):
        return _of_integers(column)
    import pandas

    texts = [str(value) for value in column.to_pylist()]
    return pandas.util.hash_array(numpy.array(texts, dtype=object), categorize=False)


def _of_floats(column: Any) -> Any:
    values = column.to_numpy(zero_copy_only=False).astype("float64")
    whole = numpy.isfinite(values) & (values == numpy.floor(values)) & (numpy.abs(values) < 2.0**63)
    integers = numpy.where(whole, values, 0.0).astype("int64").view("uint64")
    nothing = numpy.isnan(values)
    others = numpy.where(nothing, 0.0, values).view("uint64")
    return numpy.where(nothing, numpy.uint64(_NULL), numpy.where(whole, integers, others))


def _of_integers(column: Any) -> Any:
    if column.type.bit_width == 32 and types.is_temporal(column.type):
        column = column.cast(pyarrow.int32())
    integers = column.cast(pyarrow.int64(), safe=False).fill_null(0)
    values = integers.to_numpy(zero_copy_only=False).view("uint64")
    return numpy.where(column.is_null().to_numpy(zero_copy_only=False), numpy.uint64(_NULL), values)


def between(table: Any, by: str, low: Any, high: Any) -> Any:
    """
    Keep the rows whose column is at least ``low`` and below ``high``; nulls are below all. Runs in map tasks.

    :param low: an Arrow array of one value; None where there is no bound
    """
    column = table.column(by)
    mask = pyarrow.array(numpy.ones(table.num_rows, dtype=bool))
    if low is not None:
        reached = pyarrow.compute.greater_equal(column, low[0])
        mask = pyarrow.compute.and_(mask, pyarrow.compute.fill_null(reached, False))
    if high is not None:
        below = pyarrow.compute.less(column, high[0])
        mask = pyarrow.compute.and_(mask, pyarrow.compute.fill_null(below, True))
    return table.filter(mask)


def _cuts(dataset: Any, by: str, shares: List[float], field: str) -> List[Any]:
    """Find the first value of each part but the first; rows of one value are never in two parts."""
    values, counts = outages.asked(lambda: _counted(dataset, by), "%s.split_by: cannot sort by %r" % (field, by))
    if len(values) <= len(shares):
        raise ConfigurationProblem(
            "%s.split_by: the column %r has %d different values, too few for %d parts"
            % (field, by, len(values), len(shares) + 1)
        )
    reached = numpy.cumsum(counts)
    cuts: List[Any] = []
    last = 0
    for at in range(len(shares)):
        before = (1.0 - sum(shares[at:])) * reached[-1]
        first = int(numpy.searchsorted(reached, before - 1e-9)) + 1
        last = min(max(first, last + 1), len(values) - len(shares) + at)
        cuts.append(values.slice(last, 1))
    return cuts


def _counted(dataset: Any, by: str) -> Tuple[Any, Any]:
    """Give a column's values in order, and how many rows have each; nulls are none."""
    pending: List[Any] = []
    size = 0
    for batch in dataset.select_columns([by]).iter_batches(batch_format="pyarrow", batch_size=None):
        pending.append(pyarrow.table({"value": batch.column(by), "count": numpy.ones(batch.num_rows, dtype="int64")}))
        size += batch.num_rows
        if size > MOST_VALUES:
            pending = [_summed(pending)]
            size = pending[0].num_rows
    if not pending:
        return pyarrow.nulls(0), numpy.zeros(0)
    whole = _summed(pending).sort_by("value")
    return whole.column("value").combine_chunks(), whole.column("count").to_numpy()


def _summed(tables: List[Any]) -> Any:
    table = pyarrow.concat_tables(tables, promote_options="permissive")
    table = table.filter(table.column("value").is_valid())
    grouped = table.group_by("value").aggregate([("count", "sum")])
    return pyarrow.table({"value": grouped.column("value"), "count": grouped.column("count_sum")})

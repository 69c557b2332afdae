"""
The point-in-time join of parquet files by DuckDB's ASOF join: each row gets the newest value that is not after its
time, unless that is older than the view's ttl. Exact as Feast's own (0.67, dask), in the rows' order, spilling to disk.

Only keys, times and features go through DuckDB; what else a row holds never does. Source: DuckDB 2.0.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

import pyarrow

from ..data import datasets
from ..wire.problems import ConfigurationProblem
from . import arrow_types, key_columns
from .plan import ViewPlan, carried_name

Batches = Iterator[Any]
# What of the node's free memory the join may take before it spills, and at most; Ray's object store has its own share.
MEMORY_SHARE = 0.4
MEMORY_BYTES = 4 * 1024**3
SMALLEST_MEMORY_BYTES = 512 * 1024**2
BATCH_ROWS = 131_072


class Side:
    """
    One side of a join: a schema, and batches of its columns as often as they are asked for.

    :param read: takes names of columns, and gives batches of those in this order
    :param count: says how many rows there are
    :param where: where they are, for a message
    :param partitions: columns of text that folders tell, in which numbers are written, too, each with a padded integer
        that is among its values, or ""
    """

    def __init__(
        self,
        schema: Any,
        read: Callable[[List[str]], Batches],
        count: Callable[[], int],
        where: str,
        partitions: Optional[Dict[str, str]] = None,
    ) -> None:
        self.schema = schema
        self.read = read
        self.count = count
        self.where = where
        self.partitions = partitions or {}

    def table(self, columns: List[str]) -> Any:
        """Read columns whole."""
        schema = pyarrow.schema([self.schema.field(name) for name in columns])
        return pyarrow.Table.from_batches(list(self.read(columns)), schema)


class _Told:
    """Keeps what reading raises, of which DuckDB would tell as an error of its own."""

    def __init__(self) -> None:
        self._errors: List[BaseException] = []

    def __call__(self, batches: Batches) -> Batches:
        try:
            yield from batches
        except Exception as error:
            self._errors.append(error)
            raise

    @contextlib.contextmanager
    def raising(self) -> Iterator[None]:
        """Raise that instead of what follows from it."""
        try:
            yield
        except Exception:
            if self._errors:
                raise self._errors[0] from None
            raise


class JoinedView:
    """One view of the join: its columns in DuckDB are ``k0``, ..., ``t``, ``c`` and ``f0``, ...."""

    def __init__(self, number: int, plan: ViewPlan, side: Side, rows: Side, time: str) -> None:
        self.number, self.plan, self._side = number, plan, side
        datasets.check_columns(plan.columns, side.schema.names, "feature view %s" % plan.view, side.where)
        self.compared = [self._compared(rows, own, raw) for own, raw in plan.keys]
        self.unit = arrow_types.unit_of(rows.schema.field(time).type, self._type(plan.timestamp))

    def _type(self, column: str) -> Any:
        return self._side.schema.field(column).type

    def _compared(self, rows: Side, own: str, raw: str) -> str:
        what = "the key %s of feature view %s" % (own, self.plan.view)
        told = own in rows.partitions, raw in self._side.partitions
        return key_columns.compared_as(rows.schema.field(own).type, self._type(raw), what, told)

    def warn_of_padded(self, rows: Side) -> None:
        """Tell of partitions' texts that equal none of the integers that they are compared with."""
        for (own, raw), how in zip(self.plan.keys, self.compared):
            padded = rows.partitions.get(own) or self._side.partitions.get(raw)
            if padded and how != key_columns.TEXTS:
                print(
                    "the key %s of feature view %s: the partition's text %s equals no integer, not %d either; name the "
                    "folder so, or make both sides text" % (own, self.plan.view, padded, int(padded)),
                    file=sys.stderr,
                    flush=True,
                )

    @property
    def feature_types(self) -> List[Any]:
        """The Arrow types of its features."""
        return [arrow_types.plain(self._type(raw)) for _, raw in self.plan.features]

    def reader(self, unit: str, told: _Told, *, features: bool) -> Any:
        """Read its source: keys, time and creation time, and what the features hold."""
        plan = self.plan
        raws = [raw for _, raw in plan.keys]
        columns = [*raws, plan.timestamp, *([plan.created] if plan.created else [])]
        columns += [raw for _, raw in plan.features] if features else []
        what = "%s of feature view %s" % (plan.timestamp, plan.view)

        def carried(batch: Any) -> List[Any]:
            found = [carried_key(batch.column(n), self.compared[n], unit) for n in range(len(raws))]
            found.append(arrow_types.instants(batch.column(len(raws)), unit, what, to_ends=True))
            return found + [arrow_types.carry(batch.column(n)) for n in range(len(raws) + 1, len(columns))]

        names = ["k%d" % n for n in range(len(raws))] + ["t"] + (["c"] if plan.created else [])
        names += ["f%d" % n for n in range(len(columns) - len(names))]
        kinds = [self._type(raw) for raw in columns]
        schema = _schema(names, kinds, raws, self.compared)
        batches = (pyarrow.RecordBatch.from_arrays(carried(b), schema=schema) for b in self._side.read(columns))
        return pyarrow.RecordBatchReader.from_batches(schema, told(batches))

    def keys_sql(self) -> List[str]:
        """Write its keys for SQL, each as a value and a mark."""
        kinds = [self._type(raw) for _, raw in self.plan.keys]
        pairs = [key_columns.in_sql("k%d" % n, kinds[n], self.compared[n]) for n in range(len(kinds))]
        return ["%s AS v%d, %s AS m%d" % (value, n, mark, n) for n, (value, mark) in enumerate(pairs)]


def joined(rows: Side, time: str, views: List[Tuple[ViewPlan, Side]]) -> Tuple[Any, Batches]:
    """
    Give every row its features, in the order of the rows.

    :param time: the column of the rows' times
    :return: the schema of the features, named by :func:`carried_name`, and batches of them, a row for each of ``rows``
    :raises ConfigurationProblem: an absent column, keys that cannot be equal, no times, several values of one key and
        time, while the batches are read
    """
    each = [JoinedView(n, plan, side, rows, time) for n, (plan, side) in enumerate(views) if plan.features]
    if not each:  # such as of a service that only computes
        return pyarrow.schema([]), iter(())
    for view in each:
        view.warn_of_padded(rows)
    fields = [
        pyarrow.field(carried_name(view.plan.view, feature), kind)
        for view in each
        for (feature, _), kind in zip(view.plan.features, view.feature_types)
    ]
    return pyarrow.schema(fields), _batches(rows, time, each, fields)


def _batches(rows: Side, time: str, views: List[JoinedView], fields: List[Any]) -> Batches:
    told = _Told()
    with connected() as database, told.raising():
        unit = arrow_types.unit_of(*(pyarrow.timestamp(view.unit) for view in views))
        repeated = [_prepare(database, view, unit, told) for view in views]
        own = sorted({key for view in views for key, _ in view.plan.keys})
        database.register("given", _numbered(rows, own, time, unit, views, told))
        found = database.sql(_join_sql(rows, own, views, repeated, unit))
        for batch in found.to_arrow_reader(BATCH_ROWS):
            for view, conflicts in zip(views, repeated):
                if conflicts:
                    _check_told_apart(batch, view, unit)
            yield pyarrow.RecordBatch.from_arrays(
                [arrow_types.restore(batch.column(field_at), field.type) for field_at, field in enumerate(fields)],
                schema=pyarrow.schema(fields),
            )


@contextlib.contextmanager
def connected() -> Iterator[Any]:
    """
    Open a database of one's own, whose tables spill to the node's disk; it goes at the end.

    :raises ConfigurationProblem: DuckDB is not on the cluster
    """
    duckdb = _duckdb()
    folder = tempfile.mkdtemp(prefix="air-join-")
    try:
        # A file, so that tables of sources spill, too.
        with duckdb.connect(os.path.join(folder, "join.db")) as database:
            database.execute("SET memory_limit = '%d B'" % _memory_bytes())
            database.execute("SET temp_directory = '%s'" % os.path.join(folder, "spilled").replace("'", "''"))
            database.execute("SET preserve_insertion_order = false")
            # It knows no number of rows of what Arrow reads, takes it for few, and would compare each with each.
            database.execute("SET asof_loop_join_threshold = 0")
            yield database
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _duckdb() -> Any:
    try:
        import duckdb
    except ImportError as error:
        raise ConfigurationProblem(
            "duckdb, which joins features that are in files, is not installed on the cluster; add it to the image, or "
            "to runtime_env: {'pip': ['duckdb']}"
        ) from error
    return duckdb


def _memory_bytes() -> int:
    import psutil  # comes with Ray

    return int(max(SMALLEST_MEMORY_BYTES, min(MEMORY_BYTES, psutil.virtual_memory().available * MEMORY_SHARE)))


def _schema(names: List[str], kinds: List[Any], raws: List[str], compared: List[str]) -> Any:
    """Give the types of what DuckDB reads; times are integers."""
    found = []
    for number, (name, kind) in enumerate(zip(names, kinds)):
        as_time = name == "t" or (number < len(raws) and compared[number] == key_columns.TIMES)
        found.append(pyarrow.field(name, pyarrow.int64() if as_time else arrow_types.carried(kind)))
    return pyarrow.schema(found)


def carried_key(column: Any, compared: str, unit: str) -> Any:
    """Give a column of keys as it travels to :func:`key_columns.in_sql`; times as integers of this unit."""
    return arrow_types.instants(column, unit, "a key") if compared == key_columns.TIMES else arrow_types.carry(column)


def _numbered(rows: Side, own: List[str], time: str, unit: str, views: List[JoinedView], told: _Told) -> Any:
    """Read the rows' keys and times, each row with its number."""
    compared = {key: how for view in views for (key, _), how in zip(view.plan.keys, view.compared)}
    kinds = [rows.schema.field(key).type for key in own]
    hows = [compared[key] for key in own]
    names = ["e%d" % n for n in range(len(own))]
    keys = _schema(names, kinds, own, hows)
    schema = pyarrow.schema([*keys, pyarrow.field("t", pyarrow.int64()), pyarrow.field("row", pyarrow.int64())])

    def batches() -> Batches:
        first = 0
        for batch in rows.read([*own, time]):
            arrays = [carried_key(batch.column(n), hows[n], unit) for n in range(len(own))]
            arrays.append(arrow_types.instants(batch.column(len(own)), unit, time, to_ends=True))
            arrays.append(pyarrow.array(range(first, first + len(batch)), pyarrow.int64()))
            first += len(batch)
            yield pyarrow.RecordBatch.from_arrays(arrays, schema=schema)

    return pyarrow.RecordBatchReader.from_batches(schema, told(batches()))


def _prepare(database: Any, view: JoinedView, unit: str, told: _Told) -> bool:
    """
    Make a view's source known to the database, one value for each key and time.

    :return: whether the source has several values of one key and time, of which a row says by ``x`` that nothing tells
        which one counts
    """
    number, plan = view.number, view.plan
    on = ", ".join(["v%d, m%d" % (n, n) for n in range(len(plan.keys))] + ["t"])
    selected = ", ".join([*view.keys_sql(), "t"])
    alive = " AND ".join(["t IS NOT NULL", *("m%d < 2" % n for n in range(len(plan.keys)))])

    database.register("keys%d" % number, view.reader(unit, told, features=False))
    found = database.execute(
        "SELECT 1 FROM (SELECT %s FROM keys%d) WHERE %s GROUP BY %s HAVING count(*) > 1 LIMIT 1"
        % (selected, number, alive, on)
    ).fetchall()
    database.unregister("keys%d" % number)
    database.register("source%d" % number, view.reader(unit, told, features=True))
    values = ", ".join("f%d" % n for n in range(len(plan.features)))
    query = "SELECT %s%s, %s FROM source%d" % (selected, ", c" if plan.created else "", values, number)
    query = "SELECT * FROM (%s) WHERE %s" % (query, alive)
    if found:
        same, order = (on + ", c", "ORDER BY c DESC NULLS LAST") if plan.created else (on, "")
        query = (
            "SELECT *, min(h) OVER (PARTITION BY %s) <> max(h) OVER (PARTITION BY %s) AS x "
            "FROM (SELECT *, hash(%s) AS h FROM (%s)) QUALIFY row_number() OVER (PARTITION BY %s %s) = 1"
            % (same, same, values, query, on, order)
        )
    database.execute("CREATE TEMP VIEW view%d AS %s" % (number, query))
    return bool(found)


def _join_sql(rows: Side, own: List[str], views: List[JoinedView], repeated: List[bool], unit: str) -> str:
    values, flags, marks, joins = [], [], [], []
    for view, conflicts in zip(views, repeated):
        number = view.number
        name, on = "s%d" % number, []
        for n, (key, _) in enumerate(view.plan.keys):
            at = own.index(key)
            value, mark = key_columns.in_sql("e%d" % at, rows.schema.field(key).type, view.compared[n])
            marks += ["%s AS v%d_%d" % (value, number, n), "%s AS m%d_%d" % (mark, number, n)]
            on += ["r.v%d_%d = %s.v%d" % (number, n, name, n), "r.m%d_%d = %s.m%d" % (number, n, name, n)]
        on.append("r.t >= %s.t" % name)
        joins.append("ASOF LEFT JOIN view%d %s ON %s" % (number, name, " AND ".join(on)))
        young = ""
        if view.plan.ttl_seconds:
            # As a larger integer, since the first of all times has none before it.
            young = "%s.t >= r.t::HUGEINT - %d" % (name, arrow_types.units_of(view.plan.ttl_seconds, unit))
        values += [_while(young, "%s.f%d" % (name, n)) for n in range(len(view.plan.features))]
        if conflicts:
            flags += [
                "%s AS x%d" % (_while(young, name + ".x"), number),
                "%s.t AS t%d" % (name, number),
                *("e%d AS x%d_%d" % (own.index(key), number, n) for n, (key, _) in enumerate(view.plan.keys)),
            ]
    given = "SELECT row, t, %s FROM given" % ", ".join([*("e%d" % n for n in range(len(own))), *marks] or ["1"])
    return "SELECT %s FROM (%s) r %s ORDER BY r.row" % (", ".join([*values, *flags]), given, " ".join(joins))


def _while(condition: str, value: str) -> str:
    return "CASE WHEN %s THEN %s END" % (condition, value) if condition else value


def _check_told_apart(batch: Any, view: JoinedView, unit: str) -> None:
    """:raises ConfigurationProblem: a row got one of several values of its key and time; nothing tells which counts."""
    names: Dict[str, int] = {name: n for n, name in enumerate(batch.schema.names)}
    told = batch.column(names["x%d" % view.number]).fill_null(False)
    if not told.true_count:
        return
    row = told.index(True).as_py()
    keys = ", ".join(
        "%s=%s" % (key, batch.column(names["x%d_%d" % (view.number, n)])[row].as_py())
        for n, (key, _) in enumerate(view.plan.keys)
    )
    moment = arrow_types.moment(batch.column(names["t%d" % view.number])[row].as_py(), unit)
    raise ConfigurationProblem(
        "feature view %s has several values of %s at %s, and nothing tells which one counts; leave one of them in its "
        "source, or name its created_timestamp_column" % (view.plan.view, keys or "its only entity", moment)
    )

"""
The join of files over a whole cluster: rows and values meet by the hash of their keys, in as many tasks of Ray Data as
there are partitions; each joins as one node does (:mod:`.asof`), and the last ones write a file each, in no order.

What is shuffled is Arrow's own stream of bytes, so that no type is changed on the way. Source: Ray 2.60.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Any, Dict, Iterator, List, Optional, Tuple

import pyarrow
import pyarrow.compute
import pyarrow.parquet

from ..data import datasets, files
from ..wire import outages
from ..wire.problems import ConfigurationProblem
from . import arrow_types, asof, entities, feast_store, key_columns
from .asof import JoinedView, Side
from .computing import Computing
from .places import Described, Place, described
from .plan import JoinPlan, ViewPlan
from .row_join import Wish, finished

# What is shuffled: the partition, 0 for rows and else which view's values, and Arrow's bytes.
PIECES = pyarrow.schema([("partition", pyarrow.int32()), ("side", pyarrow.int32()), ("data", pyarrow.large_binary())])
Table = Any
BATCH_ROWS = asof.BATCH_ROWS


@dataclass(frozen=True)
class Split:
    """
    How one side of a stage is cut into partitions: by the hash of keys as both sides compare them.

    :param columns: its columns of keys
    :param compared: for each, what :func:`key_columns.compared_as` gave
    :param unit: of keys that are times
    :param is_alone: whether the rows of this side meet nothing, and may be anywhere
    """

    columns: List[str]
    compared: List[str]
    unit: str
    partitions: int
    is_alone: bool = False

    def pieces(self, table: Table, side: int) -> Table:
        """Cut a table, and give a row of :data:`PIECES` for each partition that has rows."""
        if not table.num_rows:
            return PIECES.empty_table()
        numbers = self._numbers(table)
        found = []
        for number in pyarrow.compute.unique(numbers).to_pylist():
            part = table.filter(pyarrow.compute.equal(numbers, number))
            found.append({"partition": number, "side": side, "data": _packed(part)})
        return pyarrow.Table.from_pylist(found, PIECES)

    def _numbers(self, table: Table) -> Any:
        if self.is_alone:
            return pyarrow.array([n % self.partitions for n in range(table.num_rows)], pyarrow.int32())
        if not self.columns:  # every row meets every value
            return pyarrow.array([0] * table.num_rows, pyarrow.int32())
        kinds = [table.schema.field(name).type for name in self.columns]
        keys = {
            "k%d" % n: [asof.carried_key(chunk, how, self.unit) for chunk in table.column(name).chunks]
            for n, (name, how) in enumerate(zip(self.columns, self.compared))
        }
        chunked = pyarrow.table({name: pyarrow.chunked_array(chunks) for name, chunks in keys.items() if chunks})
        pairs = [key_columns.in_sql("k%d" % n, kind, how) for n, (kind, how) in enumerate(zip(kinds, self.compared))]
        hashed = ", ".join(part for pair in pairs for part in pair)
        with asof.connected() as database:
            database.execute("SET preserve_insertion_order = true")
            database.register("given", chunked)
            sql = "SELECT (hash(%s) %% %d)::INTEGER AS n FROM given" % (hashed, self.partitions)
            return database.sql(sql).to_arrow_table().column("n")


@dataclass(frozen=True)
class Stage:
    """
    Views of the same keys, joined by the tasks of one shuffle.

    :param views: they, each with the schema of its source
    :param schema: the rows', before
    :param partitions: the columns that hive partitions tell, of the rows and of each view's source, without padded
        integers, of which the driver tells once
    :param following: how rows are cut for the next stage; None where this one is the last
    """

    wish: Wish
    views: List[Tuple[ViewPlan, Any]]
    schema: Any
    partitions: List[Dict[str, str]]
    split: Split
    following: Optional[Split]

    def joined(self, group: Table) -> Table:
        """Join what has met, with rows as they are; runs in a task."""
        tables = {number: [] for number in range(len(self.views) + 1)}  # type: Dict[int, List[Table]]
        for side, data in zip(group.column("side").to_pylist(), group.column("data")):
            tables[side].append(pyarrow.ipc.open_stream(data.as_buffer()).read_all())
        rows = pyarrow.concat_tables(tables[0]) if tables[0] else self.schema.empty_table()
        given = _side(rows, "the rows", self.partitions[0])
        sources = []
        for n, (view, schema) in enumerate(self.views, 1):
            values = pyarrow.concat_tables(tables[n]) if tables[n] else schema.empty_table()
            sources.append((view, _side(values, view.view, self.partitions[n])))
        schema, batches = asof.joined(given, self.wish.timestamp, sources)
        features = pyarrow.Table.from_batches(batches, schema)
        return pyarrow.table([*rows.columns, *features.columns], schema=pyarrow.schema([*rows.schema, *schema]))

    def cut(self, group: Table) -> Table:
        """Join, and cut for the next stage; runs in a task."""
        assert self.following is not None
        return self.following.pieces(self.joined(group), 0)


@dataclass(frozen=True)
class Written:
    """
    The last stage: join, compute what is computed, and write a file.

    :param folder: URI of the staging folder
    :param name: what the files' names begin with
    """

    stage: Stage
    plan: JoinPlan
    folder: str
    name: str

    def __call__(self, group: Table) -> Table:
        """Give the file, its rows, and the names of features that have values; runs in a task."""
        table = self.finished(self.stage.joined(group))
        if not table.num_rows:
            return pyarrow.schema(FILE).empty_table()
        name = "%s-%05d.parquet" % (self.name, group.column("partition")[0].as_py())
        write(self.folder, name, table)
        valued = [column for column in table.column_names if table.column(column).null_count < table.num_rows]
        return pyarrow.table({"file": [name], "rows": [table.num_rows], "valued": [valued]}, pyarrow.schema(FILE))

    def finished(self, table: Table) -> Table:
        """Compute the on-demand views' features, and put the columns in their order."""
        wish, computing = self.stage.wish, None
        if self.plan.computed:
            store = feast_store.opened(_repo_here(wish.repo))
            computing = Computing(store, self.plan, full_feature_names=wish.full_feature_names)
        return finished(wish, self.plan, computing, table)


FILE = {"file": pyarrow.string(), "rows": pyarrow.int64(), "valued": pyarrow.list_(pyarrow.string())}


class Reading:
    """Read files of one side, and cut them; runs in tasks."""

    def __init__(self, sides: Dict[int, Tuple[Described, Split]]) -> None:
        self._sides = sides

    def files(self) -> List[Dict[str, Any]]:
        """Give a row for each file there is to read."""
        return [
            {"side": side, "place": number, "path": path}
            for side, (found, _) in self._sides.items()
            for number, place in enumerate(found.places)
            for path in place.dataset().files
        ]

    def __call__(self, batch: Table) -> Iterator[Table]:
        """Read the files of a batch."""
        for row in batch.to_pylist():
            found, split = self._sides[row["side"]]
            dataset = found.places[row["place"]].dataset(found.schema, [row["path"]], found.partitions)
            for batch_read in dataset.scanner(columns=found.schema.names, batch_size=BATCH_ROWS).to_reader():
                if batch_read.num_rows:
                    yield split.pieces(pyarrow.Table.from_batches([batch_read]), row["side"])


def joined_parts(
    wish: Wish, plan: JoinPlan, spec: Dict[str, Any], folder: str, name: str, field: str
) -> List[Dict[str, Any]]:
    """
    Join rows in ``wish.num_partitions`` tasks, and write the rows of each to a file.

    :param folder: URI of the staging folder
    :param name: what the files' names begin with
    :param field: what the rows are called in a message
    :return: of each file its name, how many rows it has, and which columns have any value
    :raises ConfigurationProblem: what cannot be joined so, an absent column, keys that cannot be equal
    :raises Unavailable: the storage is away
    """
    import ray.data

    reading, stages = _stages(wish, plan, _rows(wish, plan, spec, field))
    last = Written(stages[-1], plan, folder, name)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    before, context.raise_original_map_exception = context.raise_original_map_exception, True
    try:
        rows: Any = None
        for number, stage in enumerate(stages):
            items = reading[number].files()
            read = ray.data.from_items(items, override_num_blocks=max(1, len(items)))
            pieces = read.map_batches(reading[number], batch_size=1, batch_format="pyarrow")
            met = pieces if rows is None else rows.union(pieces)
            groups = met.groupby("partition", num_partitions=wish.num_partitions)
            rows = groups.map_groups(stage.cut if stage.following else last.__call__, batch_format="pyarrow")
        found = outages.asked(lambda: _taken(rows), "%s: cannot join the rows" % field)
    finally:
        context.raise_original_map_exception = before
    if not found:  # readers want columns
        write(folder, name + "-00000.parquet", last.finished(stages[-1].joined(PIECES.empty_table())))
        return [{"file": name + "-00000.parquet", "rows": 0, "valued": []}]
    return sorted(found, key=lambda part: str(part["file"]))


def _taken(rows: Any) -> List[Dict[str, Any]]:
    """Run the tasks; what one of them raises is raised as it was there, so that a mistake is known as one."""
    import ray.exceptions

    try:
        found: List[Dict[str, Any]] = rows.take_all()
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, Exception):
            raise error.cause from error
        raise
    return found


def _rows(wish: Wish, plan: JoinPlan, spec: Dict[str, Any], field: str) -> Described:
    uris = [spec["uri"]] if isinstance(spec.get("uri"), str) else list(spec.get("uri") or [])
    kind = spec.get("format") or (datasets.format_of(uris[0]) if uris else None)
    if not plan.by_files or kind not in datasets.READERS or spec.get("options"):
        raise ConfigurationProblem(
            "%s: several partitions join parquet, csv or json without options with values in parquet alone; leave "
            "num_partitions out" % field
        )
    needed = [*plan.keys, wish.timestamp]
    rows = described([Place(files.absolute(uri), kind) for uri in uris], field, needed)
    datasets.check_columns(needed, rows.schema.names, field, rows.where)
    entities.check_names(rows.schema.names, plan.names(wish.full_feature_names), field)
    return rows


def _stages(wish: Wish, plan: JoinPlan, told: Described) -> Tuple[List[Reading], List[Stage]]:
    """Give a stage for each set of keys, and what is read for each; raises as :func:`joined_parts` does."""
    by_keys: Dict[Tuple[str, ...], List[ViewPlan]] = {}
    for view in plan.views:
        by_keys.setdefault(tuple(sorted(key for key, _ in view.keys)), []).append(view)
    made: List[Tuple[Split, Dict[int, Any], List[Tuple[ViewPlan, Any]], Any, List[Dict[str, str]]]] = []
    schema = told.schema
    for keys, views in (by_keys or {(): []}).items():
        sources = {n: _source(wish, view) for n, view in enumerate(views, 1)}
        rows = _side(schema.empty_table(), told.where, told.partitions)
        sides = [
            (view, _side(sources[n].schema.empty_table(), view.uri, sources[n].partitions))
            for n, view in enumerate(views, 1)
        ]
        looked = [JoinedView(n, view, side, rows, wish.timestamp) for n, (view, side) in enumerate(sides)]
        cut = _split(wish, list(keys), looked)
        reads = {n: (sources[n], _of_source(cut, list(keys), view)) for n, view in enumerate(views, 1)}
        partitions = [dict.fromkeys(each.partitions, "") for each in (told, *sources.values())]
        made.append((cut, reads, [(view, sources[n].schema) for n, view in enumerate(views, 1)], schema, partitions))
        features, _ = asof.joined(rows, wish.timestamp, sides)
        schema = pyarrow.schema([*schema, *features])
    reading, stages = [], []
    for number, (cut, reads, views_of, before, partitions) in enumerate(made):
        first = {0: (told, cut)} if number == 0 else {}
        reading.append(Reading({**first, **reads}))
        following = made[number + 1][0] if number + 1 < len(made) else None
        stages.append(Stage(wish, views_of, before, partitions, cut, following))
    return reading, stages


def _source(wish: Wish, view: ViewPlan) -> Described:
    source = described([entities.place_of(wish.repo, view)], "feature view %s" % view.view, only=view.columns)
    return replace(source, schema=pyarrow.schema([each for each in source.schema if each.name in view.columns]))


def _split(wish: Wish, keys: List[str], views: List[JoinedView]) -> Split:
    compared: Dict[str, str] = {}
    for view in views:
        for (key, _), how in zip(view.plan.keys, view.compared):
            if compared.setdefault(key, how) != how:
                raise ConfigurationProblem(
                    "the key %s has other types in feature views that are joined by it; over several partitions they "
                    "must be one, or leave num_partitions out" % key
                )
    unit = arrow_types.unit_of(*(pyarrow.timestamp(view.unit) for view in views))
    return Split(keys, [compared[key] for key in keys], unit, int(wish.num_partitions or 1), not views)


def _of_source(split: Split, keys: List[str], view: ViewPlan) -> Split:
    raw: Dict[str, str] = dict(tuple(pair) for pair in view.keys)  # type: ignore[misc]
    return Split([raw[key] for key in keys], split.compared, split.unit, split.partitions)


def _side(table: Table, where: str, partitions: Dict[str, str]) -> Side:
    def read(columns: List[str]) -> Any:
        return iter(table.select(columns).to_batches(max_chunksize=BATCH_ROWS))

    return Side(table.schema, read, lambda: table.num_rows, where, partitions)


def _packed(table: Table) -> bytes:
    sink = pyarrow.BufferOutputStream()
    with pyarrow.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    packed: bytes = sink.getvalue().to_pybytes()
    return packed


def write(folder: str, name: str, table: Table) -> None:
    """Write one file of the staging folder, patiently."""

    def once() -> None:
        filesystem, path = files.located(files.join(folder, name))
        files.make_folder(filesystem, os.path.dirname(path))
        with filesystem.open_output_stream(path) as stream:
            pyarrow.parquet.write_table(table, stream)

    outages.patiently(once, "output: cannot write %s" % name)


def _repo_here(repo: str) -> str:
    # On another node than the driver's Ray may have unpacked it elsewhere.
    return repo if os.path.isdir(repo) else os.getcwd()

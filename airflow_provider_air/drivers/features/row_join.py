"""Rows of files beside their features, as tables in the order of the rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Iterator, Optional

import pyarrow

from ..wire.feature_names import TIMESTAMP_COLUMN
from ..wire.problems import Unavailable
from . import asof, entities, feast_join, feast_store
from .asof import Batches, Side
from .computing import Computing
from .plan import JoinPlan, carried_name


@dataclass(frozen=True)
class Wish:
    """
    What rows are to be joined with, and how.

    :param repo: the folder of the feature repository
    :param service: the feature service's name
    :param storage: URI below which plans are kept, or None
    :param timestamp: the rows' column of times
    :param full_feature_names: columns are named ``view__feature``
    :param num_partitions: into how many tasks of Ray Data a join of files is divided; None joins on the driver's node
    """

    repo: str
    service: str
    storage: Optional[str] = None
    timestamp: str = TIMESTAMP_COLUMN
    full_feature_names: bool = False
    num_partitions: Optional[int] = None

    @classmethod
    def of(cls, told: Dict[str, Any], repo: str) -> Wish:
        """Read what the job was told."""
        return cls(
            repo=repo,
            service=told["feature_service"],
            storage=told.get("storage_path"),
            timestamp=told.get("timestamp_column") or TIMESTAMP_COLUMN,
            full_feature_names=bool(told.get("full_feature_names")),
            num_partitions=told.get("num_partitions"),
        )


def tables(wish: Wish, store: feast_store.Lazily, plan: JoinPlan, rows: Side, field: str) -> Iterator[Any]:
    """
    Join rows, and give all that they hold with the service's features.

    :param field: what the rows are called in a message
    :raises ConfigurationProblem: what is known to be wrong while they are read, see :func:`asof.joined`
    :raises Unavailable: the store is away, or the rows have changed meanwhile
    """
    computing = Computing(store(), plan, full_feature_names=wish.full_feature_names) if plan.computed else None
    if plan.by_files:
        sources = [(view, entities.source(wish.repo, view)) for view in plan.views]
        schema, batches = asof.joined(rows, wish.timestamp, sources)
    else:
        table = feast_join.joined(
            store(), plan, rows, wish.timestamp, field, full_feature_names=wish.full_feature_names
        )
        schema, batches = table.schema, iter(table.to_batches())
    for table in _side_by_side(rows, schema, batches):
        yield finished(wish, plan, computing, table)


def finished(wish: Wish, plan: JoinPlan, computing: Optional[Computing], table: Any) -> Any:
    """
    Compute what is computed, and give the rows' own columns and the service's, by their names.

    :param table: rows beside features, which are named by :func:`carried_name`
    """
    carried = set(plan.carried)
    own = [name for name in table.column_names if name not in carried]
    table = computing.add(table) if computing else table
    served = [carried_name(view, feature) for view, feature in plan.served]
    return table.select([*own, *served]).rename_columns([*own, *plan.names(wish.full_feature_names)])


def _side_by_side(rows: Side, schema: Any, batches: Batches) -> Iterator[Any]:
    """Put rows, which are read once more, beside their features; at least one table, if of no rows."""
    whole = pyarrow.schema([*rows.schema, *schema])
    features = _Buffer(schema, batches)
    found = False
    for batch in rows.read(rows.schema.names):
        while len(batch):
            size = features.at_hand(len(batch))
            if not size:
                raise _changed()
            yield pyarrow.Table.from_arrays([*batch.slice(0, size).columns, *features.take(size)], schema=whole)
            batch, found = batch.slice(size), True
    if features.at_hand(1) and len(schema):
        raise _changed()
    if not found:
        yield whole.empty_table()


class _Buffer:
    """Batches, taken in other pieces than they come in."""

    def __init__(self, schema: Any, batches: Batches) -> None:
        self._batches = batches
        self._batch = pyarrow.RecordBatch.from_pylist([], schema=schema)
        self._columns = len(schema)

    def at_hand(self, rows: int) -> int:
        """Say how many rows can be taken at once: at most so many, none at the end."""
        if not self._columns:
            return rows
        while not len(self._batch):
            following = next(self._batches, None)
            if following is None:
                return 0
            self._batch = following
        return min(rows, len(self._batch))

    def take(self, rows: int) -> Any:
        """Give the columns of the next rows."""
        columns = self._batch.slice(0, rows).columns
        self._batch = self._batch.slice(rows)
        return columns


def _changed() -> Unavailable:
    return Unavailable("the rows have changed while they were joined; a retry reads them again")

"""
The join by Feast itself, for offline stores that are no files: rows with keys and times go there, features come back.

Feast (0.67) gives one row per entity and time, whatever else tells rows apart, and from files none where a value is
older than its ttl: so it is asked for entities and times alone, and the rows keep what they hold.
"""

from __future__ import annotations

from typing import Any, Dict, List

import pyarrow
import pyarrow.compute

from ..wire import outages
from ..wire.feature_names import TIMESTAMP_COLUMN
from ..wire.problems import ConfigurationProblem
from . import arrow_types, sql_join
from .asof import Side
from .compiling import FILE_STORES
from .plan import JoinPlan, ViewPlan, carried_name, name_of

# A column that goes to Feast and back with the rows, which come in another order.
ROW = "air_row"


def joined(store: Any, plan: JoinPlan, rows: Side, time: str, field: str, *, full_feature_names: bool) -> Any:
    """
    Give every row its features that are no computed ones, in the order of the rows, as one table, in which they are
    named by :func:`carried_name`.

    :param time: the column of the rows' times
    :param field: what the rows are called in a message
    :param full_feature_names: what Feast itself is asked for; so it is, too, where two features have one name
    :raises ConfigurationProblem: a store's refusal, several values of one key and time, no times
    :raises Unavailable: the store is away
    """
    views = [view for view in plan.views if view.features]
    names = [feature for view in views for feature, _ in view.features]
    full = full_feature_names or len(set(names)) < len(names)
    # Of several views in files Feast (dask) keeps one row for each entity and time of the first.
    together = [[view] for view in views] if str(store.config.offline_store.type) in FILE_STORES else [views]
    columns: Dict[str, Any] = {}
    for some in filter(None, together):
        table = _joined(store, some, rows, time, field, full)
        columns.update(zip(table.column_names, table.columns))
    return pyarrow.table(columns)


def _joined(store: Any, views: List[ViewPlan], rows: Side, time: str, field: str, full: bool) -> Any:
    asked, numbers = _asked(rows, sorted({key for view in views for key, _ in view.keys}), time, field)
    references = ["%s:%s" % (view.view, feature) for view in views for feature, _ in view.features]

    def ask() -> Any:
        return store.get_historical_features(entity_df=asked, features=references, full_feature_names=full).to_arrow()

    found = outages.patiently(ask, "%s: the offline store does not give the features" % field)
    known = found.column(ROW).cast(pyarrow.int64())
    if len(known) != len(known.unique()):
        raise sql_join.repeated(field, len(known), len(asked))
    places = pyarrow.compute.index_in(pyarrow.array(range(len(asked)), pyarrow.int64()), value_set=known)
    names = [name_of(view.view, feature, full) for view in views for feature, _ in view.features]
    # What Feast leaves out has no place there, and so no values.
    given = found.select(names).take(places.take(numbers))
    return given.rename_columns([carried_name(view.view, feature) for view in views for feature, _ in view.features])


def _asked(rows: Side, keys: List[str], time: str, field: str) -> Any:
    """
    Give the rows that Feast is asked for, each entity and time once, and of each of ours the number of its own there.
    """
    import pandas

    nullable = {
        pyarrow.type_for_alias(name.lower()): getattr(pandas, name + "Dtype")()
        for name in ("Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64")
    }
    table = rows.table([*keys, time])
    for key in set(keys) & set(rows.partitions):
        table = table.set_column(table.column_names.index(key), key, _integers(table.column(key)))
    unit = arrow_types.unit_of(table.schema.field(time).type)
    instants = [arrow_types.instants(chunk, unit, "%s: %s" % (field, time)) for chunk in table.column(time).chunks]
    times = pyarrow.chunked_array(instants, pyarrow.int64()).cast(pyarrow.timestamp(unit, "UTC"))
    # An id above 2**53 beside a missing one is no float.
    frame = table.select(keys).to_pandas(types_mapper=nullable.get)
    frame[TIMESTAMP_COLUMN] = times.to_pandas()
    on = [*keys, TIMESTAMP_COLUMN]
    # By number, numbering included, a third of what a merge by keys and times costs (pandas 2.3).
    frame[ROW] = frame.groupby(on, sort=False, dropna=False, observed=True).ngroup()
    if frame[TIMESTAMP_COLUMN].isna().any():
        raise ConfigurationProblem("%s: some rows have no %s" % (field, time))
    asked = frame.drop_duplicates(ROW).reset_index(drop=True)
    for key in keys:  # stores take a plain type where nothing is missing
        if asked[key].dtype in nullable.values() and not asked[key].isna().any():
            asked[key] = asked[key].to_numpy(dtype=asked[key].dtype.numpy_dtype)
    return asked, pyarrow.array(frame[ROW].to_numpy(), pyarrow.int64())


def _integers(told: Any) -> Any:
    """Give a hive partition's values as a store has them: as integers, where all are written so, or else as text."""
    try:
        found = told.cast(pyarrow.int64())
    except pyarrow.ArrowInvalid:
        return told
    return found if found.cast(told.type).equals(told) else told

"""
The join by Feast itself, for offline stores that are no files: rows with keys and times go there, features come back.

Feast (0.67) gives one row per entity and time, whatever else tells rows apart, and from files none where a value is
older than its ttl: so it is asked for entities and times alone, and the rows keep what they hold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Sequence, Tuple

import pyarrow
import pyarrow.compute

from ..wire import outages
from ..wire.feature_names import TIMESTAMP_COLUMN
from ..wire.problems import ConfigurationProblem
from . import arrow_types, feast_store, sql_join
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
    known = _known(store, plan)
    if not rows.count():  # nothing is asked: stores refuse a table whose columns have no types
        fields = [known[view.view].features[feature] for view in views for feature, _ in view.features]
        return pyarrow.table([pyarrow.nulls(0, kind) for kind in fields], plan.carried)
    names = [feature for view in views for feature, _ in view.features]
    full = full_feature_names or len(set(names)) < len(names)
    # Of several views in files Feast (dask) keeps one row for each entity and time of the first.
    together = [[view] for view in views] if _is_of_files(store) else [views]
    columns: Dict[str, Any] = {}
    for some in filter(None, together):
        table = _joined(store, plan, some, known, rows, time, field, full)
        columns.update(zip(table.column_names, table.columns))
    return pyarrow.table(columns)


def _is_of_files(store: Any) -> bool:
    return str(store.config.offline_store.type) in FILE_STORES


@dataclass(frozen=True)
class _Known:
    """
    What the registry says of a view in a service.

    :param is_renamed: whether the service calls it, or its keys, otherwise than the registry
    :param keys: the Arrow types of its keys, as the service calls them, ``features`` those of its features
    """

    is_renamed: bool
    keys: Dict[str, Any]
    features: Dict[str, Any]


def _known(store: Any, plan: JoinPlan) -> Dict[str, _Known]:
    """Give what is known of the plan's views, by what the service calls them."""
    service, stored = feast_store.service(store, plan.feature_service), feast_store.views(store)
    found = {}
    for each in feast_store.projections(service, feast_store.computed_views(store)):
        view, renamed = feast_store.view(stored, each.name), each.join_key_map or {}
        keys = {renamed.get(key.name, key.name): arrow_types.declared(key.dtype) for key in view.entity_columns}
        features = {feature.name: arrow_types.declared(feature.dtype) for feature in view.features}
        found[each.name_to_use()] = _Known(bool(each.name_alias or renamed), keys, features)
    return found


def _joined(
    store: Any,
    plan: JoinPlan,
    views: List[ViewPlan],
    known: Dict[str, _Known],
    rows: Side,
    time: str,
    field: str,
    full: bool,
) -> Any:
    features, beside = _features(store, plan, views, known)
    keys = {key: known[view.view].keys.get(key) for view in views for key, _ in view.keys}
    asked, numbers = _asked(rows, sorted(keys), time, field, beside)
    if not _is_of_files(store):
        _type_missing(asked, keys, rows.schema)

    def ask() -> Any:
        return store.get_historical_features(entity_df=asked, features=features, full_feature_names=full).to_arrow()

    found = outages.patiently(ask, "%s: the offline store does not give the features" % field)
    places_known = found.column(ROW).cast(pyarrow.int64())
    if len(places_known) != len(places_known.unique()):
        raise sql_join.repeated(field, len(places_known), len(asked))
    places = pyarrow.compute.index_in(pyarrow.array(range(len(asked)), pyarrow.int64()), value_set=places_known)
    names = [name_of(view.view, feature, full) for view in views for feature, _ in view.features]
    # What Feast leaves out has no place there, and so no values.
    given = found.select(names).take(places.take(numbers))
    return given.rename_columns([carried_name(view.view, feature) for view in views for feature, _ in view.features])


def _features(store: Any, plan: JoinPlan, views: List[ViewPlan], known: Dict[str, _Known]) -> Tuple[Any, List[str]]:
    """
    Say what Feast is asked for, and which columns it wants beside keys and times.

    By a view's name it finds only what the registry calls so; of a whole service it computes what is computed, too.
    """
    renamed = [view.view for view in views if known[view.view].is_renamed]
    if not renamed:
        return ["%s:%s" % (view.view, feature) for view in views for feature, _ in view.features], []
    if _is_of_files(store) and len(known) > 1:
        raise ConfigurationProblem(
            "feature_service: %r has the view %s by another name, or its keys, and other views; of files that are no "
            "parquet Feast joins such a view alone: give it a service of its own" % (plan.feature_service, renamed[0])
        )
    beside = sorted({name for view in plan.computed for name in view.inputs})
    return feast_store.service(store, plan.feature_service), beside


def _asked(rows: Side, keys: List[str], time: str, field: str, beside: Sequence[str] = ()) -> Any:
    """
    Give the rows that Feast is asked for, each entity and time once, and of each of ours the number of its own there.

    :param beside: columns that are to be there, of any of the rows
    """
    import pandas

    nullable = {
        pyarrow.type_for_alias(name.lower()): getattr(pandas, name + "Dtype")()
        for name in ("Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64")
    }
    others = [name for name in beside if name not in {*keys, time}]
    table = rows.table([*keys, time, *others])
    for name in [*keys, *others]:
        kind = table.schema.field(name).type
        if pyarrow.types.is_dictionary(kind):
            table = table.set_column(table.column_names.index(name), name, table.column(name).cast(kind.value_type))
    for key in set(keys) & set(rows.partitions):
        table = table.set_column(table.column_names.index(key), key, _integers(table.column(key)))
    unit = arrow_types.unit_of(table.schema.field(time).type)
    instants = [arrow_types.instants(chunk, unit, "%s: %s" % (field, time)) for chunk in table.column(time).chunks]
    times = pyarrow.chunked_array(instants, pyarrow.int64()).cast(pyarrow.timestamp(unit, "UTC"))
    # An id above 2**53 beside a missing one is no float.
    frame = table.select([*keys, *others]).to_pandas(types_mapper=nullable.get)
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


def _type_missing(asked: Any, keys: Dict[str, Any], schema: Any) -> None:
    """Give keys of which all are missing a type, as pandas tells none, and SQL makes no column of none."""
    import pandas

    for key, declared in keys.items():
        kind = arrow_types.plain(schema.field(key).type) if declared is None else declared
        if asked[key].isna().all():
            typed: Any = pandas.ArrowDtype(kind)
            asked[key] = pandas.Series([None] * len(asked), dtype=typed)


def _integers(told: Any) -> Any:
    """Give a hive partition's values as a store has them: as integers, where all are written so, or else as text."""
    try:
        found = told.cast(pyarrow.int64())
    except pyarrow.ArrowInvalid:
        return told
    return found if found.cast(told.type).equals(told) else told

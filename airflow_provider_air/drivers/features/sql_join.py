"""
A join whose entity rows are a query, which the feature store's own offline store runs. Source: Feast 0.67.

Feast's SQL gives every row of the query back, with null where there is no value, or none that is young enough. Two
things it does wrong without a word, so they are checked here: it repeats a row for which a feature view has several
values of one time, and it knows rows by their join keys written one after another, so that (1, 11) is (11, 1).
"""

from __future__ import annotations

import contextlib
import datetime
from typing import Any, Iterator, List

from ..data import datasets
from ..wire.error_kinds import chain, kind_of, mistake_in
from ..wire.feature_names import TIMESTAMP_COLUMN
from ..wire.problems import ConfigurationProblem, Unavailable
from . import entities
from .plan import JoinPlan, name_of

# Each row says how many the query has.
ROWS = "air_rows"
COUNTED = "SELECT air_entities.*, %sCOUNT(*) OVER () AS air_rows FROM (\n%s\n) air_entities"
# They join frames; the last takes text for the address of a CSV file.
WITHOUT_SQL = frozenset({"chronon", "dask", "duckdb", "file", "ray"})
NO_ROWS = "EntitySQLEmptyResults"


def takes_sql(store: Any) -> bool:
    """Whether the store's joins are SQL."""
    return _type(store) not in WITHOUT_SQL


def joined(store: Any, plan: JoinPlan, sql: str, timestamp: str, field: str, *, full_feature_names: bool) -> Any:
    """
    Let the store join the rows of a query, and give them as a table, in no order: the query's columns, the features.

    :param timestamp: the query's column of times
    :raises ConfigurationProblem: a store without SQL, a query that it does not run or that gives no rows, an
        absent column or one with a feature's name, several values of one time
    :raises Unavailable: the store is away
    """
    if not takes_sql(store):
        raise ConfigurationProblem(
            "%s: the offline store %r of the repository takes no SQL; give a file's uri instead" % (field, _type(store))
        )
    names = plan.names(full_feature_names)
    service = store.get_feature_service(plan.feature_service)
    # Feast looks for a column of this name first.
    renamed = "" if timestamp == TIMESTAMP_COLUMN else "%s AS %s, " % (timestamp, TIMESTAMP_COLUMN)
    with _told(field):
        # A semicolon or a comment at the end would end the query around it, too.
        query = COUNTED % (renamed, sql.strip().rstrip(";"))
        retrieval = store.get_historical_features(
            entity_df=query, features=service, full_feature_names=full_feature_names
        )
    # Before the join: where it fails, Feast leaves its table of the rows in the database.
    _check_query(retrieval.metadata, plan, names, field)
    with _told(field):
        table = retrieval.to_arrow()
    table = _checked(table, plan.keys, field)
    asked = {name_of(view.view, feature, full_feature_names) for view in plan.views for feature, _ in view.features}
    hidden = {*asked, *names, *([TIMESTAMP_COLUMN] if renamed else [])}
    return table.select([*(name for name in table.column_names if name not in hidden), *names])


def check_told_apart(table: Any, plan: JoinPlan, timestamp: str, field: str) -> None:
    """
    Look for rows that a join by SQL takes for each other's.

    :param table: with the rows' keys and times
    :raises ConfigurationProblem: there are some, and so wrong values
    """
    for view in plan.views:
        keys = [key for key, _ in view.keys]
        if len(keys) < 2:
            continue
        # A row without a key gets no value, so it cannot get a wrong one.
        rows = table.select([*keys, timestamp]).drop_null().to_pandas().drop_duplicates()
        written = rows[keys[0]].astype(str)
        for key in keys[1:]:
            written = written + rows[key].astype(str)
        same = rows.assign(**{ROWS: written})
        same = same[same.duplicated([ROWS, timestamp], keep=False)].sort_values([timestamp, ROWS])
        if len(same):
            pair = " and ".join(str(tuple(row)) for row in same[keys].head(2).itertuples(index=False))
            raise ConfigurationProblem(
                "%s: the keys (%s) of %s at one time are the same to Feast, which joins them as one text; make the "
                "values of %r equally long" % (field, ", ".join(keys), pair, keys[0])
            )


def repeated(field: str, given: int, asked: int) -> Exception:
    """Say why a store gives another number of rows than it was asked for."""
    return ConfigurationProblem(
        "%s: Feast gives %d rows for %d, as it repeats a row where a feature view has several values of one key and "
        "time; leave one of them in the view's source, or name its created_timestamp_column" % (field, given, asked)
    )


def _type(store: Any) -> str:
    return str(store.config.offline_store.type)


@contextlib.contextmanager
def _told(field: str) -> Iterator[None]:
    """
    Tell a query that the store refuses, which no retry mends, from a store that is away.

    That is not asked again here: what it was asked may run there still, and leaves a table each time.
    """
    try:
        yield
    except Exception as error:
        if any(type(each).__name__ == NO_ROWS for each in chain(error)):
            raise _no_rows(field) from error
        mistake = mistake_in(error)
        if mistake is not None:
            raise ConfigurationProblem(
                "%s: the offline store does not run the query: %s" % (field, str(mistake).strip())
            ) from error
        if kind_of(error) is not None:
            raise Unavailable("%s: the offline store is away: %s" % (field, str(error).strip())) from error
        raise


def _no_rows(field: str) -> Exception:
    return ConfigurationProblem("%s: the query has no rows, or none with a time" % field)


def _check_query(metadata: Any, plan: JoinPlan, features: List[str], field: str) -> None:
    import pandas

    # A remote store knows nothing of the query yet.
    if metadata is None or not metadata.keys:
        return
    columns = sorted(name for name in metadata.keys if name.lower() != ROWS)
    datasets.check_columns(plan.keys, [*columns, TIMESTAMP_COLUMN], field, "the query's rows")
    entities.check_names(columns, features, field)
    last = metadata.max_event_timestamp
    if pandas.isna(last):
        raise _no_rows(field)
    if isinstance(last, str) or (isinstance(last, datetime.date) and not isinstance(last, datetime.datetime)):
        raise ConfigurationProblem("%s: %s holds what is no time: %r" % (field, TIMESTAMP_COLUMN, str(last)))


def _checked(table: Any, keys: List[str], field: str) -> Any:
    import pyarrow
    import pyarrow.compute

    told = [name for name in table.column_names if name.lower() == ROWS]
    columns = [name for name in table.column_names if name not in told]
    datasets.check_columns([*keys, TIMESTAMP_COLUMN], columns, field, "the query's rows")
    if not table.num_rows:
        raise _no_rows(field)
    asked = pyarrow.compute.max(table.column(told[0])).as_py()
    if table.num_rows != asked:
        raise repeated(field, table.num_rows, asked)
    table = table.select(columns)
    # Without a zone it is UTC, as in the frames that Feast gives.
    times = table.column(TIMESTAMP_COLUMN)
    zoned = times.cast(pyarrow.timestamp(times.type.unit, tz="UTC"))
    return table.set_column(columns.index(TIMESTAMP_COLUMN), TIMESTAMP_COLUMN, zoned)

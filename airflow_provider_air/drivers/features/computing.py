"""Features of on-demand views, computed by Feast's own code from joined rows. Source: Feast 0.67."""

from __future__ import annotations

from typing import Any, Dict

import pyarrow
import pyarrow.compute
from pyarrow import types

from ..wire.problems import ConfigurationProblem
from . import arrow_types, feast_store
from .plan import ComputedPlan, JoinPlan, carried_name, name_of


class Computing:
    """
    The on-demand views of a service, over batches of joined rows.

    Their functions are given some 100,000 rows at a time: what a view computes must come of each row alone, as it does
    online.

    :param store: an open ``FeatureStore``
    """

    def __init__(self, store: Any, plan: JoinPlan, *, full_feature_names: bool) -> None:
        known = feast_store.computed_views(store)
        self._full = full_feature_names
        self._views = [(view, feast_store.view(known, view.name)) for view in plan.computed]
        served = [carried_name(view, feature) for view, feature in plan.served]
        self._shown: Dict[str, str] = dict(zip(served, plan.names(full_feature_names)))
        self._hidden = set(plan.carried) - set(served)

    def add(self, table: Any) -> Any:
        """
        Add the computed columns to joined rows, each of the type that its view's schema says.

        :param table: rows with all that the views read, features named by :func:`carried_name`, as what is added
        :raises ConfigurationProblem: a view's function fails, or does not give what its schema says for each row
        """
        for view, feast_view in self._views:
            try:
                computed = feast_view.transform_arrow(self._given(table, feast_view), self._full)
            except Exception as error:
                raise ConfigurationProblem(
                    "feature_service: the on-demand view %r fails on the joined rows: %s: %s"
                    % (view.name, type(error).__name__, error)
                ) from error
            if computed.num_rows != table.num_rows:
                raise ConfigurationProblem(
                    "feature_service: the on-demand view %r gives %d rows for %d"
                    % (view.name, computed.num_rows, table.num_rows)
                )
            declared = {field.name: arrow_types.declared(field.dtype) for field in feast_view.features}
            for feature in view.features:
                column = _as_declared(_column(view, feature, computed), declared[feature], view, feature)
                table = table.append_column(carried_name(view.view, feature), column)
        return table

    def _given(self, table: Any, feast_view: Any) -> Any:
        """
        Give what a view's function is to see: its own inputs, whatever other columns are called, and those beside.

        Feast (0.67) would take the rows' column, or another view's, for an input of its name.
        """
        projections = feast_view.source_feature_view_projections.values()
        alone = [feature.name for projection in projections for feature in projection.features]
        own, taken = {}, set()
        for projection in projections:
            for feature in projection.features:
                full = name_of(projection.name, feature.name, full=True)
                taken |= {feature.name, full}
                # Feast adds the other name.
                name = feature.name if alone.count(feature.name) == 1 else full
                own[name] = table.column(carried_name(projection.name_to_use(), feature.name))
        beside = {self._shown.get(name, name): name for name in table.column_names if name not in self._hidden}
        return pyarrow.table({**{n: table.column(beside[n]) for n in beside if n not in taken}, **own})


def _column(view: ComputedPlan, feature: str, computed: Any) -> Any:
    # Feast names it by the view's own name; the service may know it by another.
    for name in (name_of(view.name, feature, full=True), feature):
        if name in computed.column_names:
            return computed.column(name)
    raise ConfigurationProblem("feature_service: the on-demand view %r gives no %r" % (view.name, feature))


def _as_declared(column: Any, kind: Any, view: ComputedPlan, feature: str) -> Any:
    """
    Cast a column to the type that its view's schema says, which values of one batch alone may not tell: pandas makes
    floats of integers beside a missing one, and Arrow null of a column that has none.
    """
    if types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    is_number = not (types.is_temporal(column.type) or types.is_null(column.type))
    if kind is None or (types.is_timestamp(kind) and is_number):
        return column
    if types.is_floating(column.type) and types.is_integer(kind):
        column = pyarrow.compute.if_else(pyarrow.compute.is_nan(column), None, column)
    try:
        # Floats are as near as they are, and times in microseconds.
        return column.cast(kind, safe=not (types.is_floating(kind) or types.is_timestamp(kind)))
    except pyarrow.ArrowNotImplementedError:
        return column
    except pyarrow.ArrowInvalid as error:
        raise ConfigurationProblem(
            "feature_service: the on-demand view %r gives values of %r that are not of the type in its schema: %s"
            % (view.name, feature, error)
        ) from error

"""Features of on-demand views, computed by Feast's own code from joined rows. Source: Feast 0.67."""

from __future__ import annotations

from typing import Any, Dict, List

import pyarrow

from ..wire.problems import ConfigurationProblem
from . import feast_store
from .plan import ComputedPlan, JoinPlan, name_of


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

    def add(self, table: Any) -> Any:
        """
        Add the computed columns to joined rows.

        :param table: rows with all that the views read
        :raises ConfigurationProblem: a view's function fails, or does not give a row for each
        """
        added: Dict[str, Any] = {}
        for view, feast_view in self._views:
            try:
                computed = feast_view.transform_arrow(table, self._full)
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
            added.update(self._columns(view, computed))
        return pyarrow.table({**dict(zip(table.column_names, table.columns)), **added})

    def _columns(self, view: ComputedPlan, computed: Any) -> Dict[str, Any]:
        found: Dict[str, Any] = {}
        for feature in view.features:
            # Feast names it by the view's own name; the service may know it by another.
            names: List[str] = [name_of(view.name, feature, full=True), feature]
            name = next(name for name in names if name in computed.column_names)
            found[name_of(view.view, feature, self._full)] = computed.column(name)
        return found

"""What Feast's own join is asked for."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from airflow_provider_air.drivers.features import entities, feast_join
from airflow_provider_air.drivers.features.plan import JoinPlan, ViewPlan
from airflow_provider_air.drivers.wire.problems import ConfigurationProblem


@pytest.mark.parametrize(
    ("stores", "asked"), [(["7", "3000000000"], [7, 3_000_000_000]), (["0042", "7"], ["0042", "7"]), (["a"], ["a"])]
)
def test_a_key_that_partitions_tell_is_a_number_where_all_are_written_so(
    tmp_path: Path, stores: list[str], asked: list[Any]
) -> None:
    for store in stores:
        (tmp_path / f"store={store}").mkdir()
        pyarrow.parquet.write_table(pyarrow.table({"t": ["2026-01-01"]}), tmp_path / f"store={store}" / "1.parquet")

    with entities.opened({"uri": str(tmp_path), "format": "parquet"}, "rows") as rows:
        frame, _ = feast_join._asked(rows, ["store"], "t", "rows")

    assert sorted(frame["store"].tolist()) == sorted(asked)


def test_a_view_by_another_name_is_refused_where_a_store_of_files_would_join_it_with_others() -> None:
    """Such a store gives rows of several views that no view has, and by its name alone Feast does not find this one."""
    views = [ViewPlan(name, "", "", [["k", "k"]], "t", None, 0.0, [["f", "f"]]) for name in ("delays", "origin")]
    known = {view.view: feast_join._Known(view.view == "origin", {}, {}) for view in views}
    store = SimpleNamespace(config=SimpleNamespace(offline_store=SimpleNamespace(type="file")))
    plan = JoinPlan("p", "s", "f", False, views, [])

    assert feast_join._features(store, plan, views[:1], known) == (["delays:f"], [])
    with pytest.raises(ConfigurationProblem, match="'s' has the view origin by another name"):
        feast_join._features(store, plan, views[1:], known)

"""The table of trials fits into a view, and never loses the metric that counts, nor the best trial."""

from __future__ import annotations

import json
import zlib
from typing import Any

from airflow_provider_air.pages.trials import trials_section
from tests.unit.pages.documents import history


def search(count: int, columns: int = 2, **fields: Any) -> dict[str, Any]:
    """Give the history of a search."""
    rows = [
        {
            "trial": f"t{n}",
            "status": "done" if n % 2 else "running",
            "config": {f"p{c}": n / (c + 3) for c in range(columns)},
            "values": {**{f"v{c}": n / (c + 7) for c in range(columns)}, "rmse": abs(n - count / 3)},
        }
        for n in range(count)
    ]
    curves = {row["trial"]: [[s, s / (n + 1)] for s in range(50)] for n, row in enumerate(rows)}
    return {"version": 1, "metric": "rmse", "mode": "min", "trials": rows, "curves": curves, **fields}


def test_a_search_is_a_table_with_its_best_row() -> None:
    told = trials_section(search(9, trial_states={"done": 4, "running": 5}, trials_total=20))
    assert told is not None
    assert (told["metric"], told["mode"], told["best"], told["total"]) == ("rmse", "min", "t3", 20)
    assert told["metrics"] == ["rmse", "v0", "v1"]
    assert told["counts"] == {"done": 4, "running": 5}
    assert told["series"]["t3"]["x"][-1] == 49
    assert told["cut"] is None


def test_once_all_trials_have_ended_they_count_themselves() -> None:
    """The search's last word comes before its last trial's."""
    stored = search(3, trial_states={"terminated": 2, "running": 1}, trials_total=3)
    stored["trials"] = [{**row, "status": "failed" if n else "finished"} for n, row in enumerate(stored["trials"])]
    told = trials_section(stored)
    assert told is not None
    assert told["counts"] == {"finished": 1, "failed": 2}
    waiting = trials_section({**stored, "trials_total": 4})
    assert waiting is not None
    assert waiting["counts"] == {"terminated": 2, "running": 1}


def test_the_best_of_what_is_to_grow_is_the_greatest() -> None:
    told = trials_section(search(9, mode="max"))
    assert told is not None
    assert told["best"] == "t8"


def test_curves_are_of_the_metric_that_the_search_compares_by() -> None:
    told = trials_section(search(3), ["v1"])
    assert told is not None
    assert (told["metric"], told["series"]) == ("v1", {})


def test_the_most_trials_fit_into_a_view_and_what_is_left_out_is_counted() -> None:
    told = trials_section(search(1000, 30, cut={"trials": 7}))
    assert told is not None
    assert len(told["rows"]) == 1000
    assert told["metrics"][0] == "rmse"
    assert told["cut"]["trials"] == 7
    assert told["cut"]["params"] > 0
    assert len(zlib.compress(json.dumps(told).encode(), 5)) <= 160_000


def test_trials_of_the_engine_itself_are_read() -> None:
    told = history(
        [
            {
                "kind": "metric",
                "values": {"rmse": 2.0},
                "step": 1,
                "trial": "a",
                "config": {"lr": 0.1, "layers": [1, 2]},
            },
            {"kind": "metric", "values": {"rmse": float("nan")}, "step": 1, "trial": "b", "config": {"lr": None}},
        ]
    )
    section = trials_section(told)
    assert section is not None
    assert section["best"] == "a"
    assert section["rows"][0]["config"] == {"lr": 0.1, "layers": "[1, 2]"}
    assert section["rows"][1]["values"] == {"rmse": None}

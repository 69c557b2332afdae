"""The view that holds the same task of several DAG runs against one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_air.pages.lenient import mapping, name, number
from airflow_provider_air.pages.thinning import curve

if TYPE_CHECKING:
    from airflow_provider_air.pages.documents import TaskFacts

MOST_POINTS = 400
MOST_METRICS, SHOWN_METRICS = 100, 6


def compare_view(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """
    Give the view.

    :param runs: as :func:`compared_run` gives them, newest first
    """
    metrics = list(dict.fromkeys(metric for run in runs for metric in run["values"]))
    return {"metrics": metrics[:MOST_METRICS], "runs": list(runs)}


def compared_run(
    facts: TaskFacts, values: Mapping[str, Any], history: Mapping[str, Any], wanted: Sequence[str] = ()
) -> dict[str, Any]:
    """
    Give what is shown of one run.

    :param values: the last value by metric
    :param history: empty where its curves are not wanted
    :param wanted: the names of the curves; the first six by default
    """
    known = [(name(key), number(value)) for key, value in list(values.items())[:MOST_METRICS]]
    return {
        "run_id": name(facts.run_id),
        "try_number": facts.try_number,
        "state": facts.state,
        "started_at": facts.started_at,
        "ended_at": facts.ended_at,
        "values": {key: value for key, value in known if value is not None},
        "series": series_of(history, wanted),
    }


def series_of(history: Mapping[str, Any], wanted: Sequence[str] = ()) -> dict[str, Any]:
    """Give the curves of one run; see :func:`compared_run`."""
    series = {name(key): points for key, points in mapping(history.get("series")).items()}
    chosen = [key for key in wanted if key in series] or list(series)[:SHOWN_METRICS]
    return {key: curve(series[key], MOST_POINTS) for key in chosen}

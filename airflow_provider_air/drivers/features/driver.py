"""
Feast from inside a job: ``python -m air_drivers.features``, in the author's feature repository. Source: Feast 0.67.
"""

from __future__ import annotations

import contextlib
import datetime
import importlib
import os
import pathlib
from typing import Any, Callable, Dict, List

from ..frame.running import Run, running
from ..trackers import wandb_run
from ..wire import outages
from ..wire.problems import ConfigurationProblem, Unavailable
from . import compiling, feast_store, plan
from .join import join_once
from .row_join import Wish


def main() -> None:
    """Do what the config's ``action`` says, and write the ``result`` record."""
    with running(wandb_run.begin) as run:
        run.records.write("result", value=ACTIONS[run.config["action"]](run))


def join(run: Run) -> Dict[str, Any]:
    """
    Join an entity data set with a feature service, each row as of its own time, and write it as parquet, once.

    Config: ``feature_service``, ``entities`` (a data set, or a query: ``{"sql"}``), ``output`` (URI), ``run_name``.

    :raises ConfigurationProblem: an unknown service, an absent column, no feature for any row
    """
    config = run.config
    return join_once(run, Wish.of(config, os.getcwd()), config["entities"], config["output"], "entities")


def apply(run: Run) -> Dict[str, Any]:
    """Register what the repository defines, as ``feast apply`` does."""
    store = feast_store.opened(os.getcwd())
    importlib.import_module("feast.repo_operations").apply_total(store.config, pathlib.Path.cwd(), False)
    _keep_plans(run)
    return _registered(feast_store.opened(os.getcwd()))


def materialize(run: Run) -> Dict[str, Any]:
    """
    Bring feature values into the online store: from ``start``, or from where the registry says the last time ended.

    Config: ``end``, optional ``start`` (ISO 8601 with a zone), optional ``feature_views``.
    """
    store, views = feast_store.opened(os.getcwd()), run.config.get("feature_views") or None
    feast_store.check_online_store(store)
    _check_materialized(store, views or [])
    end = datetime.datetime.fromisoformat(run.config["end"])
    try:
        if run.config.get("start"):
            store.materialize(datetime.datetime.fromisoformat(run.config["start"]), end, views)
        else:
            _check_watermarks(store, views)
            store.materialize_incremental(end, views)
        _keep_plans(run)
    except feast_store.feast().errors.FeatureViewNotFoundException as error:
        raise ConfigurationProblem("feature_views: %s" % error) from error
    return {**_registered(store), "end": end.isoformat(), "materialized_until": _watermarks(store)}


def _keep_plans(run: Run) -> None:
    """Keep the services' plans for the joins to come, since Feast is at hand here; what fails is said by the join."""
    storage = run.config.get("storage_path")
    if storage is None:
        return
    version = plan.version_of(os.getcwd())
    store = feast_store.opened(os.getcwd())  # anew: who registers something meanwhile changes the version
    plans = []
    for service in store.list_feature_services():
        with contextlib.suppress(ConfigurationProblem, Unavailable):
            plans.append(compiling.compiled(store, service.name))
    plan.keep(os.getcwd(), storage, plans, version)


def freshness(run: Run) -> Dict[str, Any]:
    """
    Look once until when the registry says that views are materialized.

    Config: ``fresh_at`` (ISO 8601 with a zone), optional ``feature_views``. The result's ``late`` says what is not
    there up to then.

    :raises Unavailable: the registry is away
    """
    config, store = run.config, feast_store.opened(os.getcwd())
    outages.patiently(store.refresh_registry, feast_store.REGISTRY_AWAY)
    done = _wanted_watermarks(store, config.get("feature_views"))
    late = _late(done, datetime.datetime.fromisoformat(config["fresh_at"])) if done else ["a first materialization"]
    return {"fresh_at": config["fresh_at"], "materialized_until": done, "late": late}


def _wanted_watermarks(store: Any, views: Any) -> Dict[str, Any]:
    done = _watermarks(store)
    if not views:
        return dict(done)
    _check_materialized(store, views)
    return {name: done.get(name) for name in views}


def _late(done: Dict[str, Any], moment: datetime.datetime) -> List[str]:
    return [
        "%s (%s)" % (name, until or "never materialized")
        for name, until in sorted(done.items())
        if until is None or datetime.datetime.fromisoformat(until) < moment
    ]


ACTIONS: Dict[str, Callable[[Run], Dict[str, Any]]] = {
    "join": join,
    "apply": apply,
    "materialize": materialize,
    "freshness": freshness,
}


def _registered(store: Any) -> Dict[str, Any]:
    return {
        "project": store.project,
        "feature_views": sorted(view.name for view in store.list_all_feature_views()),
        "feature_services": sorted(service.name for service in store.list_feature_services()),
    }


def _check_watermarks(store: Any, views: Any) -> None:
    # Feast would begin at now minus ttl, whatever the end, and note the end as done.
    done = _watermarks(store)
    new = sorted(view.name for view in _materialized_views(store) if view.name not in done)
    new = [name for name in new if views is None or name in views]
    if new:
        raise ConfigurationProblem(
            "start: %s was never materialized, so there is nothing to go on from; give start once" % ", ".join(new)
        )


def _watermarks(store: Any) -> Dict[str, str]:
    intervals = {view.name: view.materialization_intervals for view in _materialized_views(store)}
    return {name: max(end for _, end in spans).isoformat() for name, spans in intervals.items() if spans}


def _check_materialized(store: Any, names: List[str]) -> None:
    """:raises ConfigurationProblem: there is no view of a name, or none that goes to the online store."""
    known = sorted(view.name for view in _materialized_views(store))
    for name in sorted(set(names) - set(known)):
        there = "it is not for the online store" if name in feast_store.views(store) else "there is no such view"
        raise ConfigurationProblem(
            "feature_views: %r: %s; those that are materialized: %s" % (name, there, ", ".join(known) or "none")
        )


def _materialized_views(store: Any) -> List[Any]:
    """Give the views that Feast materializes where none are named."""
    views = feast_store.views(store).values()
    return [view for view in views if view.online and getattr(view, "enabled", True)]

"""
Feast from inside a job: ``python -m air_drivers.features``. Feast is imported here only.

There, the working directory is the author's feature repository; the drivers of other workloads bring it as a folder
of its own. Source: Feast 0.67.
"""

from __future__ import annotations

import datetime
import hashlib
import importlib
import json
import os
import pathlib
import re
import time
from typing import Any, Callable, Dict, List, Tuple

from . import entities, files, job, sql_join
from .entities import TIMESTAMP
from .feature_names import CONFIG_FILE, FEATURES_FILE
from .online.feast import REPO

# A column that goes to Feast and back with the rows, which come in another order.
ROW = "air_row"


class NotFresh(Exception):
    """The online store lags behind what was waited for; a retry waits again."""


def main() -> None:
    """Do what the config's ``action`` says, and write the ``result`` record."""
    with job.running() as run:
        run.records.write("result", value=ACTIONS[run.config["action"]](run))


def join(run: job.Run) -> Dict[str, Any]:
    """
    Join an entity data set with a feature service, each row as of its own time, and write it as parquet, once.

    Config: ``feature_service``, ``entities`` (a data set, or a query: ``{"sql"}``), ``output`` (URI), ``run_name``.

    :raises job.ConfigurationProblem: an unknown service, an absent column, no feature for any row
    """
    config = run.config
    return _join_once(run, os.getcwd(), config["feature_service"], config["entities"], config["output"], "entities")


def join_datasets(run: job.Run, specs: Dict[str, Any], field: str = "datasets") -> Tuple[Dict[str, Any], Any]:
    """
    Join a workload's data sets with the feature service that travels with the job, where one does.

    :param specs: as of :func:`air_drivers.datasets.read_all`
    :return: the data sets to read instead, and what the result tells of it, or None
    :raises job.ConfigurationProblem: as :func:`join` does
    """
    text = run.optional_payload(FEATURES_FILE)
    if text is None:
        return specs, None
    told = json.loads(text)
    repo = job.shipped_folder(REPO)
    from . import datasets

    joined, about, rows = dict(specs), {}, {}
    for name in told["datasets"] or sorted(specs):
        spec = datasets.spec_of(specs[name])
        place = files.join(told["storage_path"], run.config["run_name"] + "-features", name)
        about = _join_once(run, repo, told["feature_service"], spec, place, _named(field, name))
        rows[name] = about["rows_written"]
        # Columns and splits are those of the joined rows.
        kept = {key: value for key, value in spec.items() if key not in ("sql", "format", "options")}
        joined[name] = {**kept, "uri": about["uri"]}
    summary = {key: about[key] for key in ("project", "feature_service", "feature_views", "features", "fingerprint")}
    summary["rows"] = rows
    message = "the data is joined with the feature service %s" % summary["feature_service"]
    run.records.write("progress", message=message, phase="features", features=summary)
    return joined, summary


def _named(field: str, name: str) -> str:
    return field if field == name else "%s.%s" % (field, name)


def _join_once(run: job.Run, repo: str, service_name: str, spec: Any, output: str, field: str) -> Dict[str, Any]:
    from . import staging

    staged = staging.StagedOutput(files.absolute(output), run.config["run_name"])
    done = staged.begin()
    if done is not None:
        run.records.write("progress", message="an earlier attempt has committed the features", phase="committed")
        return dict(done["result"])
    store = _store(repo)
    service = _service(store, service_name)
    views = _views(store)
    _check_computed(views, service)
    table, features, rows_read = _rows(run, store, service, _keys_of_views(views, service), spec, field)
    _check_joined(table, features, service.name)
    part = _write(staged, table)
    result = {
        "uri": output,
        "rows_read": rows_read,
        "rows_written": table.num_rows,
        "features": features,
        "feature_service": service.name,
        "feature_views": sorted(projection.name for projection in service.feature_view_projections),
        "project": store.project,
        "fingerprint": _fingerprint(views, service),
    }
    staged.commit([part], result)
    return result


def _rows(
    run: job.Run, store: Any, service: Any, keys_of_views: List[List[str]], spec: Any, field: str
) -> Tuple[Any, List[str], int]:
    keys = sorted({key for keys in keys_of_views for key in keys} - {"__dummy_id"})
    if "sql" in spec:
        run.records.write("progress", message="joining a query's rows with %s" % service.name, phase="start")
        table, features = sql_join.joined(store, service, spec["sql"], keys, field)
        rows_read = table.num_rows
    else:
        frame = entities.read(spec, keys, field)
        run.records.write("progress", message="joining %d rows with %s" % (len(frame), service.name), phase="start")
        table, features = _joined(store, service, frame, keys, field)
        rows_read = len(frame)
    if sql_join.takes_sql(store):
        sql_join.check_told_apart(table, keys_of_views, field)
    return table, features, rows_read


def apply(run: job.Run) -> Dict[str, Any]:
    """Register what the repository defines, as ``feast apply`` does."""
    store = _store(os.getcwd())
    importlib.import_module("feast.repo_operations").apply_total(store.config, pathlib.Path.cwd(), False)
    return _registered(_store(os.getcwd()))


def materialize(run: job.Run) -> Dict[str, Any]:
    """
    Bring feature values into the online store: from ``start``, or from where the registry says the last time ended.

    Config: ``end``, optional ``start`` (ISO 8601 with a zone), optional ``feature_views``.
    """
    store, views = _store(os.getcwd()), run.config.get("feature_views") or None
    _check_online_store(store)
    end = datetime.datetime.fromisoformat(run.config["end"])
    try:
        if run.config.get("start"):
            store.materialize(datetime.datetime.fromisoformat(run.config["start"]), end, views)
        else:
            _check_watermarks(store, views)
            store.materialize_incremental(end, views)
    except _feast().errors.FeatureViewNotFoundException as error:
        raise job.ConfigurationProblem("feature_views: %s" % error) from error
    return {**_registered(store), "end": end.isoformat(), "materialized_until": _watermarks(store)}


def wait_until_fresh(run: job.Run) -> Dict[str, Any]:
    """
    Wait until the registry says that views are materialized up to a moment.

    Config: ``fresh_at`` (ISO 8601 with a zone), ``timeout_seconds``, ``poll_interval_seconds``, optional
    ``feature_views``.

    :raises NotFresh: they are not in time
    """
    config, store, told = run.config, _store(os.getcwd()), ""
    end = time.monotonic() + float(config["timeout_seconds"])
    while True:
        store.refresh_registry()
        done = _wanted_watermarks(store, config.get("feature_views"))
        late = _late(done, datetime.datetime.fromisoformat(config["fresh_at"]))
        if done and not late:
            return {"fresh_at": config["fresh_at"], "materialized_until": done}
        message = "waiting for %s" % (", ".join(late) or "a first materialization")
        if message != told:
            run.records.write("progress", message=message, phase="waiting")
            told = message
        if time.monotonic() > end:
            raise NotFresh("not fresh at %s in time: still %s" % (config["fresh_at"], message))
        time.sleep(float(config["poll_interval_seconds"]))


def _wanted_watermarks(store: Any, views: Any) -> Dict[str, Any]:
    done = _watermarks(store)
    if not views:
        return dict(done)
    known = sorted(view.name for view in store.list_feature_views())
    unknown = sorted(set(views) - set(known))
    if unknown:
        raise job.ConfigurationProblem(
            "feature_views: there is no %r; there are: %s" % (unknown[0], ", ".join(known) or "none")
        )
    return {name: done.get(name) for name in views}


def _late(done: Dict[str, Any], moment: datetime.datetime) -> List[str]:
    return [
        "%s (%s)" % (name, until or "never materialized")
        for name, until in sorted(done.items())
        if until is None or datetime.datetime.fromisoformat(until) < moment
    ]


ACTIONS: Dict[str, Callable[[job.Run], Dict[str, Any]]] = {
    "join": join,
    "apply": apply,
    "materialize": materialize,
    "wait_until_fresh": wait_until_fresh,
}


def _feast() -> Any:
    try:
        importlib.import_module("feast.errors")
        return importlib.import_module("feast")
    except ImportError as error:
        raise job.ConfigurationProblem(
            "feast is not installed on the cluster; add it to the image, or to runtime_env: {'pip': ['feast']}"
        ) from error


def _store(repo: str) -> Any:
    feast = _feast()
    # A time without a zone is UTC in Postgres, too, and not of the server's zone.
    os.environ.setdefault("PGTZ", "UTC")
    path = os.path.join(repo, CONFIG_FILE)
    if not os.path.isfile(path):
        raise job.ConfigurationProblem("repo: there is no %s in it" % CONFIG_FILE)
    import yaml

    with open(path) as file:
        told = yaml.safe_load(os.path.expandvars(file.read())) or {}
    registry = told.get("registry")
    _check_place("registry", registry.get("path") if isinstance(registry, dict) else registry)
    try:
        return feast.FeatureStore(repo_path=repo)
    except Exception as error:
        raise job.ConfigurationProblem("repo: Feast does not open it: %s" % error) from error


def _check_online_store(store: Any) -> None:
    # Without a path, Feast's default is relative, too.
    _check_place("online_store", getattr(store.config.online_store, "path", None))


def _check_place(field: str, path: Any) -> None:
    text = str(path or "/")
    if os.path.isabs(text) or ("://" in text and not re.match(r"sqlite:///[^/]", text)):
        return
    raise job.ConfigurationProblem(
        "repo: the %s of %s has the relative path %r, which would go with the job; use an absolute path on shared "
        "storage, a database or a bucket" % (field, CONFIG_FILE, text)
    )


def _service(store: Any, name: str) -> Any:
    try:
        return store.get_feature_service(name)
    except _feast().errors.FeatureServiceNotFoundException as error:
        known = ", ".join(sorted(service.name for service in store.list_feature_services())) or "none"
        raise job.ConfigurationProblem(
            "feature_service: the project %r has no %r; it has: %s. Run FeastApplyOperator first, or correct the name"
            % (store.project, name, known)
        ) from error


def _views(store: Any) -> Dict[str, Any]:
    """Give the views that hold values, by name: all but on-demand ones."""
    return {view.name: view for view in [*store.list_feature_views(), *store.list_stream_feature_views()]}


def _keys_of_views(known: Dict[str, Any], service: Any) -> List[List[str]]:
    # An entity may go by another name in this service's projection of its view.
    return [
        [(projection.join_key_map or {}).get(key, key) for key in known[projection.name].join_keys]
        for projection in service.feature_view_projections
        if projection.name in known
    ]


def _check_computed(known: Dict[str, Any], service: Any) -> None:
    computed = sorted(p.name for p in service.feature_view_projections if p.name not in known)
    if computed:
        raise job.ConfigurationProblem(
            "feature_service: %r has on-demand views (%s), whose values may depend on the whole row; compute them in "
            "the training, or leave them out of the service" % (service.name, ", ".join(computed))
        )


def _joined(store: Any, service: Any, frame: Any, keys: List[str], field: str) -> Tuple[Any, List[str]]:
    """
    Give every entity row its features, in the order of the rows.

    Feast (0.67) gives one row per entity and time, whatever else tells rows apart, and none where a value is older
    than its ttl: so it is asked for entities and times alone, and the rows keep what they hold.

    :raises job.ConfigurationProblem: an entity column has a feature's name
    """
    import pyarrow

    entities.check_names(list(frame.columns), service, field)
    on = [*keys, TIMESTAMP]
    # By number, numbering included, a third of what a merge by keys and times costs (pandas 2.3).
    asked = frame[on].assign(**{ROW: frame.groupby(on, sort=False, dropna=False, observed=True).ngroup()})
    rows = asked.drop_duplicates(ROW)
    found = store.get_historical_features(entity_df=rows, features=service).to_df()
    if found[ROW].duplicated().any():
        raise sql_join.repeated(field, len(found), len(rows))
    values = found.astype({ROW: "int64"}).drop(columns=on).set_index(ROW)
    whole = frame.join(values.reindex(asked[ROW]).set_axis(frame.index))
    return pyarrow.Table.from_pandas(whole, preserve_index=False), list(values.columns)


def _check_joined(table: Any, features: List[str], service: str) -> None:
    if table.num_rows and all(table.column(name).null_count < table.num_rows for name in features):
        return
    empty = [name for name in features if table.column(name).null_count == table.num_rows]
    if len(empty) < len(features):
        return  # a feature of its own may be that rare
    raise job.ConfigurationProblem(
        "feature_service: %r has no value of any feature for any of the rows at their times; look at the entities' "
        "keys and times, and at the feature views' ttl" % service
    )


def _write(staged: Any, table: Any) -> Dict[str, Any]:
    import pyarrow.parquet

    filesystem, folder = files.open_uri(staged.staging_uri, "output")
    files.make_folder(filesystem, folder)
    name = "%s-0.parquet" % staged.attempt
    with filesystem.open_output_stream("%s/%s" % (folder, name)) as stream:
        pyarrow.parquet.write_table(table, stream)
    return {"file": name, "rows": table.num_rows}


def _fingerprint(views: Dict[str, Any], service: Any) -> str:
    used = {projection.name for projection in service.feature_view_projections}
    specs = [
        str(service.to_proto().spec),
        *(str(views[name].to_proto().spec) for name in sorted(views) if name in used),
    ]
    return hashlib.sha256("\n".join(specs).encode()).hexdigest()[:16]


def _registered(store: Any) -> Dict[str, Any]:
    return {
        "project": store.project,
        "feature_views": sorted(view.name for view in store.list_all_feature_views()),
        "feature_services": sorted(service.name for service in store.list_feature_services()),
    }


def _check_watermarks(store: Any, views: Any) -> None:
    # Feast would begin at now minus ttl, whatever the end, and note the end as done.
    done = _watermarks(store)
    new = sorted(view.name for view in store.list_feature_views() if view.name not in done)
    new = [name for name in new if views is None or name in views]
    if new:
        raise job.ConfigurationProblem(
            "start: %s was never materialized, so there is nothing to go on from; give start once" % ", ".join(new)
        )


def _watermarks(store: Any) -> Dict[str, str]:
    intervals = {view.name: view.materialization_intervals for view in store.list_feature_views()}
    return {name: max(end for _, end in spans).isoformat() for name, spans in intervals.items() if spans}


if __name__ == "__main__":
    main()

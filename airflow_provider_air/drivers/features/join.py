"""
Rows joined with a Feast feature service, each as of its own time, and written as parquet, once. Source: Feast 0.67.

The drivers of other workloads do so before their work, by a repository that travels as a folder of its own.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Dict, List, Tuple

from ..data import datasets, files, staging
from ..frame.running import Run, shipped_folder
from ..wire import outages
from ..wire.feature_names import FEAST_REPO, FEATURES_FILE
from ..wire.problems import ConfigurationProblem
from . import entities, feast_store, sql_join
from .entities import TIMESTAMP

# A column that goes to Feast and back with the rows, which come in another order.
ROW = "air_row"


def join_datasets(run: Run, specs: Dict[str, Any], field: str = "datasets") -> Tuple[Dict[str, Any], Any]:
    """
    Join a workload's data sets with the feature service that travels with the job, where one does.

    :param specs: as of :func:`air_drivers.data.datasets.read_all`
    :return: the data sets to read instead, and what the result tells of it, or None
    :raises ConfigurationProblem: as :func:`join_once` does
    """
    text = run.optional_payload(FEATURES_FILE)
    if text is None:
        return specs, None
    told = json.loads(text)
    repo = shipped_folder(FEAST_REPO)

    joined, about, rows = dict(specs), {}, {}
    for name in told["datasets"] or sorted(specs):
        spec = datasets.spec_of(specs[name])
        place = files.join(told["storage_path"], run.config["run_name"] + "-features", name)
        about = join_once(run, repo, told["feature_service"], spec, place, _named(field, name))
        rows[name] = about["rows_written"]
        # Columns and splits are those of the joined rows.
        kept = {key: value for key, value in spec.items() if key not in ("sql", "format", "options")}
        joined[name] = {**kept, "uri": about["uri"]}
    summary = {key: about[key] for key in ("project", "feature_service", "feature_views", "features", "fingerprint")}
    summary["rows"] = rows
    message = "the data is joined with the feature service %s" % summary["feature_service"]
    run.records.tell("progress", message=message, phase="features", features=summary)
    return joined, summary


def _named(field: str, name: str) -> str:
    return field if field == name else "%s.%s" % (field, name)


def join_once(run: Run, repo: str, service_name: str, spec: Any, output: str, field: str) -> Dict[str, Any]:
    """
    Join one entity data set, and write it; or give what an earlier attempt has written.

    :param repo: the folder of the feature repository
    :param spec: a data set, or a query: ``{"sql"}``
    :param output: URI of the folder of the joined rows
    :param field: what the entities are called in a message
    :raises ConfigurationProblem: an unknown service, an absent column, no feature for any row
    """
    staged = staging.StagedOutput(files.absolute(output), run.config["run_name"])
    done = staged.begin()
    if done is not None:
        run.records.tell("progress", message="an earlier attempt has committed the features", phase="committed")
        return dict(done["result"])
    store = feast_store.opened(repo)
    service = feast_store.service(store, service_name)
    views = feast_store.views(store)
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
    run: Run, store: Any, service: Any, keys_of_views: List[List[str]], spec: Any, field: str
) -> Tuple[Any, List[str], int]:
    keys = sorted({key for keys in keys_of_views for key in keys} - {"__dummy_id"})
    if "sql" in spec:
        run.records.tell("progress", message="joining a query's rows with %s" % service.name, phase="start")
        table, features = sql_join.joined(store, service, spec["sql"], keys, field)
        rows_read = table.num_rows
    else:
        frame = entities.read(spec, keys, field)
        run.records.tell("progress", message="joining %d rows with %s" % (len(frame), service.name), phase="start")
        table, features = _joined(store, service, frame, keys, field)
        rows_read = len(frame)
    if sql_join.takes_sql(store):
        sql_join.check_told_apart(table, keys_of_views, field)
    return table, features, rows_read


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
        raise ConfigurationProblem(
            "feature_service: %r has on-demand views (%s), whose values may depend on the whole row; compute them in "
            "the training, or leave them out of the service" % (service.name, ", ".join(computed))
        )


def _joined(store: Any, service: Any, frame: Any, keys: List[str], field: str) -> Tuple[Any, List[str]]:
    """
    Give every entity row its features, in the order of the rows.

    Feast (0.67) gives one row per entity and time, whatever else tells rows apart, and none where a value is older
    than its ttl: so it is asked for entities and times alone, and the rows keep what they hold.

    :raises ConfigurationProblem: an entity column has a feature's name
    """
    import pyarrow

    entities.check_names(list(frame.columns), service, field)
    on = [*keys, TIMESTAMP]
    # By number, numbering included, a third of what a merge by keys and times costs (pandas 2.3).
    asked = frame[on].assign(**{ROW: frame.groupby(on, sort=False, dropna=False, observed=True).ngroup()})
    rows = asked.drop_duplicates(ROW)
    found = outages.patiently(
        lambda: store.get_historical_features(entity_df=rows, features=service).to_df(),
        "%s: the offline store does not give the features" % field,
    )
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
    raise ConfigurationProblem(
        "feature_service: %r has no value of any feature for any of the rows at their times; look at the entities' "
        "keys and times, and at the feature views' ttl" % service
    )


def _write(staged: Any, table: Any) -> Dict[str, Any]:
    import pyarrow.parquet

    filesystem, folder = files.open_uri(staged.staging_uri, "output")
    files.make_folder(filesystem, folder)
    name = "%s-0.parquet" % staged.attempt

    def write() -> None:
        with filesystem.open_output_stream("%s/%s" % (folder, name)) as stream:
            pyarrow.parquet.write_table(table, stream)

    outages.patiently(write, "output: cannot write to %s" % folder)
    return {"file": name, "rows": table.num_rows}


def _fingerprint(views: Dict[str, Any], service: Any) -> str:
    used = {projection.name for projection in service.feature_view_projections}
    specs = [
        str(service.to_proto().spec),
        *(str(views[name].to_proto().spec) for name in sorted(views) if name in used),
    ]
    return hashlib.sha256("\n".join(specs).encode()).hexdigest()[:16]

"""
Rows joined with a Feast feature service, each as of its own time, and written as parquet, once. Source: Feast 0.67.

The drivers of other workloads do so before their work, by a repository that travels as a folder of its own.
"""

from __future__ import annotations

import json
import time
from typing import Any, Dict, List, Tuple

import pyarrow

from ..data import datasets, files, staging
from ..frame.running import Run, shipped_folder
from ..wire import outages
from ..wire.feature_names import FEAST_REPO, FEATURES_FILE
from ..wire.problems import ConfigurationProblem
from . import compiling, entities, feast_store, plan, row_join, sql_join
from .asof import BATCH_ROWS
from .parts import PartWriter
from .plan import JoinPlan
from .row_join import Wish


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
        about = join_once(run, Wish.of(told, repo), spec, place, _named(field, name))
        rows[name] = about["rows_written"]
        # Columns and splits are those of the joined rows.
        kept = {key: value for key, value in spec.items() if key not in ("sql", "reader", "format", "options")}
        joined[name] = {**kept, "uri": about["uri"]}
    summary = {key: about[key] for key in ("project", "feature_service", "feature_views", "features", "fingerprint")}
    summary["rows"] = rows
    message = "the data is joined with the feature service %s" % summary["feature_service"]
    run.records.tell("progress", message=message, phase="features", features=summary)
    return joined, summary


def _named(field: str, name: str) -> str:
    return field if field == name else "%s.%s" % (field, name)


def join_once(run: Run, wish: Wish, spec: Any, output: str, field: str) -> Dict[str, Any]:
    """
    Join one entity data set, and write it; or give what an earlier attempt has written.

    :param spec: a data set, or a query: ``{"sql"}``
    :param output: URI of the folder of the joined rows
    :param field: what the entities are called in a message
    :raises ConfigurationProblem: an unknown service, an absent column, no feature for any row
    :raises Unavailable: the storage, the registry or the store is away
    """
    staged = staging.StagedOutput(files.absolute(output), run.config["run_name"])
    done = staged.begin()
    if done is not None:
        run.records.tell("progress", message="an earlier attempt has committed the features", phase="committed")
        return dict(done["result"])
    store = feast_store.Lazily(wish.repo)
    made = _planned(run, wish, store)
    features = made.names(wish.full_feature_names)
    began = time.monotonic()
    writer = PartWriter(staged)
    if wish.num_partitions:
        _write_partitions(run, wish, made, spec, field, staged, writer)
    elif "sql" in spec:
        _write_query(run, wish, store, made, spec, field, writer)
    else:
        _write_rows(run, wish, store, made, spec, field, writer)
    _check_joined(writer, features, made.feature_service)
    seconds = round(time.monotonic() - began, 3)
    run.records.tell("progress", message="%d rows are joined in %.1f s" % (writer.rows, seconds), phase="joined")
    result = {
        "uri": output,
        "rows_read": writer.rows,
        "rows_written": writer.rows,
        "features": features,
        "feature_service": made.feature_service,
        "feature_views": sorted({view for view, _ in made.served}),
        "project": made.project,
        "fingerprint": made.fingerprint,
    }
    staged.commit(writer.parts, result)
    return result


def _planned(run: Run, wish: Wish, store: feast_store.Lazily) -> JoinPlan:
    began = time.monotonic()
    made = plan.kept(wish.repo, wish.storage, wish.service)
    if made is not None:
        how = "the plan of the registry's state is there"
    else:
        version = plan.version_of(wish.repo)
        made = compiling.compiled(store(), wish.service)
        plan.keep(wish.repo, wish.storage, [made], version)
        how = "the plan is compiled from the registry"
    message = "%s: %s, in %.1f s" % (wish.service, how, time.monotonic() - began)
    run.records.tell("progress", message=message, phase="plan")
    return made


def _write_rows(
    run: Run, wish: Wish, store: feast_store.Lazily, made: JoinPlan, spec: Any, field: str, writer: PartWriter
) -> None:
    needed = [*made.keys, wish.timestamp]
    with entities.opened(spec, field, needed) as rows:
        datasets.check_columns(needed, rows.schema.names, field, rows.where)
        entities.check_names(rows.schema.names, made.names(wish.full_feature_names), field)
        count = outages.asked(rows.count, "%s: cannot count the rows" % field)
        run.records.tell("progress", message="joining %d rows with %s" % (count, made.feature_service), phase="start")
        if not made.by_files and sql_join.takes_sql(store()):
            sql_join.check_told_apart(rows.table([*made.join_keys, wish.timestamp]), made, wish.timestamp, field)

        def write() -> None:
            writer.begin(count)
            for table in row_join.tables(wish, store, made, rows, field):
                writer.write(table)
            writer.end()

        outages.asked(write, "%s: cannot join the rows" % field)


def _write_partitions(
    run: Run, wish: Wish, made: JoinPlan, spec: Any, field: str, staged: staging.StagedOutput, writer: PartWriter
) -> None:
    from . import ray_join

    message = "joining with %s in %d partitions" % (made.feature_service, wish.num_partitions or 1)
    run.records.tell("progress", message=message, phase="start")
    writer.taken(ray_join.joined_parts(wish, made, spec, staged.staging_uri, staged.attempt, field))


def _write_query(
    run: Run, wish: Wish, store: feast_store.Lazily, made: JoinPlan, spec: Any, field: str, writer: PartWriter
) -> None:
    run.records.tell("progress", message="joining a query's rows with %s" % made.feature_service, phase="start")
    full = wish.full_feature_names
    table = sql_join.joined(store(), made, spec["sql"], wish.timestamp, field, full_feature_names=full)
    sql_join.check_told_apart(table, made, wish.timestamp, field)

    def write() -> None:
        writer.begin(table.num_rows)
        for batch in table.to_batches(BATCH_ROWS):
            writer.write(pyarrow.Table.from_batches([batch]))
        writer.end()

    outages.patiently(write, "output: cannot write")


def _check_joined(writer: PartWriter, features: List[str], service: str) -> None:
    if not writer.rows or not features or any(writer.values.get(name) for name in features):
        return  # a feature of its own may be that rare
    raise ConfigurationProblem(
        "feature_service: %r has no value of any feature for any of the rows at their times; look at the entities' "
        "keys and times, and at the feature views' ttl" % service
    )

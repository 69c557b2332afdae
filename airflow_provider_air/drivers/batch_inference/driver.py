"""
Runs one batch inference: ``python -m air_drivers.batch_inference``.

Reads with Ray Data, predicts on an actor pool, writes to a staging folder and commits at the end: after a
retry the output holds every row once.
"""

from __future__ import annotations

import inspect
import time
from typing import Any, Callable, Dict, List, Optional

from ..data import datasets, files, staging
from ..features import join
from ..frame import code, resources
from ..frame.resources import Bundle
from ..frame.running import Run, running
from ..trackers import registered, wandb_run
from ..wire import imports, outages
from ..wire.problems import ConfigurationProblem
from . import predictors

# What ends the work by its name, wherever on the cluster it is raised, and is for the author to mend.
MISTAKES = ("CategoriesMissing", "ColumnsMissing", "ModelMissing", "SchemasDiffer", "NoColumn", "NotInFormat")


def main() -> None:
    """Predict, report while predicting, and write the ``result`` record."""
    with running(wandb_run.begin) as run:
        run.records.write("result", value=_infer(run))


def _infer(run: Run) -> Dict[str, Any]:
    config = run.config
    target = _target(run)
    import ray

    from ..data import sink
    from . import batches, progress

    output = _output(config)
    if not ray.is_initialized():
        ray.init()
    staged = staging.StagedOutput(output["uri"], config["run_name"])
    done = staged.begin()
    if done is not None:
        run.records.tell("progress", message="an earlier attempt has committed the output", phase="committed")
        return dict(done["result"])
    config["checkpoint"] = _checkpoint(run)
    specs, joined = join.join_datasets(run, {"input": datasets.spec_of(config["input"])}, "input")
    dataset = datasets.read_one(datasets.spec_of(specs["input"]), "input")
    _check_features(config, dataset)
    arguments = (
        target,
        config["checkpoint"],
        config.get("predictor_args") or {},
        config.get("batch_format") or "pandas",
    )
    written = sink.StagedSink(staged.staging_uri, staged.attempt, output, batches.uncounted)
    run.records.tell("progress", message="inference starts", phase="start")
    started = time.time()

    def work() -> None:
        predicted = dataset.map_batches(_pooled(target), fn_constructor_args=arguments, **_map_options(config))
        told.watch(predicted)
        predicted.write_datasink(written)
        written.settle()
        if not written.parts:
            written.write_nothing(_schema_of_nothing(run, written, dataset, arguments))

    told = progress.Progress(run.records)
    _mending(lambda: resources.run_when_it_fits(run, "concurrency", _bundles(config), work, told.tick))
    told.tick(is_last=True)
    result = {"uri": output["uri"], "run_name": config["run_name"], **_numbers(written, started), "features": joined}
    staged.commit(written.parts, result)
    _tell_committed(run, result, dataset, written)
    return result


def _tell_committed(run: Run, result: Dict[str, Any], dataset: Any, written: Any) -> None:
    read, rows = result["rows_read"], result["rows_written"]
    data = {
        "inputs": [{"name": "input", "rows": read, "schema": _columns(lambda: dataset.schema(fetch_if_missing=False))}],
        "outputs": [{"name": "output", "uri": result["uri"], "rows": rows, "schema": _columns(written.schema)}],
    }
    files = result["files"]
    message = "%d rows are committed in %d file%s" % (rows, files, "" if files == 1 else "s")
    batch = {"rows": read, "total_rows": read}
    run.records.tell("progress", message=message, phase="committed", data=data, batch=batch)


def _columns(schema: Callable[[], Any]) -> Optional[Dict[str, str]]:
    """Give the columns and their types of a schema of Arrow's or Ray Data's, for people; None where it is not known."""
    try:
        known = schema()
        return None if known is None else dict(zip(map(str, known.names), map(str, known.types)))
    except Exception:  # the work is done
        return None


def _numbers(written: Any, started: float) -> Dict[str, Any]:
    seconds = time.time() - started
    return {
        "rows_read": written.rows_read,
        "rows_written": sum(part["rows"] for part in written.parts),
        "bytes_written": sum(part["bytes"] for part in written.parts),
        "files": len(written.parts),
        "seconds": round(seconds, 3),
        "rows_per_second": round(written.rows_read / seconds, 3) if seconds else None,
    }


def _schema_of_nothing(run: Run, written: Any, dataset: Any, arguments: Any) -> Any:
    """Find the columns of an output without rows: as the predictor gave them, else as it gives for no rows, if any."""
    import ray

    from . import pool

    seen = written.schema()
    if seen is not None and written.rows_read:
        return seen  # there were rows, and the predictor has dropped them all
    given = seen if seen is not None else datasets.arrow_schema(dataset, "input")
    asked = ray.remote(max_retries=0, **_remote_options(run.config))(pool.schema_of_nothing)
    try:
        return ray.get(asked.remote(*arguments, given))
    except Exception as error:
        run.records.tell(
            "progress",
            message="there are no rows to write, and the predictor takes no empty batch (%s): the output has the "
            "input's columns" % outages.said(error).strip().splitlines()[-1],
            phase="empty",
        )
        return given


def _output(config: Dict[str, Any]) -> Dict[str, Any]:
    from ..data.sink import FORMATS

    output = {"format": "parquet", **datasets.spec_of(config["output"])}
    output["uri"] = files.absolute(output["uri"])
    if output["format"] not in FORMATS:
        raise ConfigurationProblem("output.format: %r is none of %s" % (output["format"], ", ".join(FORMATS)))
    return output


def _pooled(target: Any) -> Any:
    from . import pool

    return pool.PredictAsync if pool.is_async(target) else pool.Predict


def _target(run: Run) -> Any:
    spec = run.config["predictor"]
    if isinstance(spec, str) and spec in predictors.PREDICTORS:
        target, package = predictors.PREDICTORS[spec]
        imports.need_package(package, "predictor %r" % spec)
        return target
    if isinstance(spec, str) and ":" not in spec and "." not in spec:
        raise ConfigurationProblem(
            "predictor: %r is unknown; use %s or an import path" % (spec, ", ".join(sorted(predictors.PREDICTORS)))
        )
    from . import pool

    target = code.author_callable(run, spec, "predictor")
    if not pool.takes_batches(target):
        raise ConfigurationProblem("predictor: %s has no method __call__(batch)" % target.__name__)
    if run.config.get("checkpoint") and not inspect.isclass(target):
        raise ConfigurationProblem(
            "predictor: a function has no place to keep the model of 'checkpoint'; use a class, built once per actor"
        )
    return target


def _checkpoint(run: Run) -> Any:
    """Give where the model is, the same for all actors: of a registered one, that version and no later one."""
    uri, predictor = run.config.get("checkpoint"), run.config["predictor"]
    if uri and uri.startswith(registered.SCHEMES):
        flavor = predictor if isinstance(predictor, str) and predictor in predictors.PREDICTORS else None
        found = registered.pinned(uri, flavor, "checkpoint")
        run.records.tell("progress", message="the model %s is %s" % (uri, found), phase="model", checkpoint=found)
        uri = found
    if uri and not uri.startswith(registered.SCHEMES):
        uri = files.absolute(uri)
        files.must_exist(uri, "checkpoint")
    return uri


def _check_features(config: Dict[str, Any], dataset: Any) -> None:
    predictor, features = config["predictor"], (config.get("predictor_args") or {}).get("features")
    # Of the author's own predictor it may be anything.
    if features and isinstance(predictor, str) and predictor in predictors.PREDICTORS:
        present = datasets.column_names(dataset, "input")
        datasets.check_columns(features, present, "predictor_args.features", "the input")


def _map_options(config: Dict[str, Any]) -> Dict[str, Any]:
    import ray.data

    size = config.get("concurrency") or 1
    pool = {"min_size": size[0], "max_size": size[1]} if isinstance(size, list) else {"size": size}
    return {
        "compute": ray.data.ActorPoolStrategy(**pool),
        "batch_size": config.get("batch_size") or 1024,
        "batch_format": None,  # blocks as they are: the predictor's view of them is ours to make
        **_remote_options(config),
    }


def _remote_options(config: Dict[str, Any]) -> Dict[str, Any]:
    each = dict(config.get("resources_per_actor") or {"CPU": 1.0})
    options: Dict[str, Any] = {"num_cpus": each.pop("CPU", 0)}
    if "GPU" in each:
        options["num_gpus"] = each.pop("GPU")
    if "memory" in each:
        options["memory"] = each.pop("memory")
    return {**options, "resources": each} if each else options


def _bundles(config: Dict[str, Any]) -> List[Bundle]:
    """List what must fit at once: the smallest pool, and one CPU that reads and writes."""
    size = config.get("concurrency") or 1
    each: Bundle = dict(config.get("resources_per_actor") or {"CPU": 1.0})
    return [dict(each) for _ in range(size[0] if isinstance(size, list) else size)] + [{"CPU": 1.0}]


def _mending(work: Any) -> None:
    try:
        work()
    except Exception as error:
        for cause in _causes(error):
            for name in MISTAKES:
                if name in type(cause).__name__ or "%s: " % name in str(cause):
                    text = str(cause).rpartition("%s: " % name)[2].strip()
                    raise ConfigurationProblem(text.splitlines()[0]) from error
        raise


def _causes(error: BaseException) -> List[BaseException]:
    found: List[BaseException] = []
    queue: List[Any] = [error]
    while queue:
        current = queue.pop(0)
        if isinstance(current, BaseException) and current not in found:
            found.append(current)
            queue += [current.__cause__, current.__context__, getattr(current, "cause", None)]
    return found

"""
Runs one batch inference: ``python -m air_drivers.batch_inference``.

Reads with Ray Data, predicts on an actor pool, writes to a staging folder and commits at the end: after a
retry the output holds every row once.
"""

from __future__ import annotations

import inspect
import time
from typing import Any, Callable, Dict, List

from ..data import datasets, files, staging
from ..features import join
from ..frame import code, resources
from ..frame.resources import Bundle
from ..frame.running import Run, running
from ..trackers import registered, wandb_run
from ..wire import imports
from ..wire.problems import ConfigurationProblem
from . import predictors

PROGRESS_SECONDS = 1.0


def main() -> None:
    """Predict, report while predicting, and write the ``result`` record."""
    with running(wandb_run.begin) as run:
        run.records.write("result", value=_infer(run))


def _infer(run: Run) -> Dict[str, Any]:
    config = run.config
    target = _target(run)
    import ray

    from ..data import sink

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
    board = ray.remote(num_cpus=0)(predictors.Board).remote()
    predicted = _predicted({**config, "input": specs["input"]}, target, board)
    written = sink.StagedSink(staged.staging_uri, staged.attempt, output["format"], output.get("columns"))
    run.records.tell("progress", message="inference starts", phase="start")
    started = time.time()
    resources.run_when_it_fits(
        run, "concurrency", _bundles(config), lambda: _write(predicted, written), _progress(run, board)
    )
    rows = int(ray.get(board.look.remote())["rows"])
    numbers = _numbers(written.parts, rows, started)
    result = {"uri": output["uri"], "run_name": config["run_name"], **numbers, "features": joined}
    staged.commit(written.parts, result)
    return result


def _numbers(parts: List[Dict[str, Any]], rows: int, started: float) -> Dict[str, Any]:
    seconds = time.time() - started
    return {
        "rows_read": rows,
        "rows_written": sum(part["rows"] for part in parts),
        "bytes_written": sum(part["bytes"] for part in parts),
        "files": len(parts),
        "seconds": round(seconds, 3),
        "rows_per_second": round(rows / seconds, 3) if seconds else None,
    }


def _output(config: Dict[str, Any]) -> Dict[str, Any]:
    from ..data.sink import FORMATS

    output = {"format": "parquet", **datasets.spec_of(config["output"])}
    output["uri"] = files.absolute(output["uri"])
    if output["format"] not in FORMATS:
        raise ConfigurationProblem("output.format: %r is none of %s" % (output["format"], ", ".join(FORMATS)))
    return output


def _predicted(config: Dict[str, Any], target: Any, board: Any) -> Any:
    dataset = datasets.read_one(datasets.spec_of(config["input"]), "input")
    _check_features(config, dataset)
    arguments = (target, config.get("checkpoint"), config.get("predictor_args") or {}, board)
    return dataset.map_batches(predictors.Predict, fn_constructor_args=arguments, **_map_options(config))


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
    target = code.author_callable(run, spec, "predictor")
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
    features = (config.get("predictor_args") or {}).get("features")
    if features:
        present = datasets.column_names(dataset, "input")
        datasets.check_columns(features, present, "predictor_args.features", "the input")


def _map_options(config: Dict[str, Any]) -> Dict[str, Any]:
    import ray.data

    size = config.get("concurrency") or 1
    pool = {"min_size": size[0], "max_size": size[1]} if isinstance(size, list) else {"size": size}
    each = dict(config.get("resources_per_actor") or {"CPU": 1.0})
    options: Dict[str, Any] = {
        "compute": ray.data.ActorPoolStrategy(**pool),
        "batch_size": config.get("batch_size") or 1024,
        "batch_format": config.get("batch_format") or "pandas",
        "num_cpus": each.pop("CPU", 0),
    }
    if "GPU" in each:
        options["num_gpus"] = each.pop("GPU")
    if "memory" in each:
        options["memory"] = each.pop("memory")
    if each:
        options["resources"] = each
    return options


def _bundles(config: Dict[str, Any]) -> List[Bundle]:
    """List what must fit at once: the smallest pool, and one CPU that reads and writes."""
    size = config.get("concurrency") or 1
    each: Bundle = dict(config.get("resources_per_actor") or {"CPU": 1.0})
    return [dict(each) for _ in range(size[0] if isinstance(size, list) else size)] + [{"CPU": 1.0}]


def _write(dataset: Any, sink: Any) -> None:
    try:
        dataset.write_datasink(sink)
    except Exception as error:
        for cause in _causes(error):
            if "ColumnsMissing" in type(cause).__name__ or "ColumnsMissing" in str(cause):
                text = str(cause).rpartition("ColumnsMissing: ")[2].strip()
                raise ConfigurationProblem("input: %s" % text.splitlines()[0]) from error
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


def _progress(run: Run, board: Any) -> Callable[[], None]:
    import ray

    state: Dict[str, Any] = {"next": 0.0, "ref": None, "rows": -1}

    def tick() -> None:
        if state["ref"] is None and time.monotonic() >= state["next"]:
            state["ref"], state["next"] = board.look.remote(), time.monotonic() + PROGRESS_SECONDS
        if state["ref"] is None or not ray.wait([state["ref"]], timeout=0)[0]:
            return
        seen: Dict[str, int] = ray.get(state["ref"])
        state["ref"] = None
        if seen["rows"] != state["rows"]:
            state["rows"] = seen["rows"]
            batches = seen["batches"]
            run.records.tell("progress", message="rows predicted", done=seen["rows"], batches=batches, phase="predict")

    return tick

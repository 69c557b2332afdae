"""
Trains one RLlib algorithm: ``python -m air_drivers.rllib``; needs torch on the cluster.

Runs as a Tune experiment of one trial, which is what restores it: the same ``run_name`` and
``storage_path`` in a later attempt go on from the last checkpoint.
"""

from __future__ import annotations

import importlib
import time
from typing import Any, Dict, List, Optional, Tuple

from ..data import files
from ..frame import begun, code, objects, resources
from ..frame.metrics import TUNE_FIELDS, fitted
from ..frame.resources import Bundle
from ..frame.running import Run, running
from ..trackers import wandb_run
from ..wire import imports
from ..wire.failures import text_of
from ..wire.metrics import metrics_of
from ..wire.problems import ConfigurationProblem, WorkFailed

# What is no result of the training: RLlib's own clocks and counters of its machinery, and what Tune adds to a report.
# Source: Ray 2.60, ray/rllib/utils/metrics/__init__.py
HIDDEN = frozenset(["perf", "timers", "fault_tolerance", "info", "aggregator_actors"]) | (
    TUNE_FIELDS - {"time_total_s"}
)
CLOCKS = ("timer", "timers")
# What Tune keeps of a run and cannot change in it.
BEGUN_WITH = ("algorithm", "environment", "config", "env_config", "stop", "checkpoint_frequency", "checkpoints_to_keep")


class AlgorithmFailed(WorkFailed):
    """The algorithm or the environment raised; the whole story is in the job's log."""


def main() -> None:
    """Train, report while training, and write the ``result`` record."""
    with running(wandb_run.begin) as run:
        started = time.time()
        imports.need_package("torch", "algorithm %r" % run.config.get("algorithm"))
        imports.need_package("gymnasium", "environment %r" % run.config.get("environment"))
        need_rllib()
        value = _train(run)
        value["seconds"] = round(time.time() - started, 3)
        run.records.write("result", value=value)


def need_rllib() -> None:
    """
    Import RLlib, whose registry tells of a package that it lacks as of an algorithm that is unknown (Ray 2.60).

    :raises ConfigurationProblem: it cannot be imported
    """
    try:
        importlib.import_module("ray.rllib")
    except ImportError as error:
        raise ConfigurationProblem(
            "RLlib cannot be imported on the cluster: %s; add ray[rllib] to the image, or to runtime_env: "
            "{'pip': ['ray[rllib]']}" % error
        ) from error


def _train(run: Run) -> Dict[str, Any]:
    import ray

    from ..frame import experiment

    if not ray.is_initialized():
        ray.init()
    algorithm, config = _algorithm(run)
    uri = files.join(files.storage_of(run.config), run.config["run_name"])
    experiment.OBSERVER = experiment.Observer(run, None, flat)
    bundles: List[Bundle] = [dict(b) for b in algorithm.default_resource_request(config).bundles]
    tuner = _tuner(run, algorithm, config, uri)
    grid = resources.run_when_it_fits(run, "config (num_env_runners, num_learners)", bundles, tuner.fit)
    return _result(run, grid[0], uri)


def _algorithm(run: Run) -> Tuple[Any, Any]:
    """Give the algorithm's class and its configuration."""
    spec = code.author_fields(run, run.config.get("config"), "config")
    if spec is None or isinstance(spec, dict):
        algorithm = _class_of(run)
        config, settings = algorithm.get_default_config(), spec or {}
    else:
        config, settings = objects.made(spec, "config"), {}
        if not hasattr(config, "algo_class"):
            raise ConfigurationProblem("config: it gives a %s, no AlgorithmConfig of RLlib's" % type(config).__name__)
        algorithm = _class_of(run) if run.config.get("algorithm") else config.algo_class
    environment = _environment(run)
    try:
        if environment is not None:
            config = config.environment(environment)
        if run.config.get("env_config"):
            config = config.environment(env_config=run.config["env_config"])
        config.update_from_dict(settings)
        config.validate()
    except (AttributeError, TypeError, ValueError) as error:
        raise ConfigurationProblem("config: %s refused it: %s" % (_name_of(algorithm), error)) from error
    if config.env is None and not run.config.get("env_config"):
        raise ConfigurationProblem("environment: neither the task nor its 'config' names one")
    return algorithm, config


def _name_of(algorithm: Any) -> str:
    return str(getattr(algorithm, "__name__", algorithm))


def _class_of(run: Run) -> Any:
    """Give the class that RLlib has by that name, or that an import path names."""
    from ray.tune.registry import get_trainable_cls

    name = run.config["algorithm"]
    if not isinstance(name, str) or ":" in name or "." in name:
        found = code.author_callable(run, name, "algorithm")
        if not hasattr(found, "get_default_config"):
            raise ConfigurationProblem("algorithm: %s is no Algorithm of RLlib's" % _name_of(found))
        return found
    try:
        return get_trainable_cls(name)
    except Exception as error:
        raise ConfigurationProblem("algorithm: RLlib has no %r: %s" % (name, error)) from error


def _environment(run: Run) -> Optional[str]:
    """Give the environment's name; one that an import path names is made known by that."""
    from ray.tune.registry import register_env

    name: Optional[str] = run.config.get("environment")
    if name is not None and ":" in name:
        made = imports.by_path(name, "environment")
        register_env(name, lambda settings: made(settings))
    return name


def _tuner(run: Run, algorithm: Any, config: Any, uri: str) -> Any:
    """Give what trains; a retry goes on with what an earlier attempt left."""
    from ray import tune

    from ..frame import experiment

    wanted = {name: run.config.get(name) for name in BEGUN_WITH}
    if begun.is_begun(uri, wanted):
        run.records.tell("progress", message="the run at %s is restored" % uri, phase="start", restored=True)
        return experiment.restored(uri, algorithm, config)
    checkpoints = tune.CheckpointConfig(
        checkpoint_frequency=int(run.config.get("checkpoint_frequency") or 1),
        checkpoint_at_end=True,
        num_to_keep=run.config.get("checkpoints_to_keep"),
    )
    path, filesystem = files.for_ray(files.storage_of(run.config))
    run_config = tune.RunConfig(
        name=run.config["run_name"],
        storage_path=path,
        storage_filesystem=filesystem,
        callbacks=[experiment.TrialProgress()],
        stop=run.config["stop"],
        checkpoint_config=checkpoints,
        verbose=0,
    )
    return tune.Tuner(algorithm, param_space=config, run_config=run_config)


def flat(result: Dict[str, Any]) -> Dict[str, Any]:
    """Flatten RLlib's nested report to ``a/b`` names: returns, losses of the learners, what callbacks log."""
    found = metrics_of({key: value for key, value in result.items() if key not in HIDDEN})
    return {name: found[name] for name in found if not any(part.endswith(CLOCKS) for part in name.split("/"))}


def _result(run: Run, result: Any, uri: str) -> Dict[str, Any]:
    if result.error is not None:
        raise AlgorithmFailed(text_of(result.error))
    checkpoint = None
    if result.checkpoint is not None:
        checkpoint = files.join(uri, *str(result.checkpoint.path).rstrip("/").split("/")[-2:])
    metrics = flat(result.metrics or {})
    value = {
        "run_name": run.config["run_name"],
        "uri": uri,
        "metrics": metrics,
        "iterations": metrics.get("training_iteration"),
        "checkpoint": checkpoint,
    }
    return fitted(value)

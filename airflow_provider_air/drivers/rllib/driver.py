"""
Trains one RLlib algorithm: ``python -m air_drivers.rllib``; needs torch on the cluster.

Runs as a Tune experiment of one trial, which is what restores it: the same ``run_name`` and
``storage_path`` in a later attempt go on from the last checkpoint.
"""

from __future__ import annotations

import time
from typing import Any, Dict, List

from ..data import files
from ..frame import resources
from ..frame.metrics import fitted
from ..frame.resources import Bundle
from ..frame.running import Run, running
from ..trackers import wandb_run
from ..wire import imports
from ..wire.failures import text_of
from ..wire.metrics import metrics_of
from ..wire.problems import ConfigurationProblem, WorkFailed

# What of RLlib's hundreds of numbers is shown and comes home.
SHOWN = ("training_iteration", "num_env_steps_sampled_lifetime", "num_episodes_lifetime", "time_total_s")
SHOWN_BELOW = ("env_runners/", "evaluation/env_runners/")


class AlgorithmFailed(WorkFailed):
    """The algorithm or the environment raised; the whole story is in the job's log."""


def main() -> None:
    """Train, report while training, and write the ``result`` record."""
    with running(wandb_run.begin) as run:
        started = time.time()
        imports.need_package("torch", "algorithm %r" % run.config["algorithm"])
        imports.need_package("gymnasium", "environment %r" % run.config["environment"])
        value = _train(run)
        value["seconds"] = round(time.time() - started, 3)
        run.records.write("result", value=value)


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


def _algorithm(run: Run) -> Any:
    from ray.tune.registry import get_trainable_cls, register_env

    name, environment = run.config["algorithm"], run.config["environment"]
    try:
        algorithm = get_trainable_cls(name)
    except Exception as error:
        raise ConfigurationProblem("algorithm: RLlib has no %r: %s" % (name, error)) from error
    if ":" in environment:
        made = imports.by_path(environment, "environment")
        register_env(environment, lambda settings: made(settings))
    try:
        config = algorithm.get_default_config().environment(environment, env_config=run.config.get("env_config") or {})
        config.update_from_dict(run.config.get("config") or {})
        config.validate()
    except (AttributeError, TypeError, ValueError) as error:
        raise ConfigurationProblem("config: %s refused it: %s" % (name, error)) from error
    return algorithm, config


def _tuner(run: Run, algorithm: Any, config: Any, uri: str) -> Any:
    from ray import tune

    from ..frame import experiment

    if any(name.startswith("experiment_state-") for name in files.names(uri)):
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
    """Flatten RLlib's nested report to ``a/b`` names, and keep what people look at."""
    found = metrics_of({key: value for key, value in result.items() if key != "config"})
    return {name: number for name, number in found.items() if name in SHOWN or name.startswith(SHOWN_BELOW)}


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

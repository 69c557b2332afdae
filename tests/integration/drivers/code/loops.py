"""Author-side code of the driver tests: runs on the Ray cluster."""

import asyncio
import datetime
import json
import os
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any


def wait_for(path: str) -> None:
    """Hold still until the test lets go, so that a kill always finds the work unfinished."""
    while not Path(path).exists():
        time.sleep(0.1)


def epochs(config: dict[str, Any]) -> None:
    """Report one epoch after the other; go on after the last checkpoint."""

    def before(epoch: int) -> None:
        if epoch == config.get("hold_at"):
            wait_for(config["gate"])
        if epoch == config.get("fail_at"):
            wait_for(config["taken"])  # the last report, by the controller: this is no test of lost reports
            raise ValueError("the loop fails on purpose")

    run_epochs(config, before)


def run_epochs(config: dict[str, Any], before: Callable[[int], None]) -> None:
    """Do what both loops of epochs do."""
    import ray.train

    start = 0
    checkpoint = ray.train.get_checkpoint()
    if checkpoint:
        with checkpoint.as_directory() as folder:
            start = json.loads(Path(folder, "state.json").read_text())["epoch"] + 1
    for epoch in range(start, config["epochs"]):
        before(epoch)
        metrics = {"epoch": epoch, "loss": 1.0 / (epoch + 1)}
        if (epoch + 1) % config.get("checkpoint_every", 2):
            ray.train.report(metrics)
            continue
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "state.json").write_text(json.dumps({"epoch": epoch}))
            ray.train.report(metrics, checkpoint=ray.train.Checkpoint.from_directory(folder))


def odd(config: dict[str, Any]) -> None:
    """Report what is odd: nested, late, NaN, large, of several types; for Train, and for Tune by ``report``."""
    import numpy
    import ray.train

    for epoch in range(config["epochs"]):
        metrics: dict[str, Any] = {"loss": float("nan") if epoch == 1 else numpy.float32(1.0 / (epoch + 1))}
        metrics |= {"none": None, "text": "good", "matrix": numpy.zeros((800, 800)), "ndcg@10": numpy.array(0.5)}
        if epoch == config.get("late_at"):
            metrics["val"] = {"acc": numpy.array([0.75])}
        ray.train.report(metrics)


def odd_trial(config: dict[str, Any]) -> None:
    """Report a nested metric first in the second report, and not in the last one."""
    from ray import tune

    tune.report({"loss": float("nan")})
    tune.report({"loss": 1.0, "val": {"acc": float(config["x"])}})
    tune.report({"loss": 0.5, "matrix": [[0.123456789] * 100] * 100})


def boosting(config: dict[str, Any]) -> None:
    """Train a LightGBM booster on the datasets 'train' and 'valid'."""
    import lightgbm
    import pandas
    import ray.train
    from ray.train.lightgbm import RayTrainReportCallback

    def frame(name: str) -> Any:
        batches = ray.train.get_dataset_shard(name).iter_batches(batch_format="pandas", batch_size=None)
        return pandas.concat(list(batches)).astype("float64")

    train, valid = frame("train"), frame("valid")
    label = config["label"]
    data = lightgbm.Dataset(train.drop(columns=[label]), train[label])
    lightgbm.train(
        {"objective": "regression", "verbosity": -1, "num_threads": 1, "metric": "l2", "min_data_in_leaf": 5},
        data,
        config["rounds"],
        valid_sets=[lightgbm.Dataset(valid.drop(columns=[label]), valid[label], reference=data)],
        valid_names=["valid"],
        callbacks=[RayTrainReportCallback(metrics={"l2": "valid-l2"}, frequency=2)],
    )


def objective(config: dict[str, Any]) -> None:
    """A trial: leaves a mark that it ran, and reports a few losses."""
    from ray import tune

    Path(config["marks"], f"{config['x']}-{uuid.uuid4().hex}").touch()
    if config["x"] in config.get("held", []):
        wait_for(config["gate"])
    if config["x"] in config.get("failing", []) and not Path(config["marks"], "healed").exists():
        raise ValueError("the trial fails on purpose")
    for step in range(2):
        tune.report({"loss": (config["x"] - 1) ** 2 + 1.0 / (step + 1)})


def epoch_model(folder: str) -> Any:
    """Load a checkpoint of :func:`epochs` as a model of MLflow's: its epoch times a column."""
    import mlflow

    class Model(mlflow.pyfunc.PythonModel):  # type: ignore[misc, unused-ignore]
        def __init__(self, epoch: int) -> None:
            self.epoch = epoch

        def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
            return model_input["x"] * self.epoch

    return Model(json.loads(Path(folder, "state.json").read_text())["epoch"])


class Twice:
    """
    A predictor without a model: doubles a column, slowly.

    Slow, and not held by a gate: what stands still keeps Ray Data from writing the blocks before it (2.60).
    """

    def __init__(self, column: str, seconds_per_batch: float = 0.0, ledger: str = "") -> None:
        self.column = column
        self.seconds_per_batch = seconds_per_batch
        self.ledger = ledger

    def __call__(self, batch: Any) -> Any:
        time.sleep(self.seconds_per_batch)
        if self.ledger:
            with open(self.ledger, "a") as ledger:
                ledger.write(f"{len(batch)}\n")
        batch["twice"] = batch[self.column] * 2
        return batch


class Copies:
    """An asynchronous predictor whose batches are Python objects of its own; what it gives depends on the batch."""

    async def __call__(self, batch: Any) -> Any:
        await asyncio.sleep(0.01)
        found = {name: list(values) for name, values in batch.items()}
        known = [value for value in found["number"] if value == value]
        found["sum"] = [sum(known) if known else None] * len(found["number"])
        return found


def doubled(batch: Any) -> Any:
    """Give each batch twice, one after the other."""
    yield batch
    yield batch


def hits(batch: Any, last: int) -> Any:
    """Give the first ids as texts, and nothing at all of the others."""
    import numpy

    for number in batch["id"]:
        if number <= last:
            yield {"id": [str(number)], "score": numpy.ones((1, 1))}


def orders(rows: int) -> Any:
    """Read without a place, as from a database."""
    import ray.data

    return ray.data.range(rows)


def flights(count: int) -> Any:
    """Read rows of a carrier, one each twelve hours of January 2026, in several blocks; without a place, too."""
    import pyarrow
    import ray.data

    begin, hours = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC), datetime.timedelta(hours=12)
    times = pyarrow.timestamp("us", "UTC")
    columns = {"id": pyarrow.int64(), "carrier": pyarrow.string(), "event_timestamp": times, "x": pyarrow.float64()}

    def rows(block: Any) -> Any:
        numbers = block.column("id").to_pylist()
        values = [
            [2**60 + number for number in numbers],
            ["AA"] * len(numbers),
            [begin + number * hours for number in numbers],
            [float(number) for number in numbers],
        ]
        return pyarrow.table(values, schema=pyarrow.schema(columns))

    if not count:
        return ray.data.from_arrow(pyarrow.schema(columns).empty_table())
    return ray.data.range(count, override_num_blocks=4).map_batches(rows, batch_format="pyarrow")


def no_flights() -> Any:
    """Fail as a reader does whose place is not there."""
    raise FileNotFoundError("no flights here")


class Epoch:
    """A predictor whose model is a checkpoint of :func:`epochs`: adds its epoch as a column."""

    def __init__(self, folder: str) -> None:
        self.epoch = json.loads(Path(folder, "state.json").read_text())["epoch"]

    def __call__(self, batch: Any) -> Any:
        batch["epoch"] = self.epoch
        return batch


def sum_of_columns(config: dict[str, Any]) -> None:
    """Report the sum of every number of the data set ``train``."""
    import ray.train

    sums: dict[str, float] = {}
    for batch in ray.train.get_dataset_shard("train").iter_batches(batch_format="pandas"):
        for name in batch.select_dtypes("number").columns:
            sums[name] = sums.get(name, 0.0) + float(batch[name].sum())
    ray.train.report(sums)


def boosted_by_xgboost(config: dict[str, Any]) -> None:
    """Train an XGBoost booster on this worker's share of 'train', and judge it by all of 'valid'."""
    assert os.environ["WORKERS_ONLY"] == "yes"
    import ray.train
    import xgboost
    from ray.train.xgboost import RayTrainReportCallback

    def data(name: str) -> Any:
        rows = [
            row
            for batch in ray.train.get_dataset_shard(name).iter_batches()
            for row in zip(*batch.values(), strict=True)
        ]
        names = ["a", "y"]
        assert len(rows) == config["rows"][name], f"{len(rows)} rows of {name}"
        return xgboost.DMatrix([[row[0]] for row in rows], [row[1] for row in rows], feature_names=names[:1])

    xgboost.train(
        {"objective": "reg:squarederror", "nthread": 1, "eval_metric": "rmse"},
        data("train"),
        config["rounds"],
        evals=[(data("valid"), "valid")],
        callbacks=[RayTrainReportCallback(metrics={"rmse": "valid-rmse"}, frequency=2)],
    )


def forest(config: dict[str, Any]) -> None:
    """Fit scikit-learn's forest to all of 'train', with a checkpoint that joblib writes."""
    import joblib  # type: ignore[import-untyped, unused-ignore]
    import ray.train
    from sklearn.ensemble import RandomForestRegressor  # type: ignore[import-untyped, unused-ignore]

    frame = ray.train.get_dataset_shard("train").materialize().to_pandas()
    model = RandomForestRegressor(n_estimators=config["trees"], n_jobs=1, random_state=0).fit(frame[["a"]], frame["y"])
    with tempfile.TemporaryDirectory() as folder:
        joblib.dump(model, Path(folder, "model.joblib"))
        score = model.score(frame[["a"]], frame["y"])
        ray.train.report({"r2": score}, checkpoint=ray.train.Checkpoint.from_directory(folder))


def drawn(trial: Any) -> dict[str, Any]:
    """Draw as Optuna has it: the second parameter is there only for one value of the first."""
    if trial.suggest_categorical("kind", ["line", "bow"]) == "bow":
        trial.suggest_float("bend", 0.0, 1.0)
    return {"fixed": 7}


def of_drawn(config: dict[str, Any]) -> None:
    """A trial of what Optuna drew."""
    from ray import tune

    tune.report({"loss": 1.0 + config.get("bend", 0.5) + config["offset"], "fixed": config["fixed"]})


def endless(config: dict[str, Any]) -> None:
    """A trial that reports for ever: it is for Tune to end it."""
    from ray import tune

    step = 0
    while True:
        step += 1
        tune.report({"loss": config["x"] + 1.0 / step})
        time.sleep(0.02)


HELD = "held-by-a-test"


def hold_cpus(count: int) -> None:
    """Have Ray promise CPUs to somebody else, by its autoscaler's coordinator: an elastic run takes what is left."""
    import ray
    from ray.data._internal.cluster_autoscaler.default_autoscaling_coordinator import (
        ResourceRequestPriority,
        get_or_create_autoscaling_coordinator,
    )

    asked = {"requester_id": HELD, "resources": [{"CPU": count}], "expire_after_s": 600.0}
    coordinator = get_or_create_autoscaling_coordinator()
    ray.get(coordinator.request_resources.remote(**asked, priority=ResourceRequestPriority.HIGH))


def elastic(config: dict[str, Any]) -> None:
    """Report epochs with checkpoints at 2 and 5; alone, have CPUs given back before epoch 5, and wait to be two."""
    import ray.train
    from ray.data._internal.cluster_autoscaler.default_autoscaling_coordinator import (
        get_or_create_autoscaling_coordinator,
    )

    def before(epoch: int) -> None:
        if epoch == 5 and ray.train.get_context().get_world_size() == 1:
            ray.get(get_or_create_autoscaling_coordinator().cancel_request.remote(requester_id=HELD))
            time.sleep(600)

    run_epochs({"epochs": 7, "checkpoint_every": 3}, before)

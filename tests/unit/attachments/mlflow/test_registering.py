"""What a run registers, and by which numbers its version is judged: those of the checkpoint that it is."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest

from airflow_provider_air.attachments.mlflow.models import Gate
from airflow_provider_air.attachments.mlflow.registering import (
    FORMAT_TAG,
    LEFT_OUT_TAG,
    MOST_METRICS,
    Registrable,
    metrics_in,
    registrable_of,
    tags_of_version,
)
from airflow_provider_air.drivers.wire.values import encode
from airflow_provider_air.errors import ProtocolError

FIRST, SECOND = "s3://b/checkpoint_1", "s3://b/checkpoint_2"
TRAINED: dict[str, Any] = {
    "metrics": {"rmse": 5.0},
    "best_metrics": {"rmse": 0.5},
    "checkpoint": SECOND,
    "checkpoints": [{"uri": FIRST, "metrics": {"rmse": 1.0}}, {"uri": SECOND, "metrics": {"rmse": 3.0}}],
}
TUNED: dict[str, Any] = {"best_metrics": {"rmse": 5.0}, "best_checkpoint": FIRST}


@pytest.mark.parametrize(
    ("result", "source", "metrics"),
    [
        ({**TRAINED, "best_checkpoint": FIRST}, FIRST, {"rmse": 1.0}),
        ({**TRAINED, "best_checkpoint": FIRST, "best_checkpoint_metrics": {"rmse": 2.0}}, FIRST, {"rmse": 2.0}),
        ({**TRAINED, "best_checkpoint": None}, SECOND, {"rmse": 3.0}),
        ({**TRAINED, "best_checkpoint": "s3://b/unknown"}, "s3://b/unknown", {}),
        ({**TRAINED, "checkpoints": [{"uri": SECOND}]}, SECOND, {}),
        ({**TUNED, "best_checkpoint_metrics": {"val": {"rmse": 1.0}}}, FIRST, {"val/rmse": 1.0}),
        ({**TUNED, "best_checkpoint_metrics": {}}, FIRST, {}),
        (TUNED, FIRST, {"rmse": 5.0}),
        ({"checkpoint": FIRST, "metrics": {"rmse": 4.0, "note": "good"}}, FIRST, {"rmse": 4.0}),
        ({"checkpoint": FIRST}, FIRST, None),
    ],
    ids=[
        "best",
        "told",
        "last",
        "of no row",
        "row without",
        "trial",
        "trial without",
        "older trial",
        "rllib",
        "script",
    ],
)
def test_the_metrics_are_those_of_the_checkpoint_that_is_registered(
    result: dict[str, Any], source: str, metrics: dict[str, float] | None
) -> None:
    assert registrable_of(result) == Registrable(source, metrics)


@pytest.mark.parametrize("result", [None, "done", {}, {"checkpoint": None}, {"best_metrics": {"rmse": 1.0}}])
def test_a_result_without_a_checkpoint_has_nothing_to_register(result: Any) -> None:
    with pytest.raises(ProtocolError, match="no checkpoint"):
        registrable_of(result)


def test_a_logged_model_counts_only_where_it_is_of_that_checkpoint() -> None:
    model = {"id": "m-1", "flavor": "lightgbm", "checkpoint": FIRST}

    mine = registrable_of({**TUNED, "model": model})
    other = registrable_of({**TUNED, "model": {**model, "checkpoint": SECOND}})

    assert (mine.source, mine.model_id, mine.flavor) == ("models:/m-1", "m-1", "lightgbm")
    assert (other.source, other.model_id) == (FIRST, None)


def judged(**metrics: float) -> dict[str, float]:
    """Take metrics through a version's tags."""
    found = metrics_in(tags_of_version(Registrable(FIRST), metrics, None))
    assert found is not None
    return found


@pytest.mark.parametrize("name", ["rmse", "val/acc", "ndcg@10", "x" * 245, "y@" * 300])
def test_a_metric_of_any_name_is_found_again(name: str) -> None:
    assert Gate(name, "min", threshold=1.0).objection(judged(**{name: 0.5}), None) is None


@pytest.mark.parametrize(
    ("candidate", "champion", "message"),
    [
        ({}, None, r"no finite metric 'rmse', but \[\]"),
        ({"mae": 1.0}, None, r"no finite metric 'rmse', but \['mae'\]"),
        ({"rmse": math.nan}, None, "no finite metric 'rmse', but nan"),
        ({"rmse": math.inf}, None, "no finite metric 'rmse', but inf"),
        ({"rmse": 0.1}, {}, r"the current version has no finite metric 'rmse' to compare with, but \[\]"),
        ({"rmse": 0.1}, {"rmse": math.nan}, "the current version has no finite metric 'rmse' to compare with, but nan"),
    ],
)
def test_what_is_missing_or_no_number_does_not_pass(
    candidate: dict[str, float], champion: dict[str, float] | None, message: str
) -> None:
    objection = Gate("rmse", "min").objection(judged(**candidate), None if champion is None else judged(**champion))

    assert objection is not None
    assert re.search(message, objection)


def test_nan_comes_home_as_nan() -> None:
    told = {"checkpoint": FIRST, "metrics": {"rmse": encode(math.nan), "mae": 1.0}}

    metrics = registrable_of(told).metrics

    assert metrics is not None
    assert (math.isnan(metrics["rmse"]), metrics["mae"]) == (True, 1.0)


def test_a_version_carries_so_many_metrics_and_the_tasks_own_among_them() -> None:
    many = {f"m{number}": float(number) for number in range(1000)}

    tags = tags_of_version(Registrable(FIRST), many, "m999")
    found = metrics_in(tags)

    assert found is not None
    assert (len(found), found["m999"], tags[LEFT_OUT_TAG]) == (MOST_METRICS, 999.0, "900")


def test_a_version_of_somebody_elses_has_no_metrics_of_its_own() -> None:
    assert metrics_in({"team": "a"}) is None


def test_a_bare_checkpoint_says_why_it_is_one() -> None:
    tags = tags_of_version(Registrable(FIRST, why="mlflow is not installed on the cluster"), {}, None)

    assert tags[FORMAT_TAG] == "checkpoint"
    assert tags["air.format.why"] == "mlflow is not installed on the cluster"
    assert tags_of_version(Registrable(FIRST, model_id="m-1", flavor="sklearn"), {}, None)[FORMAT_TAG] == (
        "mlflow:sklearn"
    )

"""What ends a batch inference for good, wherever on the cluster it is raised."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_air.drivers.batch_inference import driver
from airflow_provider_air.drivers.batch_inference.columns import NoColumn
from airflow_provider_air.drivers.batch_inference.predictors import CategoriesMissing, ColumnsMissing, ModelMissing
from airflow_provider_air.drivers.data import datasets
from airflow_provider_air.drivers.data.schemas import SchemasDiffer
from airflow_provider_air.drivers.data.sink import ColumnsMissing as NotWritten
from airflow_provider_air.drivers.data.writers import NotInFormat
from airflow_provider_air.drivers.wire.problems import ConfigurationProblem


def raising(error: Exception) -> Callable[[], Any]:
    def work() -> None:
        raise error

    return work


@pytest.mark.parametrize(
    "kind", [CategoriesMissing, ColumnsMissing, ModelMissing, NoColumn, NotInFormat, NotWritten, SchemasDiffer]
)
def test_a_mistake_on_the_cluster_is_one_sentence(kind: type[Exception]) -> None:
    wrapped = RuntimeError("ray::Write() failed")
    wrapped.__cause__ = kind("output: no such column")
    # As Ray gives what is raised in an actor's constructor: text alone.
    told = RuntimeError(
        f"The actor died.\nray::MapWorker.__init__\n{kind.__module__}.{kind.__name__}: output: no such column\n"
    )
    for error in (kind("output: no such column"), wrapped, told):
        with pytest.raises(ConfigurationProblem) as caught:
            driver._mending(raising(error))
        assert str(caught.value) == "output: no such column"


def test_the_columns_of_a_predictor_of_ours_are_looked_for_in_the_input_before_the_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(datasets, "column_names", lambda dataset, field: ["a", "b"])
    args = {"predictor_args": {"features": ["a", "z"]}}
    with pytest.raises(ConfigurationProblem, match=r"predictor_args\.features.*'z'"):
        driver._check_features({"predictor": "lightgbm", **args}, None)
    # The author's own class means by it what it likes.
    driver._check_features({"predictor": "loops:Epoch", **args}, None)
    driver._check_features({"predictor": {"payload": "x", "python": "3.11"}, **args}, None)


def test_what_the_authors_code_raises_is_no_mistake() -> None:
    with pytest.raises(KeyError):
        driver._mending(raising(KeyError("x")))

"""What is refused before anything starts: what is no attachment, what does not suit, and a query that nobody runs."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_air.attachments.checks import check_attachments, specs_of
from airflow_provider_air.attachments.mlflow.tracker import MlflowTracker
from airflow_provider_air.attachments.wandb.tracker import WandbTracker
from airflow_provider_air.contracts.attachments import AttachmentSpec
from airflow_provider_air.contracts.jobs import JobRequest
from airflow_provider_air.contracts.runs import DataRef
from airflow_provider_air.errors import ConfigurationError
from tests.fakes.attachment import FakeCatalog, FakeTrackerSpec


def request(*inputs: DataRef) -> JobRequest:
    return JobRequest("true", payload={}, inputs=inputs)


def test_one_several_and_none_may_come_along() -> None:
    one, other = MlflowTracker(), WandbTracker()

    assert specs_of(None, "tracker") == []
    assert specs_of(one, "tracker") == [one]
    assert specs_of([one, other], "tracker") == specs_of((one, other), "tracker") == [one, other]


@pytest.mark.parametrize("wrong", ["mlflow", {"experiment": "x"}, MlflowTracker, [MlflowTracker(), "wandb"], 0])
def test_what_is_no_attachment_is_refused_by_the_argument_that_holds_it(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="'tracker' must be a spec such as MlflowTracker"):
        specs_of(wrong, "tracker")
    with pytest.raises(ConfigurationError, match=r"'features' must be FeastFeatures\(\.\.\.\) or TectonFeatures"):
        specs_of(wrong if isinstance(wrong, list) else [wrong], "features")


@pytest.mark.parametrize("spec", [FakeTrackerSpec(""), MlflowTracker(experiment=" ")])
def test_a_wrong_field_is_refused(spec: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"'server' is empty|'experiment' must be a name"):
        specs_of([FakeTrackerSpec("fine"), spec], "tracker")


def test_each_is_asked_whether_it_suits() -> None:
    specs: list[AttachmentSpec] = [FakeTrackerSpec("here"), FakeCatalog("c", fails=["check"])]

    with pytest.raises(ConfigurationError, match="does not suit train"):
        check_attachments(specs, request(), "train", None)


def test_two_of_one_kind_are_refused() -> None:
    specs: list[AttachmentSpec] = [MlflowTracker("mine"), WandbTracker(), MlflowTracker("yours")]

    with pytest.raises(ConfigurationError, match="Two attachments of the kind 'mlflow'"):
        check_attachments(specs, request(), "train", None)


def test_a_query_needs_somebody_who_takes_it_over() -> None:
    raw, other = DataRef("raw", is_query=True), DataRef("other", is_query=True)

    check_attachments([FakeTrackerSpec("here"), FakeCatalog("c")], request(raw, DataRef("x", "/x")), "train", None)
    for specs, inputs in (([], [raw]), ([FakeTrackerSpec("here")], [raw]), ([FakeCatalog("c")], [raw, other])):
        with pytest.raises(ConfigurationError, match=f"'{inputs[-1].name}' is SQL, which is for data sets that are"):
            check_attachments(specs, request(*inputs), "train", None)


@pytest.mark.parametrize("name", ["team/delays", "models:/delays", "delays:1", ".", "..x", " ", 7])
def test_a_name_that_mlflow_would_refuse_after_the_training_is_refused_before_it(name: Any) -> None:
    with pytest.raises(ConfigurationError, match="'register_as' must be a model's name without '/' and ':'"):
        MlflowTracker(register_as=name).validate()


@pytest.mark.parametrize("name", ["delays", "main.team.delays", "Verspätungen 2", ".x"])
def test_a_name_that_mlflow_takes_is_taken(name: str) -> None:
    # It takes seconds, and each worker of a test run imports all files.
    from mlflow.utils.validation import _validate_model_name

    _validate_model_name(name)
    MlflowTracker(register_as=name).validate()

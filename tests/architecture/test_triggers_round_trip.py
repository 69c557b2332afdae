"""Triggers cross the metadata database: what serialize() gives survives JSON and makes an equal trigger."""

from __future__ import annotations

import importlib
import inspect
import json
from typing import Any

import pytest
from airflow.sdk.serde import deserialize, serialize
from airflow.triggers.base import BaseTrigger

from airflow_provider_air.contracts.runs import Wait
from airflow_provider_air.runs.ledger import AttachmentEntry, Attempt
from tests.architecture.source import modules

# One example per trigger class, by name: every argument set, to something other than its default.
CLUSTER = {"backend": "local", "name": "c", "details": {"root": "/tmp/c"}, "owned": True}
TASK = {"dag_id": "d", "run_id": "r", "task_id": "t", "map_index": 3}
ATTEMPT = Attempt(
    2,
    3,
    "air-d-r-t-0123",
    cluster=CLUSTER,
    accepted_on="session_1",
    phase="submitted",
    deadline=1.8e9,
    has_records=True,
    attachments=(AttachmentEntry({"kind": "mlflow", "fields": {}}, {"run_id": "r"}, untold="away"),),
    steps={"intended": 1.5},
    key={"deployment": "here", **TASK},
)
# What every trigger takes.
ALL = {"not_before": 1.7e9}
EXAMPLES: dict[str, dict[str, Any]] = {
    "MlflowModelTrigger": {
        "mlflow_conn_id": "m",
        "model_name": "delays",
        "alias": "champion",
        "at_least": 3,
        "deadline": 1.8e9,
        "poll_interval_seconds": 2.5,
    },
    "RayJobStateTrigger": {
        "cluster": CLUSTER,
        "submission_id": "air-d-r-t-0123",
        "deadline": 1.8e9,
        "unreachable_seconds": 7.0,
    },
    "RayRunTrigger": {"step": Wait("end", 1.8e9, ATTEMPT.to_json()).to_json(), "task": TASK},
    "RayServeTrigger": {
        "cluster": CLUSTER,
        "application": "flights",
        "replicas": {"Model": 2},
        "deadline": 1.8e9,
        "poll_interval_seconds": 2.5,
        "unreachable_seconds": 7.0,
    },
    "TectonJobTrigger": {
        "tecton_conn_id": "t",
        "workspace": "prod",
        "feature_view": "delays",
        "job_id": "j-1",
        "task": TASK,
        "deadline": 1.8e9,
        "poll_interval_seconds": 2.5,
    },
    "TectonReadyTrigger": {
        "tecton_conn_id": "t",
        "workspace": "prod",
        "kind": "feature_service",
        "name": "delay_v1",
        "store": "online",
        "ready_at": "2026-01-02T00:00:00+00:00",
        "deadline": 1.8e9,
        "poll_interval_seconds": 2.5,
    },
}


def trigger_classes() -> list[type[Any]]:
    """Give every concrete trigger class that the package defines."""
    found: list[type[Any]] = []
    for module in modules():
        if module.name.startswith("airflow_provider_air.triggers"):
            for _, item in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
                if issubclass(item, BaseTrigger) and item.__module__ == module.name:
                    found.append(item)
    return [item for item in found if not inspect.isabstract(item) and not item.__name__.startswith("_")]


def parameters_of(trigger_class: type[Any]) -> dict[str, inspect.Parameter]:
    """Give what its constructor takes, and those of our bases that it hands the rest to."""
    return {
        name: parameter
        for base in trigger_class.__mro__
        if base.__module__.startswith("airflow_provider_air.")
        for name, parameter in inspect.signature(base).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }


@pytest.mark.parametrize("trigger_class", trigger_classes(), ids=lambda item: item.__name__)
def test_trigger_survives_serialize_json_and_constructor(trigger_class: type[Any]) -> None:
    assert trigger_class.__name__ in EXAMPLES, f"give EXAMPLES in {__name__} arguments for {trigger_class}"
    trigger = trigger_class(**EXAMPLES[trigger_class.__name__], **ALL)

    path, arguments = trigger.serialize()
    stored: Any = deserialize(json.loads(json.dumps(serialize(arguments))))
    module, _, name = path.rpartition(".")
    rebuilt = getattr(importlib.import_module(module), name)(**stored)

    assert type(rebuilt) is trigger_class
    assert rebuilt.serialize() == (path, arguments)


@pytest.mark.parametrize("trigger_class", trigger_classes(), ids=lambda item: item.__name__)
def test_trigger_of_another_version_is_rebuilt_as_far_as_it_is_known(trigger_class: type[Any]) -> None:
    """An upgrade, or a downgrade, finds the triggers of all that waits in Airflow's database."""
    _, arguments = trigger_class(**EXAMPLES[trigger_class.__name__], **ALL).serialize()

    rebuilt = trigger_class(**{**arguments, "version": 7, "colour": "red"})

    assert rebuilt.serialize()[1] == arguments


@pytest.mark.parametrize("trigger_class", trigger_classes(), ids=lambda item: item.__name__)
def test_example_sets_every_argument_to_something_else_than_its_default(trigger_class: type[Any]) -> None:
    """Else the round trip would not notice an argument that it loses."""
    example = {**EXAMPLES[trigger_class.__name__], **ALL}
    parameters = parameters_of(trigger_class)
    assert set(example) == set(parameters)
    assert not [name for name, parameter in parameters.items() if parameter.default == example[name]]


@pytest.mark.parametrize("trigger_class", trigger_classes(), ids=lambda item: item.__name__)
def test_trigger_serializes_every_argument_of_its_constructor(trigger_class: type[Any]) -> None:
    """An argument that is not serialized is lost when the trigger runs, not where it is made."""
    _, arguments = trigger_class(**EXAMPLES.get(trigger_class.__name__, {}), **ALL).serialize()
    assert {*parameters_of(trigger_class), "version"} == set(arguments)


def test_no_example_is_left_over() -> None:
    assert set(EXAMPLES) <= {item.__name__ for item in trigger_classes()}

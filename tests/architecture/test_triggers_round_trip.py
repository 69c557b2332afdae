"""Triggers cross the metadata database: what serialize() gives survives JSON and makes an equal trigger."""

from __future__ import annotations

import importlib
import inspect
import json
from typing import Any

import pytest
from airflow.sdk.serde import deserialize, serialize
from airflow.triggers.base import BaseTrigger

from tests.architecture.source import modules

# One example per trigger class, by name: every argument set, to something other than its default.
CLUSTER = {"backend": "local", "name": "c", "ray_conn_id": "ray", "host": "h", "details": {"root": "/tmp/c"}}
EXAMPLES: dict[str, dict[str, Any]] = {
    "MlflowModelTrigger": {
        "mlflow_conn_id": "m",
        "model_name": "delays",
        "alias": "champion",
        "at_least": 3,
        "deadline": 1.8e9,
        "poll_interval_seconds": 2.5,
    },
    "RayAdmissionTrigger": {"cluster": CLUSTER, "task": "d.t", "max_concurrent_jobs": 3, "deadline": 1.8e9},
    "RayClusterTrigger": {"cluster": CLUSTER, "timeout_seconds": 12.5},
    "RayJobStateTrigger": {"cluster": CLUSTER, "submission_id": "air-d-r-t-0123", "unreachable_seconds": 7.0},
    "RayJobTrigger": {
        "cluster": CLUSTER,
        "submission_id": "air-d-r-t-0123",
        "task": {"dag_id": "d", "run_id": "r", "task_id": "t", "map_index": 3},
        "deadline": 1.8e9,
        "has_records": True,
        "delete_cluster": True,
        "unreachable_seconds": 7.0,
        "log_limit_bytes": 1024,
        "riders": {"specs": [], "voyage": {}, "luggage": {"mlflow": {"run_id": "r"}}},
    },
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
        "task": {"dag_id": "d", "run_id": "r", "task_id": "t", "map_index": 3},
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


@pytest.mark.parametrize("trigger_class", trigger_classes(), ids=lambda item: item.__name__)
def test_trigger_survives_serialize_json_and_constructor(trigger_class: type[Any]) -> None:
    assert trigger_class.__name__ in EXAMPLES, f"give EXAMPLES in {__name__} arguments for {trigger_class}"
    trigger = trigger_class(**EXAMPLES[trigger_class.__name__])

    path, arguments = trigger.serialize()
    stored: Any = deserialize(json.loads(json.dumps(serialize(arguments))))
    module, _, name = path.rpartition(".")
    rebuilt = getattr(importlib.import_module(module), name)(**stored)

    assert type(rebuilt) is trigger_class
    assert rebuilt.serialize() == (path, arguments)


@pytest.mark.parametrize("trigger_class", trigger_classes(), ids=lambda item: item.__name__)
def test_example_sets_every_argument_to_something_else_than_its_default(trigger_class: type[Any]) -> None:
    """Else the round trip would not notice an argument that it loses."""
    example = EXAMPLES[trigger_class.__name__]
    parameters = inspect.signature(trigger_class).parameters
    assert set(example) == set(parameters)
    assert not [name for name, parameter in parameters.items() if parameter.default == example[name]]


@pytest.mark.parametrize("trigger_class", trigger_classes(), ids=lambda item: item.__name__)
def test_trigger_serializes_every_argument_of_its_constructor(trigger_class: type[Any]) -> None:
    """An argument that is not serialized is lost when the trigger runs, not where it is made."""
    _, arguments = trigger_class(**EXAMPLES.get(trigger_class.__name__, {})).serialize()
    parameters = inspect.signature(trigger_class.__init__).parameters.values()
    variadic = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    wanted = {parameter.name for parameter in parameters if parameter.kind not in variadic} - {"self"}
    assert wanted == set(arguments)


def test_no_example_is_left_over() -> None:
    assert set(EXAMPLES) <= {item.__name__ for item in trigger_classes()}

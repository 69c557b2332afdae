"""A function's way into the payload, out of a process whose modules have more than one name."""

from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path

import cloudpickle
import pytest

from airflow_provider_air.workloads.function import function_payload


def no_op() -> int:
    return 7


def test_a_module_that_stands_there_under_two_names_travels_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a child of multiprocessing the main module is __main__ and __mp_main__ alike."""
    monkeypatch.setitem(sys.modules, "another_name_of_this_module", sys.modules[__name__])

    payload = function_payload(no_op, (), {}, code_folders=[str(Path(__file__).parent)])

    function, args, kwargs = pickle.loads(payload["call.pkl"])
    assert function(*args, **kwargs) == 7
    assert function is not no_op
    assert set(json.loads(payload["config.json"])) == {"python"}
    assert __name__ not in cloudpickle.list_registry_pickle_by_value()

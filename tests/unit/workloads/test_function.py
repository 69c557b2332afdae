"""A function's way into the payload, out of a process whose modules have more than one name."""

from __future__ import annotations

import functools
import importlib
import json
import pickle
import sys
import threading
from pathlib import Path

import cloudpickle
import pytest

from airflow_provider_air.errors import ConfigurationError
from airflow_provider_air.workloads.code import pack
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


def test_a_helper_travels_that_was_found_through_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where git-sync makes the folder of DAGs."""
    (tmp_path / "worktree").mkdir()
    (tmp_path / "worktree" / "linked_helper.py").write_text("def seven():\n    return 7\n")
    (tmp_path / "dags").symlink_to("worktree")
    monkeypatch.syspath_prepend(tmp_path / "dags")
    helper = importlib.import_module("linked_helper")

    payload = function_payload(lambda: helper.seven(), (), {}, code_folders=[str(tmp_path / "dags")])
    monkeypatch.delitem(sys.modules, "linked_helper")
    monkeypatch.setattr(sys, "path", [path for path in sys.path if str(tmp_path) not in path])

    function, args, kwargs = pickle.loads(payload["call.pkl"])
    assert function(*args, **kwargs) == 7


def test_code_of_the_other_workloads_brings_its_cloudpickle_too() -> None:
    told, files = pack(no_op, "train_loop", [])

    assert told["payload"] == "train_loop.pkl"
    assert {"train_loop.pkl", "cloudpickle/__init__.py", "cloudpickle/cloudpickle.py"} <= files.keys()


def test_what_cannot_be_pickled_is_named_whatever_can_be_called() -> None:
    with pytest.raises(ConfigurationError, match=r"The argument 'argument 1' of no_op\(\) cannot be pickled"):
        function_payload(functools.partial(no_op), (threading.Lock(),), {}, code_folders=[])

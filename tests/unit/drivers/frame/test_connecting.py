"""Ray's questions connect first; shown with a stand-in for ray, which refuses them unconnected, as ray 2.60 does."""

from __future__ import annotations

import importlib
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_air.drivers.frame.connecting import ASKING, connect_when_asked
from tests.kinds.functions import KINDS

ASKED = [name for kind in KINDS for name, told in kind.inputs.items() if isinstance(told, tuple) and told[0] == "ask"]

STATE = """
def ask(name):
    import ray
    if not ray.is_initialized():
        raise RuntimeError("Ray has not been started yet. You can start Ray with 'ray.init()'.")
    return name
""" + "".join(f"def {name}(): return ask({name!r})\n" for name in ASKING)
RAY = f"""
from ray.state import {", ".join(ASKING)}
calls = []
def init(**options):
    if calls:
        raise RuntimeError("Maybe you called ray.init twice by accident?")
    calls.append(options)
def is_initialized():
    return bool(calls)
"""


@pytest.fixture
def standing_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "__init__.py").write_text(RAY)
    (tmp_path / "ray" / "state.py").write_text(STATE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    before = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "ray"}
    for name in before:
        del sys.modules[name]
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "ray"]:
        del sys.modules[name]
    sys.modules.update(before)


def imported(name: str) -> Any:
    return importlib.import_module(name)


@pytest.mark.parametrize("name", ASKED)
@pytest.mark.parametrize("is_loaded", [False, True])
@pytest.mark.parametrize("module", ["ray", "ray.state"])
def test_a_question_connects_first(name: str, is_loaded: bool, module: str, standing_in: None) -> None:
    if is_loaded:
        imported("ray")
    connect_when_asked()
    question = name.removeprefix("ray.")

    assert imported("ray").calls == []
    # What a pickled function has imported by name is found where it is defined.
    assert getattr(imported(module), question)() == question
    assert getattr(imported("ray"), question)() == question
    assert imported("ray").calls == [{}]


def test_all_that_ray_does_not_connect_for_is_asked_of_a_real_one() -> None:
    ray = imported("ray")

    assert set(ASKING) <= ray.NON_AUTO_INIT_APIS
    assert {f"ray.{name}" for name in ASKING} == set(ASKED)


def test_who_connects_is_the_first(standing_in: None) -> None:
    connect_when_asked()
    ray = imported("ray")

    ray.init(namespace="mine")

    assert (ray.nodes(), ray.calls) == ("nodes", [{"namespace": "mine"}])


def test_who_wants_no_connection_gets_none(standing_in: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ENABLE_AUTO_CONNECT", "0")
    connect_when_asked()

    with pytest.raises(RuntimeError, match="has not been started"):
        imported("ray").nodes()


def test_without_ray_nothing_is_loaded_and_its_absence_is_told_as_ever(
    tmp_path: Path, standing_in: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect_when_asked()
    assert "ray" not in sys.modules
    monkeypatch.setattr(sys, "path", [])

    with pytest.raises(ModuleNotFoundError, match="No module named 'ray'"):
        imported("ray")


@pytest.mark.parametrize("name", ASKING)
def test_a_question_travels_by_its_name(name: str, standing_in: None) -> None:
    """As in the actors of Ray Data, which hold some."""
    connect_when_asked()

    assert pickle.loads(pickle.dumps(getattr(imported("ray"), name))) is getattr(imported("ray.state"), name)

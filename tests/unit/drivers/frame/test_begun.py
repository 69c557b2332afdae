"""An experiment that a later attempt finds: it goes on with it, or says what has changed since."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_air.drivers.frame.begun import FILE, is_begun
from airflow_provider_air.drivers.wire.problems import ConfigurationProblem
from tests.unit.drivers.conftest import said

WANTED: dict[str, Any] = {"param_space": {"x": {"choice": [1, 2]}}, "num_samples": 3, "searcher": None}


def saved(folder: Path) -> None:
    (folder / "experiment_state-2026.json").write_text("{}")


def test_what_was_begun_goes_on_with_the_same_words(tmp_path: Path) -> None:
    assert is_begun(str(tmp_path), WANTED) is False
    # Killed before Tune saved anything, it begins again, with whatever is wanted then.
    assert is_begun(str(tmp_path), {**WANTED, "num_samples": 4}) is False
    saved(tmp_path)
    assert is_begun(str(tmp_path), {**WANTED, "num_samples": 4}) is True


@pytest.mark.parametrize("changed", [{"num_samples": 4}, {"searcher": "optuna"}, {"param_space": {"x": 1}}])
def test_what_tune_cannot_change_is_refused_with_the_way_out(tmp_path: Path, changed: dict[str, Any]) -> None:
    is_begun(str(tmp_path), WANTED)
    saved(tmp_path)
    with pytest.raises(ConfigurationProblem) as problem:
        is_begun(str(tmp_path), {**WANTED, **changed})
    ((name, _),) = changed.items()
    said([f"{name}: the experiment at", json.dumps(WANTED[name]), "on_clear='fresh'"], problem)


def test_what_an_earlier_version_did_not_note_is_no_change(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(json.dumps({"num_samples": 3, "of_a_newer_version": 1}))
    saved(tmp_path)
    assert is_begun(str(tmp_path), WANTED) is True
    (tmp_path / FILE).unlink()
    assert is_begun(str(tmp_path), WANTED) is True

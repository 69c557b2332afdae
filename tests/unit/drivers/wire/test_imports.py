"""Packages that the cluster lacks, by name; modules that raise while they are imported."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_air.drivers.train import trainers
from airflow_provider_air.drivers.tune import search
from airflow_provider_air.drivers.wire.imports import by_path
from airflow_provider_air.drivers.wire.problems import ConfigurationProblem, Unavailable


@pytest.mark.parametrize(
    ("package", "choose"),
    [
        ("torch", lambda: trainers.trainer_class("torch")),
        ("xgboost", lambda: trainers.trainer_class("xgboost")),
        ("optuna", lambda: search.searcher("optuna", has_grid=False)),
    ],
)
def test_a_package_that_the_cluster_lacks_is_named(package: str, choose: Any) -> None:
    if importlib.util.find_spec(package) is not None:
        pytest.skip(f"{package} is installed here, so that its absence cannot be shown")
    with pytest.raises(ConfigurationProblem, match=f"needs the package '{package}'.*runtime_env"):
        choose()


EXPIRED = """
from botocore.exceptions import ClientError
raise ClientError({"Error": {"Code": "ExpiredToken", "Message": "over"}}, "GetObject")
"""


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("import a_package_that_nobody_has", ConfigurationProblem),
        ("def f(:", ConfigurationProblem),
        ("import os; os.environ['A_VARIABLE_THAT_NOBODY_SETS']", ConfigurationProblem),
        ("a_name_that_nobody_has", ConfigurationProblem),
        ("raise ConnectionRefusedError('refused')", Unavailable),
        (EXPIRED, Unavailable),
        ("raise RuntimeError('CUDA devices are busy')", RuntimeError),
        ("raise MemoryError", MemoryError),
        ("assert False, 'not on this node'", AssertionError),
    ],
)
def test_what_a_module_raises_is_final_only_where_no_retry_can_mend_it(
    code: str, kind: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "code_of_an_author.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "code_of_an_author", raising=False)

    with pytest.raises(Exception) as caught:  # noqa: PT011  # its very class is what counts
        by_path("code_of_an_author:f", "train_loop")

    assert caught.type is kind
    assert getattr(caught.value, "again", None) == (None if kind is not Unavailable else code != EXPIRED)

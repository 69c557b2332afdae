"""An environment that a local cluster's Python could not set up is found before there is a cluster."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_air.clusters.local.backend import LocalBackend
from airflow_provider_air.clusters.local.home import ClusterHome, ClusterRecord
from airflow_provider_air.clusters.local.installers import check_installer
from airflow_provider_air.clusters.local.spec import LocalCluster
from airflow_provider_air.contracts.jobs import JobRequest
from airflow_provider_air.errors import ConfigurationError

Interpreter = Callable[..., str]
WHOLE = {"is_virtual": True, "virtualenv": True, "pip": True, "uv": True}


@pytest.fixture
def interpreter(tmp_path: Path) -> Interpreter:
    """Give an interpreter that has only so much."""

    def make(**has: bool) -> str:
        path = tmp_path / "python"
        path.write_text(f"#!/bin/sh\necho '{json.dumps(WHOLE | has)}'\n")
        path.chmod(0o700)
        return str(path)

    return make


@pytest.mark.parametrize(
    ("environment", "has", "missing"),
    [
        ({"pip": ["a"]}, {}, None),
        ({"pip": ["a"]}, {"pip": False}, "no pip"),
        ({"pip": {"packages": ["a"]}}, {"pip": False}, "no pip"),
        ({"pip": ["a"]}, {"virtualenv": False}, "no virtualenv"),
        ({"pip": ["a"]}, {"virtualenv": False, "pip": False}, "no virtualenv and no pip"),
        # Outside of a virtual environment, virtualenv brings pip along.
        ({"pip": ["a"]}, {"is_virtual": False, "pip": False}, None),
        ({"pip": ["a"]}, {"is_virtual": False, "virtualenv": False}, "no virtualenv"),
        ({"uv": ["a"]}, {"uv": False}, None),
        ({"uv": ["a"]}, {"pip": False}, None),
        ({"uv": {"packages": ["a"], "uv_version": "==0.5"}}, {"pip": False}, "no pip"),
        ({"uv": ["a"]}, {"uv": False, "pip": False}, "no pip"),
        ({"uv": ["a"]}, {"is_virtual": False, "uv": False, "pip": False}, None),
        ({"pip": []}, {"pip": False}, None),
        ({"env_vars": {"A": "b"}}, {"pip": False, "virtualenv": False}, None),
    ],
)
def test_what_ray_needs_is_there_or_the_message_says_what_is_not(
    environment: dict[str, Any], has: dict[str, bool], missing: str | None, interpreter: Interpreter
) -> None:
    python = interpreter(**has)
    if missing is None:
        check_installer(python, environment)
        return
    with pytest.raises(ConfigurationError, match=f"has {missing}: ") as raised:
        check_installer(python, environment)
    assert raised.value.where == python
    assert f"uv pip install --python {python}" in str(raised.value.hint)


@pytest.mark.parametrize("script", ["exit 1", "echo something else", "echo 1", "echo '[]'"])
def test_an_interpreter_that_does_not_say_is_left_to_whoever_starts_it(script: str, tmp_path: Path) -> None:
    path = tmp_path / "python"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o700)
    check_installer(str(path), {"pip": ["a"]})
    check_installer(str(tmp_path / "nobody"), {"pip": ["a"]})


def test_a_real_environment_without_pip_is_found(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "bare")], check=True)
    with pytest.raises(ConfigurationError, match="no virtualenv and no pip"):
        check_installer(str(tmp_path / "bare/bin/python"), {"pip": ["a"]})


@pytest.mark.parametrize("where", [{"RAY_CONDA_HOME": "."}, {"CONDA_EXE": "bin/any"}, {"PATH": "bin"}], ids=str)
def test_conda_is_looked_for_where_ray_does(where: dict[str, str], tmp_path: Path) -> None:
    variables = {"PATH": "/nowhere", **{name: str(tmp_path / place) for name, place in where.items()}}
    with pytest.raises(ConfigurationError, match="'conda'"):
        check_installer(sys.executable, {"conda": "env"}, variables)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/conda").write_text("#!/bin/sh\n")
    (tmp_path / "bin/conda").chmod(0o700)
    check_installer(sys.executable, {"conda": "env"}, variables)


# The back end

PIP = JobRequest("true", runtime_env={"pip": ["a"]})


def test_a_spec_is_judged_by_its_interpreter_whichever_environment_wants_it(
    base: Path, interpreter: Interpreter
) -> None:
    backend = LocalBackend()
    bare = LocalCluster(python=interpreter(pip=False))
    application = {"runtime_env": {"pip": ["a"]}}
    deployment = {"deployments": [{"name": "M", "ray_actor_options": {"runtime_env": {"uv": {"uv_version": "==1"}}}}]}
    wishes = [PIP, *(JobRequest("true", rollout={"applications": [{}, one]}) for one in (application, deployment))]

    for wish in wishes:
        with pytest.raises(ConfigurationError, match="no pip"):
            backend.check(bare, wish)
        backend.check(LocalCluster(python=interpreter()), wish)
        interpreter(pip=False)
    backend.check(bare, JobRequest("true", rollout={"applications": [{}]}))


def test_conda_beside_the_interpreter_counts(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("CONDA_EXE", raising=False)
    wish, spec = JobRequest("true", runtime_env={"conda": "env"}), LocalCluster(python=str(tmp_path / "python"))
    with pytest.raises(ConfigurationError, match="'conda'"):
        LocalBackend().check(spec, wish)
    (tmp_path / "conda").write_text("")
    (tmp_path / "conda").chmod(0o700)
    LocalBackend().check(spec, wish)


def test_a_cluster_that_lives_is_judged_by_the_interpreter_it_was_made_with(
    base: Path, interpreter: Interpreter
) -> None:
    backend = LocalBackend()
    ref = backend.find(LocalCluster(name="shared"))
    backend.check(ref, PIP)
    home = ClusterHome.of(ref.name)
    home.folder.mkdir()
    spec = {"python": interpreter(pip=False), "env_vars": {}}
    ClusterRecord("shared", "h", "f", spec, {}, {}, 0.0).write(home.cluster_file)

    with pytest.raises(ConfigurationError, match="no pip"):
        backend.check(ref, PIP)

"""A request becomes a submission, or one error that names the argument."""

from __future__ import annotations

import importlib
import io
import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import parse_wheel_filename
from packaging.version import Version
from ray.runtime_env import RuntimeEnv

from airflow_provider_air.contracts.jobs import EntrypointResources, JobRequest, PreparedJob
from airflow_provider_air.errors import ConfigurationError, PackageTooLargeError
from airflow_provider_air.workloads.job import prepare
from tests.given_code import Archive, Given, plant
from tests.kinds import parameters
from tests.kinds.code import KINDS


def prepared(request: JobRequest, *, not_after: float | None = None, **metadata: str) -> PreparedJob:
    return prepare(request, "air-1", metadata=metadata, not_after=not_after)


def files(job: PreparedJob) -> list[set[str]]:
    return [set(zipfile.ZipFile(io.BytesIO(package.data)).namelist()) for package in job.packages]


@pytest.fixture
def code(tmp_path: Path) -> Path:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "train.py").write_text("print(1)\n")
    (tmp_path / "code" / "data.csv").write_text("1\n")
    return tmp_path / "code"


def test_a_plain_command_is_sent_as_it_is() -> None:
    job = prepared(JobRequest("python train.py"), air_try="1")

    assert job.submission.to_api() == {
        "submission_id": "air-1",
        "entrypoint": "python train.py",
        "runtime_env": {},
        "metadata": {"air_try": "1"},
    }
    assert job.packages == ()


def test_a_folder_is_shipped_without_what_is_excluded(code: Path) -> None:
    job = prepared(JobRequest("x", working_dir=str(code), excludes=["*.csv"]))

    assert files(job) == [{"train.py"}]
    assert job.submission.runtime_env["working_dir"] == job.packages[0].uri


def test_what_git_ignores_is_not_shipped(code: Path) -> None:
    (code / ".gitignore").write_text("*.csv\n")

    job = prepared(JobRequest("x", working_dir=str(code), runtime_env={"py_modules": [str(code)]}))

    assert files(job) == [{"train.py", ".gitignore"}, {f"{code.name}/train.py", f"{code.name}/.gitignore"}]


def test_a_folder_of_the_runtime_env_is_shipped_too(code: Path) -> None:
    job = prepared(JobRequest("x", runtime_env={"working_dir": str(code), "excludes": ["*.csv"]}))

    assert files(job) == [{"train.py"}]
    assert set(job.submission.runtime_env) == {"working_dir"}


@pytest.mark.parametrize(
    "uri", ["s3://b/code.zip", "gs://b/c.zip", "https://h/c.tar.gz", "gcs://_ray_pkg_1.zip", "local:///app"]
)
def test_a_remote_folder_is_left_to_ray(uri: str) -> None:
    job = prepared(JobRequest("x", working_dir=uri))

    assert job.submission.runtime_env["working_dir"] == uri
    assert job.packages == ()


def test_modules_keep_their_folders_name(code: Path) -> None:
    job = prepared(JobRequest("x", runtime_env={"py_modules": [str(code), "s3://b/m.whl"]}))

    assert files(job) == [{"code/train.py", "code/data.csv"}]
    assert job.submission.runtime_env["py_modules"] == [job.packages[0].uri, "s3://b/m.whl"]


def test_secrets_travel_as_a_package_and_a_hook_of_this_attempt() -> None:
    request = JobRequest("x", runtime_env={"env_vars": {"A": "1"}}, secrets={"TOKEN": "canary"})

    job, other = prepared(request), prepare(request, "air-2", metadata={}, not_after=None)

    environment = job.submission.runtime_env
    hook = environment["worker_process_setup_hook"]
    assert environment["py_modules"] == [job.packages[-1].uri]
    assert environment["env_vars"] == {"A": "1", "AIR_SECRETS": hook}
    assert "canary" not in repr(job.submission) + repr(request)
    assert b"canary" in zipfile.ZipFile(io.BytesIO(job.packages[-1].data)).read(f"{hook.split('.')[0]}/secrets.json")
    assert other.packages[-1].name != job.packages[-1].name


def test_secrets_are_unpacked_for_their_owner_alone() -> None:
    job = prepared(JobRequest("x", secrets={"TOKEN": "canary"}))

    entries = zipfile.ZipFile(io.BytesIO(job.packages[-1].data)).infolist()

    # Ray's unpacking gives files the rights that their entries tell.
    assert {entry.external_attr >> 16 & 0o777 for entry in entries} == {0o600}


def test_a_command_of_the_authors_gets_the_secrets_from_its_shell(tmp_path: Path) -> None:
    secrets = {"TOKEN": 'it\'s "$HOME" canary'}
    job = prepared(JobRequest("""python -c 'import os; print(os.environ["TOKEN"])'; exit 3""", secrets=secrets))
    zipfile.ZipFile(io.BytesIO(job.packages[-1].data)).extractall(tmp_path)

    done = subprocess.run(
        job.submission.entrypoint,
        shell=True,
        env={"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout.strip(), done.stderr) == (3, secrets["TOKEN"], "")
    assert "canary" not in job.submission.entrypoint


def test_the_authors_own_hook_runs_after_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "theirs.py").write_text("import os\ndef go():\n    os.environ['SEEN'] = os.environ['TOKEN']\n")
    request = JobRequest("x", runtime_env={"worker_process_setup_hook": "theirs.go"}, secrets={"TOKEN": "canary"})
    job = prepared(request)
    zipfile.ZipFile(io.BytesIO(job.packages[-1].data)).extractall(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("SEEN", "TOKEN"):
        monkeypatch.setenv(name, "")

    module = importlib.import_module(str(job.submission.runtime_env["worker_process_setup_hook"]).split(".")[0])
    module.load()

    assert os.environ["SEEN"] == "canary"
    assert (tmp_path / module.__name__ / "secrets.json").stat().st_mode & 0o777 == 0o600


def test_a_hook_that_is_no_import_path_is_refused_with_secrets() -> None:
    with pytest.raises(ConfigurationError, match="worker_process_setup_hook"):
        prepared(JobRequest("x", runtime_env={"worker_process_setup_hook": "go"}, secrets={"TOKEN": "canary"}))


def test_our_drivers_and_the_payload_travel_as_modules_beside_the_users(code: Path) -> None:
    request = JobRequest(
        "python -m air_drivers.function",
        working_dir=str(code),
        runtime_env={"py_modules": ["s3://b/m.whl"], "env_vars": {"A": "1"}},
        payload={"config.json": b"{}"},
        driver_env={"B": "2"},
    )

    job = prepared(request, not_after=5.5)

    environment = job.submission.runtime_env
    assert environment["py_modules"][0] == "s3://b/m.whl"
    assert len(environment["py_modules"]) == 3
    assert {"air_drivers/wire/records.py", "air_drivers/train/__main__.py"} <= files(job)[1]
    payload = environment["env_vars"]["AIR_PAYLOAD"]
    assert files(job)[2] == {f"{payload}/config.json"}
    assert environment["env_vars"] == {
        "A": "1",
        "B": "2",
        "AIR_SUBMISSION_ID": "air-1",
        "AIR_PAYLOAD": payload,
        "AIR_NOT_AFTER": "5.5",
    }
    assert job.submission.entrypoint == request.entrypoint


def test_preparing_changes_nothing_of_the_request_and_is_repeatable(code: Path) -> None:
    environment = {"working_dir": str(code), "env_vars": {"A": "1"}}
    request = JobRequest("x", runtime_env=environment, payload={"config.json": b"{}"})

    assert prepared(request) == prepared(request)
    assert environment == {"working_dir": str(code), "env_vars": {"A": "1"}}


def test_resources_and_labels_reach_ray() -> None:
    resources = EntrypointResources(1, 0.5, 1024, {"tpu": 1}, {"zone": "a"})

    body = prepared(JobRequest("x", resources=resources)).submission.to_api()

    assert {key: value for key, value in body.items() if key.startswith("entrypoint_")} == {
        "entrypoint_num_cpus": 1,
        "entrypoint_num_gpus": 0.5,
        "entrypoint_memory": 1024,
        "entrypoint_resources": {"tpu": 1},
        "entrypoint_label_selector": {"zone": "a"},
    }


def run_shell(command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, shell=True, capture_output=True, text=True, check=False)


def test_a_command_starts_before_its_not_after_time_and_not_later() -> None:
    request = JobRequest("echo 'started; really' && exit 3")

    early = run_shell(prepared(request, not_after=time.time() + 600).submission.entrypoint)
    late = run_shell(prepared(request, not_after=time.time() - 600).submission.entrypoint)

    assert (early.returncode, early.stdout) == (3, "started; really\n")
    assert (late.returncode, late.stdout) == (75, "")
    assert "not-after time" in late.stderr


BAD: list[tuple[str, Mapping[str, Any]]] = [
    ("entrypoint", {"entrypoint": ""}),
    ("entrypoint", {"entrypoint": None}),
    ("entrypoint", {"entrypoint": "x" * 200_000}),
    ("working_dir", {"working_dir": "/nowhere"}),
    ("working_dir", {"working_dir": "ftp://h/x.zip"}),
    ("working_dir", {"working_dir": "s3://b/folder"}),
    ("working_dir", {"working_dir": 5}),
    ("working_dir", {"working_dir": "s3://b/x.zip", "runtime_env": {"working_dir": "s3://b/y.zip"}}),
    ("'working_dir' holds a user or a password", {"working_dir": "https://token@github.com/o/r.zip"}),
    ("'py_modules' holds a user or a password", {"runtime_env": {"py_modules": ["s3://key:secret@b/x.zip"]}}),
    ("excludes", {"excludes": "*.csv"}),
    ("excludes", {"excludes": None}),
    ("py_modules", {"runtime_env": {"py_modules": "code"}}),
    ("py_modules", {"runtime_env": {"py_modules": ["/nowhere"]}}),
    ("py_modules", {"runtime_env": {"py_modules": [5]}}),
    ("runtime_env", {"runtime_env": []}),
    ("runtime_env", {"runtime_env": {"pip": {"a"}}}),
    ("runtime_env", {"runtime_env": {"env_vars": {"A": "x" * 200_000}}}),
    ("env_vars", {"runtime_env": {"env_vars": "A=1"}}),
    ("env_vars", {"runtime_env": {"env_vars": {"A": None}}}),
    ("env_vars", {"runtime_env": {"env_vars": {"": "x"}}}),
    ("AIR_STORAGE", {"runtime_env": {"env_vars": {"AIR_STORAGE": "1"}}}),
    ("metadata", {"metadata": "x"}),
    ("metadata", {"metadata": {"a": 1}}),
    ("air_ledger", {"metadata": {"air_ledger": "1"}}),
    ("entrypoint_num_cpus", {"resources": EntrypointResources(num_cpus=True)}),
    ("entrypoint_num_gpus", {"resources": EntrypointResources(num_gpus=-0.5)}),
    ("entrypoint_memory", {"resources": EntrypointResources(memory=float("nan"))}),  # type: ignore[arg-type]
    ("entrypoint_resources", {"resources": EntrypointResources(resources={"tpu": "1"})}),  # type: ignore[dict-item]
    ("entrypoint_label_selector", {"resources": EntrypointResources(label_selector={"a": 1})}),  # type: ignore[dict-item]
]


def test_only_our_own_names_are_reserved() -> None:
    env_vars = {"AIR_QUALITY_API_URL": "http://air", "air_storage": "x"}
    request = JobRequest("x", runtime_env={"env_vars": env_vars}, metadata={"air_quality": "good"})

    submission = prepared(request).submission

    assert submission.runtime_env["env_vars"].items() >= env_vars.items()
    assert submission.metadata["air_quality"] == "good"


@pytest.mark.parametrize(("name", "fields"), BAD)
def test_what_is_wrong_is_named(name: str, fields: Mapping[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as raised:
        prepared(JobRequest(**{"entrypoint": "x", **fields}))
    assert name in str(raised.value)


GIVEN = {name: given for given, name in zip(*parameters(KINDS), strict=True) if isinstance(given, Given)}


@pytest.mark.parametrize("given", GIVEN.values(), ids=GIVEN.keys())
def test_code_as_people_have_it(given: Given, tmp_path: Path) -> None:
    plant(tmp_path, given.tree)
    request = JobRequest(**{"entrypoint": "x", "local_roots": (tmp_path,), **given.fields})

    if given.says:
        with pytest.raises(ConfigurationError) as raised:
            prepared(request)
        assert [words for words in given.says if words not in str(raised.value)] == [], str(raised.value)
        return
    job = prepared(request)
    if given.shipped is not None:
        assert files(job) == given.shipped
    sent = {"entrypoint": job.submission.entrypoint, **job.submission.runtime_env}
    assert {name: sent.get(name) for name in given.sent or {}} == (given.sent or {})


def test_relative_code_starts_at_the_first_root_that_has_it(
    code: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(tmp_path, {"dags/team/lib/a.py": "x", "dags/shared/b.py": "x", "dags/lib/c.py": "x"})
    roots = (tmp_path / "dags" / "team", tmp_path / "dags")

    def shipped(place: str) -> list[set[str]]:
        return files(prepared(JobRequest("x", working_dir=place, local_roots=roots)))

    assert (shipped("lib"), shipped("shared"), shipped("../shared")) == ([{"a.py"}], [{"b.py"}], [{"b.py"}])
    monkeypatch.chdir(tmp_path)
    assert shipped("code") == [{"train.py", "data.csv"}]


def test_a_link_changes_nothing_of_a_package(code: Path, tmp_path: Path) -> None:
    """As git-sync moves it from one revision to the next."""
    (tmp_path / "rev-2").mkdir()
    for file in code.iterdir():
        (tmp_path / "rev-2" / file.name).write_bytes(file.read_bytes())
    (tmp_path / "current").symlink_to("code")
    modules = {"py_modules": [str(tmp_path / "current")]}

    first = prepared(JobRequest("x", working_dir=str(tmp_path / "current"), runtime_env=modules))
    (tmp_path / "current").unlink()
    (tmp_path / "current").symlink_to("rev-2")

    assert prepared(JobRequest("x", working_dir=str(tmp_path / "current"), runtime_env=modules)) == first


def test_a_wheel_that_was_built_again_has_another_name(tmp_path: Path) -> None:
    wheel = tmp_path / "my_code-1.0-py3-none-any.whl"
    plant(tmp_path, {wheel.name: Archive({"a.py": "1"})})
    (first,) = prepared(JobRequest("x", runtime_env={"py_modules": [wheel]})).packages
    plant(tmp_path, {wheel.name: Archive({"a.py": "2"})})
    (second,) = prepared(JobRequest("x", runtime_env={"py_modules": [wheel]})).packages

    assert first.name != second.name
    assert {parse_wheel_filename(one.name)[:2] for one in (first, second)} == {("my-code", Version("1.0"))}
    assert second.data == wheel.read_bytes()


def test_rays_own_runtime_env_is_taken(tmp_path: Path) -> None:
    plant(tmp_path, {"r.txt": "a\nb"})
    ours = RuntimeEnv(pip=str(tmp_path / "r.txt"), env_vars={"A": "1"})

    sent = prepared(JobRequest("x", runtime_env=ours)).submission.runtime_env

    assert (sent["pip"]["packages"], sent["env_vars"]) == (["a", "b"], {"A": "1"})


def test_a_lock_whose_packages_are_needed_under_many_conditions_is_read(tmp_path: Path) -> None:
    root = Path(__file__).parents[3]
    shutil.copy(root / "uv.lock", tmp_path)
    shutil.copy(root / "pyproject.toml", tmp_path)

    lines = prepared(JobRequest("x", runtime_env={"uv": tmp_path})).submission.runtime_env["uv"]

    found = [Requirement(line) for line in lines]
    assert {"apache-airflow", "httpx", "websockets"} <= {one.name for one in found}
    here = [one for one in found if one.marker is None or one.marker.evaluate()]
    assert all(version(one.name) in one.specifier for one in here if one.name in ("httpx", "cloudpickle", "deprecated"))
    assert len({one.name for one in here}) == len(here)


@pytest.mark.parametrize(
    ("root", "uri"), [("/shared/code", "file:///shared/code/"), ("s3://models/runs/code", "s3://models/runs/code/")]
)
def test_code_that_is_too_large_for_ray_goes_where_the_storage_is(large_code: Path, root: str, uri: str) -> None:
    prepared_job = prepared(JobRequest("x", working_dir=str(large_code), code_uri=root))

    (package,) = prepared_job.staged
    assert prepared_job.submission.runtime_env["working_dir"] == uri + package.name
    assert prepared_job.packages == ()
    # Ray takes the one folder at the top away.
    assert {name.partition("/")[0] for name in zipfile.ZipFile(io.BytesIO(package.data)).namelist()} == {"code"}


def test_code_that_is_too_large_and_has_no_storage_says_what_helps(large_code: Path) -> None:
    with pytest.raises(PackageTooLargeError, match="give the task a 'storage'"):
        prepared(JobRequest("x", working_dir=str(large_code)))


def test_what_tells_a_job_of_its_task_is_named_where_a_driver_must_tell_it_from_the_authors() -> None:
    request = JobRequest(
        "x", runtime_env={"env_vars": {"A": "own"}}, context_env={"A": "ours", "B": "один\nдва"}, payload={"p": b""}
    )

    variables = prepared(request).submission.runtime_env["env_vars"]

    assert (variables["A"], variables["B"], variables["AIR_CONTEXT"]) == ("own", "один\nдва", "B")

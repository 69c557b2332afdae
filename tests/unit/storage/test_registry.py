"""What an author writes as ``storage=``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_air.contracts.storage import StorageSpec
from airflow_provider_air.errors import ConfigurationError
from airflow_provider_air.storage.cluster_uri import ClusterUri
from airflow_provider_air.storage.registry import ENTRY_POINTS, spec_of
from airflow_provider_air.storage.s3 import S3Storage
from airflow_provider_air.storage.shared_folder import SharedFolder
from tests.fakes.connections import DictConnections
from tests.fakes.storage import MemoryServer, MemoryStorage

Install = Callable[[str, str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install a package that registers an entry point, as pip leaves it behind."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def registered(package: str, line: str) -> None:
        folder = tmp_path / f"{package}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (folder / "entry_points.txt").write_text(f"[{ENTRY_POINTS}]\n{line}\n")

    return registered


def test_a_path_is_a_shared_folder() -> None:
    assert spec_of("/shared") == SharedFolder("/shared")
    assert spec_of("/shared/").uri() == "/shared"


def test_a_spec_stays_what_it_is() -> None:
    spec = S3Storage("aws_default", "s3://models")

    assert spec_of(spec) is spec


@pytest.mark.parametrize("uri", ["s3://models/runs", "gs://models", "abfss://c@a.dfs.core.windows.net/x", "file:///x"])
def test_a_uri_is_for_the_cluster_alone(uri: str) -> None:
    spec = spec_of(uri)

    assert spec == ClusterUri(uri)
    assert isinstance(spec, StorageSpec)
    assert (spec.uri(), spec.worker_can_open) == (uri, False)
    with pytest.raises(ConfigurationError, match=r"worker does not reach.*S3Storage\(conn_id, uri\)") as raised:
        spec.open(DictConnections({}))
    assert uri in str(raised.value)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (7, "must be a storage, a path or a URI, not 7"),
        (None, "must be a storage"),
        (["/shared"], "must be a storage"),
        (S3Storage, "must be a storage"),
        ("", "absolute path"),
        ("runs", "absolute path, not 'runs'"),
        ("s3://", "must be a storage, a path or a URI, not 's3://'"),
        ("s3://key:sesame@bucket/x", "'storage' holds a user or a password"),
        (SharedFolder("runs"), "absolute path"),
        (SharedFolder(7), "absolute path"),  # type: ignore[arg-type]
        (S3Storage("aws_default", "/runs"), "must be s3://bucket/prefix"),
    ],
)
def test_what_is_no_storage_is_one_clear_error(value: Any, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        spec_of(value)


@pytest.mark.parametrize("uri", ["memory://root", "MEMORY://root"])
def test_another_package_says_what_its_scheme_is(install: Install, uri: str) -> None:
    assert spec_of("memory://root") == ClusterUri("memory://root")
    install("air_memory", "memory = tests.fakes.storage:MemoryStorage")

    if uri.startswith("MEMORY"):
        # It is found, and judges for itself.
        with pytest.raises(ConfigurationError, match="MemoryStorage's 'root'"):
            spec_of(uri)
        return
    spec = spec_of(uri)

    assert spec == MemoryStorage("memory://root")
    storage = spec.open(DictConnections({("memory", "memory"): MemoryServer({"memory://root"})}))
    storage.probe()


def test_what_it_registers_may_be_any_callable(install: Install) -> None:
    install("air_memory", f"memory = {__name__}:in_one_root")

    assert spec_of("memory://anything") == MemoryStorage("memory://root")


def in_one_root(uri: str) -> MemoryStorage:
    """What another package may register."""
    return MemoryStorage("memory://root")


@pytest.mark.parametrize("line", ["memory = air_nowhere:Storage", "memory = tests.fakes.storage:Nothing"])
def test_a_registration_that_leads_nowhere_is_named(install: Install, line: str) -> None:
    install("air_memory", line)

    with pytest.raises(ConfigurationError, match="registered for memory:// cannot be loaded"):
        spec_of("memory://root")


def test_two_packages_that_claim_a_scheme_are_named(install: Install) -> None:
    install("air_memory", "memory = tests.fakes.storage:MemoryStorage")
    install("air_other", "memory = air_other:Storage")

    with pytest.raises(ConfigurationError, match=r"Several packages.*air_other:Storage, tests.fakes.storage"):
        spec_of("memory://root")


def test_a_registration_that_gives_no_spec_is_refused(install: Install) -> None:
    install("air_memory", "memory = builtins:str.upper")

    with pytest.raises(ConfigurationError, match="must be a storage"):
        spec_of("memory://root")

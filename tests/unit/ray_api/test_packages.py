"""Code becomes one archive whose name is its content's."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import pytest

from airflow_provider_air.errors import ConfigurationError, UnavailableError
from airflow_provider_air.ray_api import packages
from airflow_provider_air.ray_api.client import RayClient
from airflow_provider_air.ray_api.packages import Package, package_files, package_folder, upload
from airflow_provider_air.ray_api.transport import Transport
from tests.fakes.ray_dashboard import FakeRayDashboard


def names(package: Package) -> list[str]:
    return zipfile.ZipFile(io.BytesIO(package.data)).namelist()


@pytest.fixture
def code(tmp_path: Path) -> Path:
    folder = tmp_path / "code"
    for name in ("main.py", "lib/a.py", "lib/__pycache__/a.pyc", ".git/HEAD", "data/big.csv", "data/keep.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def test_equal_content_has_an_equal_name_whatever_the_times(code: Path) -> None:
    first = package_folder(code)
    for path in code.rglob("*"):
        os.utime(path, (1, 1))

    assert package_folder(code) == first
    assert first.uri == f"gcs://{first.name}"


def test_a_change_changes_the_name(code: Path) -> None:
    first = package_folder(code)
    (code / "main.py").write_text("other")

    assert package_folder(code).name != first.name


def test_an_executable_stays_executable(code: Path) -> None:
    (code / "main.py").chmod(0o755)
    archive = zipfile.ZipFile(io.BytesIO(package_folder(code).data))

    assert archive.getinfo("main.py").external_attr >> 16 & 0o111
    assert not archive.getinfo("lib/a.py").external_attr >> 16 & 0o111


def test_what_never_belongs_into_a_job_stays_out(code: Path) -> None:
    assert names(package_folder(code)) == ["main.py", "data/big.csv", "data/keep.txt", "lib/a.py"]


@pytest.mark.parametrize("name", [".gitignore", ".rayignore"])
def test_what_ignore_files_name_stays_out_as_with_ray(code: Path, name: str) -> None:
    (code / name).write_text("# data\n*.csv\n/secret/\n!main.py\n")
    (code / "lib" / name).write_text("/b.py\n")
    for path in ("secret/.env", "lib/b.py", "lib/secret/kept.txt"):
        (code / path).parent.mkdir(exist_ok=True)
        (code / path).write_text("x")

    shipped = set(names(package_folder(code, obeys_ignore_files=True)))

    ours = {name, f"lib/{name}", "main.py", "data/keep.txt", "lib/a.py", "lib/secret/kept.txt"}
    assert shipped == ours
    assert "data/big.csv" in names(package_folder(code))


def test_ray_is_told_not_to_read_gitignore_files(code: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code / ".gitignore").write_text("*.csv\n")
    monkeypatch.setenv("RAY_RUNTIME_ENV_IGNORE_GITIGNORE", "1")

    assert "data/big.csv" in names(package_folder(code, obeys_ignore_files=True))


@pytest.mark.parametrize(
    ("excludes", "left"),
    [
        (("*.csv",), ["main.py", "data/keep.txt", "lib/a.py"]),
        (("data",), ["main.py", "lib/a.py"]),
        (("data/",), ["main.py", "lib/a.py"]),
        (("data/big.csv",), ["main.py", "data/keep.txt", "lib/a.py"]),
        (("lib/*", "data"), ["main.py"]),
    ],
)
def test_the_author_excludes_by_name_folder_or_path(code: Path, excludes: tuple[str, ...], left: list[str]) -> None:
    assert names(package_folder(code, excludes=excludes)) == left


def test_a_prefix_puts_the_files_below_a_folder(code: Path) -> None:
    assert names(package_folder(code, prefix="mine/", excludes=("data", "lib"))) == ["mine/main.py"]


def test_a_broken_link_is_left_out(code: Path) -> None:
    (code / "gone").symlink_to("/nowhere/at/all")

    assert "gone" not in names(package_folder(code))


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file of the worker's that no author may ship."""
    file = tmp_path / "passwords"
    file.write_text("sesame")
    return file


@pytest.mark.parametrize("name", ["settings.cfg", "lib/settings.cfg"])
def test_a_link_out_of_the_folder_ships_nothing(code: Path, secret: Path, name: str) -> None:
    (code / name).symlink_to(secret)

    with pytest.raises(ConfigurationError, match="'py_modules' is a link that leads out") as raised:
        package_folder(code, field_name="py_modules")
    assert name in str(raised.value)


def test_a_link_by_way_of_another_does_not_lead_out_either(code: Path, secret: Path) -> None:
    (code / "up").symlink_to("..")
    (code / "main.py").unlink()
    (code / "main.py").symlink_to(f"up/{secret.name}")

    with pytest.raises(ConfigurationError, match="leads out"):
        package_folder(code)


def test_what_is_excluded_may_lead_anywhere(code: Path, secret: Path) -> None:
    (code / "settings.cfg").symlink_to(secret)

    assert "settings.cfg" not in names(package_folder(code, excludes=("*.cfg",)))


def test_a_linked_folder_is_entered_where_it_does_not_lead_out(code: Path, secret: Path) -> None:
    (code / "more").symlink_to("lib")
    assert names(package_folder(code)) == ["main.py", "data/big.csv", "data/keep.txt", "lib/a.py", "more/a.py"]

    (code / "more").unlink()
    (code / "more").symlink_to(secret.parent)
    with pytest.raises(ConfigurationError, match="leads out"):
        package_folder(code)


def test_a_link_may_lead_into_what_the_folder_is_a_part_of(code: Path) -> None:
    shared = code.parent / "shared"
    shared.mkdir()
    (shared / "util.py").write_text("x")
    (code / "util.py").symlink_to("../shared/util.py")
    (code / "shared").symlink_to("../shared")

    assert {"util.py", "shared/util.py"} <= set(names(package_folder(code, links_within=[code.parent])))


def test_a_link_back_to_a_folder_above_says_so(code: Path) -> None:
    (code / "lib" / "all").symlink_to("..")

    with pytest.raises(ConfigurationError, match="leads back to a folder above") as raised:
        package_folder(code)
    assert "lib/all" in str(raised.value)


def test_a_folder_that_is_reached_by_links_is_shipped(code: Path) -> None:
    """As git-sync makes them, and as Kubernetes mounts a ConfigMap."""
    expected = package_folder(code)
    (code.parent / "worktree").symlink_to(code)
    (code.parent / "current").symlink_to("worktree")

    assert package_folder(code.parent / "current") == expected

    mounted = code.parent / "mounted"
    (mounted / "..2026").mkdir(parents=True)
    (mounted / "..2026" / "main.py").write_text("x")
    (mounted / "..data").symlink_to("..2026")
    (mounted / "main.py").symlink_to("..data/main.py")
    assert names(package_folder(mounted)) == ["main.py", "..2026/main.py", "..data/main.py"]


def test_files_in_memory_are_packed_in_any_order_alike() -> None:
    assert package_files({"a": b"1", "b": b"2"}) == package_files({"b": b"2", "a": b"1"})


def test_too_large_is_told_before_anything_is_sent(code: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "MAX_PACKAGE_BYTES", 64)

    with pytest.raises(ConfigurationError, match="excludes"):
        package_folder(code)
    with pytest.raises(ConfigurationError, match="too large"):
        package_files({"a": os.urandom(200)})


def test_reading_ends_far_above_the_limit(code: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "MAX_PACKAGE_BYTES", 64)
    (code / "aaa.bin").write_bytes(b"0" * 600)
    (code / "zzz").symlink_to("/proc/self/mem")

    with pytest.raises(ConfigurationError, match="too large"):
        package_folder(code)


@pytest.mark.parametrize("name", ["absent", "code/main.py", "empty"])
def test_what_is_no_folder_of_files_names_the_argument(code: Path, name: str) -> None:
    (code.parent / "empty").mkdir()

    with pytest.raises(ConfigurationError, match="'py_modules'") as raised:
        package_folder(code.parent / name, field_name="py_modules")
    assert name in str(raised.value)


def test_a_package_is_uploaded_once(head: FakeRayDashboard, transport: Transport, code: Path) -> None:
    package = package_folder(code)
    with RayClient(transport) as client:
        upload(client, package)
        upload(client, package)

    assert head.packages == {package.name: package.data}
    assert len(head.requests_to("PUT", "/api/packages")) == 1


def test_an_upload_that_stays_broken_is_unavailable(head: FakeRayDashboard, transport: Transport) -> None:
    head.plan("PUT", "/api/packages", times=None, status=503)

    with RayClient(transport, patience_seconds=0.1) as client, pytest.raises(UnavailableError):
        upload(client, package_files({"a": b"1"}))

"""
What every storage must do; a new one is one line in ``PLACES``.

A place makes an empty storage, and one whose root is absent.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_air.errors import ConfigurationError
from airflow_provider_air.storage.contract import Storage
from airflow_provider_air.storage.gcs import GcsBucket
from airflow_provider_air.storage.s3 import S3Bucket
from airflow_provider_air.storage.shared_folder import SharedFolder
from tests.object_stores import gcs_client, gcs_server, s3_client, s3_server


@dataclass
class Place:
    """An empty storage, one that does not exist, the scheme of its URIs, and how Arrow makes a folder at a path."""

    storage: Storage
    absent: Storage
    scheme: str
    make_folder: Callable[[str], object]


def shared_folder(folder: Path) -> Place:
    root = folder / "root"
    root.mkdir()
    return Place(SharedFolder(str(root)), SharedFolder(str(folder / "absent")), "/", lambda path: (root / path).mkdir())


NUMBERS = itertools.count()


def bucket_of_s3(s3_url: str) -> Place:
    client, name = s3_client(s3_url), f"bucket-{next(NUMBERS)}"
    client.create_bucket(Bucket=name)
    return Place(
        S3Bucket(client, f"s3://{name}/some/prefix"),
        S3Bucket(client, "s3://absent/prefix"),
        "s3://",
        lambda path: client.put_object(Bucket=name, Key=f"some/prefix/{path}/", Body=b""),
    )


def bucket_of_gcs(gcs_url: str) -> Place:
    client, name = gcs_client(gcs_url), f"bucket-{next(NUMBERS)}"
    client.create_bucket(name)
    return Place(
        GcsBucket(client, f"gs://{name}/some/prefix"),
        GcsBucket(client, "gs://absent/prefix"),
        "gs://",
        lambda path: client.bucket(name).blob(f"some/prefix/{path}/").upload_from_string(b""),
    )


# The fixture that each is made from.
PLACES: dict[str, tuple[str, Callable[[Any], Place]]] = {
    "shared folder": ("tmp_path", shared_folder),
    "S3": ("s3_url", bucket_of_s3),
    "GCS": ("gcs_url", bucket_of_gcs),
}


@pytest.fixture(scope="module")
def s3_url() -> Iterator[str]:
    with s3_server() as url:
        yield url


@pytest.fixture(scope="module")
def gcs_url() -> Iterator[str]:
    with gcs_server() as url:
        yield url


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest) -> Place:
    source, make = PLACES[request.param]
    return make(request.getfixturevalue(source))


@pytest.fixture
def storage(place: Place) -> Storage:
    return place.storage


def test_it_implements_the_contract(storage: Storage) -> None:
    assert isinstance(storage, Storage)


@pytest.mark.parametrize("data", [b"", b"x", bytes(range(256)) * 10_000], ids=["empty", "one byte", "2.5 MB"])
def test_what_is_put_is_read(storage: Storage, data: bytes) -> None:
    storage.put("a/b/c.bin", data)

    assert storage.read("a/b/c.bin") == data


def test_a_later_put_replaces(storage: Storage) -> None:
    storage.put("a", b"longer than the next")
    storage.put("a", b"short")

    assert storage.read("a") == b"short"


@pytest.mark.parametrize("path", ["absent", "absent/deeper", "file/below"])
def test_what_is_not_there_is_none(storage: Storage, path: str) -> None:
    storage.put("file", b"x")

    assert storage.read(path) is None
    assert storage.exists(path) is False


def test_files_and_folders_exist(storage: Storage) -> None:
    storage.put("a/b/c", b"x")

    assert [storage.exists(path) for path in ("a", "a/b", "a/b/c", "a/b/d", "b")] == [True, True, True, False, False]


def test_a_list_is_sorted_and_stays_below_its_folder(storage: Storage) -> None:
    for path in ("b", "a/2", "a/1", "ab/3", "a/deep/4"):
        storage.put(path, b"x")

    assert storage.list() == ["a/1", "a/2", "a/deep/4", "ab/3", "b"]
    assert storage.list("a") == ["a/1", "a/2", "a/deep/4"]
    assert storage.list("absent") == []


def test_an_empty_folder_is_no_file(place: Place) -> None:
    """Arrow, and so Ray, marks folders in a bucket by empty objects."""
    place.make_folder("run")

    assert place.storage.list() == []
    assert place.storage.exists("run") is True


@pytest.mark.parametrize("name", ["with space", "ä-ö", "a+b=c&d", "100%", "#1"])
def test_odd_names_are_only_names(storage: Storage, name: str) -> None:
    storage.put(f"odd/{name}", b"x")

    assert storage.read(f"odd/{name}") == b"x"
    assert storage.list("odd") == [f"odd/{name}"]


@pytest.mark.parametrize("path", ["/etc/passwd", "../up", "a/../../up", "..", "a/.."])
@pytest.mark.parametrize("call", ["uri", "read", "exists", "list", "put"])
def test_no_path_leaves_the_root(storage: Storage, path: str, call: str) -> None:
    with pytest.raises(ConfigurationError, match="below its root"):
        storage.put(path, b"x") if call == "put" else getattr(storage, call)(path)


def test_nothing_is_put_at_the_root_itself(storage: Storage) -> None:
    with pytest.raises(ConfigurationError):
        storage.put("", b"x")
    assert storage.list() == []


def test_what_stands_in_the_way_is_a_typed_error(storage: Storage) -> None:
    """On object stores a file may stand beside a folder of its name; then this is no conflict."""
    storage.put("file", b"x")
    with contextlib.suppress(ConfigurationError):
        storage.put("file/below", b"y")
    assert storage.read("file") == b"x"


def test_uris_lead_to_the_paths(place: Place) -> None:
    root, path = place.storage.uri(), place.storage.uri("a/b")

    assert path == f"{root.rstrip('/')}/a/b"
    assert root.startswith(place.scheme)


def test_readers_never_see_half_a_file(storage: Storage) -> None:
    contents = [bytes([65 + number]) * 200_000 for number in range(4)]
    storage.put("a", contents[0])
    seen: set[bytes] = set()
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.add(storage.read("a") or b"")

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(10):
        for content in contents:
            storage.put("a", content)
    done.set()
    reader.join()

    assert seen <= set(contents)
    assert storage.list() == ["a"]


def test_a_probe_leaves_nothing_behind(storage: Storage) -> None:
    storage.probe()

    assert storage.list() == []


def test_a_probe_of_an_absent_place_says_which(place: Place) -> None:
    with pytest.raises(ConfigurationError) as raised:
        place.absent.probe()
    assert place.absent.uri().rstrip("/") in str(raised.value)

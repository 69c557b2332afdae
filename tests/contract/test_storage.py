"""
What every storage must do; a new one is one line in ``PLACES``.

A place makes an empty storage, and one whose root is absent.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from airflow_provider_air.contracts.connections import Connections
from airflow_provider_air.contracts.storage import Storage, StorageSpec
from airflow_provider_air.errors import ConfigurationError, UnavailableError
from airflow_provider_air.storage.gcs import GcsStorage
from airflow_provider_air.storage.registry import spec_of
from airflow_provider_air.storage.s3 import S3Storage
from airflow_provider_air.storage.shared_folder import SharedFolder
from tests.fakes.chaos_proxy import ChaosProxy
from tests.fakes.connections import DictConnections, GivenAws, GivenGoogle
from tests.fakes.storage import MemoryServer, MemoryStorage
from tests.object_stores import REGION, STATIC_KEY, STATIC_SECRET, gcs_client, gcs_server, s3_server


@dataclasses.dataclass
class Place:
    """
    One kind of storage.

    :param spec: an empty one; ``absent``: one whose root does not exist
    :param connections: what opens both
    :param connection: the kind and id of the one that it asks for
    :param scheme: what its URIs start with
    :param make_folder: makes a folder at a path, as Arrow does
    :param fail: lets it fail from now on as something that may come back; None where a test cannot bring that about
    :param lose_a_reply: the next request to write is obeyed and not answered; None where there are no requests
    :param tells_writers_apart: False for a server that itself looks first and writes then
    """

    spec: StorageSpec
    absent: StorageSpec
    connections: Connections
    connection: tuple[str, str] | None
    scheme: str
    make_folder: Callable[[str], object]
    fail: Callable[[], object] | None = None
    lose_a_reply: Callable[[], object] | None = None
    tells_writers_apart: bool = True


def shared_folder(folder: Path) -> Place:
    root = folder / "root"
    root.mkdir()
    return Place(
        SharedFolder(str(root)),
        SharedFolder(str(folder / "absent")),
        DictConnections({}),
        None,
        "/",
        lambda path: (root / path).mkdir(),
    )


NUMBERS = itertools.count()


def quick_s3_client(url: str) -> Any:
    keys = {"aws_access_key_id": STATIC_KEY, "aws_secret_access_key": STATIC_SECRET}
    config = Config(retries={"total_max_attempts": 2, "mode": "standard"})
    return boto3.client("s3", endpoint_url=url, region_name=REGION, config=config, **keys)


def bucket_of_s3(store: ChaosProxy) -> Place:
    client, name = quick_s3_client(store.url), f"bucket-{next(NUMBERS)}"
    client.create_bucket(Bucket=name)
    return Place(
        S3Storage("store", f"s3://{name}/some/prefix"),
        S3Storage("store", "s3://absent/prefix"),
        DictConnections({("aws", "store"): GivenAws("store", lambda: client)}),
        ("aws", "store"),
        "s3://",
        lambda path: client.put_object(Bucket=name, Key=f"some/prefix/{path}/", Body=b""),
        fail=lambda: store.on("*", "", times=None, status=503),
        lose_a_reply=lambda: store.on("PUT", name, drop_reply=True),
        tells_writers_apart=False,
    )


def bucket_of_gcs(store: ChaosProxy) -> Place:
    client, name = gcs_client(store.url), f"bucket-{next(NUMBERS)}"
    client.create_bucket(name)
    return Place(
        GcsStorage("store", f"gs://{name}/some/prefix"),
        GcsStorage("store", "gs://absent/prefix"),
        DictConnections({("google", "store"): GivenGoogle("store", lambda: client)}),
        ("google", "store"),
        "gs://",
        lambda path: client.bucket(name).blob(f"some/prefix/{path}/").upload_from_string(b""),
        # One that Google's client does not try again for two minutes.
        fail=lambda: store.on("*", "", times=None, status=501),
        lose_a_reply=lambda: store.on("POST", name, drop_reply=True),
    )


def memory(folder: Path) -> Place:
    server = MemoryServer({"memory://root"}, delay_seconds=0.001)
    failure = UnavailableError("The memory does not answer")
    return Place(
        MemoryStorage("memory://root"),
        MemoryStorage("memory://absent"),
        DictConnections({("memory", "memory"): server}),
        ("memory", "memory"),
        "memory://",
        lambda path: None,
        fail=lambda: server.failures.append(failure),
        lose_a_reply=lambda: setattr(server, "lost_replies", 1),
    )


# The fixture that each is made from.
PLACES: dict[str, tuple[str, Callable[[Any], Place]]] = {
    "shared folder": ("tmp_path", shared_folder),
    "S3": ("s3", bucket_of_s3),
    "GCS": ("gcs", bucket_of_gcs),
    "memory": ("tmp_path", memory),
}


@pytest.fixture(scope="module")
def s3_store() -> Iterator[ChaosProxy]:
    with s3_server() as url, ChaosProxy(url) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def gcs_store() -> Iterator[ChaosProxy]:
    with gcs_server() as url, ChaosProxy(url) as proxy:
        yield proxy


@pytest.fixture
def s3(s3_store: ChaosProxy) -> Iterator[ChaosProxy]:
    yield s3_store
    s3_store.clear()


@pytest.fixture
def gcs(gcs_store: ChaosProxy) -> Iterator[ChaosProxy]:
    yield gcs_store
    gcs_store.clear()


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest) -> Place:
    source, make = PLACES[request.param]
    return make(request.getfixturevalue(source))


@pytest.fixture
def storage(place: Place) -> Storage:
    return place.spec.open(place.connections)


def paths(storage: Storage, prefix: str = "") -> list[str]:
    return [file.path for file in storage.list(prefix)]


def test_it_implements_the_contract(place: Place, storage: Storage) -> None:
    assert isinstance(storage, Storage)
    assert isinstance(place.spec, StorageSpec)
    assert place.spec.worker_can_open is True


def test_a_spec_is_its_fields_and_names_the_place(place: Place, storage: Storage) -> None:
    fields = json.loads(json.dumps(dataclasses.asdict(place.spec)))  # type: ignore[call-overload]

    assert type(place.spec)(**fields) == place.spec
    assert set(place.spec.template_fields) <= set(fields)
    assert spec_of(place.spec) is place.spec
    assert place.spec.uri().rstrip("/") == storage.uri().rstrip("/")


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
    assert storage.stat(path) is None
    assert storage.list(path) == []
    storage.delete(path)
    with pytest.raises(FileNotFoundError), storage.reader(path):
        pass
    assert paths(storage) == ["file"]


def test_files_are_told_from_folders(storage: Storage) -> None:
    storage.put("a/b/c", b"x")

    found = [bool(storage.stat(path)) for path in ("", "a", "a/b", "a/b/c", "a/b/d", "b")]
    assert found == [False, False, False, True, False, False]
    assert [storage.read(path) for path in ("", "a", "a/b")] == [None, None, None]
    listed = [bool(storage.list(path)) for path in ("a", "a/b", "a/b/c", "a/b/d", "b")]
    assert listed == [True, True, False, False, False]


def test_size_and_time_are_told(storage: Storage) -> None:
    before = time.time()
    storage.put("a/b", b"123456789")

    file = storage.stat("a/b")

    assert file is not None
    assert (file.path, file.size_bytes) == ("a/b", 9)
    # Stores count in whole seconds, or cut them.
    assert before - 2 < file.modified_at < time.time() + 2
    assert storage.list() == [file]


def test_a_list_is_sorted_and_stays_below_its_folder(storage: Storage) -> None:
    for path in ("b", "a/2", "a/1", "ab/3", "a/deep/4"):
        storage.put(path, b"x")

    assert paths(storage) == ["a/1", "a/2", "a/deep/4", "ab/3", "b"]
    assert paths(storage, "a") == ["a/1", "a/2", "a/deep/4"]
    assert paths(storage, "absent") == []


def test_an_empty_folder_is_no_file(place: Place) -> None:
    """Arrow, and so Ray, marks folders in a bucket by empty objects."""
    place.make_folder("run")
    storage = place.spec.open(place.connections)

    assert storage.list() == []
    assert storage.stat("run") is None
    storage.delete("run")


@pytest.mark.parametrize("name", ["with space", "ä-ö", "a+b=c&d", "100%", "#1"])
def test_odd_names_are_only_names(storage: Storage, name: str) -> None:
    storage.put(f"odd/{name}", b"x")

    assert storage.read(f"odd/{name}") == b"x"
    assert paths(storage, "odd") == [f"odd/{name}"]
    assert storage.put_new(f"odd/{name}", b"y") is False
    storage.delete(f"odd/{name}")
    assert storage.list() == []


def use(storage: Storage, call: str, path: str) -> None:
    made = getattr(storage, call)(path, *([b"x"] if call in ("put", "put_new") else []))
    with made if call in ("writer", "reader") else contextlib.nullcontext():
        pass


def break_off(storage: Storage, path: str) -> None:
    with storage.writer(path) as file:
        file.write(b"half")
        raise OSError("a failure of my own")


@pytest.mark.parametrize("path", ["/etc/passwd", "../up", "a/../../up", "..", "a/.."])
@pytest.mark.parametrize("call", ["uri", "read", "stat", "list", "put", "put_new", "delete", "writer", "reader"])
def test_no_path_leaves_the_root(storage: Storage, path: str, call: str) -> None:
    with pytest.raises(ConfigurationError, match="below its root"):
        use(storage, call, path)


@pytest.mark.parametrize("call", ["put", "put_new", "writer", "delete"])
def test_nothing_is_done_to_the_root_itself(storage: Storage, call: str) -> None:
    storage.put("kept", b"x")
    with pytest.raises(ConfigurationError):
        use(storage, call, "")
    assert paths(storage) == ["kept"]


def test_what_is_new_is_written_once(storage: Storage) -> None:
    assert storage.put_new("a/b", b"first") is True
    assert storage.put_new("a/b", b"second") is False
    assert storage.put_new("a/c", b"first") is True

    assert storage.read("a/b") == b"first"
    assert paths(storage) == ["a/b", "a/c"]


def test_of_many_writers_one_is_the_first(place: Place, storage: Storage) -> None:
    if not place.tells_writers_apart:
        pytest.skip("moto looks first and writes then, unlike S3")
    writers = [f"writer {number}".encode() for number in range(8)]
    with ThreadPoolExecutor(8) as threads:
        told = list(threads.map(functools.partial(storage.put_new, "a"), writers))

    assert told.count(True) == 1
    assert storage.read("a") == writers[told.index(True)]


def test_a_first_writer_whose_answer_was_lost_is_still_the_first(place: Place, storage: Storage) -> None:
    if place.lose_a_reply is None:
        pytest.skip("nothing is sent")
    place.lose_a_reply()

    assert storage.put_new("a", b"mine") is True
    assert storage.read("a") == b"mine"


@pytest.mark.parametrize("pieces", [0, 1, 20], ids=["empty", "one piece", "20 MB"])
def test_what_is_streamed_in_is_streamed_out(storage: Storage, pieces: int) -> None:
    piece = bytes(range(250)) * 4000
    with storage.writer("a/b") as file:
        for _ in range(pieces):
            file.write(piece)

    with storage.reader("a/b") as file:
        assert list(iter(lambda: file.read(len(piece)), b"")) == [piece] * pieces
    found = storage.stat("a/b")
    assert found is not None
    assert found.size_bytes == pieces * len(piece)
    assert storage.read("a/b") == piece * pieces


def test_a_stream_that_breaks_off_leaves_what_was_there(storage: Storage) -> None:
    storage.put("old", b"kept")
    for path in ("old", "new"):
        with pytest.raises(OSError, match="of my own"):
            break_off(storage, path)

    assert storage.read("old") == b"kept"
    assert paths(storage) == ["old"]


def test_a_stream_appears_at_its_end(storage: Storage) -> None:
    with storage.writer("a") as file:
        file.write(b"half")
        assert (storage.read("a"), paths(storage)) == (None, [])
        file.write(b" and half")
    assert storage.read("a") == b"half and half"


def test_a_failure_of_a_reader_of_a_stream_is_its_own(storage: Storage) -> None:
    storage.put("a", b"x")
    with pytest.raises(OSError, match="of my own"), storage.reader("a"):
        raise OSError("a failure of my own")


def test_a_file_or_a_folder_is_removed_and_nothing_beside_it(storage: Storage) -> None:
    for path in ("run/1", "run/deep/2", "run2/3", "file", "file2"):
        storage.put(path, b"x")

    storage.delete("run")
    storage.delete("file")
    storage.delete("run")

    assert paths(storage) == ["file2", "run2/3"]


def test_what_stands_in_the_way_is_a_typed_error(storage: Storage) -> None:
    """On object stores a file may stand beside a folder of its name; then this is no conflict."""
    storage.put("file", b"x")
    for write in (storage.put, storage.put_new):
        with contextlib.suppress(ConfigurationError):
            write("file/below", b"y")
    assert storage.read("file") == b"x"


def test_uris_lead_to_the_paths(place: Place, storage: Storage) -> None:
    root, path = storage.uri(), storage.uri("a/b")

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
    assert paths(storage) == ["a"]


def test_a_probe_leaves_nothing_behind(storage: Storage) -> None:
    storage.probe()

    assert storage.list() == []


def test_a_probe_of_an_absent_place_says_which(place: Place) -> None:
    absent = place.absent.open(place.connections)
    with pytest.raises(ConfigurationError) as raised:
        absent.probe()
    assert place.absent.uri().rstrip("/") in str(raised.value)


def test_what_does_not_answer_may_come_back(place: Place, storage: Storage) -> None:
    if place.fail is None:
        pytest.skip("see tests/unit/storage/test_shared_folder.py")
    place.fail()
    with pytest.raises(UnavailableError):
        storage.probe()


@pytest.mark.parametrize("lifetime", [None, timedelta(days=300)])
def test_by_default_a_job_gets_no_secrets(storage: Storage, lifetime: timedelta | None) -> None:
    assert storage.access(lifetime=lifetime).secrets == {}


def test_a_connection_that_is_not_there_is_named_when_it_is_opened(place: Place) -> None:
    nothing = DictConnections({})
    if place.connection is None:
        place.spec.open(nothing)
    else:
        with pytest.raises(ConfigurationError, match=place.connection[1]):
            place.spec.open(nothing)
    assert nothing.asked == ([] if place.connection is None else [place.connection])

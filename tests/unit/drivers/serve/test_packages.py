"""Code of applications in the cluster's own store: copies of their own, for as long as a version needs them."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_air.drivers.serve import packages
from airflow_provider_air.drivers.wire.problems import ConfigurationProblem
from tests.fakes.serve import KeyValueStore


@pytest.mark.parametrize(
    ("uri", "copy"),
    [
        ("gcs://_ray_pkg_a1.zip", "gcs://air_serve__ray_pkg_a1.zip"),
        ("gcs://_ray_pkg_a1.tar.gz", "gcs://air_serve__ray_pkg_a1.tar.gz"),
        ("gcs://air_serve__ray_pkg_a1.zip", "gcs://air_serve__ray_pkg_a1.zip"),
        ("gcs://flights-1.0-1_ab-py3-none-any.whl", "gcs://flights-1.0-1_ab_airserve-py3-none-any.whl"),
        ("gcs://flights-1.0-py3-none-any.whl", "gcs://flights-1.0-0airserve-py3-none-any.whl"),
        ("gcs://flights-1.0-0airserve-py3-none-any.whl", "gcs://flights-1.0-0airserve-py3-none-any.whl"),
        ("s3://code/a.zip", "s3://code/a.zip"),
        ("local:///srv/code", "local:///srv/code"),
    ],
)
def test_a_copy_has_a_name_of_its_own_that_ray_takes(uri: str, copy: str) -> None:
    assert packages.copy_of(uri) == copy
    store = KeyValueStore()
    store.rows[uri.encode()] = b"code"
    packages.keep(store, [{"runtime_env": {"working_dir": copy}}])
    assert store.pins == ([copy] if copy.startswith("gcs://") else [])
    assert store.rows.get(copy.encode()) == b"code"


def test_a_wheels_copy_is_a_wheels_name() -> None:
    utils = pytest.importorskip("packaging.utils")
    for name in ("flights-1.0-1_ab-py3-none-any.whl", "flights-1.0-py3-none-any.whl"):
        copied = packages.copy_of(f"gcs://{name}").removeprefix("gcs://")
        assert utils.parse_wheel_filename(copied)[:2] == utils.parse_wheel_filename(name)[:2]


def test_all_code_of_an_application_is_found_and_named_anew() -> None:
    application: dict[str, Any] = {
        "runtime_env": {"working_dir": "gcs://a.zip", "py_modules": ["gcs://b.zip", "s3://x/c.zip"], "pip": ["x"]},
        "deployments": [
            {"name": "M", "ray_actor_options": {"num_cpus": 1, "runtime_env": {"working_dir": "gcs://d.zip"}}},
            {"name": "N"},
        ],
    }
    changed = packages.with_copies(application)
    own = ["gcs://air_serve_a.zip", "gcs://air_serve_b.zip", "gcs://air_serve_d.zip"]
    assert packages.code_of([changed, {"deployments": [{"name": "M"}]}]) == [*own, "s3://x/c.zip"]
    assert changed["runtime_env"]["pip"] == ["x"]
    assert changed["deployments"][0]["ray_actor_options"]["num_cpus"] == 1
    assert packages.with_copies(changed) == changed
    assert packages.with_copies({"import_path": "a:b"}) == {"import_path": "a:b"}


def test_code_that_is_not_on_the_cluster_is_refused() -> None:
    store = KeyValueStore()
    application = packages.with_copies({"runtime_env": {"working_dir": "gcs://a.zip"}})
    with pytest.raises(ConfigurationProblem, match=r"gcs://a.zip is not on the cluster"):
        packages.check(store, [application])
    store.rows[b"gcs://air_serve_a.zip"] = b"code"
    packages.check(store, [application])


def test_only_copies_are_known_as_such() -> None:
    store = KeyValueStore()
    store.rows = dict.fromkeys((b"gcs://_ray_pkg_a.zip", b"gcs://air_serve_b.zip", b"lock/config/1"), b"")
    assert packages.copies(store) == {"gcs://air_serve_b.zip"}

"""What the lock brings to everybody who runs the tests."""

from __future__ import annotations

import tomllib
from typing import Any

from tests.architecture.source import REPOSITORY

# Gigabytes that nothing here needs: users bring their own.
UNWANTED = {"torch", "triton", "tensorflow", "jax", "jaxlib"}


def test_lock_holds_no_deep_learning_framework() -> None:
    packages = {package["name"]: package for package in _lock()}
    assert "ray" in packages
    assert not UNWANTED & set(packages)


def test_lock_names_the_public_index_alone() -> None:
    sources = {package["source"].get("registry") for package in _lock()} - {None}
    assert sources == {"https://pypi.org/simple"}


def _lock() -> list[dict[str, Any]]:
    packages: list[dict[str, Any]] = tomllib.loads((REPOSITORY / "uv.lock").read_text())["package"]
    return packages

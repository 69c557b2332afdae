"""KubeRay's CRDs as JSON schemas that refuse what the kube-apiserver's strict field validation refuses."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

MODULE = "github.com/ray-project/kuberay/ray-operator@v1.6.1/config/crd/bases"
NEWER = "AIR_KUBERAY_CRDS"
PLURALS = {"RayCluster": "rayclusters", "RayJob": "rayjobs"}
VERSIONS = ("1.6.1", "1.7")


def folder_of(version: str) -> Path:
    """Give the folder of a version's CRDs; skips the test where there is none."""
    if version == "1.6.1":
        cache_folder = os.environ.get("GOMODCACHE") or Path.home() / "go/pkg/mod"
        folder = Path(cache_folder) / MODULE
        reason = f"KubeRay's Go module is not in {cache_folder}"
    else:
        folder = Path(os.environ.get(NEWER) or "/nonexistent")
        reason = f"{NEWER} names no folder of KubeRay 1.7's CRDs"
    if not folder.is_dir():
        pytest.skip(reason)
    return folder


@cache
def schema_of(kind: str, version: str) -> Mapping[str, Any]:
    """Give the open API schema of a kind, ``ray.io/v1``."""
    folder, name = folder_of(version), f"ray.io_{PLURALS[kind]}.yaml"
    plain = folder / name
    text = plain.read_bytes() if plain.is_file() else gzip.decompress((folder / f"{name}.gz").read_bytes())
    crd = yaml.load(text, Loader=yaml.CSafeLoader)
    (schema,) = (one["schema"]["openAPIV3Schema"] for one in crd["spec"]["versions"] if one["name"] == "v1")
    assert isinstance(schema, Mapping)
    return schema


def problems_of(resource: Mapping[str, Any], version: str) -> list[str]:
    """Give what the API server would refuse of a resource, by path."""
    errors = _validator(str(resource["kind"]), version).iter_errors(resource)
    found = [f"{'.'.join(map(str, error.absolute_path))}: {error.message[:200]}" for error in errors]
    return sorted([*found, *_twice(resource, schema_of(str(resource["kind"]), version), "")])


@cache
def _validator(kind: str, version: str) -> Draft202012Validator:
    return Draft202012Validator(_strict(schema_of(kind, version), is_top=True))


def _strict(schema: Mapping[str, Any], *, is_top: bool = False) -> dict[str, Any]:
    if schema.get("x-kubernetes-int-or-string"):
        return {"anyOf": [{"type": "integer"}, {"type": "string", "pattern": schema.get("pattern", "")}]}
    strict: dict[str, Any] = {
        key: schema[key]
        for key in ("type", "enum", "pattern", "minimum", "maximum", "minItems", "maxItems", "minLength", "maxLength")
        if key in schema
    }
    # A field that has a default may be left out: it is filled in before the check.
    defaults = {name for name, one in schema.get("properties", {}).items() if "default" in one}
    if required := [name for name in schema.get("required", ()) if name not in defaults]:
        strict["required"] = required
    if "properties" in schema:
        strict["properties"] = {name: _strict(one) for name, one in schema["properties"].items()}
        if is_top:
            strict["properties"]["metadata"] = {"type": "object"}
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            strict["additionalProperties"] = False
    elif isinstance(schema.get("additionalProperties"), Mapping):
        strict["additionalProperties"] = _strict(schema["additionalProperties"])
    if "items" in schema:
        strict["items"] = _strict(schema["items"])
    return strict


def _twice(value: Any, schema: Mapping[str, Any], path: str) -> Iterator[str]:
    """Tell items of one name in lists that are maps: server-side apply refuses them."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _twice(item, schema.get("properties", {}).get(key, {}), f"{path}.{key}")
    if isinstance(value, list):
        keys = schema.get("x-kubernetes-list-map-keys")
        if keys:
            names = [
                tuple(item.get(key, schema["items"]["properties"][key].get("default")) for key in keys)
                for item in value
            ]
            yield from (f"{path}: {name} twice" for name in sorted(set(names)) if names.count(name) > 1)
        for item in value:
            yield from _twice(item, schema.get("items", {}), path)


def words_of(schema: Mapping[str, Any]) -> Iterator[str]:
    """Give every field's name in a schema."""
    for name, one in schema.get("properties", {}).items():
        yield name
        yield from words_of(one)
    for inner in ("items", "additionalProperties"):
        if isinstance(schema.get(inner), Mapping):
            yield from words_of(schema[inner])

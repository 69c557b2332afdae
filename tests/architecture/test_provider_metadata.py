"""What Airflow reads about the provider at discovery is true."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Iterator
from importlib import metadata, resources
from typing import Any

import jsonschema
import pytest
from packaging.utils import canonicalize_name

from airflow_provider_air.get_provider_info import get_provider_info
from airflow_provider_air.triggers.deferring import DEFAULT_GRACE_SECONDS, DEFAULT_SETTLE_SECONDS
from tests.architecture.source import modules

DISTRIBUTION = "airflow-provider-air"
OURS = "airflow_provider_air."


def strings(value: Any) -> Iterator[str]:
    """Give every string in a nest of lists and dicts."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from strings(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from strings(each)


def resolve(path: str) -> Any:
    """Import what a dotted (or ``module:name``) path names, be it a module or something inside one."""
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError as missing:
        module, _, name = path.replace(":", ".").rpartition(".")
        if missing.name and not path.startswith(missing.name):
            raise
        return getattr(importlib.import_module(module), name)


def test_package_name_is_the_distribution_that_declares_it() -> None:
    """Airflow refuses the provider otherwise."""
    assert get_provider_info()["package-name"] == DISTRIBUTION == canonicalize_name(DISTRIBUTION)
    assert metadata.distribution(DISTRIBUTION).metadata["Name"] == DISTRIBUTION


def test_entry_points_resolve_and_one_declares_the_provider() -> None:
    groups = {entry.group: entry.load() for entry in metadata.distribution(DISTRIBUTION).entry_points}
    assert groups["apache_airflow_provider"] is get_provider_info


def test_metadata_fits_the_schema_of_airflow() -> None:
    schema = json.loads(resources.files("airflow").joinpath("provider_info.schema.json").read_text())
    jsonschema.validate(get_provider_info(), schema)


def test_metadata_fits_the_schema_of_airflow_for_connection_forms() -> None:
    """``conn-fields`` are honoured at run time, but only the development schema spells their shape."""
    fields = json.loads(resources.files("airflow").joinpath("provider.yaml.schema.json").read_text())
    connection_types = fields["properties"]["connection-types"]
    jsonschema.validate(get_provider_info().get("connection-types", []), connection_types)


def test_every_dotted_path_in_the_metadata_resolves() -> None:
    paths = [text for text in strings(get_provider_info()) if text.startswith(OURS)]
    unresolved = [path for path in paths if resolve(path) is None]
    assert not unresolved


@pytest.mark.parametrize("folder", ["operators", "hooks", "triggers", "sensors"])
def test_every_module_that_an_author_or_airflow_uses_is_told(folder: str) -> None:
    """All but those that only carry what others of the folder share."""
    told = {module for entry in get_provider_info()[folder] for module in entry["python-modules"]}
    parts = {
        "operators": {"base", "driven", "fields", "group", "outlets", "retry", "stored"},
        "hooks": {"results"},
        "triggers": {"base", "deferring", "killing", "polling"},
        "sensors": {"base"},
    }[folder]
    ours = {module.name for module in modules() if module.name.startswith(f"{OURS}{folder}.")}
    assert told == ours - {f"{OURS}{folder}.{part}" for part in parts}


def test_every_setting_that_is_read_is_told_with_the_default_that_it_has() -> None:
    options = get_provider_info()["config"]["air"]["options"]
    read = {name for module in modules() for name in re.findall(r'conf\.get\w*\(\s*"air", "(\w+)"', module.text)}
    assert read == set(options)
    assert float(options["deferral_grace_seconds"]["default"]) == DEFAULT_GRACE_SECONDS
    assert float(options["deferral_settle_seconds"]["default"]) == DEFAULT_SETTLE_SECONDS


def test_the_form_of_a_ray_connection_has_every_field_that_is_read() -> None:
    (form,) = [each for each in get_provider_info()["connection-types"] if each["connection-type"] == "ray"]
    texts = [
        module.text for module in modules() if module.name in (f"{OURS}connections.ray", f"{OURS}connections.base")
    ]
    read = {name for text in texts for name in re.findall(r'(?:extra\.get\(|_of\(extra, )"(\w+)"', text)}
    # As people write them into the fields above them, too.
    assert read - {"address", "token"} == set(form["conn-fields"])


def test_a_dotted_path_to_nothing_is_noticed() -> None:
    with pytest.raises((ModuleNotFoundError, AttributeError)):
        resolve(f"{OURS}operators.nowhere.NothingOperator")

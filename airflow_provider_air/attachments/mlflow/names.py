"""
What MLflow takes as the name of a metric, a parameter or a tag, and how long their values may be.

Source: MLflow 3.17, mlflow/utils/validation.py.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping

from airflow_provider_air.contracts.names import digest
from airflow_provider_air.drivers.wire.texts import spelled

TAKEN = re.compile(r"[/\w.\- :]*")
NAME_CHARACTERS = 250
# Of what is not taken as it is, so that the tag with the original has a name that is taken, too.
MAPPED_CHARACTERS = 200
PARAM_CHARACTERS, TAG_CHARACTERS = 6000, 8000
NAME_TAG = "air.name."
DIGEST_CHARACTERS = 6


def name_of(original: str) -> str:
    """
    Give the name under which MLflow has something: the original where MLflow takes it.

    Any other one is made readable, such as ``ndcg_at_10-9316d1``, and ends in a digest of the original: two never
    become one, and whoever looks for it, now or later, computes the same.
    """
    if _is_taken(original):
        return original
    readable = re.sub(r"[^/\w.\- :]+", "_", original.replace("@", "_at_"))
    steps = [step for step in readable.split("/") if step.strip(".")]
    # Two points would begin a path that leads up.
    whole = re.sub(r"^\.{2,}", "", "/".join(steps))
    short = whole[: MAPPED_CHARACTERS - DIGEST_CHARACTERS - 1] or "x"
    return f"{short}-{digest(spelled(original), length=DIGEST_CHARACTERS)}"


def _is_taken(name: str) -> bool:
    # As a path it must not lead elsewhere: no slash first, last or twice, no points for steps.
    steps_elsewhere = posixpath.normpath(name) != name or name == "." or name.startswith(("..", "/"))
    return len(name) <= NAME_CHARACTERS and TAKEN.fullmatch(name) is not None and not steps_elsewhere


def value_of(text: str, limit: int) -> str:
    """Keep a value that fits; of a longer one its beginning, and a digest, so that two that differ stay two."""
    text = spelled(text)
    if len(text) <= limit:
        return text
    tail = f"... [{len(text)} characters, sha256 {digest(text, length=16)}]"
    return text[: limit - len(tail)] + tail


def name_tags(originals: list[str]) -> dict[str, str]:
    """Give the tags that keep the originals of those that MLflow has under other names."""
    mapped = {name_of(original): original for original in originals}
    return {NAME_TAG + name: original for name, original in mapped.items() if name != original}


def tags_of(values: Mapping[str, str]) -> dict[str, str]:
    """Give tags as MLflow takes them."""
    return {name_of(name): value_of(value, TAG_CHARACTERS) for name, value in values.items()}


def pairs(values: Mapping[str, str]) -> list[dict[str, str]]:
    """Give names and values as MLflow's calls have them."""
    return [{"key": name, "value": value} for name, value in values.items()]

"""The one way in which our dataclasses cross processes and versions as JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

from airflow_provider_air.errors import ProtocolError

T = TypeVar("T")
VERSION = 1
"""Of a ledger and of a history, by which who reads one knows that it is a later version's."""


def fields_of(kind: type[T], data: Any) -> T:
    """
    Make a dataclass of its JSON form; fields that this version does not know are left out.

    What a newer version has written must not stop a job that an older one watches, and the other way round.

    :raises ProtocolError: this is no JSON object, or a field without a default is missing
    """
    if not isinstance(data, Mapping):
        raise ProtocolError(f"{str(data)[:200]!r} is not the JSON form of {kind.__name__}")
    known = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    try:
        return kind(**{name: value for name, value in data.items() if name in known})
    except TypeError as error:
        raise ProtocolError(f"This is not the JSON form of {kind.__name__}: {error}") from None

"""What crosses versions is read as far as it is known, and what is no such thing is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_air.contracts.clusters import ClusterRef
from airflow_provider_air.contracts.names import TaskKey
from airflow_provider_air.contracts.runs import AttemptInfo, DataRef, Wait
from airflow_provider_air.errors import ProtocolError

INFO = AttemptInfo(
    TaskKey("here", "d", "r", "t", 3), "air-1", "run", 2, 1, "train", "c", inputs=(DataRef("a", "s3://b"),)
)
FORMS: list[Any] = [ClusterRef("local", "c", {"host": "h"}, True), Wait("end", 5.0, {"submission_id": "a"}), INFO]


@pytest.mark.parametrize("value", FORMS, ids=lambda value: type(value).__name__)
def test_a_form_survives_json_and_fields_of_a_newer_version(value: Any) -> None:
    stored = json.loads(json.dumps({**value.to_json(), "colour": "red"}))

    assert type(value).from_json(stored) == value


@pytest.mark.parametrize("kind", [ClusterRef, Wait, AttemptInfo])
@pytest.mark.parametrize("data", [None, 1, "x", [], {}, {"colour": "red"}], ids=str)
def test_what_is_no_such_form_is_refused(kind: Any, data: Any) -> None:
    with pytest.raises(ProtocolError):
        kind.from_json(data)

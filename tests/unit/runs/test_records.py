"""What a run reads out of a job's records: the whole result, or an error that says that it is lost."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_air.drivers.wire.values import decode, encode
from airflow_provider_air.errors import ResultLostError
from airflow_provider_air.runs.ends import encoded_result_of
from airflow_provider_air.runs.failures import find_end

END = {"kind": "end", "status": "succeeded"}


def test_the_last_result_counts() -> None:
    records = [{"kind": "result", "value": 1}, {"kind": "result", "value": encode((2,))}, END]

    assert decode(encoded_result_of(records, where="a")) == (2,)


@pytest.mark.parametrize(
    "records",
    [
        [],
        [{"kind": "result", "value": 1}],
        [END],
        [{"kind": "result", "value": 1}, {"kind": "end", "status": "failed"}],
        [{"kind": "result", "value": 1}, {"kind": "end"}],
        [{"kind": "result"}, END],
    ],
)
def test_an_incomplete_set_is_a_lost_result(records: list[dict[str, Any]]) -> None:
    with pytest.raises(ResultLostError, match=r"\[air-1\].*retry"):
        encoded_result_of(records, where="air-1")


def test_the_end_is_the_last_record_or_none() -> None:
    assert find_end([END]) == END
    assert find_end([{"kind": "progress"}]) is None
    assert find_end([]) is None

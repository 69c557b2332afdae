"""Airflow's side of the record schema, which is defined once, in ``drivers/records.py``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow_provider_air.drivers.job import records_name
from airflow_provider_air.drivers.records import RecordBuffer, decode, encode, line_of
from airflow_provider_air.errors import ResultLostError

__all__ = ["RecordBuffer", "decode", "encode", "find_end", "line_of", "records_name", "result_of"]


def find_end(records: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """Give the closing record, or None where the driver did not get that far."""
    return records[-1] if records and records[-1]["kind"] == "end" else None


def result_of(records: Sequence[dict[str, Any]], *, where: str) -> Any:
    """
    Give the value that a succeeded driver reported.

    :param where: the submission id, for the error
    :raises ResultLostError: the closing record or the result is missing or says something else
    """
    hint = "A retry runs the job again, or resumes it where the workload can"
    end = find_end(records)
    if end is None:
        raise ResultLostError("The job succeeded but its records end before the end", where=where, hint=hint)
    if end.get("status") != "succeeded":
        raise ResultLostError("The job succeeded but its records say that it failed", where=where, hint=hint)
    results = [record for record in records if record["kind"] == "result"]
    if not results:
        raise ResultLostError("The job succeeded but reported no result", where=where, hint=hint)
    try:
        return decode(results[-1]["value"])
    except (ValueError, TypeError, KeyError) as error:
        raise ResultLostError(f"The job's result cannot be read: {error}", where=where, hint=hint) from error

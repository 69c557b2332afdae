"""What a workload reads and writes, in the words that all layers share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_air.contracts.runs import DataRef


def refs_of(datasets: Mapping[str, Any]) -> tuple[DataRef, ...]:
    """
    Name what a workload reads or writes.

    :param datasets: by name, each checked by :func:`airflow_provider_air.workloads.fields.dataset`; one of several
        places is named without them
    """
    return tuple(_input_of(name, spec) for name, spec in datasets.items())


def _input_of(name: str, spec: Any) -> DataRef:
    place = spec.get("uri") if isinstance(spec, Mapping) else spec
    is_query = isinstance(spec, Mapping) and "sql" in spec
    return DataRef(name, place if isinstance(place, str) else None, is_query=is_query)

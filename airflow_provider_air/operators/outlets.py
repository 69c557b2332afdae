"""
What the events of a task's outlets carry in their ``extra``, so that Airflow's asset page says what has come of it.

Flat, of scalars, without secrets: ``uri``, ``rows``, ``schema`` (as ``column: type, …``), ``metrics.<name>``,
``model``, ``version``, ``tracker``, ``tracker_run``, ``tracker_url``, ``submission_id`` and ``page`` (the address of
the task's Ray tab); each where it is known. What the author's own code has put there stays.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.sdk import Asset, conf

from airflow_provider_air.drivers.wire.texts import shortened
from airflow_provider_air.operators.fields import redacted

if TYPE_CHECKING:
    from airflow.sdk import Context

MOST_METRICS = 20
NAME_CHARACTERS = 100
SCHEMA_CHARACTERS = 1000
TEXT_CHARACTERS = 1000
TAB = "plugin/ray"
"""Of the task's page, as the plugin names its tab."""


@contextmanager
def quietly(log: Any, what: str) -> Iterator[None]:
    """Keep what only tells of a success from failing it: it is warned about, as a sentence without a full stop."""
    try:
        yield
    except Exception as error:  # noqa: BLE001  # whatever an odd result makes it raise
        log.warning("%s: %s: %s", what, type(error).__name__, error)


def tell_outlets(outlets: Any, context: Context, about: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    """
    Add what is known to the events of a task's outlets; of assets alone, not of aliases. Runs in the worker.

    :param about: what the operator says of its result: ``uri``, ``rows``, ``metrics``, ``model``, ``version``
    :param facts: what the engine knows, see :class:`~airflow_provider_air.contracts.runs.Done`
    """
    assets = [outlet for outlet in outlets if isinstance(outlet, Asset)]
    if not assets:
        return
    extra = redacted(extra_of(about, facts)) | {"page": page_of(context["ti"])}
    for asset in assets:
        own = context["outlet_events"][asset].extra
        own.update({name: value for name, value in extra.items() if name not in own})


def extra_of(about: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    """Give it flat and bounded; parameters as of :func:`tell_outlets`."""
    outputs = facts.get("outputs") or [{}]
    output = outputs[0] if len(outputs) == 1 else {}
    tracker: Mapping[str, Any] = next(iter(facts.get("trackers") or ()), {})
    model = tracker.get("model") or {}
    metrics = about.get("metrics")
    numbers = [(name, value) for name, value in (metrics.items() if isinstance(metrics, Mapping) else ())]
    found = {
        "uri": about.get("uri") or output.get("uri"),
        "rows": about["rows"] if about.get("rows") is not None else output.get("rows"),
        "schema": _columns(output.get("schema")),
        **{f"metrics.{str(name)[:NAME_CHARACTERS]}": value for name, value in numbers if _is_finite(value)},
        "model": about.get("model") or model.get("name"),
        "version": about.get("version") or model.get("version"),
        "tracker": tracker.get("kind"),
        "tracker_run": tracker.get("run_id"),
        "tracker_url": tracker.get("url"),
        "submission_id": facts.get("submission_id"),
    }
    surplus = [name for name in found if name.startswith("metrics.")][MOST_METRICS:]
    return {name: _scalar(value) for name, value in found.items() if value is not None and name not in surplus}


def page_of(ti: Any) -> str:
    """Give the address of a task instance's Ray tab, as Airflow 3.3's own pages have it."""
    base = conf.get("api", "base_url", fallback="http://localhost:8080/").rstrip("/")
    dag_id, run_id, task_id = (quote(str(name), safe="") for name in (ti.dag_id, ti.run_id, ti.task_id))
    is_mapped = isinstance(ti.map_index, int) and ti.map_index >= 0
    mapped = f"/mapped/{ti.map_index}" if is_mapped else ""
    return f"{base}/dags/{dag_id}/runs/{run_id}/tasks/{task_id}{mapped}/{TAB}"


def _columns(schema: Any) -> str | None:
    if not isinstance(schema, Mapping) or not schema:
        return None
    return shortened(", ".join(f"{name}: {kind}" for name, kind in schema.items()), SCHEMA_CHARACTERS)


def _is_finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _scalar(value: Any) -> Any:
    from airflow_provider_air.runs.values import plain

    return plain(value if isinstance(value, (int, float)) else shortened(str(value), TEXT_CHARACTERS))

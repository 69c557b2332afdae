"""Events of Kubernetes: when one was seen, how often, and what it is about. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

Resource = Mapping[str, Any]


def moment(text: Any) -> float | None:
    """Give epoch seconds of Kubernetes' ``2026-11-29T15:00:00Z``; None where there is none."""
    if not isinstance(text, str) or not text:
        return None
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None


def first_seen(event: Resource) -> float | None:
    """Give when an event was first seen, in epoch seconds."""
    for name in ("firstTimestamp", "eventTime", "lastTimestamp"):
        if (at := moment(event.get(name))) is not None:
            return at
    return moment((event.get("metadata") or {}).get("creationTimestamp"))


def last_seen(event: Resource) -> float:
    """Give when an event was last seen, in epoch seconds."""
    series = event.get("series") or {}
    seen = [moment(event.get("lastTimestamp")), moment(series.get("lastObservedTime")), first_seen(event)]
    return max((at for at in seen if at is not None), default=0.0)


def times_of(event: Resource) -> int:
    """Give how often an event was seen: what is alike is told by one."""
    return int(event.get("count") or (event.get("series") or {}).get("count") or 1)


def events_about(events: Sequence[Resource], *uids: Any) -> list[Resource]:
    """Give the events about what has one of these UIDs, the newest last."""
    found = [event for event in events if (event.get("involvedObject") or {}).get("uid") in uids]
    return sorted(found, key=last_seen)

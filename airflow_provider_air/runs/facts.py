"""
What drivers tell beside metrics, by free fields of their ``progress`` records, as a history has it.

By field: ``workers`` and ``resumed_from`` (training), ``batch`` (rows and blocks so far and in all), ``serve`` (an
application as it runs now), ``step`` with ``state`` (a roll-out's), ``data`` (rows and columns of what is read and
written), ``features``. Records are any driver's: what has another shape is passed over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from airflow_provider_air.drivers.wire.texts import shortened
from airflow_provider_air.runs.series import Series, is_finite
from airflow_provider_air.runs.values import plain

MOST_APPLICATIONS, MOST_DEPLOYMENTS, MOST_STEPS = 20, 50, 100
MOST_DATA, MOST_COLUMNS, MOST_FEATURES = 20, 200, 200
TEXT_CHARACTERS = 1000
RATE_SECONDS = 30.0
COUNTS = ("rows", "total_rows", "blocks", "total_blocks")


class Facts:
    """What one attempt's driver has told so far. For one thread or event loop."""

    def __init__(self) -> None:
        self._progress: dict[str, Any] = {}
        self._workers: dict[str, Any] = {}
        self._batch: dict[str, float] = {}
        self._rate = Series()
        self._applications: dict[str, dict[str, Any]] = {}
        self._steps: list[dict[str, Any]] = []
        self._data: dict[str, dict[str, dict[str, Any]]] = {"inputs": {}, "outputs": {}}
        self._features: dict[str, Any] = {}

    def note(self, record: Mapping[str, Any]) -> None:
        """Take in a ``progress`` record."""
        self._note_progress(record)
        self._note_workers(record)
        if isinstance(record.get("batch"), Mapping):
            self._note_batch(record["batch"], record.get("t"))
        if isinstance(record.get("serve"), Mapping):
            self._note_application(record["serve"])
        if isinstance(record.get("step"), str):
            names = ("step", "state", "application", "message")
            told = {name: text(record[name]) for name in names if record.get(name) is not None}
            self._steps = [*self._steps, {"at": _moment(record), "name": told.pop("step"), **told}][-MOST_STEPS:]
        if isinstance(record.get("data"), Mapping):
            self.note_data(record["data"])
        if isinstance(record.get("features"), Mapping):
            names = ("project", "feature_service", "feature_views", "fingerprint")
            self._features |= plain({name: record["features"][name] for name in names if record["features"].get(name)})

    def _note_progress(self, record: Mapping[str, Any]) -> None:
        counts = {name: record[name] for name in ("done", "total") if is_finite(record.get(name))}
        said = {} if record.get("message") is None else {"message": text(record["message"])}
        self._progress |= {"at": _moment(record), **counts, **said}

    def _note_workers(self, record: Mapping[str, Any]) -> None:
        if is_finite(record.get("workers")):
            starts = int(self._workers.get("starts", 0)) + 1
            self._workers |= {"count": record["workers"], "starts": starts}
        if "resumed_from" in record:
            self._workers["resumed_from"] = plain(record["resumed_from"])

    def _note_batch(self, batch: Mapping[str, Any], at: Any) -> None:
        self._batch |= {name: batch[name] for name in COUNTS if is_finite(batch.get(name))}
        if is_finite(at) and is_finite(batch.get("rows")):
            self._rate.add(float(at), float(batch["rows"]))

    def _note_application(self, told: Mapping[str, Any]) -> None:
        name = text(told.get("name"))
        if name not in self._applications and len(self._applications) >= MOST_APPLICATIONS:
            return
        names = ("application", "status", "route_prefix", "version", "message")
        known = self._applications.setdefault(name, {"name": name})
        known |= {field: text(told[field]) for field in names if told.get(field) is not None}
        if isinstance(told.get("deployments"), list):
            known["deployments"] = plain(
                [
                    {field: one.get(field) for field in ("name", "status", "replicas", "target")}
                    for one in told["deployments"][:MOST_DEPLOYMENTS]
                    if isinstance(one, Mapping)
                ]
            )

    def note_data(self, told: Mapping[str, Any]) -> None:
        """
        Take in what is read and written.

        :param told: ``inputs`` and ``outputs``: lists of ``{"name", "uri", "rows", "schema", "is_query"}``, of which
            later ones add to earlier ones of the same name
        """
        for side, known in self._data.items():
            for item in _mappings(told.get(side)):
                name = text(item.get("name"))
                if name in known or len(known) < MOST_DATA:
                    known[name] = {**known.get(name, {}), **data_of(item), "name": name}

    def to_json(self, points: int) -> dict[str, Any]:
        """Give what is known as plain JSON, empty things left out; curves with at most so many points."""
        batch: dict[str, Any] = dict(self._batch)
        if batch:
            rate = self._rate.shown(points)
            batch |= {"rows_per_second": _speed(rate, self._is_read()), "rate": rate}
        serve = {"applications": list(self._applications.values()), "steps": self._steps}
        found = {
            "progress": self._progress,
            "workers": self._workers,
            "batch": batch,
            "serve": serve if any(serve.values()) else {},
            "inputs": list(self._data["inputs"].values()),
            "outputs": list(self._data["outputs"].values()),
        }
        return {name: value for name, value in found.items() if value}

    def _is_read(self) -> bool:
        return 0 < self._batch.get("total_rows", 0) <= self._batch.get("rows", 0)

    @property
    def features(self) -> Mapping[str, Any]:
        """What the driver has joined: ``project``, ``feature_service``, ``feature_views``, ``fingerprint``."""
        return self._features


def data_of(item: Mapping[str, Any]) -> dict[str, Any]:
    """Give what is known of one place that is read or written, bounded."""
    found: dict[str, Any] = {}
    if item.get("uri") is not None:
        found["uri"] = text(item["uri"])
    if is_finite(item.get("rows")):
        found["rows"] = item["rows"]
    if isinstance(item.get("schema"), Mapping):
        columns = [*item["schema"].items()][:MOST_COLUMNS]
        found["schema"] = {text(name)[:200]: text(kind)[:200] for name, kind in columns}
    if item.get("is_query"):
        found["is_query"] = True
    return found


def text(value: Any) -> str:
    """Give a bounded text that every line carries."""
    said: str = plain(shortened(str(value), TEXT_CHARACTERS))
    return said


def _mappings(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, Sequence) and not isinstance(value, str):
        yield from (item for item in value if isinstance(item, Mapping))


def _moment(record: Mapping[str, Any]) -> float | None:
    at = record.get("t")
    return at if is_finite(at) else None


def _speed(rate: list[list[float | None]], is_done: bool) -> float | None:
    """Give rows per second over the last half minute, or not much more; over all of it where it is done."""
    points = [(at or 0.0, rows or 0.0) for at, rows in rate]
    # From where the count fell, there it began anew.
    begun = max((place for place in range(1, len(points)) if points[place][1] < points[place - 1][1]), default=0)
    points = points[begun:]
    if len(points) < 2:
        return None
    end, last = points[-1]
    before = [] if is_done else [point for point in points if end - point[0] >= RATE_SECONDS]
    # Points of a long curve lie far apart, and some of them close together: those alone would tell of a moment.
    began, first = before[-1] if before else points[0]
    return round((last - first) / (end - began), 3) if end > began else None

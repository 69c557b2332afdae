"""A Feast repository for benchmarks: two features of 200 carriers, ten values each, and rows to join with them."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from tests.benchmarks.rig.fresh import fresh
from tests.feature_repo import CONFIG, apply_repo, day

CARRIERS = [f"C{number:03d}" for number in range(200)]
DAYS = 10
FEATURES = ("mean_delay", "late_flights")
SERVICE = "delays"
DEFINITIONS = """
from datetime import timedelta
from feast import Entity, FeatureService, FeatureView, Field, FileSource
from feast.types import Float64, Int64

carrier = Entity(name="carrier", join_keys=["carrier"])
lately = FeatureView(
    name="lately", entities=[carrier], ttl=timedelta(days=365),
    schema=[Field(name="mean_delay", dtype=Float64), Field(name="late_flights", dtype=Int64)],
    source=FileSource(path="{data}", timestamp_field="event_timestamp"),
)
delays = FeatureService(name="delays", features=[lately])
"""


def write(root: Path, *, materialized: bool = False) -> Path:
    """
    Write a repository and its feature rows, register it in a process of its own, and give its folder.

    :param materialized: bring the values into its online store as well
    """
    repo = root / "repo"
    repo.mkdir()
    (repo / "definitions.py").write_text(DEFINITIONS.format(data=features_file(root)))
    online = f"{{type: sqlite, path: {root}/online.db}}"
    (repo / "feature_store.yaml").write_text(CONFIG.format(registry=root / "registry.db", online=online))
    _write_features(features_file(root))
    fresh(__name__, register.__name__, repo=str(repo), materialized=materialized)
    return repo


def features_file(root: Path) -> Path:
    """Say where the feature rows are."""
    return root / "features.parquet"


def register(*, repo: str, materialized: bool) -> None:
    """Do what ``feast apply`` does, and ``feast materialize``; runs in the fresh process."""
    store = apply_repo(Path(repo))
    if materialized:
        store.materialize(day(1), day(1 + DAYS))


def latest(carrier: str) -> dict[str, float]:
    """Give the last values of a carrier, which the online store has."""
    return _values(CARRIERS.index(carrier), DAYS - 1)


def write_entities(path: Path, rows: int) -> None:
    """
    Write rows of the days that have values, in no order; no two have the same carrier and time.

    Feast by hand leaves out rows that are alike, and such without a value: here it has no reason to.
    """
    import numpy
    import pandas

    order = numpy.random.default_rng(0).permutation(rows)
    apart = numpy.timedelta64(timedelta(days=DAYS) // rows)
    stamps = numpy.datetime64(day(1).replace(tzinfo=None)) + order * apart
    frame = pandas.DataFrame({
        "carrier": numpy.array(CARRIERS, dtype=object)[order % len(CARRIERS)],
        "event_timestamp": pandas.Series(stamps).dt.tz_localize("UTC"),
        "arr_delay": (order % 1000).astype("float64"),
    })  # fmt: skip
    frame.to_parquet(path, index=False)


def _write_features(path: Path) -> None:
    import pandas

    keys = [(index, number) for number in range(DAYS) for index in range(len(CARRIERS))]
    frame = pandas.DataFrame([_values(index, number) for index, number in keys])
    frame.insert(0, "carrier", [CARRIERS[index] for index, _ in keys])
    frame.insert(1, "event_timestamp", pandas.to_datetime([day(1 + number) for _, number in keys]).as_unit("us"))
    frame.to_parquet(path, index=False)


def _values(index: int, number: int) -> dict[str, float]:
    # Whole numbers: their sums are exact in any order.
    return {"mean_delay": float(index + 1000 * number), "late_flights": 7 * index + number}

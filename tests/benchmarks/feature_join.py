"""What does a point-in-time join cost through our driver, over Feast by hand and over no Feast at all?"""

from __future__ import annotations

import argparse
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow.compute
import pyarrow.parquet

import airflow_provider_air.drivers
from airflow_provider_air.workloads.features import ENTRYPOINT, join_payload
from tests.benchmarks.rig import feature_repo
from tests.benchmarks.rig.report import Report, alternated, ratios

CODE = Path(__file__).parent / "code"
ROWS = 1_000_000
QUICK_ROWS = 200_000
SIDES = ("driver", "feast", "duckdb")
MOST_MIB = 8 * 1024.0


def add_options(parser: argparse.ArgumentParser) -> None:
    """Say what this benchmark can be told."""
    parser.add_argument("--rows", type=int, help=f"how many rows are joined; {ROWS} by default")
    parser.add_argument("--views", type=int, help="how many feature views they are joined with; 1 by default")
    parser.add_argument(
        "--sides", nargs="+", choices=SIDES, help="who joins; all by default: Feast by hand takes all into its memory"
    )


def measure(
    *, quick: bool, rows: int | None = None, views: int | None = None, sides: Sequence[str] | None = None
) -> Iterator[Report]:
    """The driver's join, Feast in a script, and DuckDB's ASOF join of the same files."""
    rows, views = rows or (QUICK_ROWS if quick else ROWS), views or 1
    report = Report(
        "feature_join",
        f"wall seconds and peak memory of a fresh process that joins {rows} rows of {len(feature_repo.CARRIERS)} "
        f"carriers with {views} feature views of two features and {feature_repo.DAYS} values each and writes parquet: "
        "our driver as FeastJoinOperator starts it, get_historical_features() in a script, and DuckDB's ASOF join",
        quick=quick,
    )
    with tempfile.TemporaryDirectory() as folder:
        joins = Joins(Path(folder), views)
        ways = {name: way for name, way in joins.ways().items() if name in (sides or SIDES)}
        joins.take(min(rows, QUICK_ROWS))
        for join in ways.values():
            join()  # the first process of a kind reads its libraries from disk, and our driver's compiles its plan
        joins.take(rows)
        values = alternated(1 if quick or rows > ROWS else 3, **ways)
    for name, seconds in values.items():
        report.series(name, seconds, "s")
        report.series(f"{name}.cpu", joins.cpu[name], "s")
    for name, peaks in joins.memory.items():
        peak = report.series(f"{name}.peak_memory", peaks, "MiB")
        if name == "driver":
            report.aim("peak memory of the driver, of any number of rows", peak, at_most=MOST_MIB)
    for other in [name for name in ways if name != "driver" and "driver" in ways]:
        report.series(f"driver_over_{other}.cpu", ratios(joins.cpu["driver"], joins.cpu[other]), "1")
        ratio = report.series(f"driver_over_{other}", ratios(values["driver"], values[other]), "1")
        if other == "feast":
            report.aim("median ratio of the driver to Feast by hand", ratio, at_most=0.1)
    report.note("the driver finds the plan of the join, which its first process has compiled with Feast")
    report.note("without the start of a Ray job, which is the same for any of them; execute_overhead tells it")
    report.note("all of them were found to have written the same rows with the same values")
    yield report


class Joins:
    """
    The same join in three ways, each in a fresh process.

    :param root: a folder of one's own
    :param views: how many feature views
    """

    def __init__(self, root: Path, views: int) -> None:
        self.cpu: dict[str, list[float]] = {}
        self.memory: dict[str, list[float]] = {}
        self._root = root
        self._views = views
        self._repo = feature_repo.write(root, views=views)
        self._entities = root / "entities.parquet"
        self._digest: dict[str, float] = {}
        self._numbers = itertools.count(1)
        shutil.copytree(airflow_provider_air.drivers.__path__[0], root / "shipped" / "air_drivers")

    def ways(self) -> dict[str, Callable[[], float]]:
        """Give the three by their names."""
        return dict(zip(SIDES, (self.by_driver, self.by_feast, self.by_duckdb), strict=True))

    def take(self, rows: int) -> None:
        """Join so many rows from now on, and forget what was measured."""
        feature_repo.write_entities(self._entities, rows)
        self._digest = {"rows": rows}
        self.cpu.clear()
        self.memory.clear()

    def by_driver(self) -> float:
        """Start the driver as Ray does, in the repository, with its payload beside it."""
        output = self._output()
        payload = join_payload(
            feature_service=feature_repo.SERVICE,
            entities_uri=str(self._entities),
            output_uri=str(output),
            run_name=output.name,
            storage_path=str(self._root / "runs"),
        )
        (self._root / "shipped" / output.name).mkdir()
        for name, content in payload.items():
            (self._root / "shipped" / output.name / name).write_bytes(content)
        told = {
            "PYTHONPATH": str(self._root / "shipped"),
            "AIR_SUBMISSION_ID": output.name,
            "AIR_PAYLOAD": output.name,
            "AIR_RECORDS_DIR": str(self._root),
        }
        _, *arguments = ENTRYPOINT.split()
        return self._run("driver", arguments, output, told)

    def by_feast(self) -> float:
        """Run the script that asks Feast."""
        output = self._output()
        script = [str(CODE / "plain_join.py"), str(self._repo), feature_repo.SERVICE]
        return self._run("feast", [*script, str(self._entities), str(output)], output)

    def by_duckdb(self) -> float:
        """Run the script that asks DuckDB."""
        output = self._output()
        script = [str(CODE / "duckdb_join.py"), str(self._entities), str(output)]
        features = map(str, feature_repo.features_files(self._root, self._views))
        return self._run("duckdb", [*script, *features], output)

    def _output(self) -> Path:
        return self._root / f"joined-{next(self._numbers)}"

    def _run(self, side: str, arguments: list[str], output: Path, told: Mapping[str, str] | None = None) -> float:
        log, began = self._root / "log.txt", time.perf_counter()
        with log.open("w") as file:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=self._repo,
                env={**os.environ, **(told or {})},
                stdout=file,
                stderr=subprocess.STDOUT,
            )
            _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        if status:
            raise RuntimeError(f"the join by {side} failed:\n{log.read_text()[-4000:]}")
        self.cpu.setdefault(side, []).append(used.ru_utime + used.ru_stime)
        self.memory.setdefault(side, []).append(used.ru_maxrss / 1024)
        self._check(side, output)
        return seconds

    def _check(self, side: str, output: Path) -> None:
        """
        Compare what was written with what the others wrote.

        :raises RuntimeError: they differ
        """
        digest = _digest(output, feature_repo.features_of(self._views))
        shutil.rmtree(output) if output.is_dir() else output.unlink()
        self._digest = {**digest, **self._digest}
        if digest != self._digest:
            raise RuntimeError(f"the join by {side} differs: {digest}, not {self._digest}")


def _digest(output: Path, features: Sequence[str]) -> dict[str, float]:
    label = pyarrow.parquet.read_table(output, columns=["arr_delay"]).column(0)
    digest: dict[str, float] = {"rows": len(label)}
    for name in features:
        column = pyarrow.parquet.read_table(output, columns=[name]).column(0)
        digest[name] = pyarrow.compute.sum(column).as_py()
        # A value in the row of another would leave the sum alone.
        digest[f"{name} by label"] = pyarrow.compute.sum(pyarrow.compute.multiply(column, label)).as_py()
    return digest

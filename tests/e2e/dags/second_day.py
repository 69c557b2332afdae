"""What people have on their second day, once on a cluster that is there, and once on a cluster of each task's own."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, task

from airflow_provider_air import LocalCluster, RaySubmitJobOperator

SCRIPTS = Path(__file__).parents[1] / "zweiter Tag"
FOLDER = "{{ dag_run.conf['folder'] }}"


def begins(folder: str, name: str) -> None:
    """Note each start, outside of Ray."""
    with Path(folder, "ledger").open("a") as ledger:
        ledger.write(name + "\n")


def ugly_values(folder: str) -> dict[Any, Any]:
    """Return what code really returns."""
    import datetime
    import decimal
    import enum
    import uuid

    import numpy

    begins(folder, "values")
    return {
        "loss": float("nan"),
        "bounds": (float("-inf"), numpy.float32(1.5)),
        "id": numpy.int64(2**53 + 1),
        "digest": b"\x00\xff",
        "weights": numpy.arange(3, dtype="float32"),
        "scalar": numpy.array(7),
        "at": datetime.datetime(2026, 3, 29, 1, 30, tzinfo=datetime.UTC),
        "never": numpy.datetime64("NaT"),
        "price": decimal.Decimal("1.10"),
        "key": uuid.UUID(int=5),
        "place": Path("/data/ä b.csv"),
        "kind": enum.Enum("Kind", "good bad").good,
        "by_number": {1: "one", 2.5: "two and a half"},
        "names": {"ndcg@10", "schön"},
    }


def read_back(folder: str, given: dict[Any, Any]) -> str:
    """Take as an argument what another function has returned."""
    import decimal

    begins(folder, "reads")
    # No XCom carries NaN.
    assert given["loss"] is None, given
    assert given["id"] == 2**53 + 1, given
    assert given["digest"] == b"\x00\xff", given
    assert given["weights"].tolist() == [0, 1, 2], given
    assert given["scalar"] == 7, given
    assert given["at"].isoformat() == "2026-03-29T01:30:00+00:00", given
    assert given["never"] is None, given
    assert given["price"] == decimal.Decimal("1.10"), given
    assert given["by_number"] == {1: "one", 2.5: "two and a half"}, given
    assert given["names"] == {"ndcg@10", "schön"}, given
    return "as it was"


def square(number: int, folder: str) -> int:
    """Be one of many."""
    begins(folder, f"square {number}")
    return number * number


def total(numbers: Any, folder: str) -> int:
    """Take what all of them have returned."""
    begins(folder, "total")
    return sum(numbers)


def table(folder: str) -> Any:
    """Return a table."""
    import pandas

    begins(folder, "table")
    return pandas.DataFrame({"id": [2**53 + 1, 2], "name": ["ä", None]})


def rows(given: Any, folder: str) -> int:
    """Take a table, and ask the cluster for its nodes on the way."""
    import ray

    begins(folder, "rows")
    assert ray.nodes()
    assert given["id"].tolist() == [2**53 + 1, 2], given
    return len(given)


def leaves_early(folder: str) -> None:
    """End as a script does."""
    import sys

    begins(folder, "leaves")
    sys.exit(0)


def has_nothing_to_do(folder: str) -> None:
    """Skip the task."""
    from air_drivers import report

    begins(folder, "skips")
    report.skip("no new files")


def fails(folder: str) -> None:
    """Fail for a reason."""
    begins(folder, "fails")
    try:
        {}["die Spalte"]
    except KeyError as error:
        raise RuntimeError("the report \x1b[31mcould not\x1b[0m be made") from error


def job(**options: Any) -> RaySubmitJobOperator:
    """Submit one of the scripts of a folder whose name has a space."""
    return RaySubmitJobOperator(working_dir=str(SCRIPTS), **options)


def build(**where: Any) -> None:
    """Make the tasks, each with its cluster."""
    task.ray(**where)(read_back)(FOLDER, task.ray(**where)(ugly_values)(FOLDER))
    numbers = task.ray(**where)(square).partial(folder=FOLDER).expand(number=[1, 2, 3])
    task.ray(**where)(total)(numbers, FOLDER)
    task.ray(**where)(rows)(task.ray(**where)(table)(FOLDER), FOLDER)
    task.ray(**where)(leaves_early)(FOLDER)
    task.ray(**where)(has_nothing_to_do)(FOLDER)
    job(task_id="metrics", entrypoint=["python", "viele Zahlen.py", FOLDER], records=True, **where)
    job(task_id="bar", entrypoint=["python", "Balken ä.py", FOLDER], **where)
    job(task_id="nothing_new", entrypoint=f"echo nothing >> '{FOLDER}/ledger'; exit 99", skip_on_exit_code=99, **where)


with DAG("second_day.ä", schedule=None, catchup=False):
    # In place for long: without a try to spare, Airflow itself may lose a task that comes back from a deferral (3.3.2).
    here: dict[str, Any] = {"ray_conn_id": "{{ dag_run.conf['ray_conn_id'] }}", "deferral_grace_seconds": 300}
    build(**here)
    task.ray(**here)(fails)(FOLDER)

with DAG("second_day_own", schedule=None, catchup=False, max_active_tasks=2):
    build(
        cluster=LocalCluster(num_cpus=1, object_store_memory_bytes=128 * 1024 * 1024),
        retries=1,
        retry_delay=timedelta(0),
    )

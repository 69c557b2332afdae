"""What do Train and Tune through their operators cost over plain scripts, and what does a kill cost?"""

from __future__ import annotations

import contextlib
import itertools
import json
import shlex
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil

from airflow_provider_air.errors import JobFailedError
from tests.benchmarks.rig import worker
from tests.benchmarks.rig.airflow import airflow, epoch
from tests.benchmarks.rig.heads import real_head
from tests.benchmarks.rig.raw_rest import RawRest
from tests.benchmarks.rig.report import Report, differences, interleaved
from tests.fakes.task_context import Store

CODE = Path(__file__).parent / "code"
ADDED_SECONDS = 2.0
EPOCHS = {"epochs": 5, "seconds_per_epoch": 0.2}
POINTS = 4
# The killed training: dies once this many of its epochs are in the storage.
LONG = {"epochs": 20, "seconds_per_epoch": 1.0}
KILLED_AFTER = 12
# What a script would set too, if its loop were fast: our driver's own setting, so that like is compared with like.
FAST_REPORTS = {"env_vars": {"RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2"}}
_NAMES = itertools.count(1)


def measure(*, quick: bool) -> Iterator[Report]:
    """Train and Tune against plain scripts, a killed training, and twenty trainings on one cluster."""
    pairs = 1 if quick else 5
    # Four logical CPUs: a trial or worker more than the machine has cores finds room.
    with tempfile.TemporaryDirectory() as storage, real_head("workloads", num_cpus=4) as (_, transport):
        with RawRest(transport) as rest, worker.connected(transport):
            yield _paired("train", pairs, _train(storage), lambda: _plain_train(rest, storage), quick=quick)
            yield _paired("tune", pairs, _tune(storage), lambda: _plain_tune(rest, storage), quick=quick)
            yield _killed(storage, 1 if quick else 3, quick=quick)
        if not quick:
            with airflow() as stack:
                yield _trainings(stack, storage)


def _paired(name: str, pairs: int, ours: Callable[[], float], plain: Callable[[], float], *, quick: bool) -> Report:
    report = Report(
        f"workload_overhead.{name}",
        f"wall seconds of a {name} job through its operator (execute() in this process, deferrable=False, code and "
        "drivers shipped) over the same as a script in place, submitted by raw REST",
        quick=quick,
    )
    plain()  # the first job of a kind starts what later ones share
    values = interleaved(pairs, script=plain, operator=ours)
    for side, seconds in values.items():
        report.series(side, seconds, "s")
    added = report.series("added", differences(values["operator"], values["script"]), "s")
    report.aim("median added seconds", added, at_most=ADDED_SECONDS)
    return report


def _train_operator(storage: str, config: dict[str, Any]) -> Any:
    from airflow_provider_air import RayTrainOperator

    return RayTrainOperator(
        task_id="train",
        ray_conn_id=worker.RAY_CONN_ID,
        deferrable=False,
        train_loop="loops:epochs",
        train_loop_config=config,
        working_dir=str(CODE),
        storage=storage,
    )


def _train(storage: str) -> Callable[[], float]:
    return lambda: worker.run(_train_operator(storage, EPOCHS))


def _tune(storage: str) -> Callable[[], float]:
    from airflow_provider_air import RayTuneOperator

    operator = RayTuneOperator(
        task_id="tune",
        ray_conn_id=worker.RAY_CONN_ID,
        deferrable=False,
        trainable="loops:objective",
        param_space={"x": {"grid_search": list(range(POINTS))}},
        metric="loss",
        mode="min",
        working_dir=str(CODE),
        storage=storage,
    )
    return lambda: worker.run(operator)


def _plain_train(rest: RawRest, storage: str) -> float:
    return rest.run(_script("plain_train.py", storage, json.dumps(EPOCHS)), runtime_env=FAST_REPORTS)


def _plain_tune(rest: RawRest, storage: str) -> float:
    return rest.run(_script("plain_tune.py", storage, str(POINTS)))


def _script(name: str, storage: str, argument: str) -> str:
    return shlex.join(["python", str(CODE / name), storage, f"plain-{next(_NAMES)}", argument])


def _killed(storage: str, times: int, *, quick: bool) -> Report:
    report = Report(
        "workload_overhead.killed_training",
        f"seconds lost when the driver of a training of {LONG['epochs']:g} epochs of {LONG['seconds_per_epoch']:g} s "
        f"dies after epoch {KILLED_AFTER}: first try and retry together, over an undisturbed run; and over what a "
        "retry that starts afresh would take",
        quick=quick,
    )
    runs = [_lose_some(storage) for _ in range(times)]
    for name in ("undisturbed", "first_try", "retry"):
        report.series(name, [run[name] for run in runs], "s")
    lost = [run["first_try"] + run["retry"] - run["undisturbed"] for run in runs]
    report.series("lost", lost, "s")
    report.series("lost_from_scratch", [run["first_try"] for run in runs], "s")
    report.series("epochs_run_again", [run["epochs_run_again"] for run in runs], "1")
    report.note("lost_from_scratch: what the first try took, since a retry without checkpoints gains nothing from it")
    return report


def _lose_some(storage: str) -> dict[str, float]:
    undisturbed = worker.run(_train_operator(storage, LONG))
    operator, store = _train_operator(storage, LONG), Store()
    context = worker.new_context(operator, store=store)
    known = set(Path(storage).iterdir())
    killer = threading.Thread(target=_kill_after, args=(Path(storage), known, context["ti"].xcoms))
    began = time.perf_counter()
    killer.start()
    with contextlib.suppress(JobFailedError):
        operator.execute(context)
    first_try = time.perf_counter() - began
    killer.join()
    again = worker.new_context(operator, store=store, run_id=context["ti"].run_id, try_number=2)
    began = time.perf_counter()
    result = operator.execute(again)
    retry = time.perf_counter() - began
    if not result["resumed_from"]:
        raise RuntimeError(f"the retry did not resume: {result}")
    shown = [row["metrics"]["epoch"] for row in result["history"]]
    if shown != list(range(int(LONG["epochs"]))):
        raise RuntimeError(f"the history has gaps or repetitions: {shown}")
    resumed_at = next(i for i, row in enumerate(result["history"]) if row["checkpoint"] == result["resumed_from"])
    return {
        "undisturbed": undisturbed,
        "first_try": first_try,
        "retry": retry,
        "epochs_run_again": float(KILLED_AFTER - 1 - resumed_at),
    }


def _kill_after(storage: Path, known: set[Path], xcoms: dict[str, Any]) -> None:
    """Kill the driver of the run whose folder is new, once it has its checkpoints."""
    end = time.monotonic() + 300
    while time.monotonic() < end:
        for run in set(storage.iterdir()) - known:
            if len(list(run.glob("checkpoint_*"))) >= KILLED_AFTER:
                _kill_driver(xcoms["submission_id"])
                return
        time.sleep(0.05)


def _kill_driver(submission_id: str) -> None:
    """Kill the job's own process on this machine, as a crash would."""
    for process in psutil.process_iter(["cmdline"]):
        with contextlib.suppress(psutil.Error):
            driver = "air_drivers.train" in (process.info["cmdline"] or [])
            if driver and process.environ().get("AIR_SUBMISSION_ID") == submission_id:
                process.kill()


def _trainings(stack: Any, storage: str) -> Report:
    report = Report(
        "workload_overhead.twenty_trainings",
        "twenty mapped trainings of three epochs on one cluster of a group, five at a time, in a real Airflow",
        quick=False,
    )
    instances = stack.ended("bench_trainings", run_id := stack.start("bench_trainings", storage=storage))
    trainings = [ti for ti in instances if ti["task_id"] == "ray.train"]
    results = [stack.api.xcom("bench_trainings", run_id, "ray.train", map_index=ti["map_index"]) for ti in trainings]
    bases = sorted(round(result["metrics"]["loss"] - 1 / 3) for result in results)
    if bases != list(range(20)):
        raise RuntimeError(f"the results are not one per training: {bases}")
    create = next(ti for ti in instances if ti["task_id"] == "ray.create_cluster")
    report.series("end_after_cluster", [epoch(ti["end_date"]) - epoch(create["end_date"]) for ti in trainings], "s")
    report.series("driver", [result["seconds"] for result in results], "s")
    report.number("tries", sum(ti["try_number"] for ti in trainings) / len(trainings), "per training")
    return report

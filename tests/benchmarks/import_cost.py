"""What does a process of Airflow's pay for the provider, before it uses any of it?"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator

from tests.benchmarks.rig.fresh import REPOSITORY
from tests.benchmarks.rig.report import Report, interleaved

PROBE = """
import gc, json, time
import airflow.sdk
{prepare}
gc.collect()  # a collection that is due anyway is not the import's
def resident():
    return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmRSS"))
memory, wall, cpu = resident(), time.perf_counter(), time.process_time()
{statement}
print(json.dumps([time.perf_counter() - wall, time.process_time() - cpu, resident() - memory]))
"""
EVERY_PUBLIC_NAME = """
import airflow_provider_air
for name in airflow_provider_air.__all__:
    getattr(airflow_provider_air, name)
"""
# What airflow.sdk itself loads when a DAG file names an operator, a sensor and a task group.
OPERATORS = "from airflow.sdk import BaseOperator, BaseSensorOperator, BaseHook, BaseOperatorLink, TaskGroup, dag, task"


def measure(*, quick: bool) -> Iterator[Report]:
    """All public names over ``import airflow.sdk``, in fresh processes."""
    report = Report(
        "import_cost",
        "time and memory of importing every public name after `import airflow.sdk`, in fresh processes; "
        "and after a DAG file's usual names of airflow.sdk as well",
        quick=quick,
    )
    cpu: dict[str, list[float]] = {"": [], "_usual": []}
    memory: dict[str, list[float]] = {"": [], "_usual": []}

    def side(name: str, prepare: str) -> float:
        wall, busy, size = _probe(prepare, environment)
        cpu[name].append(busy * 1000)
        memory[name].append(size / 1e6)
        return wall * 1000

    with tempfile.TemporaryDirectory() as folder:
        # Installed packages come with their byte code; a checkout may be run without any.
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        environment["PYTHONPYCACHEPREFIX"] = folder
        _probe("", environment)
        wall = interleaved(5 if quick else 15, bare=lambda: side("", ""), usual=lambda: side("_usual", OPERATORS))
    wall_median = report.series("wall", wall["bare"], "ms")
    report.series("cpu", cpu[""], "ms")
    memory_median = report.series("memory", memory[""], "MB")
    report.series("wall_over_usual_names", wall["usual"], "ms")
    report.series("cpu_over_usual_names", cpu["_usual"], "ms")
    report.series("memory_over_usual_names", memory["_usual"], "MB")
    report.aim("wall milliseconds over import airflow.sdk", wall_median, at_most=60)
    report.aim("megabytes over import airflow.sdk", memory_median, at_most=10)
    report.note("on a busy machine the CPU time tells more than the wall time")
    report.note("usual names: airflow.sdk loads its own operators when they are named, by whomever")
    yield report


def _probe(prepare: str, environment: dict[str, str]) -> tuple[float, float, float]:
    command = [sys.executable, "-c", PROBE.format(prepare=prepare, statement=EVERY_PUBLIC_NAME)]
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=300)
    if done.returncode:
        raise RuntimeError(done.stderr[-4000:])
    wall, cpu, size = json.loads(done.stdout.splitlines()[-1])
    return wall, cpu, size

"""``make demo``: real Airflow and MLflow, one real DAG, its progress here and in the UIs; all of it ends with this."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from airflow_api import FINISHED_RUN_STATES, AirflowApi
from airflow_stack import AirflowStack
from example_settings import example_connections, example_variables
from mlflow_server import mlflow_server

REPOSITORY = Path(__file__).parents[1]
DAG_ID = "flights_delays"
RUN_ID = "demo"
TASKS = ("clean", "ray.apply", "ray.tune", "ray.train", "ray.predict", "ray.judge", "ray.materialize", "ray.promote",
         "ray.deploy", "ray.ask")  # fmt: skip
POLL_SECONDS = 1.0
RUN_TIMEOUT_SECONDS = 1800.0


def main() -> int:
    """Run the demo and return the exit code: 0 when the run succeeded."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", type=int, choices=[0, 1], default=1, help="keep the UI up until Ctrl-C")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with _folder() as folder, _mlflow() as mlflow_url, _stack(folder, mlflow_url) as stack:
            state = show_run(stack.api, mlflow_url)
            if options.keep:
                print(f"\nAirflow stays up at {stack.base_url} and MLflow at {mlflow_url} until Ctrl-C.", flush=True)
                threading.Event().wait()
            return 0 if state == "success" else 1
    except KeyboardInterrupt:
        print("\nEnded; nothing is left running.", flush=True)
        return 0 if options.keep else 130


def show_run(api: AirflowApi, mlflow_url: str) -> str:
    """Start the DAG, print what happens to its tasks, then its results; return the run's state."""
    api.wait_dag(DAG_ID)
    api.unpause(DAG_ID)
    api.trigger(DAG_ID, {}, RUN_ID)
    say(f"watch it at {api.run_url(DAG_ID, RUN_ID)}")
    state = _follow(api)
    if state == "success":
        _show_results(api, mlflow_url)
    else:
        _show_failures(api)
    return state


def say(text: str) -> None:
    """Print one line of the demo's story, with the time since its start."""
    print(f"{time.monotonic() - _START:6.1f} s  {text}", flush=True)


def _follow(api: AirflowApi) -> str:
    seen: dict[str, str] = {}
    end = time.monotonic() + RUN_TIMEOUT_SECONDS
    while time.monotonic() < end:
        run_state = api.run_state(DAG_ID, RUN_ID)
        for instance in api.task_instances(DAG_ID, RUN_ID):
            name, state = instance["task_id"], _describe(api, instance)
            if state and seen.get(name) != state:
                seen[name] = state
                say(f"{name:18} {state}")
        if run_state in FINISHED_RUN_STATES:
            say(f"the run ended: {run_state}")
            return run_state
        time.sleep(POLL_SECONDS)
    say(f"the run did not end within {RUN_TIMEOUT_SECONDS:g} s")
    return "failed"


def _describe(api: AirflowApi, instance: dict[str, Any]) -> str | None:
    """Say what a task does now; for a deferred one, the progress that its Ray job reported."""
    state: str | None = instance["state"]
    if state == "deferred":
        progress = api.xcom(DAG_ID, RUN_ID, instance["task_id"], "progress")
        return f"deferred, no worker slot held{_progress_text(progress)}"
    return state


def _progress_text(progress: Any) -> str:
    message = progress.get("message") if isinstance(progress, dict) else None
    return f"; Ray says: {message}" if message else ""


def _show_results(api: AirflowApi, mlflow_url: str) -> None:
    counts = api.xcom(DAG_ID, RUN_ID, "clean")
    best = api.xcom(DAG_ID, RUN_ID, "ray.tune", "best_config")
    metrics = api.xcom(DAG_ID, RUN_ID, "ray.judge")
    print(f"\nSpark kept {counts['arrived']:,} of {counts['flights']:,} flights of 2013.")
    print(f"Tune chose learning_rate {best['learning_rate']:.3f} and {best['num_leaves']} leaves.")
    print(f"Errors in minutes on {metrics['judged_on']:,} flights of November and December:\n")
    for name, label in (
        ("mean", "their mean delay"),
        ("departure_delay_only", "departure delay alone"),
        ("model", "LightGBM on Ray"),
    ):
        print(f"  {label:24} rmse {metrics[name]['rmse']:7.2f}   mae {metrics[name]['mae']:7.2f}")
    gain = 100 * (1 - metrics["model"]["rmse"] / metrics["departure_delay_only"]["rmse"])
    print(f"\nThe model takes away {gain:.1f} % of the better simple predictor's error.")
    print("\nThe endpoint on Ray Serve said, in minutes:")
    for flight in api.xcom(DAG_ID, RUN_ID, "ray.ask"):
        name = f"{flight['carrier']} {flight['flight']:g} {flight['origin']}-{flight['dest']}"
        print(f"  {name:18} left {flight['dep_delay']:+5g}, predicted {flight['predicted_arr_delay']:+6.1f},", end=" ")
        print(f"arrived {flight['arr_delay']:+5g}")
    print()
    promoted = api.xcom(DAG_ID, RUN_ID, "ray.promote")
    print(
        f"MLflow holds it as version {promoted['version']} of {promoted['name']}, with the alias {promoted['alias']}:"
    )
    print(f"  {mlflow_url}/#/models/{promoted['name']}/versions/{promoted['version']}\n")
    for task_id in TASKS:
        print(f"  {task_id:15} {api.task_url(DAG_ID, RUN_ID, task_id)}")
    sys.stdout.flush()


def _show_failures(api: AirflowApi) -> None:
    for instance in api.task_instances(DAG_ID, RUN_ID):
        if instance["state"] in {"failed", "running", "deferred"}:
            log = api.log_text(DAG_ID, RUN_ID, instance["task_id"], max(1, instance["try_number"]))
            print(f"\n{instance['task_id']} ({instance['state']}), the end of its log:\n{log[-4000:]}")


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    """Give a short temporary folder for all that the demo writes, and leave no Ray cluster and no file of it."""
    folder = Path(tempfile.mkdtemp(prefix="air-"))
    os.environ["AIR_LOCAL_HOME"] = str(folder / "ray")
    try:
        yield folder
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        _delete_clusters()
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _mlflow() -> Iterator[str]:
    say("starting MLflow")
    with mlflow_server() as url:
        say(f"MLflow is up at {url}")
        yield url


@contextlib.contextmanager
def _stack(folder: Path, mlflow_url: str) -> Iterator[AirflowStack]:
    say("starting Airflow: API server, scheduler, DAG processor, triggerer")
    # The other examples are there to be looked at, and started by hand.
    env = {"AIR_LOCAL_HOME": str(folder / "ray"), "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True"}
    env |= example_variables(folder / "data")
    connections = {**example_connections(), "mlflow_default": {"conn_type": "mlflow", "host": mlflow_url}}
    try:
        with AirflowStack(REPOSITORY / "dags", env=env, connections=connections, home=folder / "airflow") as stack:
            say(f"Airflow is up at {stack.base_url}")
            yield stack
            say("ending Airflow")
    finally:
        say("everything that was started is ended")


def _delete_clusters() -> None:
    from airflow_provider_air.clusters.local.backend import LocalBackend
    from airflow_provider_air.clusters.watching import wait_until_gone

    backend = LocalBackend()
    for listed in backend.list():
        wait_until_gone(backend, listed.ref, timeout_seconds=120)


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


_START = time.monotonic()
if __name__ == "__main__":
    sys.exit(main())

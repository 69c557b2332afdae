"""What the benchmarks run in Airflow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from airflow.sdk import DAG, task

from airflow_provider_air import LocalCluster, RayClusterTaskGroup, RaySubmitJobOperator, RayTrainOperator

CODE = Path(__file__).parents[1] / "code"
RAY_CONN_ID = "ray_bench"
JOBS = 30
TRAININGS = 20

WAYS: dict[str, dict[str, Any]] = {
    "bench_waiting": {"deferrable": False},
    "bench_within_grace": {"deferrable": True},
    "bench_deferred": {"deferrable": True, "deferral_grace_seconds": 0},
}
for name, way in WAYS.items():
    with DAG(name, schedule=None, catchup=False):
        RaySubmitJobOperator(task_id="job", ray_conn_id=RAY_CONN_ID, entrypoint="true", **way)

with DAG("bench_race", schedule=None, catchup=False, max_active_tasks=1000):

    @task
    def entrypoints(dag_run: Any = None) -> list[str]:
        """Give the command of each job."""
        return [f"sleep {seconds}" for seconds in dag_run.conf["seconds"]]

    RaySubmitJobOperator.partial(task_id="job", ray_conn_id=RAY_CONN_ID, retries=0).expand(entrypoint=entrypoints())

with (
    DAG("bench_group", schedule=None, catchup=False, max_active_tasks=JOBS),
    RayClusterTaskGroup("ray", cluster=LocalCluster(num_cpus=2)),
):
    RaySubmitJobOperator.partial(task_id="job").expand(entrypoint=[f"echo {number}" for number in range(JOBS)])

with DAG("bench_progress", schedule=None, catchup=False):

    @task.ray(ray_conn_id=RAY_CONN_ID)
    def progress(records: str) -> list[float]:
        """Report a number again and again, and return when."""
        import time

        from air_drivers import report

        stamps = []
        for number in range(int(records)):
            stamps.append(time.time())
            report.progress("record", done=number, total=int(records))
            time.sleep(1)
        return stamps

    progress("{{ dag_run.conf['records'] }}")

with (
    DAG("bench_trainings", schedule=None, catchup=False, max_active_tasks=TRAININGS),
    RayClusterTaskGroup("ray", cluster=LocalCluster(num_cpus=6), max_concurrent_jobs=5),
):
    RayTrainOperator.partial(
        task_id="train",
        train_loop="loops:epochs",
        working_dir=str(CODE),
        storage="{{ dag_run.conf['storage'] }}",
        # One of the six that Ray counts; the machine's real cores are shared anyway.
        scaling_config={"num_workers": 1, "resources_per_worker": {"CPU": 1}},
        metric="loss",
        mode="min",
        # Twenty workers that leave at once take this machine seconds, and Airflow may fail the try of one that is late.
        retries=2,
    ).expand(train_loop_config=[{"epochs": 3, "base": float(number)} for number in range(TRAININGS)])

with DAG("bench_watched", schedule=None, catchup=False):

    @task.ray(ray_conn_id=RAY_CONN_ID)
    def watched(began_at: str, seconds: str) -> None:
        """Report again and again for how long there has been something to watch."""
        import time

        from air_drivers import report

        while (age := time.time() - float(began_at)) < float(seconds):
            report.metric({"age": age})
            time.sleep(0.5)

    watched("{{ dag_run.conf['began_at'] }}", "{{ dag_run.conf['seconds'] }}")

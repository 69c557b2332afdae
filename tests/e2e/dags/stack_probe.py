"""What the stack itself is tested with: a plain task, a busy one, a deferred wait."""

from __future__ import annotations

import time
from datetime import timedelta

from airflow.providers.standard.sensors.date_time import DateTimeSensorAsync
from airflow.sdk import dag, task
from airflow.sdk.timezone import utcnow


@dag(schedule=None, catchup=False)
def stack_plain():
    @task
    def add(a: int, b: int) -> int:
        print("adding on a worker")
        return a + b

    add(2, 3)


@dag(schedule=None, catchup=False)
def stack_deferred():
    @task
    def soon() -> str:
        return (utcnow() + timedelta(seconds=20)).isoformat()

    until = soon()
    until >> DateTimeSensorAsync(task_id="wait", target_time="{{ ti.xcom_pull('soon') }}")


@dag(schedule=None, catchup=False)
def stack_busy():
    @task
    def sleep() -> None:
        time.sleep(600)

    sleep()


stack_plain()
stack_busy()
stack_deferred()

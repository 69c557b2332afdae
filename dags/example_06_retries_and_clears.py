"""
Lesson 6: what a retry and a clear do.

A retry is Airflow's: the next try first looks at what the last one left. A job that still runs is adopted, one that
has succeeded is collected, and only one that failed, was stopped or is lost is followed by a new one, which resumes
where the workload can. So a worker that dies, or a triggerer that restarts, never runs your job twice.

A clear is a person's word: a live job is stopped. What comes next is up to ``on_clear``:

==========  ===========================================================================
``auto``    after a success afresh; after anything else resume from the last checkpoint
``fresh``   always afresh
``resume``  always resume
==========  ===========================================================================

``ray_retry_policy`` tells Ray's trouble from yours: a lost node is retried soon, an exception of your function by the
task's own ``retry_delay``, or not at all with ``retry_user_errors=False``; a wrong argument never.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import dag, task

from airflow_provider_air import ray_retry_policy


@dag(schedule=None, catchup=False, doc_md=__doc__, tags=["example"])
def example_06_retries_and_clears() -> None:
    """Fail once, then succeed. Clear the task afterwards, and look at its log."""

    @task.ray(
        retries=2,
        retry_delay=timedelta(seconds=2),
        retry_policy=ray_retry_policy(infrastructure_delay_seconds=1),
        on_clear="fresh",
        execution_timeout=timedelta(minutes=5),
    )
    def flaky(try_number: str) -> str:
        if try_number == "1":
            raise RuntimeError("the first try fails, as an example")
        return f"done in try {try_number}"

    flaky("{{ ti.try_number }}")


example_06_retries_and_clears()

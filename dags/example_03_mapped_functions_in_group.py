"""
Lesson 3: many functions on one cluster that lives as long as they need it.

The group starts a cluster before its first task (setup) and deletes it after the last (teardown), also when a task
fails or a person stops the run. Tasks inside find the cluster by themselves. ``expand`` makes one job per input;
``max_concurrent_jobs`` lets the cluster take two at once, the others wait in the triggerer and hold nothing.

The cluster is the group's own, so the group says what to have. Elsewhere it is another spec, such as
``KubeRayCluster(...)``.
"""

from __future__ import annotations

from airflow.sdk import dag, task

from airflow_provider_air import LocalCluster, RayClusterTaskGroup


@dag(schedule=None, catchup=False, doc_md=__doc__, tags=["example"])
def example_03_mapped_functions_in_group() -> None:
    """Count words of several texts, then add up."""

    @task
    def texts() -> list[str]:
        return ["to be or not to be", "all that glitters", "the rest is silence", "words words words"]

    @task
    def add_up(counts: list[int]) -> int:
        return sum(counts)

    with RayClusterTaskGroup("ray", cluster=LocalCluster(num_cpus=2), max_concurrent_jobs=2):

        @task.ray(retries=2)
        def count_words(text: str) -> int:
            return len(text.split())

        counts = count_words.expand(text=texts())

    add_up(counts)


example_03_mapped_functions_in_group()

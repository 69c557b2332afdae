"""
Lesson 2: run a function on Ray.

``@task.ray`` ships the function by value: what it uses of this file comes along, and so do modules beside it. Its
process is the driver of a Ray job, so it may use ``ray`` freely; imports of what only the cluster has go inside.
Arguments and return value are plain data, numpy arrays or dataclasses. The Python of worker and cluster must have the
same minor version.
"""

from __future__ import annotations

import random

from airflow.sdk import dag, task


def hits(seed: int, throws: int) -> int:
    """Throw darts at a square and count those inside the circle: a helper that travels with the function."""
    dice = random.Random(seed)
    return sum(dice.random() ** 2 + dice.random() ** 2 <= 1 for _ in range(throws))


@dag(schedule=None, catchup=False, doc_md=__doc__, tags=["example"])
def example_02_function() -> None:
    """Estimate pi on Ray, judge it on an ordinary worker."""

    @task.ray
    def estimate_pi(throws: int, parts: int) -> float:
        import ray

        share = throws // parts
        found: list[int] = ray.get([ray.remote(hits).remote(seed, share) for seed in range(parts)])
        return 4 * sum(found) / (share * parts)

    @task
    def judge(estimate: float) -> str:
        return f"off by {abs(estimate - 3.141592653589793):.4f}"

    judge(estimate_pi(throws=400_000, parts=4))


example_02_function()

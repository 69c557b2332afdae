"""
Lesson 5: wait for what others do.

``RayClusterSensor`` waits until a cluster takes work, ``RayJobSensor`` until a job has succeeded that another system
submitted; a job that fails fails the task. Both wait in the triggerer. ``RayCreateClusterOperator`` starts a cluster,
or adopts the one of this name, as a step of its own.
"""

from __future__ import annotations

from airflow.sdk import dag, task

from airflow_provider_air import LocalCluster, RayClusterSensor, RayCreateClusterOperator, RayJobSensor

CLUSTER = LocalCluster(name="examples", num_cpus=2)


@dag(schedule=None, catchup=False, doc_md=__doc__, tags=["example"])
def example_05_sensors() -> None:
    """Have a cluster, see that it is up, wait for a job that is not ours."""
    create = RayCreateClusterOperator(task_id="create", cluster=CLUSTER)
    is_up = RayClusterSensor(task_id="is_up", cluster=CLUSTER, timeout=300)

    @task.ray(cluster=CLUSTER)
    def another_system() -> str:
        """Submit a job without waiting for it, as a notebook or another scheduler would."""
        import ray
        from ray.job_submission import JobSubmissionClient

        client = JobSubmissionClient(f"http://{ray.init().dashboard_url}")
        name: str = client.submit_job(entrypoint="sleep 3 && echo the other system is done")
        return name

    other = another_system()
    is_done = RayJobSensor(task_id="is_done", submission_id=other, cluster=CLUSTER, timeout=300)
    create >> is_up >> other >> is_done


example_05_sensors()

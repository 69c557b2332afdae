"""
Lesson 5: wait for what others do.

``RayClusterSensor`` waits until a cluster takes work, ``RayJobSensor`` until a job has succeeded that another system
submitted; a job that fails fails the task. Both wait in the triggerer and start nothing, so the connection has to name
its cluster. ``RayCreateClusterOperator`` makes having it a step of its own: it adopts the one that lives, else starts
it, and waits for one that has an address.
"""

from __future__ import annotations

from airflow.sdk import dag, task

from airflow_provider_air import RayClusterSensor, RayCreateClusterOperator, RayJobSensor


@dag(schedule=None, catchup=False, doc_md=__doc__, tags=["example"])
def example_05_sensors() -> None:
    """Have a cluster, see that it is up, wait for a job that is not ours."""
    create = RayCreateClusterOperator(task_id="create", ray_conn_id="ray_default")
    is_up = RayClusterSensor(task_id="is_up", timeout=300)

    @task.ray
    def another_system() -> str:
        """Submit a job without waiting for it, as a notebook or another scheduler would."""
        import ray
        from ray.job_submission import JobSubmissionClient

        client = JobSubmissionClient(f"http://{ray.init().dashboard_url}")
        name: str = client.submit_job(entrypoint="sleep 3 && echo the other system is done")
        return name

    other = another_system()
    is_done = RayJobSensor(task_id="is_done", submission_id=other, timeout=300)
    create >> is_up >> other >> is_done


example_05_sensors()

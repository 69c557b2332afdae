"""
Lesson 12: reinforcement learning with RLlib.

Needs torch and gymnasium on the Ray cluster (``pip install torch "gymnasium==1.2.2"``), not in Airflow. Where they
are absent, the task says so and is not retried.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import dag

from airflow_provider_air import RayRLlibOperator

STORAGE = "{{ var.value.get('air_examples_storage', '/tmp') }}"


@dag(schedule=None, catchup=False, doc_md=__doc__, tags=["example"])
def example_12_rllib() -> None:
    """Balance a pole for two iterations."""
    RayRLlibOperator(
        task_id="balance",
        algorithm="PPO",
        environment="CartPole-v1",
        config={"num_env_runners": 1, "train_batch_size_per_learner": 500},
        stop={"training_iteration": 2},
        storage=STORAGE,
        retries=1,
        execution_timeout=timedelta(minutes=20),
    )


example_12_rllib()

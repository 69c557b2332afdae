"""Whatever is made inside a RayClusterTaskGroup runs between its setup and its teardown."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, TaskGroup, task, task_group

from airflow_provider_air.clusters.local.spec import LocalCluster
from airflow_provider_air.connections.ports import enclosing_group
from airflow_provider_air.operators.group import RayClusterTaskGroup
from airflow_provider_air.operators.submit import RaySubmitJobOperator


def job(name: str) -> RaySubmitJobOperator:
    return RaySubmitJobOperator(task_id=name, entrypoint="true")


def add(number: int = 0, other: Any = None) -> int:
    return number


def reachable(dag: DAG, start: str) -> set[str]:
    """Give all tasks that can only run after this one."""
    found: set[str] = set()
    waiting = [start]
    while waiting:
        for task_id in dag.get_task(waiting.pop()).downstream_task_ids - found:
            found.add(task_id)
            waiting.append(task_id)
    return found


def check_all_between(dag: DAG, group: RayClusterTaskGroup) -> None:
    """Each task of the group comes after its setup and before its teardown."""
    create, delete = group.create_task_id, group.create_task_id.replace("create_cluster", "delete_cluster")
    inside = {item.task_id for item in group.iter_tasks()} - {create, delete}
    assert inside <= reachable(dag, create)
    assert all(delete in reachable(dag, task_id) for task_id in inside)
    assert dag.get_task(create).is_setup
    assert dag.get_task(delete).is_teardown


def test_a_chain_is_wired_at_its_ends_alone() -> None:
    with DAG("flights", schedule=None) as dag, RayClusterTaskGroup("ray", cluster=LocalCluster()) as group:
        job("one") >> job("two")
    check_all_between(dag, group)
    assert dag.get_task("ray.create_cluster").downstream_task_ids == {"ray.one", "ray.delete_cluster"}
    assert dag.get_task("ray.delete_cluster").upstream_task_ids == {"ray.two", "ray.create_cluster"}


def test_mapped_tasks_are_waited_for() -> None:
    """Airflow's own ``with teardown:`` overlooks them (3.3.2)."""
    with DAG("flights", schedule=None) as dag, RayClusterTaskGroup("ray", cluster=LocalCluster()) as group:
        task.ray(task_id="function")(add).expand(number=[1, 2])
        RaySubmitJobOperator.partial(task_id="command").expand(entrypoint=["true", "false"])
    check_all_between(dag, group)
    assert {"ray.function", "ray.command"} <= dag.get_task("ray.delete_cluster").upstream_task_ids


def test_mapped_tasks_over_a_result_from_outside_wait_for_the_cluster_too() -> None:
    with DAG("flights", schedule=None) as dag:
        numbers: Any = task(task_id="numbers")(add)()
        with RayClusterTaskGroup("ray", cluster=LocalCluster()) as group:
            task.ray(task_id="function")(add).expand(number=numbers)
    check_all_between(dag, group)
    assert dag.get_task("ray.function").upstream_task_ids == {"numbers", "ray.create_cluster"}


def test_tasks_of_nested_and_mapped_groups_are_between_and_find_the_cluster() -> None:
    @task_group
    def each(number: int) -> None:
        task.ray(task_id="in_mapped_group")(add)(number)

    with DAG("flights", schedule=None) as dag, RayClusterTaskGroup("ray", cluster=LocalCluster()) as group:
        with TaskGroup("nested"):
            job("deep")
        each.expand(number=[1, 2])
    check_all_between(dag, group)
    for task_id in ("ray.nested.deep", "ray.each.in_mapped_group"):
        assert enclosing_group(dag.get_task(task_id)).group_id == "ray"


def test_a_cluster_inside_a_cluster_lives_inside_its_life() -> None:
    with DAG("flights", schedule=None) as dag, RayClusterTaskGroup("outer", cluster=LocalCluster()) as outer:
        first = job("first")
        with RayClusterTaskGroup("inner", cluster=LocalCluster()) as inner:
            second = job("second")
        first >> second
    check_all_between(dag, outer)
    check_all_between(dag, inner)
    assert enclosing_group(second).group_id == inner.group_id
    assert enclosing_group(first).group_id == outer.group_id


def test_what_follows_the_group_waits_for_its_work_and_not_for_its_teardown() -> None:
    with DAG("flights", schedule=None) as dag:
        with RayClusterTaskGroup("ray", cluster=LocalCluster()) as group:
            task.ray(task_id="function")(add).expand(number=[1, 2])
        group >> job("after")
    assert dag.get_task("after").upstream_task_ids == {"ray.function"}


def test_an_empty_group_still_deletes_what_it_creates() -> None:
    with DAG("flights", schedule=None) as dag, RayClusterTaskGroup("ray", cluster=LocalCluster()):
        pass
    assert dag.get_task("ray.create_cluster").downstream_task_ids == {"ray.delete_cluster"}

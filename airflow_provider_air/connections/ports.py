"""
What a process of Airflow gives to a run: state store, XComs, connections, back ends, log, clock; and the cluster.

Which cluster a task of a DAG uses is decided here and nowhere else, see :func:`target_of`.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.sdk.exceptions import AirflowRuntimeError

from airflow_provider_air.clusters.registry import open_backend
from airflow_provider_air.clusters.registry import target_of as target_of_arguments
from airflow_provider_air.connections.airflow import AirflowConnections
from airflow_provider_air.connections.deployment import deployment_id
from airflow_provider_air.connections.misread import is_misread, spelled
from airflow_provider_air.contracts.clusters import ClusterBackend, ClusterRef, ClusterSpec, HasManifest, ReadsFiles
from airflow_provider_air.contracts.names import TaskKey
from airflow_provider_air.errors import ConfigurationError, TaskReplacedError
from airflow_provider_air.workloads.rendered import read_rendered

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_air.contracts.runs import Log
    from airflow_provider_air.runs.admission import Admission
    from airflow_provider_air.runs.cluster_requests import AskedOfClusters
    from airflow_provider_air.runs.leases import Leases
    from airflow_provider_air.runs.plan import Try
    from airflow_provider_air.runs.ports import Ports, WatchPorts

T = TypeVar("T")

CONNECTIONS = AirflowConnections()
WAITS_KEY = "air_waits"
"""Where the task state store has it since when a sensor waits."""


@cache
def _admission() -> Admission:
    """Give the one of this process."""
    from airflow_provider_air.runs.admission import Admission
    from airflow_provider_air.runs.places import HostPlaces

    return Admission(HostPlaces())


@cache
def _leases() -> Leases:
    """Give the one of this process."""
    from airflow_provider_air.runs.leases import Leases

    return Leases()


@cache
def _asked() -> AskedOfClusters:
    """Give the one of this process."""
    from airflow_provider_air.runs.cluster_requests import AskedOfClusters

    return AskedOfClusters()


@cache
def backend_of(name: str) -> ClusterBackend:
    """
    Give the process's one cluster back end of a name; for workers, threads of the triggerer, and the command line.

    :raises ConfigurationError: there is no such back end
    """
    return open_backend(name, CONNECTIONS)


class XComBoard:
    """
    The XComs of one task instance; for the triggerer, by its supervisor's line. Blocks.

    :param task: ``dag_id``, ``run_id``, ``task_id``, ``map_index``
    """

    def __init__(self, task: Mapping[str, Any]) -> None:
        self._task = dict(task)

    def read(self, key: str) -> Any:
        """Give a value; None where there is none."""
        from airflow.sdk.execution_time.xcom import XCom

        return self._sent(lambda: XCom.get_one(key=key, **self._task))

    def write(self, key: str, value: Any) -> None:
        """Write a value."""
        from airflow.sdk.execution_time.xcom import XCom

        self._sent(lambda: XCom.set(key=key, value=value, **self._task))

    def _sent(self, call: Callable[[], T]) -> T:
        try:
            return call()
        except AirflowRuntimeError as error:
            if not is_misread(error):
                raise
        # From now on, since it would be misread each time.
        self._task = {name: spelled(value) if isinstance(value, str) else value for name, value in self._task.items()}
        return call()


class WorkerBoard(XComBoard):
    """The XComs of the task instance that a worker runs."""

    def __init__(self, ti: Any) -> None:
        super().__init__(_names_of(ti))
        self._ti = ti

    def write(self, key: str, value: Any) -> None:
        """Write a value."""
        self._ti.xcom_push(key=key, value=value)


class WorkerStore:
    """The state store of the task instance that a worker runs: Airflow's own accessor, by the worker's supervisor."""

    def __init__(self, states: Any) -> None:
        self._states = states

    def get(self, key: str) -> Any:
        """Give a value; None where there is none."""
        return self._states.get(key)

    def set(self, key: str, value: Any) -> None:
        """
        Write a value.

        :raises TaskReplacedError: the api-server no longer knows this try: each try and clear has an id of its own
            (read in Airflow 3.3's execution API)
        """
        self._changed(lambda: self._states.set(key, value))

    def delete(self, key: str) -> None:
        """Remove a value; none is fine. Raises as :meth:`set`."""
        self._changed(lambda: self._states.delete(key))

    def _changed(self, change: Callable[[], object]) -> None:
        try:
            change()
        except AirflowRuntimeError as error:
            if (error.error.detail or {}).get("status_code") not in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE):
                raise
            raise TaskReplacedError(
                "Airflow no longer knows this try: the task was cleared, or another try of it runs"
            ) from error


def _names_of(ti: Any) -> dict[str, Any]:
    map_index = ti.map_index if isinstance(ti.map_index, int) else -1
    return {"dag_id": ti.dag_id, "run_id": ti.run_id, "task_id": ti.task_id, "map_index": map_index}


def task_of(context: Context) -> dict[str, Any]:
    """Name the task instance of a worker's context as Airflow does, for the trigger that waits for it."""
    return _names_of(context["ti"])


def task_key_of(context: Context) -> TaskKey:
    """Name the task instance of a worker's context."""
    return TaskKey(deployment_id(), **task_of(context))


def try_of(context: Context) -> Try:
    """Say which try of it a worker's context is."""
    from airflow_provider_air.runs.plan import Try

    ti: Any = context["ti"]
    retries = getattr(context.get("task"), "retries", None)
    clear_number = getattr(context.get("dag_run"), "clear_number", None)
    return Try(task_key_of(context), ti.try_number, ti.max_tries, retries, clear_number)


def waits_since(context: Context) -> float:
    """
    Give the epoch seconds at which a sensor began to wait, and write them down for its next tries; for workers.

    A clear by a person begins anew.
    """
    this = try_of(context)
    store: Any = context["task_state_store"]
    told = store.get(WAITS_KEY)
    is_begun = isinstance(told, Mapping) and not this.is_cleared_since(told)
    since = float(told["since"]) if is_begun else time.time()
    if told != (now_told := {"version": 1, "since": since, **this.numbers}):
        store.set(WAITS_KEY, now_told)
    return since


def environment_of(context: Context) -> dict[str, str]:
    """
    Give what tells a job which task it runs for, by the names that Airflow uses in its own workers.

    ``AIRFLOW_CTX_*``, the run's partition key where it has one; ``TRACEPARENT`` and ``TRACESTATE`` where the worker
    records a trace, so that the job's spans join it.
    """
    from airflow.sdk.execution_time.context import context_to_airflow_vars
    from opentelemetry import trace
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    variables = dict(context_to_airflow_vars(context, in_env_var_format=True))
    if partition_key := context.get("partition_key"):
        variables.setdefault("AIRFLOW_CTX_PARTITION_KEY", partition_key)
    if trace.get_current_span().is_recording():
        carrier: dict[str, str] = {}
        TraceContextTextMapPropagator().inject(carrier)
        variables |= {name.upper(): value for name, value in carrier.items()}
    return variables


def run_ports(context: Context, log: Log) -> Ports:
    """Give what a run needs; for workers."""
    from airflow_provider_air.pages.report import report_of
    from airflow_provider_air.runs.clock import RealClock
    from airflow_provider_air.runs.ports import Ports

    store = WorkerStore(context["task_state_store"])
    return Ports(
        WorkerBoard(context["ti"]),
        CONNECTIONS,
        backend_of,
        log,
        RealClock(),
        _admission(),
        store,
        leases=_leases(),
        asked=_asked(),
        report=report_of,
    )


def watch_ports(task: Mapping[str, Any], log: Log) -> WatchPorts:
    """
    Give what a watch needs; for the triggerer.

    :param task: ``dag_id``, ``run_id``, ``task_id``, ``map_index`` of the task instance that waits
    """
    from airflow_provider_air.runs.clock import RealClock
    from airflow_provider_air.runs.ports import WatchPorts

    return WatchPorts(
        XComBoard(task), CONNECTIONS, backend_of, log, RealClock(), _admission(), leases=_leases(), asked=_asked()
    )


def bundle_folder(context: Context) -> Path | None:
    """Give the folder of the DAG's bundle; None where the process has none."""
    bundle = getattr(context["ti"], "bundle_instance", None)
    return None if bundle is None else Path(str(bundle.path))


def code_folders(context: Context, functions: Iterable[Callable[..., Any]]) -> list[str]:
    """Give the folders whose modules travel by value with functions: where these are, and the DAG's bundle."""
    folders = [str(Path(inspect.getfile(function)).parent) for function in functions]
    bundle = bundle_folder(context)
    return folders if bundle is None else [*folders, str(bundle)]


def local_roots(task: Any, context: Context) -> tuple[Path, ...]:
    """Give where a task's relative paths start: the folder of the DAG's file, then that of its bundle."""
    file = task.dag.fileloc if task.has_dag() else None
    bundle = bundle_folder(context)
    return (*(() if file is None else (Path(file).parent,)), *(() if bundle is None else (bundle,)))


def read_fields(task: Any) -> None:
    """
    Make of an operator's or sensor's rendered fields what their templates meant; in the worker.

    :raises ConfigurationError: text in the place of a truth value is none
    """
    own = getattr(task, "render_template_as_native_obj", None)
    is_native = (task.has_dag() and task.dag.render_template_as_native_obj) if own is None else own
    read_rendered(task, is_native=is_native)


def enclosing_group(task: Any) -> Any:
    """
    Find the innermost ``RayClusterTaskGroup`` around a task, or None.

    Runs in the worker, where the DAG file was parsed; told by its attribute, since groups are of a layer above.
    """
    group = getattr(task, "task_group", None)
    while group is not None and not getattr(group, "create_task_id", None):
        group = group.parent_group
    return group


def group_of(task: Any) -> Any:
    """Give the group whose cluster the task uses: none where the task names another cluster, or a connection."""
    return enclosing_group(task) if task.cluster is None and task.ray_conn_id is None else None


def target_of(task: Any, context: Context) -> ClusterSpec | ClusterRef:
    """
    Decide the cluster of an operator or sensor; starts nothing.

    ``cluster=``, else an explicit ``ray_conn_id``, else the enclosing group's, else the connection ``ray_default``.

    :raises ConfigurationError: the argument or the connection is wrong, or the group has no cluster
    """
    group = group_of(task)
    cluster = task.cluster if group is None else _cluster_of(group, context)
    return with_files(chosen(cluster, task.ray_conn_id), local_roots(task, context))


def chosen(cluster: Any, ray_conn_id: str | None) -> ClusterSpec | ClusterRef:
    """
    Decide the cluster of two arguments, by Airflow's connections; starts nothing.

    :raises ConfigurationError: the argument or the connection is wrong
    """
    return target_of_arguments(cluster, ray_conn_id, CONNECTIONS)


def with_files(target: ClusterSpec | ClusterRef, roots: Sequence[Path]) -> ClusterSpec | ClusterRef:
    """
    Give a cluster's spec with what its files say, where it names some; in the worker.

    :param roots: where a relative path starts, see :func:`local_roots`
    :raises ConfigurationError: there is no such file, or it says nothing right
    :raises UnavailableError: what is no local file does not answer
    """
    return target.from_files(roots) if isinstance(target, ReadsFiles) else target


def manifest_of(task: Any, *, is_owned: bool) -> str | None:
    """
    Give what an operator's own cluster would be asked for with, as YAML; None where it has none, or no manifest.

    For people, before it runs: templates that nobody has rendered are taken as they are written.

    :param is_owned: the cluster is for the operator's job alone, where the spec has no name
    :raises ConfigurationError: the argument or the connection is wrong
    """
    if group_of(task) is not None or not (task.cluster is None or isinstance(task.cluster, ClusterSpec)):
        return None
    roots = (Path(task.dag.fileloc).parent,) if task.has_dag() else ()
    target = with_files(chosen(task.cluster, task.ray_conn_id), roots)
    key = TaskKey(deployment_id(), task.dag_id, "dry-run", task.task_id)
    return target.to_yaml(key, is_owned=is_owned) if isinstance(target, HasManifest) else None


def found_target_of(task: Any, context: Context) -> ClusterRef:
    """
    Name the cluster of a task that needs one that is there; starts nothing.

    :raises ConfigurationError: as :func:`target_of`, or each task has a cluster of its own
    """
    return found(target_of(task, context))


def found(target: ClusterSpec | ClusterRef) -> ClusterRef:
    """
    Name the cluster that a spec stands for, whether it lives or not.

    :raises ConfigurationError: the spec has no name, so that each task has a cluster of its own
    """
    return target if isinstance(target, ClusterRef) else backend_of(target.backend).find(target)


def _cluster_of(group: Any, context: Context) -> Any:
    ti = context["ti"]
    create = context["dag"].get_task(group.create_task_id)
    mapped = create.get_closest_mapped_task_group() is not None
    made = ti.xcom_pull(task_ids=group.create_task_id, map_indexes=ti.map_index if mapped else None)
    if not made:
        raise ConfigurationError(
            f"The task {group.create_task_id!r} has made no cluster for this group",
            hint="Clear it together with this task",
        )
    return made

"""Creates and deletes Ray clusters as steps of a DAG."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator, BaseOperatorLink
from airflow.sdk.exceptions import AirflowTaskTimeout

from airflow_provider_air.connections.ports import chosen, found, run_ports, task_of, try_of
from airflow_provider_air.connections.raising import airflow_errors
from airflow_provider_air.contracts.clusters import ClusterRef
from airflow_provider_air.contracts.runs import Done, Wait
from airflow_provider_air.errors import AirError, ConfigurationError
from airflow_provider_air.links.ray import DASHBOARD_KEY, RayDashboardLink
from airflow_provider_air.triggers.deferring import DEFAULT_DEFERRABLE, backstop, grace_seconds, not_before

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_air.connections.task_states import KillQuestion
    from airflow_provider_air.runs.cluster import ClusterRun


class ClusterOperator(BaseOperator):
    """
    Base of the operators that make or delete a cluster, and wait for that.

    :param cluster_timeout_seconds: how long it may take; ``execution_timeout`` where that is shorter
    :param deferrable: wait in the triggerer; False waits on the worker. By default Airflow's
        ``[operators] default_deferrable``
    :param deferral_grace_seconds: how long a worker waits in place before it defers; by default
        ``[air] deferral_grace_seconds``
    """

    template_fields: Sequence[str] = ("cluster",)

    def __init__(
        self,
        *,
        cluster: Any,
        cluster_timeout_seconds: float = 600.0,
        deferrable: bool = DEFAULT_DEFERRABLE,
        deferral_grace_seconds: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.cluster = cluster
        self.cluster_timeout_seconds = cluster_timeout_seconds
        self.deferrable = deferrable
        self.deferral_grace_seconds = deferral_grace_seconds
        self._run: ClusterRun | None = None
        self._kill: KillQuestion | None = None

    def begin(self, context: Context, run: ClusterRun) -> Wait | Done:
        """Ask for what the task is about; runs in the worker."""
        raise NotImplementedError

    def done(self, context: Context, ref: ClusterRef) -> Any:
        """Give the task's XCom; runs in the worker."""
        raise NotImplementedError

    def execute(self, context: Context) -> Any:
        """
        Ask for it, and wait: in place for a while, then in the triggerer.

        :raises AirflowFailException: the cluster or its connection is wrong; not retried
        :raises AirError: this try failed
        """
        with airflow_errors():
            run = self._open(context)
            with self._within_its_time(run):
                return self._go_on(context, run, self.begin(context, run))

    def on_event(self, context: Context, event: Any) -> Any:
        """Go on after a deferral; called by Airflow on a worker, with the trigger's event."""
        with airflow_errors():
            run = self._open(context)
            with self._within_its_time(run):
                return self._go_on(context, run, run.resume(event))

    def on_kill(self) -> None:
        """Take back what was started, where a person stopped the task or no try is left; inside a signal handler."""
        if self._run is not None and self._kill is not None:
            self._run.kill(self._kill.is_wanted)

    @contextmanager
    def _within_its_time(self, run: ClusterRun) -> Iterator[None]:
        """Airflow's own alarm bounds what a worker does: where it rings, nothing after it would be heard."""
        try:
            yield
        except AirflowTaskTimeout:
            run.expire()
            raise

    @property
    def _seconds(self) -> float:
        """How long it may take: Airflow does not count while the task is deferred."""
        own = self.execution_timeout
        return self.cluster_timeout_seconds if own is None else min(self.cluster_timeout_seconds, own.total_seconds())

    def _open(self, context: Context) -> ClusterRun:
        from airflow_provider_air.connections.task_states import KillQuestion
        from airflow_provider_air.runs.cluster import ClusterRun

        ports = run_ports(context, self.log)
        self._kill = KillQuestion(task_of(context))
        self._run = ClusterRun(try_of(context), ports, timeout_seconds=self._seconds)
        return self._run

    def _go_on(self, context: Context, run: ClusterRun, step: Wait | Done) -> Any:
        grace = grace_seconds(self.deferral_grace_seconds)
        while isinstance(step, Wait):
            event = run.wait(step, time.time() + grace if self.deferrable else None)
            if event is None:
                self._defer(context, step)
            step = run.resume(event)
        return self.done(context, step.result)

    def _defer(self, context: Context, step: Wait) -> None:
        from airflow_provider_air.triggers.run import RayRunTrigger

        trigger = RayRunTrigger(step=step.to_json(), task=task_of(context), not_before=not_before())
        self.defer(trigger=trigger, method_name=self.on_event.__name__, timeout=backstop(step.until))


class RayCreateClusterOperator(ClusterOperator):
    """
    Have a cluster: adopt the one of this name if it lives, else start it; done when it takes work.

    The XCom names the cluster: pass it as ``cluster=`` to other operators, and to
    :class:`RayDeleteClusterOperator` as a teardown. It says by ``created`` whether this task has started the cluster,
    in any of its tries, or found it there. What it has started goes with it when it fails.

    :param cluster: the spec, such as ``LocalCluster()``
    :param ray_conn_id: instead of a spec, a ``ray`` connection that says what to have
    """

    template_fields: Sequence[str] = (*ClusterOperator.template_fields, "ray_conn_id")
    operator_extra_links: Sequence[BaseOperatorLink] = (RayDashboardLink(),)

    def __init__(self, *, cluster: Any = None, ray_conn_id: str | None = None, **kwargs: Any) -> None:
        super().__init__(cluster=cluster, **kwargs)
        self.ray_conn_id = ray_conn_id

    def begin(self, context: Context, run: ClusterRun) -> Wait | Done:
        """Start or adopt it."""
        target = chosen(self.cluster, self.ray_conn_id)
        if isinstance(target, ClusterRef):
            raise ConfigurationError("'cluster' must be a cluster spec, not a cluster that exists")
        return run.create(target)

    def done(self, context: Context, ref: ClusterRef) -> dict[str, Any]:
        """Give its name, which outlives this task: whoever deletes it is another step of the DAG."""
        try:
            pages = run_ports(context, self.log).clusters(ref.backend).jobs(ref).pages()
            context["ti"].xcom_push(key=DASHBOARD_KEY, value=pages[DASHBOARD_KEY])
            self.log.info("Ray cluster %s is ready, its dashboard is at %s", ref.name, pages[DASHBOARD_KEY])
        except AirError as error:
            self.log.warning("Ray cluster %s is ready, but gives no page now: %s", ref.name, error)
        assert self._run is not None
        return {**ref.to_json(), "created": self._run.has_made(ref)}


class RayDeleteClusterOperator(ClusterOperator):
    """
    Delete a cluster with all that it left, and see that it is gone; one that is gone already is fine.

    :param cluster: the XCom of a :class:`RayCreateClusterOperator`, whose cluster goes only where that task has started
        it, and not found it there; or a spec with a name, whose cluster goes whoever started it
    """

    def begin(self, context: Context, run: ClusterRun) -> Wait | Done:
        """Ask for its deletion."""
        if self.cluster is None:
            self.log.info("No cluster was created, so there is none to delete")
            return Done(None)
        ref = found(chosen(self.cluster, None))
        if isinstance(self.cluster, Mapping) and self.cluster.get("created") is False:
            self.log.info("Ray cluster %s was there before its create task, so it stays", ref.name)
            return Done(None)
        return run.delete(ref)

    def done(self, context: Context, ref: ClusterRef | None) -> None:
        """Say that it is gone."""
        if ref is not None:
            self.log.info("Ray cluster %s is deleted", ref.name)

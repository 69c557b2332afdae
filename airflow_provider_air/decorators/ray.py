"""The decorator ``@task.ray``: the function travels by value, its return value comes home as the XCom."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow.sdk.bases.decorator import DecoratedOperator, TaskDecorator, task_decorator_factory

from airflow_provider_air.connections.arguments import plain_argument
from airflow_provider_air.connections.ports import code_folders
from airflow_provider_air.errors import ConfigurationError
from airflow_provider_air.operators.submit import RaySubmitJobOperator
from airflow_provider_air.workloads.function import ENTRYPOINT, code_of, function_payload

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_air.contracts.jobs import JobRequest
    from airflow_provider_air.runs.plan import BuildInfo

# Ray's words for a task's resources, which are the entrypoint's here: the function is the entrypoint.
RESOURCES = ("num_cpus", "num_gpus", "memory", "resources", "label_selector")
# Context variables that are Airflow itself, or ask it.
STAYS = (
    "asset_state_store",
    "conn",
    "dag",
    "dag_run",
    "inlet_events",
    "inlets",
    "macros",
    "outlet_events",
    "outlets",
    "task",
    "task_instance",
    "task_state_store",
    "ti",
    "triggering_asset_events",
    "var",
)


class _RayDecoratedOperator(DecoratedOperator, RaySubmitJobOperator):
    """Runs the decorated function in the driver of a Ray job; takes the options of the submit operator."""

    template_fields: Sequence[str] = (*DecoratedOperator.template_fields, *RaySubmitJobOperator.template_fields)
    custom_operator_name = "@task.ray"

    def __init__(
        self,
        *,
        python_callable: Callable[..., Any],
        op_args: Collection[Any] | None = None,
        op_kwargs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        for name in ("entrypoint", "records"):
            if kwargs.pop(name, None) is not None and not getattr(self, "_BaseOperator__from_mapped", False):
                raise TypeError(f"@task.ray takes no {name!r}: the function is the entrypoint")
        for name in RESOURCES:
            if name in kwargs:
                kwargs[f"entrypoint_{name}"] = kwargs.pop(name)
        super().__init__(
            python_callable=python_callable,
            op_args=op_args,
            op_kwargs=op_kwargs,
            kwargs_to_upstream={"entrypoint": ENTRYPOINT, "records": True},
            **kwargs,
        )

    def build_job(self, context: Context, info: BuildInfo) -> JobRequest:
        """Pickle the call, with the rendered arguments and what the function wants of the context."""
        request = super().build_job(context, info)
        payload = function_payload(
            self.python_callable,
            list(self.op_args),
            {**self._wanted_of(context), **self.op_kwargs},
            code_folders=code_folders(context, [code_of(self.python_callable)]),
        )
        return replace(request, payload=payload)

    def _wanted_of(self, context: Context) -> dict[str, Any]:
        """Fill parameters that are named after context variables, as ``@task`` does, where they are plain data."""
        parameters = list(inspect.signature(self.python_callable).parameters.values())[len(self.op_args) :]
        wanted = [p.name for p in parameters if p.name in context and p.name not in self.op_kwargs]
        for name in wanted:
            if name in STAYS:
                raise ConfigurationError(
                    f"The context variable {name!r} does not travel to the Ray cluster",
                    hint="Pass what the function needs of it as an argument, such as '{{ ds }}'",
                )
        return {name: plain_argument(context[name]) for name in wanted}  # type: ignore[literal-required]


def ray_task(
    python_callable: Callable[..., Any] | None = None, multiple_outputs: bool | None = None, **kwargs: Any
) -> TaskDecorator:
    """
    Run a function on Ray: ``@task.ray(num_cpus=1)``.

    Arguments and return value travel by value; the function may use ``ray`` freely, its own process is the
    driver. Python's minor version must be the same on the worker and on the cluster.

    :param python_callable: the function
    :param multiple_outputs: push each key of a returned dict as its own XCom
    :param kwargs: ``cluster``, ``ray_conn_id``, ``working_dir``, ``runtime_env``, ``num_cpus``, ``num_gpus``,
        ``memory`` (bytes), ``resources``, ``label_selector``, and all options of operators
    """
    return task_decorator_factory(
        python_callable=python_callable,
        multiple_outputs=multiple_outputs,
        decorated_operator_class=_RayDecoratedOperator,
        **kwargs,
    )

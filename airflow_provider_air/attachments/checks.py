"""What an author's attachments must be, and that together they suit the job; before anything is started."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_air.attachments.registry import to_json
from airflow_provider_air.contracts.attachments import AttachmentSpec
from airflow_provider_air.errors import ConfigurationError

if TYPE_CHECKING:
    from airflow_provider_air.contracts.jobs import JobRequest

# By the argument that takes them.
_EXAMPLES = {
    "features": "FeastFeatures(...) or TectonFeatures(...)",
    "tracker": "a spec such as MlflowTracker(), or a list of them",
}


def specs_of(value: Any, field: str) -> list[AttachmentSpec]:
    """
    Give what an author wrote for one argument: one spec, a list of them, or None; each by itself is valid.

    :param field: the argument's name
    :raises ConfigurationError: something in it is no spec, or one of a spec's fields is wrong
    """
    specs = list(value) if isinstance(value, (list, tuple)) else [] if value is None else [value]
    for spec in specs:
        # A class has all that an instance has, except the values of its fields.
        if isinstance(spec, type) or not isinstance(spec, AttachmentSpec):
            raise ConfigurationError(f"'{field}' must be {_EXAMPLES.get(field, 'an attachment')}, not {spec!r}")
        spec.validate()
        to_json(spec)
    return specs


def check_attachments(specs: Sequence[AttachmentSpec], request: JobRequest, workload: str, storage: str | None) -> None:
    """
    See that each suits the job, and that somebody runs each query among its inputs; asks nobody, in the worker.

    :param storage: URI of the task's storage as the cluster reaches it, or None
    :raises ConfigurationError: one does not suit, or two would get in each other's way; the message says what to do
    """
    kinds = [spec.kind for spec in specs]
    if twice := sorted({kind for kind in kinds if kinds.count(kind) > 1}):
        raise ConfigurationError(
            f"Two attachments of the kind {twice[0]!r} would give the job the same variables", hint="Leave one out"
        )
    taken = taken_by(specs, request, workload, storage)
    for item in request.inputs:
        if item.is_query and item.name not in taken:
            raise ConfigurationError(
                f"The data set {item.name!r} is SQL, which is for data sets that are joined with features: a feature "
                "store's offline store runs it",
                hint="Give 'features' that join it, or a 'uri'",
            )


def taken_by(specs: Sequence[AttachmentSpec], request: JobRequest, workload: str, storage: str | None) -> set[str]:
    """
    Name the inputs that the job gets through its attachments, such as rows that a feature store joins; asks nobody.

    :raises ConfigurationError: an attachment does not suit the job
    """
    return {name for spec in specs for name in spec.check(request, workload, storage)}

"""What the operators share whose job may use a storage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_air.operators.base import RayJobOperator
from airflow_provider_air.storage.registry import spec_of

if TYPE_CHECKING:
    from airflow_provider_air.contracts.storage import StorageSpec


class RayStoredJobOperator(RayJobOperator):
    """
    Base of the operators with ``storage=``.

    Code that is too large for Ray goes there, where the worker can write it, and so do results that are too large for
    an XCom.

    :param storage: ``SharedFolder``, ``S3Storage``, ``GcsStorage``, a path, or a URI that the cluster reaches by itself
    """

    template_fields: Sequence[str] = (*RayJobOperator.template_fields, "storage")

    def __init__(self, *, storage: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.storage = storage

    def storage_spec(self) -> StorageSpec | None:
        """
        Give the task's storage; None without one.

        :raises ConfigurationError: it is no storage
        """
        return None if self.storage is None else spec_of(self.storage)

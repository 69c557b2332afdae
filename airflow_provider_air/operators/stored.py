"""What the operators share whose job may use a storage: where it is, who gets in, and what is too large to travel."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_air.clusters.contract import ClusterRef
from airflow_provider_air.drivers import results
from airflow_provider_air.hooks.storage import job_access, open_storage, uri_of
from airflow_provider_air.operators.base import RayJobOperator
from airflow_provider_air.ray_api.packages import Package
from airflow_provider_air.workloads.job import JobRequest

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_air.operators.attempts import Attempts

# Below a storage's root.
CODE_FOLDER = "code"


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

    def with_storage(self, request: JobRequest) -> JobRequest:
        """
        Tell a job where its storage is; asks nobody.

        :raises ConfigurationError: it is no storage
        """
        if self.storage is None:
            return request
        root = uri_of(self.storage)
        code_uri = f"{root.rstrip('/')}/{CODE_FOLDER}" if self._is_ours else None
        return dataclasses.replace(request.given({results.STORAGE: root}), code_uri=code_uri)

    def check_reach(self) -> None:
        """
        Probe the storage, and see that the job may have its credentials.

        :raises ConfigurationError: the place is absent or denied, or the credentials would not last
        """
        if self._is_ours:
            open_storage(self.storage).probe()
            job_access(self.storage, lifetime=self.execution_timeout)

    @property
    def _is_ours(self) -> bool:
        """Whether the worker reaches the storage, too."""
        return self.storage is not None and not (isinstance(self.storage, str) and "://" in self.storage)

    def stage(self, packages: Sequence[Package]) -> None:
        """Write code that is too large for Ray into the storage, from which Ray itself loads it."""
        for package in packages:
            path = f"{CODE_FOLDER}/{package.name}"
            storage = open_storage(self.storage)
            if not storage.exists(path):
                self.log.info("Writing %d MiB of code to %s", len(package.data) >> 20, storage.uri(path))
                storage.put(path, package.data)

    def _submit_once(
        self, context: Context, attempts: Attempts, request: JobRequest, ref: ClusterRef, deadline: float | None
    ) -> str:
        # Only here: a job that runs or has succeeded is collected, whatever has become of the credentials meanwhile.
        access = job_access(self.storage, lifetime=self.execution_timeout)
        request = request.given(access.env_vars, access.secrets)
        return super()._submit_once(context, attempts, request, ref, deadline)

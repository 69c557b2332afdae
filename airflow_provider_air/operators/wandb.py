"""Weights & Biases after the fact: uploads what jobs wrote offline. No ``wandb`` on the worker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_air.hooks.wandb import WandbHook
from airflow_provider_air.operators.driven import RayDrivenOperator
from airflow_provider_air.workloads.wandb import ENTRYPOINT, sync_payload

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_air.contracts.jobs import JobRequest
    from airflow_provider_air.contracts.storage import JobAccess
    from airflow_provider_air.runs.plan import BuildInfo


class WandbSyncOperator(RayDrivenOperator):
    """
    Upload the W&B runs that jobs wrote offline and that are not uploaded yet, each row once.

    The XCom is ``{"synced": [{"run_id", "project", "folder"}], "already_synced", "unfinished", "empty", "removed",
    "failed": []}``. Where some cannot be uploaded, all others are, and the try fails; a retry uploads the rest.
    ``wandb`` 0.31 must be installed on the cluster.

    :param offline_dir: the folder on the cluster that ``WandbTracker(mode="offline")`` got
    :param wandb_conn_id: the ``wandb`` connection: the API key as password, host for a server of one's own
    :param project: instead of the one that each run names
    :param entity: team or user, instead of the one that each run names, or else the key's own
    :param clean: remove the folders of runs that are uploaded whole
    :param settle_seconds: a run without an end that changed within this time is left for the next time; an older one
        is taken for killed, and uploaded as failed
    """

    workload = "wandb_sync"
    template_fields: Sequence[str] = (
        *RayDrivenOperator.template_fields,
        "wandb_conn_id",
        "offline_dir",
        "project",
        "entity",
        "clean",
        "settle_seconds",
    )

    def __init__(
        self,
        *,
        offline_dir: str,
        wandb_conn_id: str = "wandb_default",
        project: str | None = None,
        entity: str | None = None,
        clean: bool = False,
        settle_seconds: float = 600.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.offline_dir = offline_dir
        self.wandb_conn_id = wandb_conn_id
        self.project = project
        self.entity = entity
        self.clean = clean
        self.settle_seconds = settle_seconds

    def build_job(self, context: Context, info: BuildInfo) -> JobRequest:
        """Check the fields and pack them for the driver."""
        payload = sync_payload(
            offline_dir=self.offline_dir,
            project=self.project,
            entity=self.entity,
            clean=self.clean,
            settle_seconds=self.settle_seconds,
        )
        return self.driver_job(ENTRYPOINT, payload)

    def job_environment(self) -> JobAccess:
        """
        Give where the runs go, and the key.

        :raises ConfigurationError: the connection is absent or has no key
        """
        return WandbHook(self.wandb_conn_id).get_conn().job_access()

"""
Tracks a workload in Weights & Biases; the run is written by our driver on the cluster, which has ``wandb``.

W&B has no documented HTTP interface for runs, so Airflow's side only says which run it is. Source: wandb 0.31.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote

from airflow_provider_air.contracts.attachments import Additions, Outcome
from airflow_provider_air.contracts.names import digest
from airflow_provider_air.contracts.storage import JobAccess
from airflow_provider_air.drivers.wire import names
from airflow_provider_air.errors import ConfigurationError
from airflow_provider_air.tls import bundle_of

if TYPE_CHECKING:
    from airflow_provider_air.contracts.connections import Connections
    from airflow_provider_air.contracts.jobs import JobRequest
    from airflow_provider_air.contracts.runs import AttemptInfo

MODES = ("online", "offline")
# Ray passes all variables of a job in one string of 128 KiB.
CONFIG_CHARACTERS = 16_000
# What W&B takes. Source: wandb 0.31, wandb/sdk/wandb_settings.py; its server says so of a run's group.
NAME_CHARACTERS, TAG_CHARACTERS, NOT_IN_PROJECT = 128, 64, "/\\#?%:"


@dataclass
class WandbTracker:
    """
    Track in Weights & Biases: ``tracker=WandbTracker(project="delays")`` on a train, tune, RLlib or inference operator.

    One run per generation of a task instance, resumed by a retry; its group is the DAG run, its job type the
    workload. In Tune each trial is a run of that group. ``wandb`` must be installed on the cluster.

    :param wandb_conn_id: the ``wandb`` connection: the API key as password, host for a server of one's own
    :param project: created where it does not exist
    :param entity: team or user; by default the connection's, or the key's own
    :param mode: ``online``, or ``offline``: the run's files stay below ``offline_dir``, for ``wandb sync``
    :param offline_dir: a folder on the cluster that outlives the job
    :param tags: of the run
    :param required: False lets the work go on without W&B where that is away
    """

    kind: ClassVar[str] = "wandb"
    template_fields: ClassVar[tuple[str, ...]] = ("wandb_conn_id", "project", "entity", "offline_dir", "tags")
    # A killed driver tells W&B nothing, and nobody else may: online its server marks the run as crashed after some
    # minutes, offline the files have no end.
    can_set_end_state: ClassVar[bool] = False

    wandb_conn_id: str = "wandb_default"
    project: str = "airflow"
    entity: str | None = None
    mode: str = "online"
    offline_dir: str | None = None
    tags: list[str] = field(default_factory=list)
    required: bool = True

    def validate(self) -> None:
        """:raises ConfigurationError: a field is wrong; the message names it."""
        project = self.project if isinstance(self.project, str) else ""
        if not 0 < len(project.strip()) <= NAME_CHARACTERS or set(project) & set(NOT_IN_PROJECT):
            raise ConfigurationError(
                f"WandbTracker's 'project' must be a name of at most {NAME_CHARACTERS} characters without slashes and "
                f"the like ({NOT_IN_PROJECT}), not {self.project!r}"
            )
        if self.mode not in MODES:
            raise ConfigurationError(f"WandbTracker's 'mode' must be online or offline, not {self.mode!r}")
        if self.mode == "offline" and not self.offline_dir:
            raise ConfigurationError(
                "WandbTracker's 'offline_dir' is not set", hint="Name a folder on the cluster that outlives the job"
            )
        if not isinstance(self.tags, list) or not all(isinstance(tag, str) for tag in self.tags):
            raise ConfigurationError(f"WandbTracker's 'tags' must be a list of texts, not {self.tags!r}")
        for tag in self.tags:
            if not 0 < len(tag) <= TAG_CHARACTERS or "," in tag:
                raise ConfigurationError(
                    f"A tag of WandbTracker must have 1 to {TAG_CHARACTERS} characters and no comma, unlike {tag!r}"
                )

    def check(self, request: JobRequest, workload: str, storage: str | None) -> Collection[str]:
        """Take every job."""
        return ()

    def open(self, connections: Connections) -> WandbTracking:
        """Give the tracker; its connection is read when it is needed, and for offline runs never."""
        return WandbTracking(self, connections)


@dataclass(frozen=True)
class WandbSite:
    """
    Where runs go, and as whom.

    :param base_url: of the API
    :param app_url: of the pages
    :param verify: see :func:`airflow_provider_air.tls.context_for`
    """

    base_url: str = "https://api.wandb.ai"
    app_url: str = "https://wandb.ai"
    entity: str | None = None
    api_key: str = field(default="", repr=False)
    verify: bool | str = True

    def job_access(self) -> JobAccess:
        """
        Give what a job needs to reach it as this connection does.

        :raises ConfigurationError: the CA bundle cannot be read
        """
        env_vars = {"WANDB_BASE_URL": self.base_url}
        if self.verify is False:
            env_vars["WANDB_INSECURE_DISABLE_SSL"] = "true"
        bundle = bundle_of(self.verify)
        secrets = {"WANDB_API_KEY": self.api_key} if self.api_key else {}
        return JobAccess(env_vars, secrets, {} if bundle is None else {names.WANDB_CA: bundle})


class WandbTracking:
    """The tracker of one run: an :class:`~airflow_provider_air.contracts.attachments.Attachment`."""

    def __init__(self, spec: WandbTracker, connections: Connections) -> None:
        self._spec = spec
        self._connections = connections

    def probe(self) -> None:
        """
        See that there is a key; W&B itself is for the cluster to reach, which a worker may not.

        :raises ConfigurationError: the connection is absent or has no key
        """
        self._site()

    def before_submit(self, attempt: AttemptInfo) -> Additions:
        """Say which run it is; the driver opens it."""
        spec, key, site = self._spec, attempt.key, self._site()
        run_id = f"af-{digest(key.deployment, key, attempt.generation, length=24)}"
        group = _group(f"{key.dag_id}__{key.run_id}")
        entity = spec.entity or (site.entity if site else None)
        access = site.job_access() if site else JobAccess()
        is_tune = attempt.workload == "tune"
        given: dict[str, str | None] = {
            names.WANDB_ENABLED: "trials" if is_tune else "run",
            names.WANDB_OPTIONAL: None if spec.required else "1",
            names.WANDB_CONFIG: None if is_tune else _config(attempt),
            names.WANDB_TRIALS: run_id if is_tune else None,
            "WANDB_RUN_ID": None if is_tune else run_id,
            "WANDB_NAME": None if is_tune else attempt.run_name,
            "WANDB_RESUME": None if is_tune else "allow",
            "WANDB_JOB_TYPE": attempt.workload,
            "WANDB_TAGS": ",".join(spec.tags) or None,
            "WANDB_MODE": spec.mode,
            "WANDB_DIR": spec.offline_dir,
            **access.env_vars,
            "WANDB_ENTITY": entity,
            "WANDB_SILENT": "true",
            # W&B's own names, and those that Ray's integration reads.
            "WANDB_PROJECT": spec.project,
            "WANDB_PROJECT_NAME": spec.project,
            "WANDB_RUN_GROUP": group,
            "WANDB_GROUP_NAME": group,
        }
        return Additions(
            env_vars={name: value for name, value in given.items() if value is not None},
            secrets=access.secrets,
            files=access.files,
            state={"run_id": run_id},
            links=self._links(site, entity, f"groups/{quote(group, safe='')}" if is_tune else f"runs/{run_id}"),
        )

    def on_records(self, attempt: AttemptInfo, state: Mapping[str, Any], records: Sequence[Mapping[str, Any]]) -> None:
        """Do nothing: the driver has logged them as they came."""

    def on_end(self, attempt: AttemptInfo, state: Mapping[str, Any], outcome: Outcome) -> None:
        """Do nothing: the driver has ended the run, and of a killed one W&B lets nobody else set the end state."""

    def _site(self) -> WandbSite | None:
        if self._spec.mode == "offline":
            return None
        site: WandbSite = self._connections.open("wandb", self._spec.wandb_conn_id)
        return site

    def _links(self, site: WandbSite | None, entity: str | None, page: str) -> dict[str, str]:
        if site is None or entity is None:
            return {}
        return {"wandb_url": f"{site.app_url}/{quote(entity)}/{quote(self._spec.project)}/{page}"}


def _group(name: str) -> str:
    """Keep a name that W&B takes; a longer one ends in a digest of all of it."""
    return name if len(name) <= NAME_CHARACTERS else f"{name[: NAME_CHARACTERS - 9]}-{digest(name)}"


def _config(attempt: AttemptInfo) -> str:
    key = attempt.key
    about = {"dag_id": key.dag_id, "run_id": key.run_id, "task_id": key.task_id, "map_index": key.map_index}
    about |= {"submission_id": attempt.submission_id, "cluster": attempt.cluster}
    whole = json.dumps({**attempt.parameters, "airflow": about}, default=str)
    return whole if len(whole) <= CONFIG_CHARACTERS else json.dumps({"airflow": about})

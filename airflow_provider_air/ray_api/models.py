"""Answers of Ray's HTTP API as frozen dataclasses, and the one shape that a job submission takes."""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from airflow_provider_air.errors import ProtocolError


class JobStatus(enum.Enum):
    """
    Ray's job states. RUNNING means that the entrypoint process started, not that resources were granted.

    UNKNOWN is none of Ray's: a state that this version does not know, taken for no end.
    """

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    STOPPED = "STOPPED"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    UNKNOWN = "UNKNOWN"

    @property
    def is_terminal(self) -> bool:
        """Whether the job has ended."""
        return self in (JobStatus.STOPPED, JobStatus.SUCCEEDED, JobStatus.FAILED)

    @property
    def is_alive(self) -> bool:
        """Whether the job runs, or waits for that."""
        return self in (JobStatus.PENDING, JobStatus.RUNNING)

    @classmethod
    def from_api(cls, text: Any) -> JobStatus:
        """:raises ProtocolError: this is no text."""
        if not isinstance(text, str):
            raise ProtocolError(f"Ray answered with {text!r} as the state of a job")
        return cls(text) if text in cls.__members__ else cls.UNKNOWN


@dataclass(frozen=True)
class JobDetails:
    """
    One job as ``GET /api/jobs/{submission_id}`` tells it.

    :param job_id: Ray's own job id, known once the driver has called ``ray.init``
    :param error_type: Ray's class of failure, such as ``JOB_SUPERVISOR_ACTOR_DIED``
    :param message: Ray's words; for FAILED with the driver's last log lines
    :param agent_address: ``http://ip:port`` of the agent on the driver's node, which serves its log files
    :param node_id: the driver's node
    """

    submission_id: str
    status: JobStatus
    job_id: str | None = None
    error_type: str | None = None
    message: str = ""
    exit_code: int | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    agent_address: str | None = None
    node_id: str | None = None
    start_time_ms: int | None = None
    end_time_ms: int | None = None
    entrypoint: str = ""

    @classmethod
    def from_api(cls, data: Any) -> JobDetails:
        """
        Read Ray's JSON.

        :raises ProtocolError: no job details
        """
        try:
            status = JobStatus.from_api(data["status"])
            return cls(
                submission_id=data.get("submission_id") or data.get("job_id") or "",
                status=status,
                job_id=data.get("job_id"),
                error_type=data.get("error_type"),
                message=data.get("message") or "",
                exit_code=data.get("driver_exit_code"),
                metadata=data.get("metadata") or {},
                agent_address=data.get("driver_agent_http_address"),
                node_id=data.get("driver_node_id"),
                start_time_ms=data.get("start_time"),
                end_time_ms=data.get("end_time"),
                entrypoint=data.get("entrypoint") or "",
            )
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ProtocolError(f"Ray answered with job details that we cannot read: {error!r}") from error

    def to_json(self) -> dict[str, Any]:
        """Give the JSON form, for trigger events."""
        return {**asdict(self), "status": self.status.value}

    @classmethod
    def from_json(cls, data: Any) -> JobDetails:
        """:raises ProtocolError: this is not the JSON form of job details."""
        try:
            return cls(**{**data, "status": JobStatus(data["status"])})
        except (KeyError, TypeError, ValueError) as error:
            raise ProtocolError(f"This is no job description: {error!r}") from error


@dataclass(frozen=True)
class JobSubmission:
    """
    The body of ``POST /api/jobs/``. Its text is visible to whoever can list the cluster's jobs.

    :param submission_id: our own id; Ray refuses one that it knows already
    :param entrypoint_memory: bytes
    :param metadata: str to str; keep it below 50 KB (it travels in one environment string)
    """

    submission_id: str
    entrypoint: str
    runtime_env: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    entrypoint_num_cpus: float | None = None
    entrypoint_num_gpus: float | None = None
    entrypoint_memory: int | None = None
    entrypoint_resources: Mapping[str, float] | None = None
    entrypoint_label_selector: Mapping[str, str] | None = None

    def to_api(self) -> dict[str, Any]:
        """Give the JSON body; options that are not set are left out, since Ray refuses unknown keys."""
        body: dict[str, Any] = {
            "submission_id": self.submission_id,
            "entrypoint": self.entrypoint,
            "runtime_env": dict(self.runtime_env),
            "metadata": dict(self.metadata),
        }
        for name in ("num_cpus", "num_gpus", "memory", "resources", "label_selector"):
            value = getattr(self, f"entrypoint_{name}")
            if value is not None:
                body[f"entrypoint_{name}"] = dict(value) if isinstance(value, Mapping) else value
        return body


@dataclass(frozen=True)
class RayVersion:
    """
    What ``GET /api/version`` tells.

    :param session_name: changes when a head without durable GCS restarts, which loses all its jobs
    """

    ray_version: str
    session_name: str

    @classmethod
    def from_api(cls, data: Any) -> RayVersion:
        """:raises ProtocolError: this is not Ray's version answer."""
        try:
            return cls(str(data["ray_version"]), str(data.get("session_name", "")))
        except (KeyError, TypeError, AttributeError) as error:
            raise ProtocolError("The address does not answer like a Ray dashboard") from error


@dataclass(frozen=True)
class ClusterLoad:
    """
    What a cluster lends and what is asked of it in vain, as the autoscaler reports it every few seconds.

    :param usage: used and total, by resource; bytes for memory
    :param demands: bundles that wait, and how many of each
    """

    usage: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    demands: Sequence[tuple[dict[str, float], int]] = ()

    @classmethod
    def from_api(cls, data: Any) -> ClusterLoad:
        """:raises ProtocolError: this is no report; one that is not there yet is empty."""
        try:
            report = (data["data"].get("clusterStatus") or {}).get("loadMetricsReport") or {}
            usage = {str(name): (float(used), float(total)) for name, (used, total) in report.get("usage", {}).items()}
            demands = tuple(
                ({str(name): float(amount) for name, amount in bundle.items()}, int(count))
                for bundle, count in report.get("resourceDemand") or ()
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ProtocolError(f"Ray answered with a cluster status that we cannot read: {error!r}") from error
        return cls(usage, demands)


@dataclass(frozen=True)
class Node:
    """
    One node of the cluster, from the state API.

    :param ip: where the others reach it; empty where Ray does not tell
    """

    node_id: str
    state: str
    is_head: bool
    ip: str = ""
    resources_total: Mapping[str, float] = field(default_factory=dict)
    state_message: str = ""

    @classmethod
    def from_api(cls, data: Any) -> Node:
        """:raises ProtocolError: this is not a node."""
        try:
            return cls(
                node_id=data["node_id"],
                state=data["state"],
                is_head=bool(data.get("is_head_node")),
                ip=data.get("node_ip") or "",
                resources_total=data.get("resources_total") or {},
                state_message=data.get("state_message") or "",
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ProtocolError(f"Ray answered with a node that we cannot read: {error!r}") from error


@dataclass(frozen=True)
class ClusterOverview:
    """
    What a cluster has and uses, for people.

    :param at: when it was asked, in epoch seconds
    :param usage: used and total, by resource; bytes for memory
    :param nodes: also those that are dead, as far as Ray remembers them
    """

    at: float
    usage: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    nodes: Sequence[Node] = ()

    @classmethod
    def of(cls, at: float, load: ClusterLoad, nodes: Sequence[Node]) -> ClusterOverview:
        """
        Put together what Ray says of its load and of its nodes.

        The report writes names in camel case (Ray 2.60, ``to_google_style``), so they are read by what the nodes have;
        the shares of placement groups and the nodes' own names are nothing that people count.
        """
        named = {name for node in nodes for name in node.resources_total if not _INTERNAL.search(name)}
        usage = {name: load.usage[said] for name in sorted(named) if (said := _camel_case(name)) in load.usage}
        return cls(at, usage, nodes)


_INTERNAL = re.compile(r"_group_(\d+_)?[0-9a-f]{16,}$|^node:")


def _camel_case(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(part.title() for part in others)

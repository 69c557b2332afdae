"""
Builds the calls of Ray's HTTP API and reads their answers; sends nothing.

A :class:`Call` is a request and the function that turns its answer into a value or a typed error.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from airflow_provider_air.errors import (
    AirError,
    ClusterUnreachableError,
    ConfigurationError,
    ProtocolError,
    RemoteFailureError,
    UnavailableError,
)
from airflow_provider_air.ray_api.models import ClusterLoad, JobDetails, JobSubmission, Node, RayVersion

T = TypeVar("T")

# Ray's dashboard takes bodies up to 100 MiB (aiohttp client_max_size, Ray 2.60); 101 MiB gives 413.
MAX_PACKAGE_BYTES = 99 * 1024 * 1024
# Metadata and runtime_env travel together in one environment string of the driver, and Linux allows
# 128 KiB for one: more is accepted by Ray and fails the job later with "Argument list too long".
MAX_ENVIRONMENT_BYTES = 100 * 1024
MAX_ENTRYPOINT_BYTES = 100 * 1024
# What Ray itself answers with 404 (2.60); whatever else a 404 says is somebody else's.
RAYS_WORDS_OF_ABSENCE = re.compile(rb"(Job|Package) \S+ does not exist")
_DECODER = json.JSONDecoder()
_OPENING = re.compile(r"\s*\[\s*(?P<end>\])?")
_BETWEEN = re.compile(r"\s*(,\s*|(?P<end>\]))")
# Answers of the server that may be different a moment later.
TRANSIENT_STATUSES = frozenset({408, 425, 429, 502, 503, 504})


@dataclass(frozen=True)
class Answer:
    """What came back: status, headers in lower case, body."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The body as text, at most 2,000 characters: for messages."""
        return self.body[:8000].decode("utf-8", "replace")[:2000]

    def json(self) -> Any:
        """:raises ProtocolError: the body is no JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            raise ProtocolError(
                f"The server answered {self.status} with something that is no JSON: {self.text[:200]!r}",
                hint="Is there a proxy or another service at this address?",
            ) from None

    def items(self) -> Iterator[Any]:
        """
        Read a JSON array item by item: in a thread, the parser lets others run only between two calls (3.11).

        :raises ProtocolError: the body is no JSON array
        """
        text = self.body.decode("utf-8", "replace")
        opening = _OPENING.match(text)
        if opening is None:
            raise ProtocolError(f"The server answered {self.status} with no list: {self.text[:200]!r}")
        at, ends = opening.end(), opening["end"] is not None
        while not ends:
            try:
                item, at = _DECODER.raw_decode(text, at)
            except ValueError:
                raise self._cut_short() from None
            yield item
            between = _BETWEEN.match(text, at)
            if between is None:
                raise self._cut_short()
            at, ends = between.end(), between["end"] is not None

    def _cut_short(self) -> ProtocolError:
        return ProtocolError(f"The server answered {self.status} with a list that is no JSON: {self.text[:200]!r}")


@dataclass(frozen=True)
class Call(Generic[T]):
    """
    One request and how to read its answer.

    :param read: turns the answer into the value, or raises an error of this package
    :param repeatable: whether sending it twice is harmless, so that the client may retry it
    :param base_url: another server than the dashboard (a node's agent)
    """

    method: str
    path: str
    read: Callable[[Answer], T]
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    timeout_seconds: float = 30.0
    repeatable: bool = True
    base_url: str | None = None


def failure_of(answer: Answer, doing: str) -> AirError:
    """Give the typed error for an answer that is no success; the caller raises it."""
    status = answer.status
    refusal = _refusal_of(status, doing)
    if refusal is not None:
        return refusal
    if status == 404:
        return _absence_of(answer, doing)
    if status in TRANSIENT_STATUSES:
        return UnavailableError(f"The server answered {status} when asked to {doing}: {answer.text[:300]}")
    if status >= 500:
        return ClusterUnreachableError(f"Ray answered {status} when asked to {doing}: {answer.text[:1000]}")
    if status in (400, 422):
        return ConfigurationError(f"Ray rejected the request to {doing}: {answer.text[:1500]}")
    return ProtocolError(f"Unexpected answer {status} when asked to {doing}: {answer.text[:300]}")


def _refusal_of(status: int, doing: str) -> ConfigurationError | None:
    """Give the error for a status that speaks for itself."""
    if status == 401:
        return ConfigurationError(
            f"Ray wants a token to {doing}, and none was sent",
            hint="Put the cluster's token into the password of the ray connection",
        )
    if status == 403:
        return ConfigurationError(
            f"Ray refused the token while we wanted to {doing}",
            hint="Put the cluster's current token into the password of the ray connection",
        )
    if status == 413:
        return ConfigurationError(
            f"What we sent to {doing} is too large for the server", hint="Ship less, or use a remote URI"
        )
    if 300 <= status < 400:
        return ConfigurationError(
            f"The server answered {status} and redirects elsewhere when asked to {doing}",
            hint="A login page in front of the dashboard? Give its token in the connection's 'headers'",
        )
    if status == 405:
        return ConfigurationError(
            f"The server answered {status} when asked to {doing}",
            hint="Is this the dashboard's address (port 8265 by default), and is no browser-like proxy between?",
        )
    return None


def _absence_of(answer: Answer, doing: str) -> AirError:
    if RAYS_WORDS_OF_ABSENCE.match(answer.body):
        return ConfigurationError(f"Ray answered 404 when asked to {doing}: {answer.text[:300]}")
    # A gateway's page, a Service that is being made again: what is behind it may be well, and come back.
    return UnavailableError(
        f"Somebody in front of Ray answered 404 when asked to {doing}: {answer.text[:200]!r}",
        hint="Is this the dashboard's address (port 8265 by default), and does the proxy lead to it?",
    )


def _is_unknown(answer: Answer, submission_id: str) -> bool:
    """Tell whether Ray itself says that it has no such job (2.60: the same words in head and agent)."""
    return answer.status == 404 and f"Job {submission_id} does not exist".encode() in answer.body


def _ok(answer: Answer, doing: str) -> Answer:
    if answer.status != 200:
        raise failure_of(answer, doing)
    return answer


def get_version() -> Call[RayVersion]:
    """Ask for Ray's version and session; the cheapest sign of life (about 1 ms)."""
    return Call(
        "GET",
        "/api/version",
        lambda answer: RayVersion.from_api(_ok(answer, "tell its version").json()),
        timeout_seconds=10,
    )


def get_job(submission_id: str) -> Call[JobDetails | None]:
    """Ask for one job; None where the cluster says in its own words that it does not know it."""

    def read(answer: Answer) -> JobDetails | None:
        if _is_unknown(answer, submission_id):
            return None
        return JobDetails.from_api(_ok(answer, f"describe job {submission_id}").json())

    return Call("GET", f"/api/jobs/{quote(submission_id, safe='')}", read)


def list_jobs() -> Call[Sequence[JobDetails]]:
    """
    Ask for all jobs that the cluster remembers: it has neither paging nor filters.

    What cannot be read is left out, so that one odd job does not hide the others: absence from the list means nothing.
    """

    def read(answer: Answer) -> Sequence[JobDetails]:
        return [job for item in _ok(answer, "list its jobs").items() if (job := _readable(item)) is not None]

    return Call("GET", "/api/jobs/", read)


def _readable(item: Any) -> JobDetails | None:
    try:
        return JobDetails.from_api(item)
    except ProtocolError:
        return None


def submit_job(submission: JobSubmission) -> Call[bool]:
    """
    Submit a job; True where it is new, False where Ray knows this id already.

    Ray answers a duplicate with 500 and the words "already exists" (2.60). Not repeatable by the client: a
    lost reply is settled by asking for the id.
    """

    def read(answer: Answer) -> bool:
        if answer.status >= 500 and b"already exists" in answer.body:
            return False
        if answer.status == 500 and b"failed with status code 400" in answer.body:
            # The agent's refusal, which the head wraps: sent again it would be refused again.
            reason = answer.body.decode("utf-8", "replace").rstrip(". \n").splitlines()[-1]
            raise ConfigurationError(f"Ray rejected the job: {reason[:1500]}", where=submission.submission_id)
        _ok(answer, f"submit job {submission.submission_id}")
        return True

    return Call(
        "POST",
        "/api/jobs/",
        read,
        body=json.dumps(submission.to_api()).encode(),
        headers={"Content-Type": "application/json"},
        timeout_seconds=60,
        repeatable=False,
    )


def stop_job(submission_id: str, *, timeout_seconds: float = 10) -> Call[bool]:
    """
    Ask Ray to stop a job; True where its supervisor was there to be told, False for an unknown job.

    Fire and forget: the job ends some seconds later, and a PENDING job that cannot be scheduled does not
    end at all (Ray 2.60).
    """

    def read(answer: Answer) -> bool:
        if _is_unknown(answer, submission_id):
            return False
        data = _ok(answer, f"stop job {submission_id}").json()
        return isinstance(data, dict) and bool(data.get("stopped"))

    path = f"/api/jobs/{quote(submission_id, safe='')}/stop"
    return Call("POST", path, read, timeout_seconds=timeout_seconds)


def delete_job(submission_id: str) -> Call[bool]:
    """
    Have Ray forget an ended job; True where it knew it. Its log files stay (Ray 2.60).

    Ray answers for a job that has not ended with 500 and the words "non-terminal state" (2.60).
    """

    def read(answer: Answer) -> bool:
        if _is_unknown(answer, submission_id):
            return False
        if answer.status >= 500 and b"non-terminal state" in answer.body:
            raise RemoteFailureError(
                "Ray forgets no job that has not ended", where=submission_id, hint="Stop it first (RayStopJobOperator)"
            )
        _ok(answer, f"delete job {submission_id}")
        return True

    return Call("DELETE", f"/api/jobs/{quote(submission_id, safe='')}", read)


def get_package(name: str) -> Call[bool]:
    """Ask whether the cluster has a package; the question also keeps it for ten more minutes."""

    def read(answer: Answer) -> bool:
        if answer.status == 404 and RAYS_WORDS_OF_ABSENCE.match(answer.body):
            return False
        _ok(answer, f"look for the package {name}")
        return True

    return Call("GET", f"/api/packages/gcs/{name}", read)


def put_package(name: str, data: bytes) -> Call[None]:
    """Upload a package into the cluster's GCS memory."""

    def read(answer: Answer) -> None:
        _ok(answer, f"take the package {name}")

    return Call(
        "PUT",
        f"/api/packages/gcs/{name}",
        read,
        body=data,
        headers={"Content-Type": "application/octet-stream"},
        timeout_seconds=300,
    )


def list_nodes() -> Call[list[Node]]:
    """Ask for the nodes, dead ones included."""

    def read(answer: Answer) -> list[Node]:
        data = _ok(answer, "list its nodes").json()
        try:
            return [Node.from_api(row) for row in data["data"]["result"]["result"]]
        except (KeyError, TypeError):
            raise ProtocolError(f"Ray answered with no list of nodes: {answer.text[:200]!r}") from None

    # By default it would be a hundred of them, and ten thousand is the most (2.60).
    return Call("GET", "/api/v0/nodes", read, params={"detail": "1", "limit": "10000"})


def get_cluster_load() -> Call[ClusterLoad]:
    """Ask for the autoscaler's report: usage, and demands that wait for resources; Ray reads it from its GCS."""
    return Call(
        "GET",
        "/api/cluster_status",
        lambda answer: ClusterLoad.from_api(_ok(answer, "report its status").json()),
        timeout_seconds=5,
    )


def summarize_tasks(job_id: str) -> Call[dict[str, dict[str, int]]]:
    """Ask how many tasks of a job are in which state, by function name."""

    def read(answer: Answer) -> dict[str, dict[str, int]]:
        data = _ok(answer, "summarize tasks").json()
        try:
            summary = data["data"]["result"]["result"]["node_id_to_summary"]["cluster"]["summary"]
            return {str(row["func_or_class_name"]): dict(row["state_counts"]) for row in summary.values()}
        except (KeyError, TypeError, ValueError, AttributeError):
            raise ProtocolError(f"Ray answered with no task summary: {answer.text[:200]!r}") from None

    params = {"filter_keys": "job_id", "filter_predicates": "=", "filter_values": job_id}
    return Call("GET", "/api/v0/tasks/summarize", read, params=params)

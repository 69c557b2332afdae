"""
Reads files of Ray's session log folder from a byte offset, with bounded memory.

Three ways, the best that works: the node agent's static files with HTTP Range (one small request), where the address
that the job's record tells is a node's; the dashboard's state API (sends the file from its start, we skip); the Jobs
API's whole log (guarded).
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from airflow_provider_air.errors import AirError, ProtocolError, UnavailableError
from airflow_provider_air.ray_api.nodes import Nodes, plain_address
from airflow_provider_air.ray_api.requests import Answer, Call, failure_of

if TYPE_CHECKING:
    from airflow_provider_air.ray_api.client import AsyncRayClient
    from airflow_provider_air.ray_api.models import JobDetails

log = logging.getLogger(__name__)

# An agent that did not answer is not asked again for this long: the state API serves meanwhile.
AGENT_PAUSE_SECONDS = 120.0
# The Jobs API builds the whole log in memory on both sides, so the last resort has a limit.
JSON_LOG_LIMIT_BYTES = 32 * 1024 * 1024


def job_log_name(submission_id: str) -> str:
    """Name a job's log file inside the session log folder of the driver's node."""
    return f"job-driver-{submission_id}.log"


class LogReader:
    """
    Reads log files of one cluster; remembers which agents do not answer. For one event loop.

    :param nodes: the cluster's nodes, where somebody else asks for them, too
    """

    def __init__(self, client: AsyncRayClient, nodes: Nodes | None = None) -> None:
        self._client = client
        self._nodes = nodes or Nodes(client)
        self._agent_again: dict[str, float] = {}
        self._warned = False

    async def read(self, job: JobDetails, name: str, offset: int, limit: int) -> bytes:
        """
        Read up to ``limit`` bytes from ``offset``; empty at the end of the file or where there is none yet.

        :param job: tells on which node the file lies
        :raises UnavailableError: nobody could serve it now
        """
        agent = job.agent_address if self._client.transport.reads_agents else None
        if agent and time.monotonic() >= self._agent_again.get(agent, 0.0):
            try:
                url = await self._agent_url(agent)
                if url is not None:
                    return await self._from_agent(url, name, offset, limit)
            except AirError:
                # It is a convenience: if we are let in nowhere, the dashboard says so, too.
                pass
            self._agent_again[agent] = time.monotonic() + AGENT_PAUSE_SECONDS
        if job.node_id is None:
            return b""
        return await self._from_state_api(job.node_id, name, offset, limit)

    async def _agent_url(self, told: str) -> str | None:
        """Give where we reach an agent, or None where nobody may be asked there."""
        transport, address = self._client.transport, plain_address(told)
        if address is None:
            self._warn_of(told)
        elif transport.agent_url is not None:
            return await transport.agent_url(address)
        elif transport.base_url.startswith("http://"):
            if await self._nodes.have(address):
                return address
            self._warn_of(told)
        # Behind https the agents' plain addresses are on another network, and our token is not for it.
        return None

    def _warn_of(self, told: str) -> None:
        if not self._warned:
            self._warned = True
            log.warning(
                "A job's record tells the node agent %.200r, which is no address of a live node of the cluster at %s: "
                "it is not asked, and files are read by the dashboard",
                told,
                self._client.transport.base_url,
            )

    async def _from_agent(self, agent: str, name: str, offset: int, limit: int) -> bytes:
        def read(answer: Answer) -> bytes:
            if answer.status == 206:
                return answer.body
            if answer.status in (404, 416):
                return b""
            if answer.status == 200:  # a server without Range sends all
                return answer.body[offset : offset + limit]
            raise failure_of(answer, f"read {name}")

        span = {"Range": f"bytes={offset}-{offset + limit - 1}"}
        call = Call("GET", f"/logs/{name}", read, headers=span, base_url=agent, timeout_seconds=15, repeatable=False)
        return await self._client.send(call)

    async def _from_state_api(self, node_id: str, name: str, offset: int, limit: int) -> bytes:
        params = {"node_id": node_id, "filename": name, "lines": "-1"}
        call: Call[Any] = Call("GET", "/api/v0/logs/file", lambda answer: answer, params=params)
        skipped, taken = 0, bytearray()
        async with self._client.stream(call) as response:
            if response.status_code != 200:
                body = await response.aread()
                if response.status_code == 404 or b"not found" in body.lower() or b"no such file" in body.lower():
                    return b""
                if response.status_code in (401, 403):
                    raise failure_of(Answer(response.status_code, body), f"read {name}")
                raise UnavailableError(f"Ray answered {response.status_code} for the log {name}: {body[:300]!r}")
            async for chunk in response.aiter_bytes():
                skip = min(len(chunk), offset - skipped)
                skipped += skip
                taken += chunk[skip:]
                if len(taken) >= limit:
                    break
        return bytes(taken[:limit])

    async def whole_log(self, submission_id: str) -> str:
        """
        Read a job's whole log by the Jobs API: for people and last resorts.

        :raises ProtocolError: the log is larger than :data:`JSON_LOG_LIMIT_BYTES`
        """
        call: Call[Any] = Call("GET", f"/api/jobs/{submission_id}/logs", lambda answer: answer, timeout_seconds=60)
        body = bytearray()
        async with self._client.stream(call) as response:
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > JSON_LOG_LIMIT_BYTES:
                    raise ProtocolError("The job's log is too large to be read at once", where=submission_id)
            answer = Answer(response.status_code, bytes(body))
        if answer.status != 200:
            raise failure_of(answer, f"give the log of {submission_id}")
        return str(answer.json().get("logs", ""))

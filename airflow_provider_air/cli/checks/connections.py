"""Can the cluster behind a ``ray`` connection be reached, and may we use it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from packaging.version import InvalidVersion, Version

from airflow_provider_air.cli.checks import BROKEN, NOTE, OK, Finding
from airflow_provider_air.cli.checks.airflow import OLDEST_RAY
from airflow_provider_air.cli.targets import cluster_of_connection
from airflow_provider_air.connections.ports import backend_of
from airflow_provider_air.contracts.clusters import ClusterRef, ClusterState
from airflow_provider_air.errors import AirError, ClusterUnreachableError
from airflow_provider_air.hooks.ray import RayHook
from airflow_provider_air.ray_api.client import RayClient
from airflow_provider_air.ray_api.nodes import is_node_address, plain_address
from airflow_provider_air.ray_api.requests import Call, get_version, list_jobs, list_nodes

if TYPE_CHECKING:
    from airflow_provider_air.ray_api.models import JobDetails

AGENTS_ASKED = 3


def no_connections() -> Finding:
    """Say that there is nothing to look at, which is fine for who uses LocalCluster alone."""
    return Finding(
        "connections",
        NOTE,
        f"there is no connection of type {RayHook.conn_type!r} in the database or in this environment",
        "Needed for clusters that exist: airflow connections add ray_default --conn-type ray --conn-host http://HOST "
        "--conn-port 8265 --conn-password TOKEN. Is it in a secrets backend? Name it with --ray-conn-id",
    )


def check_connection(ray_conn_id: str) -> list[Finding]:
    """Look at one connection and the cluster behind it; stops where looking further makes no sense."""
    return list(_findings(f"connection {ray_conn_id}", ray_conn_id))


def _findings(check: str, ray_conn_id: str) -> Iterator[Finding]:
    try:
        ref = cluster_of_connection(ray_conn_id)
        if ref is None:
            yield Finding(check, OK, "each task that uses it starts a cluster of its own")
            return
        state = backend_of(ref.backend).describe(ref).state
        if state is not ClusterState.READY:
            yield Finding(check, OK, f"stands for the {ref.backend} cluster {ref.name!r}, now {state.value}")
            return
        yield from _look(check, ref)
    except ClusterUnreachableError as error:
        yield Finding(
            check,
            BROKEN,
            f"nobody answers from here: {error.what} [{error.where}]",
            "See that the cluster runs, that its dashboard listens on more than 127.0.0.1 "
            "(ray start --dashboard-host=0.0.0.0), and that this host may reach the port",
        )
    except AirError as error:
        yield Finding(check, BROKEN, error.what, error.hint or "Fix the connection")


def _look(check: str, ref: ClusterRef) -> Iterator[Finding]:
    transport = backend_of(ref.backend).open_transport(ref)
    with RayClient(transport, patience_seconds=0) as client:
        yield _judge_version(check, client.send(get_version()).ray_version)
        jobs = client.send(list_jobs())
        live = sum(not job.status.is_terminal for job in jobs)
        token = "the token is accepted" if transport.token else "no token is wanted"
        yield Finding(f"{check}: jobs", OK, f"{token}; {len(jobs)} jobs can be listed, {live} of them live")
        nodes = client.send(list_nodes())
        alive = [node for node in nodes if node.state == "ALIVE"]
        yield _judge_nodes(check, len(alive), len(nodes) - len(alive))
        if not transport.reads_agents:
            yield _state_api(check, "the connection's 'read_agents' is off")
        elif transport.base_url.startswith("https://"):
            yield _state_api(check, "the address is https, and the agents' own ports are not for our token")
        else:
            yield _judge_agents(check, client, jobs, [node.ip for node in alive])


def _judge_version(check: str, ray: str) -> Finding:
    try:
        is_old = Version(ray) < OLDEST_RAY
    except InvalidVersion:
        return Finding(check, NOTE, f"answers, with the unusual Ray version {ray!r}")
    if is_old:
        return Finding(check, BROKEN, f"runs Ray {ray}, which is too old", f"Use Ray {OLDEST_RAY} or newer there")
    return Finding(check, OK, f"answers with Ray {ray}")


def _judge_nodes(check: str, alive: int, dead: int) -> Finding:
    if not alive:
        return Finding(f"{check}: nodes", BROKEN, "no node is alive", "Restart the cluster")
    return Finding(f"{check}: nodes", OK, f"{alive} alive" + (f", {dead} dead" if dead else ""))


def _judge_agents(check: str, client: RayClient, jobs: Sequence[JobDetails], ips: Sequence[str]) -> Finding:
    told = list(dict.fromkeys(job.agent_address for job in reversed(jobs) if job.agent_address))[:AGENTS_ASKED]
    if not told:
        return Finding(f"{check}: logs", OK, "how logs can be read will show once a job has run")
    agents = [
        address
        for address in map(plain_address, told)
        if address is not None and is_node_address(address, ips, client.transport.base_url)
    ]
    if not agents:
        return _state_api(check, f"{told[0]!r}, which a job's record tells, is no address of a node")
    closed = [agent for agent in agents if not _answers(client, agent)]
    if closed:
        return _state_api(check, f"the node agent {closed[0]} does not answer from here")
    return Finding(f"{check}: logs", OK, f"read in ranges from the node agents, such as {agents[0]}")


def _answers(client: RayClient, agent: str) -> bool:
    call = Call("GET", "/api/local_raylet_healthz", lambda answer: True, base_url=agent, timeout_seconds=5)
    try:
        return client.send(call)
    except AirError:
        return False


def _state_api(check: str, why: str) -> Finding:
    return Finding(
        f"{check}: logs",
        NOTE,
        f"logs come from the state API, which sends a file from its start at each read: {why}",
        "Fine for small logs. For large ones let workers and triggerers reach the agents "
        "(--dashboard-agent-listen-port, 52365 by default), or write large output to storage",
    )

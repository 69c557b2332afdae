"""A log is read from a byte offset, by the best way that works."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from airflow_provider_air.errors import AirError, ConfigurationError, ProtocolError, UnavailableError
from airflow_provider_air.ray_api import logs, nodes
from airflow_provider_air.ray_api.client import AsyncRayClient
from airflow_provider_air.ray_api.logs import LogReader, job_log_name
from airflow_provider_air.ray_api.models import JobDetails, JobStatus
from airflow_provider_air.ray_api.requests import get_job
from airflow_provider_air.ray_api.transport import Transport
from tests.fakes.ray_dashboard import FakeRayDashboard

NAME = job_log_name("job")
LOG = b"0123456789" * 20_000


async def details(client: AsyncRayClient) -> JobDetails:
    job = await client.send(get_job("job"))
    assert job is not None
    return job


async def read(transport: Transport, offset: int, limit: int, name: str = NAME) -> bytes:
    async with AsyncRayClient(transport, patience_seconds=0) as client:
        return await LogReader(client).read(await details(client), name, offset, limit)


@pytest.fixture(params=["agent", "state API"])
def way(request: pytest.FixtureRequest, head: FakeRayDashboard) -> str:
    head.add_job("job", log=LOG)
    if request.param == "state API":
        head.agent_off()
    way: str = request.param
    return way


@pytest.mark.parametrize(
    ("offset", "limit"),
    [(0, 10), (5, 10), (0, len(LOG) * 2), (len(LOG) - 3, 10), (len(LOG), 10), (len(LOG) + 5, 10), (70_001, 65_536)],
)
async def test_both_ways_give_the_same_bytes(way: str, transport: Transport, offset: int, limit: int) -> None:
    assert await read(transport, offset, limit) == LOG[offset : offset + limit]


async def test_a_file_that_is_not_there_yet_is_empty(way: str, transport: Transport) -> None:
    assert await read(transport, 0, 10, "absent.jsonl") == b""


async def test_the_agent_is_asked_first_and_only_for_the_range(head: FakeRayDashboard, transport: Transport) -> None:
    head.add_job("job", log=LOG)

    await read(transport, 5, 10)

    assert [request.status for request in head.requests_to("GET", f"^/logs/{NAME}$")] == [206]
    assert not head.requests_to("GET", "^/api/v0/logs")


async def test_an_agent_that_does_not_answer_is_left_alone_for_a_while(
    head: FakeRayDashboard, transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "AGENT_PAUSE_SECONDS", 3600.0)
    head.add_job("job", log=LOG)
    head.plan("GET", f"^/logs/{NAME}$", status=503)
    async with AsyncRayClient(transport, patience_seconds=0) as client:
        reader, job = LogReader(client), await details(client)
        for _ in range(3):
            assert await reader.read(job, NAME, 0, 10) == LOG[:10]
        assert len(head.requests_to("GET", f"^/logs/{NAME}$")) == 1

        monkeypatch.setattr(reader, "_agent_again", {})
        await reader.read(job, NAME, 0, 10)
        assert len(head.requests_to("GET", f"^/logs/{NAME}$")) == 2


async def test_a_server_without_ranges_gives_the_right_bytes(head: FakeRayDashboard, transport: Transport) -> None:
    head.add_job("job", log=LOG)
    head.plan("GET", f"^/logs/{NAME}$", status=200, body=LOG.decode())

    assert await read(transport, 5, 10) == LOG[5:15]


async def test_a_pending_job_has_no_log(head: FakeRayDashboard, transport: Transport) -> None:
    head.add_job("job", "PENDING", log=LOG)

    assert await read(transport, 0, 10) == b""


async def test_a_node_that_is_gone_is_unavailable(head: FakeRayDashboard, transport: Transport) -> None:
    head.add_job("job", log=LOG)
    head.kill_node()

    with pytest.raises(UnavailableError):
        await read(transport, 0, 10)


async def test_a_refused_token_is_told(head: FakeRayDashboard, transport: Transport) -> None:
    head.add_job("job", log=LOG)
    async with AsyncRayClient(transport, patience_seconds=0) as client:
        job = await details(client)
    async with AsyncRayClient(Transport(head.url, token="wrong"), patience_seconds=0) as client:
        with pytest.raises(ConfigurationError):
            await LogReader(client).read(job, NAME, 0, 10)


async def test_the_token_does_not_go_to_agents_behind_https(head: FakeRayDashboard) -> None:
    head.add_job("job", log=LOG)
    job = JobDetails("job", status=JobStatus.RUNNING, agent_address=head.agent_url, node_id="n")
    async with AsyncRayClient(Transport("https://127.0.0.1:1", token=head.token), patience_seconds=0) as client:
        with pytest.raises(AirError):
            await LogReader(client).read(job, NAME, 0, 10)

    assert not head.requests_to("GET", "^/logs/")


@pytest.mark.parametrize("base_url", ["http://127.0.0.1:1", "https://127.0.0.1:1"])
async def test_an_agent_is_reached_by_the_way_that_the_transport_knows(head: FakeRayDashboard, base_url: str) -> None:
    job = JobDetails("job", status=JobStatus.RUNNING, agent_address="http://10.0.0.5:52365", node_id="n")
    head.add_job("job", log=LOG)
    told: list[str] = []

    async def agent_url(address: str) -> str:
        told.append(address)
        return head.agent_url

    transport = Transport(base_url, token=head.token, agent_url=agent_url)
    async with AsyncRayClient(transport, patience_seconds=0) as client:
        assert await LogReader(client).read(job, NAME, 5, 10) == LOG[5:15]

    assert told == ["http://10.0.0.5:52365"]


async def test_an_agent_that_no_way_leads_to_is_not_asked(head: FakeRayDashboard) -> None:
    async def nowhere(address: str) -> None:
        return None

    head.add_job("job", log=LOG)
    transport = Transport(head.url, token=head.token, agent_url=nowhere)

    assert await read(transport, 5, 10) == LOG[5:15]
    assert not head.requests_to("GET", "^/logs/")


async def test_the_whole_log_has_a_limit(
    head: FakeRayDashboard, transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    head.add_job("job", log="all of it\n")
    async with AsyncRayClient(transport, patience_seconds=0) as client:
        assert await LogReader(client).whole_log("job") == "all of it\n"
        monkeypatch.setattr(logs, "JSON_LOG_LIMIT_BYTES", 10)
        with pytest.raises(ProtocolError, match="too large"):
            await LogReader(client).whole_log("job")


async def test_the_log_of_an_unknown_job_is_the_askers_mistake(transport: Transport) -> None:
    async with AsyncRayClient(transport, patience_seconds=0) as client:
        with pytest.raises(ConfigurationError, match="nope"):
            await LogReader(client).whole_log("nope")


class Elsewhere(ThreadingHTTPServer):
    """Answers whatever it is asked, and writes down who asked with which headers."""

    def __init__(self, host: str) -> None:
        super().__init__((host, 0), _Answer)
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.url = f"http://{host}:{self.server_address[1]}"


class _Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server: Any = self.server
        server.asked.append((self.path, dict(self.headers)))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"role credentials")

    def log_message(self, *_: Any) -> None:
        """Keep the output of the tests clean."""


@pytest.fixture(params=["127.0.0.1", "127.0.0.2"], ids=["on a node", "elsewhere"])
def elsewhere(request: pytest.FixtureRequest) -> Iterator[Elsewhere]:
    """A server that is no node's agent; a job could write its address into its record."""
    with Elsewhere(request.param) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Ours alone: the double's server may be cut off in the middle of a file, and say so."""
    return [record.message for record in caplog.records if record.name == logs.__name__]


ROLE = "/latest/meta-data/iam/security-credentials/role"


@pytest.mark.parametrize(
    "address",
    [
        "{url}" + ROLE + "#",
        "{url}" + ROLE + "?",
        "http://me@{place}",
        "http://{place}#",
        "//{place}",
        "http://localhost:{port}",
    ],
)
async def test_a_record_leads_nowhere_but_to_a_plain_address(
    head: FakeRayDashboard,
    transport: Transport,
    elsewhere: Elsewhere,
    address: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    place = elsewhere.url.removeprefix("http://")
    head.add_job("job", log=LOG)
    head.agent_url = address.format(url=elsewhere.url, place=place, port=place.rpartition(":")[2])
    proxied = Transport(head.url, token=head.token, headers={"X-Proxy-Secret": "sesame"})

    with caplog.at_level(logging.WARNING):
        async with AsyncRayClient(proxied, patience_seconds=0) as client:
            reader = LogReader(client)
            for _ in range(3):
                assert await reader.read(await details(client), NAME, 5, 10) == LOG[5:15]

    assert elsewhere.asked == []
    assert len(warnings(caplog)) == 1


@pytest.mark.parametrize("elsewhere", ["127.0.0.2"], indirect=True)
async def test_only_the_clusters_own_nodes_are_asked(
    head: FakeRayDashboard, transport: Transport, elsewhere: Elsewhere, caplog: pytest.LogCaptureFixture
) -> None:
    head.add_job("job", log=LOG)
    head.agent_url = elsewhere.url

    with caplog.at_level(logging.WARNING):
        assert await read(transport, 5, 10) == LOG[5:15]

    assert elsewhere.asked == []
    (warned,) = warnings(caplog)
    assert elsewhere.url in warned


async def test_a_dead_nodes_address_may_be_anothers_by_now(head: FakeRayDashboard, transport: Transport) -> None:
    head.add_job("job", log=LOG)
    head.node_state = ("DEAD", "gone")

    with pytest.raises(UnavailableError):
        await read(transport, 5, 10)
    assert not head.requests_to("GET", "^/logs/")


@pytest.mark.parametrize("elsewhere", ["127.0.0.1"], indirect=True)
async def test_agents_get_rays_token_and_nothing_of_the_proxys(head: FakeRayDashboard, elsewhere: Elsewhere) -> None:
    head.add_job("job", log=LOG)
    head.agent_url = elsewhere.url
    proxied = Transport(head.url, token=head.token, headers={"X-Proxy-Secret": "sesame", "Authorization": "Basic abc"})
    async with AsyncRayClient(proxied, patience_seconds=0) as client:
        job = JobDetails("job", status=JobStatus.RUNNING, agent_address=elsewhere.url, node_id="n")
        head.token = None
        await LogReader(client).read(job, NAME, 0, 10)

    ((path, headers),) = elsewhere.asked
    assert path == f"/logs/{NAME}"
    assert headers["Authorization"] == f"Bearer {proxied.token}"
    assert "sesame" not in str(headers)
    assert "Basic" not in str(headers)


async def test_who_many_read_for_asks_for_the_nodes_once(head: FakeRayDashboard, transport: Transport) -> None:
    head.add_job("job", log=LOG)
    async with AsyncRayClient(transport, patience_seconds=0) as client:
        reader, job = LogReader(client), await details(client)
        found = await asyncio.gather(*(reader.read(job, NAME, at, 10) for at in range(20)))

    assert found == [LOG[at : at + 10] for at in range(20)]
    assert len(head.requests_to("GET", "^/logs/")) == 20
    assert len(head.requests_to("GET", "^/api/v0/nodes$")) == 1


async def test_agents_need_not_be_read_at_all(head: FakeRayDashboard) -> None:
    head.add_job("job", log=LOG)

    assert await read(Transport(head.url, token=head.token, reads_agents=False), 5, 10) == LOG[5:15]
    assert not head.requests_to("GET", "^/logs/|nodes")


async def test_a_cluster_that_does_not_tell_its_nodes_is_read_by_its_dashboard(
    head: FakeRayDashboard, transport: Transport, caplog: pytest.LogCaptureFixture
) -> None:
    head.add_job("job", log=LOG)
    head.plan("GET", "^/api/v0/nodes$", times=None, status=403, body="not for you")

    assert await read(transport, 5, 10) == LOG[5:15]
    assert not head.requests_to("GET", "^/logs/")
    assert warnings(caplog) == []


@pytest.mark.parametrize(
    ("address", "dashboard", "is_one"),
    [
        ("http://10.0.0.5:52365", "http://ray.example.com:8265", True),
        ("http://[fd00::5]:52365", "http://ray.example.com:8265", True),
        ("http://10.0.0.6:52365", "http://ray.example.com:8265", False),
        ("http://169.254.169.254:80", "http://ray.example.com:8265", False),
        ("http://[::ffff:169.254.169.254]:80", "http://ray.example.com:8265", False),
        ("http://0.0.0.0:80", "http://127.0.0.1:8265", False),
        ("http://127.0.0.1:52365", "http://ray.example.com:8265", False),
        ("http://127.0.0.1:52365", "http://10.0.0.5:8265", False),
        ("http://127.0.0.1:52365", "http://127.0.0.1:8265", True),
        ("http://127.0.0.1:52365", "http://localhost:8265", True),
    ],
)
def test_what_somebody_registered_as_a_node_must_be_a_place_for_one(address: str, dashboard: str, is_one: bool) -> None:
    everywhere = ["10.0.0.5", "fd00::5", "169.254.169.254", "0.0.0.0", "127.0.0.1", "head.internal"]

    assert nodes.plain_address(address) == address
    assert nodes.is_node_address(address, everywhere, dashboard) is is_one

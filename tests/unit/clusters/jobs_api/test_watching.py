"""A job's log, records and state are followed to their end, whatever happens on the way."""

from __future__ import annotations

import asyncio
import json
import random
import time
from dataclasses import dataclass, field
from typing import Any

import pytest

from airflow_provider_air.clusters.jobs_api import watching
from airflow_provider_air.clusters.jobs_api.watching import JobWatch
from airflow_provider_air.contracts.jobs import FollowEnd, FollowSettings, Observation
from airflow_provider_air.drivers.wire.names import records_name
from airflow_provider_air.ray_api.feed import borrow_feed
from airflow_provider_air.ray_api.lines import LINE_LIMIT_BYTES
from airflow_provider_air.ray_api.transport import Transport
from tests.fakes.ray_dashboard import FakeRayDashboard

SECONDS = 120.0


@dataclass
class Seen:
    """All that one watch gave."""

    lines: list[str] = field(default_factory=list)
    records: list[dict[str, Any]] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    end: FollowEnd | None = None


async def watch(transport: Transport, seen: Seen | None = None, **settings: Any) -> Seen:
    async def open_transport() -> Transport:
        return transport

    async def follow(seen: Seen) -> Seen:
        async with borrow_feed("head", open_transport) as feed:
            async for item in JobWatch(feed, FollowSettings("job", **settings)).follow():
                _take(seen, item)
        return seen

    return await asyncio.wait_for(follow(Seen() if seen is None else seen), SECONDS)


def _take(seen: Seen, item: Observation | FollowEnd) -> None:
    if isinstance(item, FollowEnd):
        assert seen.end is None
        seen.end = item
        return
    seen.lines += item.lines
    seen.records += item.records
    seen.offsets.append(item.log_offset)


def outcome(seen: Seen) -> str:
    assert seen.end is not None
    return seen.end.outcome


async def wait_for(condition: Any, what: str) -> None:
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, f"waited in vain for {what}"
        await asyncio.sleep(0.01)


def record(seq: int, kind: str = "progress", **fields: Any) -> str:
    return json.dumps({"v": 1, "seq": seq, "t": 0.0, "kind": kind, **fields}) + "\n"


@pytest.mark.parametrize("size", [1, 7, 64, 1000, 1 << 20])
async def test_lines_come_once_and_in_order_in_reads_of_any_size(
    head: FakeRayDashboard, transport: Transport, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(watching, "READ_BYTES", size)
    lines = [f"{number}: {'ä' * (number % 5)}" for number in range(100 if size > 1 else 8)]
    head.add_job("job", "SUCCEEDED", log="".join(f"{line}\n" for line in lines))

    seen = await watch(transport)

    assert seen.lines == lines
    assert outcome(seen) == "ended"


async def test_lines_come_in_order_however_they_are_written(head: FakeRayDashboard, transport: Transport) -> None:
    text = "".join(f"{number} {'é' * (number % 9)}\n" for number in range(200)).encode()
    head.add_job("job")
    seen = Seen()
    running = asyncio.create_task(watch(transport, seen))
    source, start = random.Random(7), 0
    while start < len(text):
        step = source.randint(1, 400)
        head.append_log("job", text[start : start + step])
        start += step
        await asyncio.sleep(0.01)
    head.set_status("job", "SUCCEEDED")
    await running

    assert seen.lines == text.decode().splitlines()
    assert seen.offsets == sorted(seen.offsets)
    assert seen.offsets[-1] == len(text)


async def test_a_last_line_without_an_end_is_shown_when_the_job_has_ended(
    head: FakeRayDashboard, transport: Transport
) -> None:
    head.add_job("job", log="one\ntwo")
    seen = Seen()
    running = asyncio.create_task(watch(transport, seen))
    await wait_for(lambda: seen.lines, "a line")
    assert seen.lines == ["one"]
    head.set_status("job", "SUCCEEDED")
    await running

    assert seen.lines == ["one", "two"]
    assert seen.offsets[-1] == len("one\ntwo")


async def test_a_huge_line_is_cut_and_says_how_much_is_left_out(head: FakeRayDashboard, transport: Transport) -> None:
    huge = "x" * (3 * watching.READ_BYTES + 17)
    head.add_job("job", "SUCCEEDED", log=f"before\n{huge}\nafter\n")

    seen = await watch(transport)

    rest = len(huge) - LINE_LIMIT_BYTES
    assert seen.lines[0] == "before"
    assert seen.lines[1:3] == [f"{huge[:LINE_LIMIT_BYTES]} […]", f"[{rest} more bytes of that line are left out]"]
    assert seen.lines[3:] == ["after"]


async def test_bytes_that_are_no_text_do_no_harm(head: FakeRayDashboard, transport: Transport) -> None:
    head.add_job("job", "SUCCEEDED", log=b"\xff\xfe\nfine\r\n")

    assert (await watch(transport)).lines == ["��", "fine"]


async def test_watching_goes_on_from_an_earlier_offset(head: FakeRayDashboard, transport: Transport) -> None:
    head.add_job("job", "SUCCEEDED", log="one\ntwo\nthree\n")

    assert (await watch(transport, log_offset=4)).lines == ["two", "three"]


async def test_the_cap_ends_with_a_pointer_to_the_whole_log(head: FakeRayDashboard, transport: Transport) -> None:
    head.add_job("job", "SUCCEEDED", log="0123456789\n" * 100)

    seen = await watch(transport, log_limit_bytes=50)
    again = await watch(transport, log_limit_bytes=50, log_offset=seen.offsets[-1])

    assert "whole log" in seen.lines[-1]
    assert again.lines == []


async def test_the_log_is_drained_after_the_end(
    head: FakeRayDashboard, transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "READ_BYTES", 100)
    head.add_job("job", "FAILED", log="0123456789\n" * 1000)

    assert len((await watch(transport)).lines) == 1000


async def test_lines_are_not_lost_when_the_records_cannot_be_read(head: FakeRayDashboard, transport: Transport) -> None:
    """The log is read first; what it gave is not given again."""
    head.add_job("job", log="one\ntwo\n")
    head.agent_off()
    head.plan("GET", "^/api/v0/logs/file$", times=1)
    head.plan("GET", "^/api/v0/logs/file$", times=1, status=500)
    seen = Seen()
    running = asyncio.create_task(watch(transport, seen, has_records=True))
    await wait_for(lambda: len(head.requests_to("GET", "^/api/v0/logs/file$")) >= 2, "both files to be read")
    head.set_status("job", "FAILED")
    await running

    assert seen.lines == ["one", "two"]


async def test_records_come_once_and_in_order(head: FakeRayDashboard, transport: Transport) -> None:
    head.add_job("job")
    seen = Seen()
    running = asyncio.create_task(watch(transport, seen, has_records=True))
    text = "".join(record(number, message=f"m{number}") for number in range(30))
    for start in range(0, len(text), 50):
        head.append_file(records_name("job"), text[start : start + 50])
        await asyncio.sleep(0.01)
    head.append_file(records_name("job"), record(30, "end", status="succeeded"))
    head.set_status("job", "SUCCEEDED")
    await running

    assert [item["seq"] for item in seen.records] == list(range(31))


@pytest.mark.parametrize("status", ["SUCCEEDED", "FAILED"])
async def test_a_record_that_is_larger_than_one_read_comes_whole(
    head: FakeRayDashboard, transport: Transport, monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    monkeypatch.setattr(watching, "READ_BYTES", 100)
    head.add_job("job", status)
    head.append_file(records_name("job"), record(0, "result", value="x" * 5000) + record(1, "end", status="succeeded"))

    seen = await watch(transport, has_records=True)

    assert [item["kind"] for item in seen.records] == ["result", "end"]


async def test_a_closing_record_that_is_late_is_waited_for(head: FakeRayDashboard, transport: Transport) -> None:
    head.add_job("job", "SUCCEEDED")
    seen = Seen()
    running = asyncio.create_task(watch(transport, seen, has_records=True))
    await wait_for(lambda: head.requests_to("GET", "air-records"), "a look for records")
    head.append_file(records_name("job"), record(0, "end", status="succeeded"))
    await running

    assert [item["kind"] for item in seen.records] == ["end"]


@pytest.mark.parametrize("text", [b"no json\n", b'{"v": 2}\n', record(3).encode(), b"[1]\n"])
async def test_records_that_make_no_sense_are_told_and_left(
    head: FakeRayDashboard, transport: Transport, text: bytes
) -> None:
    head.add_job("job", "SUCCEEDED", log="one\n")
    head.append_file(records_name("job"), text)

    seen = await watch(transport, has_records=True)

    assert seen.lines[0] == "one"
    assert "records cannot be read on" in seen.lines[1]
    assert outcome(seen) == "ended"


# Ends


async def test_an_unknown_job_is_lost(transport: Transport) -> None:
    assert outcome(await watch(transport)) == "lost"


async def test_the_deadline_comes_with_the_last_state(head: FakeRayDashboard, transport: Transport) -> None:
    head.add_job("job", "PENDING")

    seen = await watch(transport, until=time.time() - 1)

    assert outcome(seen) == "deadline"
    assert seen.end is not None
    assert seen.end.job is not None


async def test_an_end_before_the_deadline_wins(head: FakeRayDashboard, transport: Transport) -> None:
    head.add_job("job", "SUCCEEDED")

    assert outcome(await watch(transport, until=time.time() - 1)) == "ended"


async def test_silence_is_unreachable_with_the_last_state(head: FakeRayDashboard, transport: Transport) -> None:
    head.add_job("job")
    seen = Seen()
    running = asyncio.create_task(watch(transport, seen, unreachable_seconds=0.3))
    await wait_for(lambda: seen.offsets, "a look")
    head.plan("GET", ".*", drop=True, times=None)
    await running

    assert outcome(seen) == "unreachable"
    assert seen.end is not None
    assert seen.end.job is not None


async def test_a_refused_token_is_refused(head: FakeRayDashboard) -> None:
    head.add_job("job")

    assert outcome(await watch(Transport(head.url, token="wrong"), unreachable_seconds=0.3)) == "refused"


async def test_leaving_early_ends_the_watch(head: FakeRayDashboard, transport: Transport) -> None:
    head.add_job("job", log="one\n")
    running = asyncio.create_task(watch(transport))
    await wait_for(lambda: head.requests_to("GET", "^/api/jobs/job$"), "a look")
    running.cancel()
    await asyncio.wait([running])

    assert running.cancelled()
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("air-ray")]

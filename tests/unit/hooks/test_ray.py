"""The public hook, over a real HTTP dashboard."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from airflow_provider_air.errors import ConfigurationError, UnavailableError
from airflow_provider_air.hooks.ray import RayHook
from airflow_provider_air.ray_api.models import JobStatus
from tests.fakes.ray_dashboard import FakeRayDashboard
from tests.unit.conftest import Connect


@pytest.fixture
def hook(head: FakeRayDashboard, connect: Connect) -> RayHook:
    connect(host=head.url, password=head.token)
    return RayHook()


@pytest.fixture(params=["sync", "async"])
def way(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def do(hook: RayHook, way: str, verb: str, *args: Any, **kwargs: Any) -> Any:
    if way == "sync":
        return getattr(hook, verb)(*args, **kwargs)
    return asyncio.run(getattr(hook, f"a{verb}")(*args, **kwargs))


def test_a_job_is_submitted_looked_at_listed_and_stopped(head: FakeRayDashboard, hook: RayHook, way: str) -> None:
    name = do(hook, way, "submit", "true", metadata={"a": "b"}, entrypoint_num_cpus=1)

    assert head.jobs[name].metadata == {"a": "b"}
    assert do(hook, way, "status", name).submission_id == name
    assert [job.submission_id for job in do(hook, way, "list_jobs")] == [name]
    assert do(hook, way, "stop", name) is True
    assert do(hook, way, "status", "nope") is None
    assert do(hook, way, "stop", "nope") is False


def test_a_log_comes_whole(head: FakeRayDashboard, hook: RayHook, way: str) -> None:
    head.add_job("job", "SUCCEEDED", log="one\ntwo\n")

    assert do(hook, way, "logs", "job") == "one\ntwo\n"
    assert do(hook, way, "status", "job").status is JobStatus.SUCCEEDED


def test_a_lost_reply_makes_one_job(head: FakeRayDashboard, hook: RayHook, way: str) -> None:
    head.plan("POST", "^/api/jobs/$", drop=True, act_first=True)

    assert do(hook, way, "submit", "true") in head.jobs
    assert len(head.jobs) == 1


def test_a_request_that_never_arrived_is_an_error(head: FakeRayDashboard, hook: RayHook, way: str) -> None:
    head.plan("POST", "^/api/jobs/$", drop=True)

    with pytest.raises(UnavailableError):
        do(hook, way, "submit", "true")


def test_an_id_that_is_taken_is_refused(head: FakeRayDashboard, hook: RayHook, way: str) -> None:
    head.add_job("mine")

    with pytest.raises(ConfigurationError, match="exists already"):
        do(hook, way, "submit", "true", submission_id="mine")


def test_an_unknown_connection_is_named(way: str) -> None:
    with pytest.raises(ConfigurationError, match="'nowhere'"):
        do(RayHook("nowhere"), way, "status", "job")


# The test button


def test_a_good_connection_tests_well(hook: RayHook) -> None:
    assert hook.test_connection() == (True, "Ray 2.60.0 answers and accepts the token")


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"password": "wrong-token"}, "refused the token"),
        ({"password": None}, "wants a token"),
        ({"host": "http://127.0.0.1:1"}, "127.0.0.1:1"),
        ({"host": ""}, "no address"),
        ({"extra": "{"}, "no JSON"),
        ({"extra": {"backend": "local"}}, "back end 'local' and has no address"),
    ],
)
def test_a_bad_connection_says_why(head: FakeRayDashboard, connect: Connect, fields: dict[str, Any], says: str) -> None:
    connect(**{"host": head.url, "password": head.token, **fields})

    good, message = RayHook().test_connection()

    assert not good
    assert says in message


def test_the_test_is_two_small_requests(head: FakeRayDashboard, hook: RayHook) -> None:
    hook.test_connection()

    assert [request.method for request in head.requests_to("*", ".*")] == ["GET", "GET"]

"""Every answer of Ray becomes a value or a typed error."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_air.errors import (
    AirError,
    ClusterUnreachableError,
    ConfigurationError,
    ProtocolError,
    UnavailableError,
)
from airflow_provider_air.ray_api import requests
from airflow_provider_air.ray_api.models import ClusterLoad, JobDetails, JobStatus, JobSubmission
from airflow_provider_air.ray_api.requests import Answer, Call

JOB = {"submission_id": "a", "status": "RUNNING", "driver_exit_code": None, "metadata": None, "message": None}
NODE = {"node_id": "n", "state": "ALIVE", "is_head_node": True, "resources_total": {"CPU": 2.0}}
SUBMISSION = JobSubmission("a", "true")
LOAD = {"loadMetricsReport": {"usage": {"CPU": [2, 2]}, "resourceDemand": [[{"CPU": 64}, 3]]}}

CALLS: dict[str, Call[Any]] = {
    "version": requests.get_version(),
    "job": requests.get_job("a"),
    "jobs": requests.list_jobs(),
    "submit": requests.submit_job(SUBMISSION),
    "stop": requests.stop_job("a"),
    "package": requests.get_package("p.zip"),
    "upload": requests.put_package("p.zip", b""),
    "nodes": requests.list_nodes(),
    "status": requests.get_cluster_load(),
    "tasks": requests.summarize_tasks("01"),
}


def answer(body: Any = b"", status: int = 200) -> Answer:
    return Answer(status, body if isinstance(body, bytes) else json.dumps(body).encode())


def listing(rows: Any) -> dict[str, Any]:
    return {"data": {"result": {"result": rows}}}


def test_right_answers_become_values() -> None:
    summary = {"f": {"func_or_class_name": "f", "state_counts": {"RUNNING": 2}}}
    tasks = listing({"node_id_to_summary": {"cluster": {"summary": summary}}})

    assert CALLS["version"].read(answer({"ray_version": "2.60.0", "session_name": "s"})).session_name == "s"
    assert CALLS["job"].read(answer(JOB)).status is JobStatus.RUNNING
    assert [job.submission_id for job in CALLS["jobs"].read(answer([JOB]))] == ["a"]
    assert CALLS["submit"].read(answer({"submission_id": "a"})) is True
    assert CALLS["stop"].read(answer({"stopped": True})) is True
    assert CALLS["package"].read(answer()) is True
    assert CALLS["upload"].read(answer()) is None
    assert [node.is_head for node in CALLS["nodes"].read(answer(listing([NODE])))] == [True]
    assert CALLS["status"].read(answer({"data": {"clusterStatus": LOAD}})) == ClusterLoad(
        {"CPU": (2.0, 2.0)}, (({"CPU": 64.0}, 3),)
    )
    assert CALLS["tasks"].read(answer(tasks)) == {"f": {"RUNNING": 2}}


def test_absence_is_an_answer() -> None:
    absent = answer(b"Job a does not exist", 404)

    assert CALLS["job"].read(absent) is None
    assert CALLS["stop"].read(absent) is False
    assert CALLS["package"].read(answer(b"Package gcs://p.zip does not exist", 404)) is False


def test_a_known_id_is_no_new_job() -> None:
    assert CALLS["submit"].read(answer(b"ValueError: ... already exists. Please use", 500)) is False


def test_the_agents_refusal_is_the_authors_to_fix() -> None:
    inner = "Traceback (most recent call last):\n  File agent.py\nValueError: no such label\n"
    body = f"Traceback\nRuntimeError: Request failed with status code 400: {inner}.\n".encode()

    with pytest.raises(ConfigurationError, match="rejected the job: ValueError: no such label"):
        CALLS["submit"].read(answer(body, 500))


def test_what_ray_says_arrives_whole() -> None:
    words = "ValueError: no such label\n  and why:\n" + "x" * 3000 + "\nthe end"
    inner = f"Traceback (most recent call last):\n  File agent.py\n    raise it\n{words}\n"
    wrapped = f"Traceback\nRuntimeError: Request failed with status code 400: {inner}.\n".encode()

    for body, status in ((wrapped, 500), (words.encode(), 400), (words.encode(), 500)):
        with pytest.raises(AirError) as raised:
            CALLS["submit"].read(answer(body, status))
        assert words in str(raised.value)
    assert str(raised.value).count("Traceback") == 0


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize(
    ("status", "error"),
    [
        (204, ProtocolError),
        (302, ConfigurationError),
        (400, ConfigurationError),
        (401, ConfigurationError),
        (403, ConfigurationError),
        (404, UnavailableError),
        (405, ConfigurationError),
        (413, ConfigurationError),
        (418, ProtocolError),
        (422, ConfigurationError),
        (429, UnavailableError),
        (500, ClusterUnreachableError),
        (503, UnavailableError),
    ],
)
def test_every_call_knows_what_a_bad_status_means(name: str, status: int, error: type[AirError]) -> None:
    with pytest.raises(error) as raised:
        CALLS[name].read(answer(b"some words", status))

    assert type(raised.value) is error


@pytest.mark.parametrize("name", [name for name in CALLS if name not in ("submit", "package", "upload")])
@pytest.mark.parametrize("body", [b"", b"<html>login</html>", b"{", b"\xff\xfe"])
def test_no_json_is_a_protocol_error(name: str, body: bytes) -> None:
    with pytest.raises(ProtocolError):
        CALLS[name].read(answer(body))


@pytest.mark.parametrize("name", ["version", "job", "nodes", "tasks"])
@pytest.mark.parametrize(
    "body", [None, 1, "x", {}, [1], [{}], {"data": None}, {"data": {"result": []}}, listing(None), listing([1])]
)
def test_other_json_is_a_protocol_error(name: str, body: Any) -> None:
    with pytest.raises(ProtocolError):
        CALLS[name].read(answer(body))


@pytest.mark.parametrize("body", [None, 1, "x", [1], {}])
def test_odd_answers_to_what_is_only_informed_are_empty(body: Any) -> None:
    assert CALLS["stop"].read(answer(body)) is False


@pytest.mark.parametrize("body", [None, 1, "x", [1], {}, {"data": {"clusterStatus": {"loadMetricsReport": [1]}}}])
def test_what_is_no_report_of_a_cluster_is_a_protocol_error(body: Any) -> None:
    with pytest.raises(ProtocolError):
        CALLS["status"].read(answer(body))


@pytest.mark.parametrize("status", [None, {}, {"loadMetricsReport": None}])
def test_a_report_that_is_not_there_yet_is_empty(status: Any) -> None:
    assert CALLS["status"].read(answer({"data": {"clusterStatus": status}})) == ClusterLoad()


@pytest.mark.parametrize("body", [None, 1, "x", {}, {"data": None}])
def test_what_is_no_list_of_jobs_is_a_protocol_error(body: Any) -> None:
    with pytest.raises(ProtocolError):
        CALLS["jobs"].read(answer(body))


def test_an_odd_job_does_not_hide_the_others_of_a_list() -> None:
    odd = [1, {}, None, JOB | {"status": None}, JOB | {"submission_id": "b"}, JOB | {"status": "LATER"}]

    jobs = CALLS["jobs"].read(answer(odd))

    assert [(job.submission_id, job.status) for job in jobs] == [("b", JobStatus.RUNNING), ("a", JobStatus.UNKNOWN)]


@pytest.mark.parametrize("text", ["[]", " [ ] ", "[1,2]", '[{"a": [1, 2]} ,\n {"b": "],["} ]', "[[],[]]", '["\u00e9"]'])
def test_a_list_is_read_item_by_item_as_it_would_be_at_once(text: str) -> None:
    assert list(answer(text.encode()).items()) == json.loads(text)


@pytest.mark.parametrize("text", ["", "[", "[1", "[1,", "[1 2]", "[,1]", "[1,]", "{}", '"[]"', "<html>[1]</html>"])
def test_a_list_that_is_cut_short_is_none(text: str) -> None:
    with pytest.raises(ProtocolError):
        list(answer(text.encode()).items())


@pytest.mark.parametrize("status", ["GREAT", "running", "", "UNKNOWN"])
def test_an_unknown_status_is_never_taken_for_a_known_one(status: str) -> None:
    job = JobDetails.from_api(JOB | {"status": status})

    assert job.status is JobStatus.UNKNOWN
    assert not job.status.is_terminal


@pytest.mark.parametrize("status", [None, [], 1], ids=str)
def test_a_status_that_is_no_text_is_a_protocol_error(status: Any) -> None:
    with pytest.raises(ProtocolError):
        JobDetails.from_api(JOB | {"status": status})


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize(
    "page", [b"404 page not found", b'{"kind":"Status","reason":"NotFound","code":404}', b"It does not exist here", b""]
)
def test_somebody_elses_404_says_nothing_about_a_job(name: str, page: bytes) -> None:
    with pytest.raises(UnavailableError):
        CALLS[name].read(answer(page, 404))


def test_only_submitting_and_stopping_change_something_and_submitting_is_not_repeated() -> None:
    assert {name for name, call in CALLS.items() if call.method == "POST"} == {"submit", "stop"}
    assert {name for name, call in CALLS.items() if not call.repeatable} == {"submit"}


def test_ids_are_quoted_in_paths() -> None:
    assert requests.get_job("a/../b?c").path == "/api/jobs/a%2F..%2Fb%3Fc"


def test_a_submission_leaves_out_what_is_not_set() -> None:
    plain = json.loads(requests.submit_job(SUBMISSION).body or b"")
    full = JobSubmission("a", "true", entrypoint_num_gpus=0.5, entrypoint_label_selector={"zone": "a"}).to_api()

    assert set(plain) == {"submission_id", "entrypoint", "runtime_env", "metadata"}
    assert (full["entrypoint_num_gpus"], full["entrypoint_label_selector"]) == (0.5, {"zone": "a"})


def test_job_details_survive_json_with_the_whole_of_a_long_message() -> None:
    job = JobDetails.from_api(JOB | {"status": "FAILED", "message": "begin" + "x" * 9000 + "end"})

    again = JobDetails.from_json(json.loads(json.dumps(job.to_json())))

    assert (again.status, again.submission_id) == (JobStatus.FAILED, "a")
    assert again.message == job.message

"""The pages themselves: their HTML, the bundle, reports, and names of any script."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from airflow_provider_air.plugin import static
from tests.airflow_site import AirflowSite

SCRIPT = "</script><script>alert(1)</script>"
RUNS = [
    "manual__2026-01-01T00:00:00+00:00",
    "ran/in two",
    "日本 ё",
    SCRIPT,
    "a\u202eb",
    "x\x1b[31my",
    "~",
    "{MAP_INDEX}",
]


@pytest.mark.parametrize("run_id", RUNS)
def test_a_run_of_any_name_has_its_pages(site: AirflowSite, run_id: str) -> None:
    site.add_task("named", run_id, task_id="a.b-c").push("progress", {"submission_id": "s", "message": SCRIPT})
    client, path = site.client("viewer"), f"named/{quote(run_id, safe='')}/a.b-c/-1"
    page = client.get(f"/air/task/{path}")
    assert page.status_code == 200
    assert "<script>alert" not in page.text
    told = client.get(f"/air/api/task/{path}")
    assert told.status_code == 200
    assert told.headers["content-type"] == "application/json"
    assert told.json()["sections"]["state"]["message"] == SCRIPT
    assert "\u202e" not in told.text
    assert "\x1b" not in told.text
    report = client.get(f"/air/report/{path}", params={"download": "1"})
    assert report.status_code == 200
    assert "<script>alert" not in report.text
    assert report.headers["content-disposition"].isascii()
    assert client.get(f"/air/api/run/named/{quote(run_id, safe='')}").json()["tasks"][0]["task_id"] == "a.b-c"


def test_a_report_is_a_document_of_its_own(site: AirflowSite) -> None:
    site.add_task("reported")
    answer = site.client("viewer").get("/air/report/reported/r/t/-1")
    policy = answer.headers["content-security-policy"]
    assert "unsafe-inline" not in policy.split("script-src")[1].split(";")[0]
    assert "sandbox allow-scripts allow-downloads" in policy
    assert "frame-ancestors 'self'" in policy


def test_the_bundle_is_kept_by_browsers_until_there_is_another(site: AirflowSite) -> None:
    client = site.client("viewer")
    (source,) = [word for word in client.get("/air/clusters").text.split('"') if "air.js" in word]
    whole = client.get(source)
    assert "immutable" in whole.headers["cache-control"]
    assert whole.headers["content-type"].startswith("text/javascript")
    again = client.get("/air/static/air.js", headers={"if-none-match": whole.headers["etag"]})
    assert (again.status_code, again.text) == (304, "")
    assert "immutable" not in again.headers["cache-control"]


@pytest.mark.parametrize("name", ["nothing.js", "..%2Fapp.py", "%2e%2e%2freport.py", "__init__.py"])
def test_nothing_but_the_bundle_is_served(site: AirflowSite, name: str) -> None:
    assert site.client("viewer").get(f"/air/static/{name}").status_code == 404


def test_a_package_without_the_bundle_says_so(site: AirflowSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(static, "assets", dict)
    answer = site.client("viewer").get("/air/static/air.js")
    assert answer.status_code == 404
    assert "built without" in answer.json()["detail"]


def test_below_a_path_the_pages_find_their_own(site: AirflowSite) -> None:
    from starlette.testclient import TestClient

    client = TestClient(site.app, root_path="/below")
    client.headers.update(site.client("viewer").headers)
    assert 'data-base="/below/air/"' in client.get("/below/air/clusters").text


def test_what_is_sent_is_compressed(site: AirflowSite) -> None:
    task = site.add_task("large")
    points = [[n, n / 7] for n in range(2000)]
    task.push("air_history", {"version": 1, "series": {"loss": points}})
    answer = site.client("viewer").get("/air/api/task/large/r/t/-1", headers={"accept-encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"

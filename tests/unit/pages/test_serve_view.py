"""What a roll-out shows of Serve."""

from __future__ import annotations

from airflow_provider_air.pages.serve_view import serve_section
from tests.unit.pages.documents import history

TOLD = history(
    [
        {"kind": "progress", "step": "deploy", "state": "done"},
        {
            "kind": "progress",
            "serve": {
                "name": "app--7",
                "application": "app",
                "status": "RUNNING",
                "version": "7",
                "route_prefix": "/app",
                "deployments": [{"name": "Model", "status": "HEALTHY", "replicas": 1, "target": 2}],
            },
        },
    ]
)["serve"]


def test_an_application_has_its_replicas_and_where_it_answers() -> None:
    told = serve_section(TOLD, {"applications": {"app": {"url": "https://serve/app"}}}, None)
    assert told is not None
    (application,) = told["applications"]
    assert (application["name"], application["url"], told["version"]) == ("app--7", "https://serve/app", "7")
    assert application["deployments"] == [{"name": "Model", "status": "HEALTHY", "replicas": 1, "target": 2}]
    assert [(step["name"], step["state"]) for step in told["steps"]] == [("deploy", "done")]


def test_the_only_application_has_the_address_of_the_link() -> None:
    told = serve_section(TOLD, "no dict", "https://serve/x")
    assert told is not None
    assert told["applications"][0]["url"] == "https://serve/x"
    assert serve_section(TOLD, None, "javascript:1") == {
        **told,
        "applications": [{**told["applications"][0], "url": None}],
    }


def test_without_serve_there_is_nothing() -> None:
    assert serve_section(None, {"applications": {}}, None) is None
    assert serve_section({"applications": "x"}, None, None) is None

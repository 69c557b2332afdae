"""What Serve runs, read from its details."""

from __future__ import annotations

from typing import Any

from airflow_provider_air.drivers.wire import serve_state


def application(name: str, route: str) -> dict[str, Any]:
    config = {"name": name, "route_prefix": route, "import_path": "other:app"}
    return {"status": "RUNNING", "route_prefix": route, "deployed_app_config": config}


def test_versions_of_an_application_are_found_by_name_the_public_one_first() -> None:
    version = "--0123456789"
    details = {
        "applications": {
            f"flights{version}": application(f"flights{version}", f"/_air/flights{version}"),
            "flights--abcdefabcd": application("flights--abcdefabcd", "/flights"),
            "flights-of-others": application("flights-of-others", "/others"),
            "flights--production": application("flights--production", "/p"),
        }
    }
    assert [item.name for item in serve_state.versions_of(details, "flights")] == [
        "flights--abcdefabcd",
        f"flights{version}",
    ]

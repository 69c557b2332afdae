"""docker-compose.yaml is valid, pinned, closed to the network and consistent with itself; no engine runs here."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

REPOSITORY = Path(__file__).parents[2]
SCHEMA = json.loads((Path(__file__).parent / "compose_spec" / "compose-spec.json").read_text())
VARIABLE = re.compile(r"\$\{(?P<name>\w+):-(?P<default>[^}]*)}")
ONE_SHOT = {"airflow-init"}


def _interpolate(text: str, environment: dict[str, str]) -> str:
    """Do with ``${NAME:-default}`` what Compose does; any other form fails the test below."""
    return VARIABLE.sub(lambda found: environment.get(found["name"], found["default"]), text)


def _load(**environment: str) -> dict[str, Any]:
    text = (REPOSITORY / "docker-compose.yaml").read_text()
    document: dict[str, Any] = yaml.safe_load(_interpolate(text, environment))
    return document


@pytest.fixture
def services() -> dict[str, dict[str, Any]]:
    loaded: dict[str, dict[str, Any]] = _load()["services"]
    return loaded


def test_the_file_follows_the_compose_specification() -> None:
    jsonschema.Draft202012Validator(SCHEMA).validate(_load())


def test_the_schema_would_notice_a_misspelt_key() -> None:
    document = _load()
    document["services"]["ray-head"]["helthcheck"] = {}

    with pytest.raises(jsonschema.ValidationError, match="helthcheck"):
        jsonschema.Draft202012Validator(SCHEMA).validate(document)


def test_every_variable_has_a_default_so_that_nothing_must_be_edited() -> None:
    assert "$" not in _interpolate((REPOSITORY / "docker-compose.yaml").read_text(), {})


def test_every_image_is_pinned_to_a_full_version(services: dict[str, dict[str, Any]]) -> None:
    images = {service["image"] for service in services.values()}
    images |= set(re.findall(r"^FROM (\S+)", services["airflow-init"]["build"]["dockerfile_inline"], re.MULTILINE))

    assert len(images) == 4
    assert {image for image in images if not re.search(r":\d+\.\d+(\.\d+)?(-py[a-z]*[\d.]+)?$", image)} == set()


def test_the_build_copies_what_exists_and_keeps_airflow_at_the_image_version(
    services: dict[str, dict[str, Any]],
) -> None:
    dockerfile = services["airflow-init"]["build"]["dockerfile_inline"]
    copied = [source for line in re.findall(r"^COPY --\S+ (.+)", dockerfile, re.M) for source in line.split()[:-1]]

    assert copied
    assert [source for source in copied if not (REPOSITORY / source).exists()] == []
    (base,) = re.findall(r"apache/airflow:([\d.]+)-", dockerfile)
    assert f'"apache-airflow=={base}"' in dockerfile


def test_airflow_and_ray_have_the_same_python(services: dict[str, dict[str, Any]]) -> None:
    (airflow,) = re.findall(r"python(\d)\.(\d+)", services["airflow-init"]["build"]["dockerfile_inline"])

    assert services["ray-head"]["image"].endswith(f"-py{''.join(airflow)}")


def test_every_lasting_service_has_a_health_check_and_waits_only_for_what_can_become_ready(
    services: dict[str, dict[str, Any]],
) -> None:
    assert {name for name, service in services.items() if "healthcheck" not in service} == ONE_SHOT
    for service in services.values():
        for needed, how in service.get("depends_on", {}).items():
            wanted = "service_completed_successfully" if needed in ONE_SHOT else "service_healthy"
            assert (needed in services, how["condition"]) == (True, wanted)


def test_published_ports_listen_on_this_machine_only(services: dict[str, dict[str, Any]]) -> None:
    ports = [port for service in services.values() for port in service.get("ports", [])]

    assert ports
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


def test_the_connection_reaches_the_head_with_the_token_that_ray_demands() -> None:
    services = _load(RAY_AUTH_TOKEN="from-the-environment")["services"]
    airflow = {name: service for name, service in services.items() if name.startswith("airflow-")}
    (connection,) = {
        service["environment"][f"AIRFLOW_CONN_RAY_{name}"]
        for service in airflow.values()
        for name in ("DEFAULT", "SERVING")
    }
    command = services["ray-head"]["command"]

    assert json.loads(connection) == {
        "conn_type": "ray",
        "host": "http://ray-head",
        "port": 8265,
        "password": "from-the-environment",
    }
    assert {"--dashboard-port=8265", "--dashboard-host=0.0.0.0"} <= set(command)
    for ray in ("ray-head", "ray-worker"):
        assert services[ray]["environment"]["RAY_AUTH_MODE"] == "token"
        assert services[ray]["environment"]["RAY_AUTH_TOKEN"] == "from-the-environment"


def test_all_of_airflow_shares_logs_dags_and_database(services: dict[str, dict[str, Any]]) -> None:
    airflow = [service for name, service in services.items() if name.startswith("airflow-")]

    assert len(airflow) == 5
    for service in airflow:
        assert service["volumes"] == [
            "./dags:/opt/airflow/dags:ro",
            "examples:/mnt/examples",
            "airflow-logs:/opt/airflow/logs",
        ]
        assert "@postgres/" in service["environment"]["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]


def test_the_examples_storage_is_a_folder_that_airflow_and_ray_share(services: dict[str, dict[str, Any]]) -> None:
    users = {name: service for name, service in services.items() if name.startswith(("airflow-", "ray-"))}
    told = {
        service["environment"].get("AIRFLOW_VAR_AIR_EXAMPLES_STORAGE", "/mnt/examples") for service in users.values()
    }

    assert told == {"/mnt/examples"}
    assert [name for name, service in users.items() if "examples:/mnt/examples" not in service["volumes"]] == []
    # Airflow's user and Ray's are different ones.
    assert "mode=1777" in _load()["volumes"]["examples"]["driver_opts"]["o"]

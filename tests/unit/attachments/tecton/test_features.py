"""What Tecton adds to an application, and that nothing else may have it."""

from __future__ import annotations

import pytest

from airflow_provider_air.attachments.tecton.features import TectonFeatures
from airflow_provider_air.attachments.tecton.server import TectonServer
from airflow_provider_air.contracts.jobs import JobRequest
from airflow_provider_air.contracts.names import TaskKey
from airflow_provider_air.contracts.runs import AttemptInfo
from airflow_provider_air.errors import ConfigurationError
from tests.fakes.attachment import FakeConnections

ATTEMPT = AttemptInfo(TaskKey("here", "d", "r", "t"), "air-1", "run", 1, 1, "serve", "ray")


def test_an_application_learns_where_to_read_and_no_key() -> None:
    connections = FakeConnections(tecton=TectonServer("https://example.tecton.ai/", "canary-key"))
    given = TectonFeatures("prod", "delay_v1", "t").open(connections).before_submit(ATTEMPT)

    assert given.application_env == {
        "TECTON_URL": "https://example.tecton.ai",
        "TECTON_WORKSPACE": "prod",
        "TECTON_FEATURE_SERVICE": "delay_v1",
    }
    assert given.folders.keys() == {"air_features"}
    assert (given.env_vars, given.secrets, given.payload) == ({}, {}, {})
    assert connections.asked == [("tecton", "t")]


def test_only_what_serves_may_have_it() -> None:
    spec = TectonFeatures("prod", "delay_v1")

    assert set(spec.check(JobRequest("true"), "serve", None)) == set()
    for workload in ("train", "tune", "batch_inference", "submit"):
        with pytest.raises(ConfigurationError, match=r"joins no data sets.*by its path: datasets="):
            spec.check(JobRequest("true"), workload, "s3://b/runs")


@pytest.mark.parametrize("fields", [("", "s"), ("w", " "), ("w", "s", "")])
def test_a_blank_field_is_refused(fields: tuple[str, ...]) -> None:
    with pytest.raises(ConfigurationError, match="must be a name"):
        TectonFeatures(*fields).validate()

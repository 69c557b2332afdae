"""What is an answer of Serve, and what is somebody else's."""

from __future__ import annotations

import pytest

from airflow_provider_air.errors import AirError, ConfigurationError, ProtocolError, UnavailableError
from airflow_provider_air.ray_api.requests import Answer
from airflow_provider_air.ray_api.serve import get_serve


@pytest.mark.parametrize(
    ("answer", "error", "says"),
    [
        (Answer(404, b"Path '/api/serve/applications/' not found."), UnavailableError, "dashboard's address"),
        (Answer(501, b"Serve dependencies are not installed"), ConfigurationError, r"ray\[serve\]"),
        (Answer(200, b"{}"), ProtocolError, "lists no applications"),
    ],
    ids=["another server", "no Serve", "another answer"],
)
def test_an_answer_of_something_else_is_no_state_of_serve(answer: Answer, error: type[AirError], says: str) -> None:
    with pytest.raises(error, match=says):
        get_serve().read(answer)

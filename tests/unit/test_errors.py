"""Every error says what, where and what to do, and travels between processes."""

from __future__ import annotations

import copy
import inspect
import pickle

import pytest

from airflow_provider_air import errors
from airflow_provider_air.errors import AirError, ConfigurationError, JobFailedError, MissingExtraError

KINDS = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, AirError) and kind is not MissingExtraError
]


@pytest.mark.parametrize("kind", KINDS)
def test_a_message_is_what_where_and_hint(kind: type[AirError]) -> None:
    assert str(kind("It broke")) == "It broke"
    assert str(kind("It broke", where="air-1")) == "It broke [air-1]"
    assert str(kind("It broke", where="air-1", hint="Mend it")) == "It broke [air-1]. Mend it"


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_survives_a_pickle_and_a_copy(kind: type[AirError]) -> None:
    error = kind("It broke", where="air-1", hint="Mend it")

    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(again) is kind
        assert str(again) == str(error)
        assert (again.what, again.where, again.hint) == ("It broke", "air-1", "Mend it")


def test_details_of_a_failed_job_survive() -> None:
    error = JobFailedError("x", error_type="T", exit_code=3, last_lines="a\nb")

    again = pickle.loads(pickle.dumps(error))

    assert (again.error_type, again.exit_code, again.last_lines) == ("T", 3, "a\nb")


def test_a_missing_extra_names_the_command_that_installs_it() -> None:
    error = pickle.loads(pickle.dumps(MissingExtraError("wandb", "wandb")))

    assert isinstance(error, ConfigurationError)
    assert "pip install 'airflow-provider-air[wandb]'" in str(error)


def test_every_error_is_one_of_the_five_consequences() -> None:
    branches = {kind for kind in KINDS if AirError in kind.__bases__}

    assert {kind.__name__ for kind in branches} == {
        "ConfigurationError",
        "UnavailableError",
        "RemoteFailureError",
        "DeadlineExceededError",
        "ProtocolError",
    }
    assert all(issubclass(kind, tuple(branches)) for kind in KINDS if kind is not AirError)


def test_every_error_is_in_the_drawn_tree() -> None:
    drawn = errors.__doc__ or ""

    assert not [kind.__name__ for kind in [*KINDS, MissingExtraError] if kind.__name__ not in drawn]

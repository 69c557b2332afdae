"""Airflow imports the definition whenever any of its commands starts."""

from __future__ import annotations

import importlib
import inspect

from airflow.cli.cli_config import ActionCommand, GroupCommand

from airflow_provider_air.cli.definition import get_air_commands
from tests.architecture.test_cold_import import HEAVY, newly_loaded


def test_definition_loads_nothing_of_ours_but_itself() -> None:
    loaded = newly_loaded(
        "from airflow_provider_air.cli.definition import get_air_commands as g; g()",
        prepare="import airflow.cli.cli_config, airflow_provider_air",
    )
    assert loaded == {"airflow_provider_air.cli", "airflow_provider_air.cli.definition"}
    assert not loaded & HEAVY


def test_every_command_names_a_function_that_exists() -> None:
    def actions(command: ActionCommand | GroupCommand) -> list[ActionCommand]:
        if isinstance(command, ActionCommand):
            return [command]
        return [action for child in command.subcommands for action in actions(child)]

    found = [action for group in get_air_commands() for action in actions(group)]
    assert [action.name for action in found] == [
        "list",
        "show",
        "manifest",
        "delete",
        "clean",
        "list",
        "logs",
        "stop",
        "watch",
        "report",
        "doctor",
    ]
    for action in found:
        path = inspect.getclosurevars(action.func).nonlocals["import_path"]
        module, _, name = path.rpartition(".")
        assert callable(getattr(importlib.import_module(module), name))

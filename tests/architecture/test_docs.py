"""What README and docs show exists: Python blocks are executed, commands are parsed, links lead somewhere."""

from __future__ import annotations

import argparse
import json
import re
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from airflow.cli.cli_config import ActionCommand
from airflow.sdk import DAG

from airflow_provider_air.cli.definition import get_air_commands
from airflow_provider_air.drivers import online
from airflow_provider_air.get_provider_info import get_provider_info
from tests.architecture.source import REPOSITORY

PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#\s]+)?(#[^)\s]+)?\)")
FOLDERS = ("airflow_provider_air", "dags", "docs", "scripts", "tests")
NAMED_FILE = re.compile(rf"`((?:{'|'.join(FOLDERS)})/[\w./-]+\.\w+)`")


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks(language: str) -> list[Block]:
    return [
        Block(page, page.read_text().count("\n", 0, found.start()) + 1, found[1], found[2])
        for page in PAGES
        for found in FENCE.finditer(page.read_text())
        if found[1] == language
    ]


def commands(program: str) -> list[tuple[Block, list[str]]]:
    """Give the command lines that start with a program, as words without it."""
    return [
        (block, shlex.split(line.removeprefix("$ "), comments=True)[1:])
        for block in blocks("console")
        for line in block.text.splitlines()
        if line.startswith(f"$ {program} ")
    ]


@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_python_block_runs(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a DAG, so that operators outside of one find theirs; tasks are made, not run."""
    # By the name under which it travels to a replica.
    monkeypatch.setitem(sys.modules, "air_features", online)
    # Not with this file's own future imports.
    code = compile("\n" * block.line + block.text, str(block.page), "exec", dont_inherit=True)
    with DAG("docs", schedule=None):
        exec(code, {"__name__": "docs"})


@pytest.mark.parametrize("block", blocks("json"), ids=str)
def test_json_block_is_json(block: Block) -> None:
    json.loads(block.text)


@pytest.mark.parametrize("block", blocks("yaml"), ids=str)
def test_yaml_block_is_yaml(block: Block) -> None:
    assert all(isinstance(document, dict) for document in yaml.safe_load_all(block.text))


@pytest.mark.parametrize(
    ("block", "words"), [found for found in commands("airflow") if found[1][0] == "air"], ids=lambda value: str(value)
)
def test_command_of_ours_has_these_words(block: Block, words: list[str]) -> None:
    parser = argparse.ArgumentParser()
    _add(parser, get_air_commands())
    assert callable(parser.parse_args(words).func)


def test_commands_of_make_exist() -> None:
    makefile = (REPOSITORY / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    wanted = {words[0] for _, words in commands("make")}
    assert wanted
    assert wanted <= targets


def test_commands_in_the_table_of_operations_exist() -> None:
    told = set(re.findall(r"`airflow air ([a-z]+(?: [a-z]+)?)", (REPOSITORY / "docs/operations.md").read_text()))
    assert told == {" ".join(words) for words in _names(get_air_commands()[0].subcommands)}


def test_settings_in_the_docs_are_those_of_the_provider() -> None:
    text = "\n".join(page.read_text() for page in PAGES)
    assert set(re.findall(r"\[air\] (\w+)", text)) == set(get_provider_info()["config"]["air"]["options"])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_named_files_lead_somewhere(page: Path) -> None:
    text = page.read_text()
    for target, anchor in LINK.findall(text):
        if "://" in target:
            continue
        found = (page.parent / target).resolve() if target else page
        assert found.exists(), target
        if anchor:
            assert anchor.removeprefix("#") in _anchors(found.read_text()), f"{target}{anchor}"
    for name in NAMED_FILE.findall(text):
        assert (REPOSITORY / name).exists(), name


def test_every_page_is_on_the_map() -> None:
    index = (REPOSITORY / "docs/index.md").read_text()
    assert {page.name for page in PAGES[1:]} - {"index.md"} <= {target for target, _ in LINK.findall(index)}


def _anchors(text: str) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def _add(parser: argparse.ArgumentParser, commands: Any) -> None:
    choices = parser.add_subparsers(required=True)
    for command in commands:
        child = choices.add_parser(command.name)
        if isinstance(command, ActionCommand):
            for arg in command.args:
                arg.add_to_parser(child)
            child.set_defaults(func=command.func)
        else:
            _add(child, command.subcommands)


def _names(commands: Any) -> list[list[str]]:
    return [
        [command.name, *rest]
        for command in commands
        for rest in ([[]] if isinstance(command, ActionCommand) else _names(command.subcommands))
    ]

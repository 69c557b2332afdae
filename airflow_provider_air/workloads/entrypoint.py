"""The command of a job: a line for a shell, or the list of its words."""

from __future__ import annotations

import shlex
from pathlib import PurePath
from typing import Any

from airflow_provider_air.errors import ConfigurationError


def command_of(entrypoint: Any) -> str:
    """
    Give the line for the shell.

    :param entrypoint: that line; or its words: text, numbers and paths, which no shell reads
    :raises ConfigurationError: there is none, or a word is none
    """
    command = _joined(entrypoint) if isinstance(entrypoint, (list, tuple, PurePath)) else entrypoint
    if not isinstance(command, str) or not command.strip():
        wrong = "is empty" if not entrypoint or isinstance(entrypoint, str) else f"is no command: {entrypoint!r}"
        raise ConfigurationError(
            f"'entrypoint' {wrong}", hint="Give the shell command that the job runs, or the list of its words"
        )
    if "\0" in command:
        raise ConfigurationError("'entrypoint' holds a NUL character", hint="No process can be started with it")
    return command


def _joined(words: Any) -> str:
    texts = []
    for number, word in enumerate([words] if isinstance(words, PurePath) else words, 1):
        if isinstance(word, bool) or not isinstance(word, (str, int, float, PurePath)):
            raise ConfigurationError(
                f"Word {number} of 'entrypoint' is of type {type(word).__name__}",
                hint="Words are text, numbers or paths",
            )
        if not str(word).strip():
            raise ConfigurationError(
                f"Word {number} of 'entrypoint' is empty",
                hint="Leave it out; where an empty word is meant, give the command as one text",
            )
        texts.append(str(word))
    return shlex.join(texts)

"""What of a folder travels is what Ray itself would pack: over many trees, by Ray's own function."""

from __future__ import annotations

import logging
import os
import random
import socket
import zipfile
from pathlib import Path

import pytest
from ray._private.ray_constants import get_runtime_env_default_excludes
from ray._private.runtime_env.packaging import _zip_files

from airflow_provider_air.errors import ConfigurationError
from airflow_provider_air.ray_api.code_files import files_of_folder

NAMES = [
    "a",
    "b",
    "data",
    "keep.txt",
    "x.csv",
    "y.csv",
    "venv",
    ".git",
    "__pycache__",
    "lib",
    "ä b",
    "#c",
    "!d",
    "e.py",
]
PATTERNS = (
    """
*.csv|data|data/|/data|data/*|!data/keep.txt|!keep.txt|**/lib|lib/**|a/**/b|*|!*/|!e.py|/*|!/lib|# comment||\\#c|\\!d
[ab]|?.csv|/lib/|lib/*.csv|**|**/|!lib|  |x.csv |data/\\ |e.p[xy]|[!a]|./data|data//|/|a/|!a/|a/../data|**/data/**|ä*
[!]a]|[]a]|[^a]|a[|\\*|a\\|***|a**b|!data|/**|/**/a|a/*/b|**a|  !lib |[ab|\\a?|!|!/
""".strip()
    .replace("\n", "|")
    .split("|")
)


def plant(chance: random.Random, folder: Path, depth: int = 0) -> None:
    for name in chance.sample(NAMES, chance.randint(0, 6)):
        path = folder / name
        if depth < 3 and chance.random() < 0.5:
            path.mkdir()
            plant(chance, path, depth + 1)
        elif depth and chance.random() < 0.1:
            path.symlink_to(chance.choice(["../keep.txt", "../x.csv", "nowhere"]))
        else:
            path.write_text(name)
    for name in (".gitignore", ".rayignore"):
        if chance.random() < 0.25:
            lines = chance.choices(PATTERNS, k=chance.randint(1, 4))
            (folder / name).write_text("\n".join(lines) + chance.choice(["", "\n"]))


def rays(folder: Path, excludes: list[str], *, hears_git: bool) -> set[str]:
    packed = folder.parent / "packed.zip"
    all_excludes = get_runtime_env_default_excludes() + excludes
    _zip_files(str(folder), all_excludes, str(packed), include_gitignore=hears_git, logger=logging.getLogger("quiet"))
    return set(zipfile.ZipFile(packed).namelist()) - {"./"}


@pytest.mark.parametrize("block", range(20))
def test_the_same_files_travel_as_with_ray(block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(20 * block, 20 * block + 20):
        chance = random.Random(seed)
        folder = tmp_path / str(seed) / "code"
        folder.mkdir(parents=True)
        plant(chance, folder)
        excludes = [line for line in chance.choices(PATTERNS, k=chance.randint(0, 3)) if line not in ("!", "!/")]
        hears_git = chance.random() < 0.8
        monkeypatch.setenv("RAY_RUNTIME_ENV_IGNORE_GITIGNORE", "0" if hears_git else "1")

        try:
            expected = rays(folder, excludes, hears_git=hears_git)
        except IndexError:
            continue  # a lone "!" is too much for Ray
        found = {file.name for file in files_of_folder(folder, "x", excludes=excludes, obeys_ignore_files=True)}

        assert found == expected, (seed, excludes)


def test_rays_own_default_may_be_overridden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("venv", "data"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").write_text("x")
    monkeypatch.setenv("RAY_OVERRIDE_RUNTIME_ENV_DEFAULT_EXCLUDES", " data, ")

    assert (
        {file.name for file in files_of_folder(tmp_path, "x")}
        == {"venv/x"}
        == rays(tmp_path, [], hears_git=True) - {"packed.zip"}
    )


@pytest.mark.parametrize("what", ["read_bytes", "iterdir", "read_text"])
def test_what_cannot_be_read_is_named(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lib").mkdir()
    for name in ("lib/a.py", "lib/.rayignore"):
        (tmp_path / name).write_text("x")
    real = getattr(Path, what)

    def refuse(path: Path, *args: object, **kwargs: object) -> object:
        if "lib" in path.parts:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *args, **kwargs)

    monkeypatch.setattr(Path, what, refuse)
    with pytest.raises(ConfigurationError, match=r"A file of 'working_dir' cannot be read.*Permission denied.*lib"):
        [file.read() for file in files_of_folder(tmp_path, "working_dir", obeys_ignore_files=True)]


def test_pipes_and_sockets_stay_at_home(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x")
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s"))

        assert {file.name for file in files_of_folder(tmp_path, "x")} == {"a.py"}

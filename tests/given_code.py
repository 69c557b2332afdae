"""The forms of the inputs in ``tests/kinds/code.py``: a request over a tree of files, and a field's template."""

from __future__ import annotations

import tarfile
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Link:
    """A symbolic link, instead of a file's content."""

    to: str


@dataclass(frozen=True)
class Archive:
    """An archive, instead of a file's content: of the kind that its name says."""

    files: dict[str, str]


@dataclass(frozen=True)
class Given:
    """
    A request, and what becomes of it.

    :param tree: path to content; None is an empty folder
    :param fields: of the JobRequest; relative paths start at the tree
    :param shipped: the names in each package, without our own
    :param sent: what the submission holds of ``entrypoint``, or of ``runtime_env`` by key
    :param says: what an error says, instead
    """

    fields: dict[str, Any]
    tree: dict[str, Any] = field(default_factory=dict)
    shipped: list[set[str]] | None = None
    sent: dict[str, Any] | None = None
    says: tuple[str, ...] = ()


@dataclass(frozen=True)
class Templated:
    """
    A field's template, and what it means.

    :param operator: its name, in the package
    :param is_native: with ``render_template_as_native_obj``
    """

    operator: str
    name: str
    template: Any
    becomes: Any
    is_native: bool = False
    fields: dict[str, Any] = field(default_factory=dict)


def ships(tree: dict[str, Any], shipped: set[str], working_dir: Any = "code", **fields: Any) -> Given:
    return Given({"working_dir": working_dir, **fields}, tree, [shipped])


def reads(tree: dict[str, Any], name: str, value: Any, becomes: Any) -> Given:
    return Given({"runtime_env": {name: value}}, tree, sent={name: becomes})


def refuses(tree: dict[str, Any], *says: str, **fields: Any) -> Given:
    return Given(fields, tree, says=says)


def runs(entrypoint: Any, command: str) -> Given:
    return Given({"entrypoint": entrypoint}, sent={"entrypoint": command})


def names(**environment: Any) -> dict[str, Any]:
    return {"runtime_env": environment}


def below(folder: str, *paths: str) -> dict[str, Any]:
    return {f"{folder}/{path}": path for path in paths}


LOCK = """
version = 1
revision = 3
requires-python = ">=3.11"

[[package]]
name = "mine"
version = "0.1.0"
source = { editable = "." }
dependencies = [
    { name = "httpx", extra = ["http2"] },
    { name = "ray" },
    { name = "tzdata", marker = "sys_platform == 'win32'" },
    { name = "mine-core" },
]

[package.dev-dependencies]
dev = [{ name = "pytest" }]

[package.metadata]
requires-dist = [{ name = "httpx", extras = ["http2"] }, { name = "ray" }, { name = "tzdata" }, { name = "mine-core" }]

[[package]]
name = "mine-core"
version = "0.1.0"
source = { editable = "packages/core" }
dependencies = [{ name = "odd" }, { name = "torch" }]

[[package]]
name = "httpx"
version = "0.28.1"
source = { registry = "https://pypi.org/simple" }
dependencies = [{ name = "anyio" }]

[package.optional-dependencies]
http2 = [{ name = "h2" }]

[[package]]
name = "anyio"
version = "4.9.0"
source = { registry = "https://pypi.org/simple" }

[[package]]
name = "h2"
version = "4.2.0"
source = { registry = "https://pypi.org/simple" }

[[package]]
name = "odd"
version = "1.0"
source = { git = "https://github.com/o/odd?rev=main#0123abc" }

[[package]]
name = "torch"
version = "2.7.0+cpu"
source = { registry = "https://download.pytorch.org/whl/cpu" }

[[package]]
name = "pytest"
version = "8.4.0"
source = { registry = "https://pypi.org/simple" }

[[package]]
name = "tzdata"
version = "2025.2"
source = { registry = "https://pypi.org/simple" }
dependencies = [{ name = "only-there" }]

[[package]]
name = "only-there"
version = "1.0"
source = { registry = "https://pypi.org/simple" }

[[package]]
name = "ray"
version = "2.60.0"
source = { registry = "https://pypi.org/simple" }
dependencies = [{ name = "rays-own" }]

[[package]]
name = "rays-own"
version = "3.0"
source = { registry = "https://pypi.org/simple" }
"""
LOCKED = [
    "--extra-index-url https://download.pytorch.org/whl/cpu",
    "anyio==4.9.0",
    "h2==4.2.0",
    "httpx==0.28.1",
    "odd @ git+https://github.com/o/odd@0123abc",
    "only-there==1.0 ; (sys_platform == 'win32')",
    "torch==2.7.0+cpu",
    "tzdata==2025.2 ; (sys_platform == 'win32')",
]
PROJECT = '[project]\nname = "mine"\nversion = "0.1.0"\ndependencies = ["httpx[http2]>=0.27", "ray", "mine-core"]\n'
SOURCES = """
[project]
name = "mine"
dependencies = ["ray", "On.Git[fast]>=2; python_version < '4'", "on-a-branch", "by_url", "inner==1", "open"]
[tool.uv.sources]
on-git = {git = "https://g/on-git", tag = "v1", subdirectory = "lib"}
on-a-branch = [{git = "ssh://git@g/b.git", branch = "main"}]
by-url = {url = "https://h/by_url.whl"}
inner = {index = "private"}
ray = {path = "../ray"}
[[tool.uv.index]]
name = "private"
url = "https://private/simple"
explicit = true
[[tool.uv.index]]
name = "unused"
url = "https://unused/simple"
explicit = true
[[tool.uv.index]]
url = "https://mirror/simple"
default = true
[[tool.uv.index]]
url = "https://h/wheels.html"
format = "flat"
"""
FROM_SOURCES = [
    "--index-url https://mirror/simple",
    "--find-links https://h/wheels.html",
    "--extra-index-url https://private/simple",
    "On.Git[fast] @ git+https://g/on-git@v1#subdirectory=lib ; python_version < '4'",
    "on-a-branch @ git+ssh://git@g/b.git@main",
    "by_url @ https://h/by_url.whl",
    "inner==1",
    "open",
]
# As uv's guide to PyTorch has it.
BY_PLATFORM = """
[project]
name = "mine"
dependencies = ["torch>=2.7", "torchvision", "triton"]
[tool.uv.sources]
torch = [
    { index = "cpu", marker = "sys_platform == 'nowhere'" },
    { index = "cuda", marker = "sys_platform != 'nowhere'" },
]
torchvision = [{ index = "cpu", marker = "sys_platform == 'nowhere'" }]
triton = { index = "xpu", marker = "sys_platform == 'nowhere'" }
[[tool.uv.index]]
name = "cpu"
url = "https://download.pytorch.org/whl/cpu"
explicit = true
[[tool.uv.index]]
name = "cuda"
url = "https://download.pytorch.org/whl/cu128"
explicit = true
[[tool.uv.index]]
name = "xpu"
url = "https://download.pytorch.org/whl/xpu"
explicit = true
"""
FROM_BY_PLATFORM = [
    "--extra-index-url https://download.pytorch.org/whl/cu128",
    "--extra-index-url https://download.pytorch.org/whl/cpu",
    "--extra-index-url https://download.pytorch.org/whl/xpu",
    "torch>=2.7",
    "torchvision",
    "triton",
]
HASHED = "numpy==2.3.0 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n"

CODE = below("code", "main.py", "lib/a.py")
SIGNED = "https://host/a%20b/code.zip?X-Amz-Signature=ab%2Fcd&X-Amz-Expires=900"


def in_bytes(text: str, encoding: str) -> str:
    """Give a file's content of another encoding than UTF-8, as :func:`plant` takes it."""
    return text.encode(encoding).decode("utf-8", "surrogateescape")


def plant(root: Path, tree: dict[str, Any]) -> None:
    """Make the tree's files, folders, links and archives."""
    for name, content in tree.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            path.mkdir(parents=True)
        elif isinstance(content, Link):
            path.symlink_to(content.to)
        elif isinstance(content, Archive):
            _pack(path, content)
        else:
            path.write_bytes(content.encode("utf-8", "surrogateescape"))


def _pack(path: Path, content: Archive) -> None:
    if path.suffix in (".zip", ".whl"):
        with zipfile.ZipFile(path, "w") as archive:
            for name, text in content.files.items():
                archive.writestr(name, text)
        return
    files = path.parent / f"{path.name}.d"
    for name, text in content.files.items():
        (files / name).parent.mkdir(parents=True, exist_ok=True)
        (files / name).write_text(text)
    with tarfile.open(path, "w:xz" if path.suffix == ".xz" else "w:gz") as packed:
        packed.add(files, arcname=".")

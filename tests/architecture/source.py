"""The package's source as data, for the tests of its shape."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
PACKAGE = REPOSITORY / "airflow_provider_air"

Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Module:
    """One file of the package."""

    path: Path

    @property
    def name(self) -> str:
        """The dotted name to import it by."""
        parts = self.path.relative_to(REPOSITORY).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    @property
    def text(self) -> str:
        """The source."""
        return self.path.read_text()

    @property
    def tree(self) -> ast.Module:
        """The parsed source."""
        return ast.parse(self.text, str(self.path))

    def public_definitions(self) -> Iterator[tuple[str, Definition]]:
        """Give the public classes, functions and methods with their dotted names."""
        yield from _public(self.name, self.tree.body)


def modules() -> list[Module]:
    """Give all modules of the package."""
    return [Module(path) for path in sorted(PACKAGE.rglob("*.py"))]


def _public(prefix: str, body: list[ast.stmt]) -> Iterator[tuple[str, Definition]]:
    for node in body:
        if isinstance(node, Definition) and not node.name.startswith("_"):
            name = f"{prefix}.{node.name}"
            yield name, node
            if isinstance(node, ast.ClassDef):
                yield from _public(name, node.body)

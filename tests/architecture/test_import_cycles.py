"""Who imports whom, over all imports: late ones count, since a cycle that an import inside a function hides is one."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

import pytest

from airflow_provider_air import _NAMES
from tests.architecture.source import modules

PACKAGE = "airflow_provider_air"
DRIVERS = f"{PACKAGE}.drivers"
# What Airflow's side may import of the drivers: what both sides say to each other.
DOOR = f"{DRIVERS}.wire"
# What is inside a back end, a storage, an attachment is nobody's business but its own folder's and the registry's
# beside it; and that of what Airflow sees of it, which has its name: the hook, the connection, the operator.
INSIDES: dict[str, dict[str, tuple[str, ...]]] = {
    "clusters": {"existing": (), "kuberay": (), "local": ()},
    "storage": {"gcs": ("google",), "s3": ("aws",), "shared_folder": ()},
    "attachments": {"feast": (), "mlflow": (), "tecton": (), "wandb": ()},
}

Graph = Mapping[str, set[str]]


def test_no_module_imports_itself_by_way_of_others() -> None:
    found = cycles(imports_below(PACKAGE))
    assert not found, "\n".join(" <-> ".join(sorted(cycle)) for cycle in found)


@pytest.mark.parametrize("folder", INSIDES)
def test_nobody_looks_inside_a_back_end_a_storage_or_an_attachment(folder: str) -> None:
    looks = []
    for name, imports in imports_below(PACKAGE).items():
        for inside, names in INSIDES[folder].items():
            root = f"{PACKAGE}.{folder}.{inside}"
            is_own = below(name, root) or name == f"{PACKAGE}.{folder}.registry"
            if not is_own and name.rpartition(".")[2] not in (inside, *names):
                looks += [f"{name} -> {imported}" for imported in imports if below(imported, root)]
    assert looks == []


def test_the_insides_are_all_of_them() -> None:
    names = {module.name.removeprefix(f"{PACKAGE}.") for module in modules()}
    folders = {name for name in names if name.count(".") == 1}
    assert {f"{folder}.{inside}" for folder, insides in INSIDES.items() for inside in insides} <= folders
    specs = set(_NAMES.values())
    assert {f"storage.{inside}" for inside in INSIDES["storage"]} == {name for name in specs if "storage." in name}
    assert {name.split(".")[1] for name in specs if name.startswith("clusters.")} == set(INSIDES["clusters"])
    assert {name.split(".")[1] for name in specs if name.startswith("attachments.")} == set(INSIDES["attachments"])


def test_airflows_side_imports_nothing_of_the_drivers_but_what_both_sides_say() -> None:
    graph = imports_below(PACKAGE)
    assert [
        f"{name} -> {imported}"
        for name in sorted(graph)
        for imported in sorted(graph[name])
        if below(imported, DRIVERS) and not below(imported, DOOR) and not below(name, DRIVERS)
    ] == []


def test_what_travels_with_a_deployment_stands_alone() -> None:
    graph = imports_below(f"{DRIVERS}.online")
    outside = {name for imported in imports_below(PACKAGE).items() if imported[0] in graph for name in imported[1]}
    assert outside - set(graph) == set()


def test_late_and_relative_imports_count_and_those_for_types_alone_do_not() -> None:
    text = """
from typing import TYPE_CHECKING
import package.a
from . import b
from .. import c
from ..d import nothing
from package.e import f, thing

if TYPE_CHECKING:
    from package import types_only

def later():
    import package.g.h
    from package import i
"""
    known = {f"package.{name}" for name in ("a", "sub.b", "c", "d", "e", "e.f", "g.h", "i", "types_only", "unused")}
    found = set(imported(ast.parse(text), "package.sub", known))
    assert found == {f"package.{name}" for name in ("a", "sub.b", "c", "d", "e", "e.f", "g.h", "i")}


def test_cycles_are_found_whole() -> None:
    graph = {"a": {"b"}, "b": {"c", "d"}, "c": {"a"}, "d": {"e"}, "e": {"d"}, "f": {"a"}}
    assert sorted(map(sorted, cycles(graph))) == [["a", "b", "c"], ["d", "e"]]


def below(name: str, root: str) -> bool:
    """Whether a module is the root, or a part of it."""
    return name == root or name.startswith(f"{root}.")


def imports_below(root: str) -> Graph:
    """Give for each module below the root which others below it it imports, wherever in its text."""
    found = {module.name: module for module in modules() if below(module.name, root)}
    graph = {}
    for name, module in found.items():
        package = name if module.path.name == "__init__.py" else name.rpartition(".")[0]
        graph[name] = set(imported(module.tree, package, set(found))) - {name}
    assert graph
    return graph


def imported(tree: ast.Module, package: str, known: set[str]) -> Iterator[str]:
    """
    Give which of the known modules a text imports, by the most exact name of each.

    :param package: the package that the text's relative imports start from
    """
    for node in _for_real(tree):
        if isinstance(node, ast.Import):
            yield from known & {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            start = ".".join(package.split(".")[: len(package.split(".")) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (start, node.module) if part)
            for alias in node.names:
                yield from known & {_exact(module, alias.name, known)}


def cycles(graph: Graph) -> list[set[str]]:
    """Give the groups of modules that all reach each other."""
    reached = {name: _reached(graph, name) for name in graph}
    found: list[set[str]] = []
    for name in graph:
        group = {other for other in reached[name] if name in reached[other]}
        if group and group not in found:
            found.append(group)
    return found


def _for_real(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            for other in child.orelse:
                yield other
                yield from _for_real(other)
            continue
        yield child
        yield from _for_real(child)


def _exact(module: str, name: str, known: set[str]) -> str:
    return f"{module}.{name}" if f"{module}.{name}" in known else module


def _reached(graph: Graph, start: str) -> set[str]:
    found: set[str] = set()
    left = [start]
    while left:
        new = graph[left.pop()] - found
        found |= new
        left += new
    return found

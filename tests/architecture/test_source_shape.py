"""What every file of the package looks like."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator, Mapping

from tests.architecture.source import Definition, Module, modules

MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 60
# A name that says nothing collects everything.
FORBIDDEN_NAMES = {
    "utils",
    "util",
    "helpers",
    "helper",
    "common",
    "misc",
    "mixins",
    "constants",
    "base_utils",
}
# Not of the field.
METAPHORS = {"aboard", "alight", "embark", "luggage", "passenger", "ride", "rider", "riders", "voyage", "voyages"}
WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
# Given by Airflow or Python: the contract is documented where it is defined.
INHERITED_CONTRACTS = {
    "execute",
    "on_kill",
    "run",
    "serialize",
    "cleanup",
    "get_link",
    "poke",
    "get_conn",
    "test_connection",
    "resume_execution",
}


def test_every_module_says_why_it_exists() -> None:
    silent = [module.name for module in modules() if module.text.strip() and not ast.get_docstring(module.tree)]
    assert not silent


def test_every_public_name_has_a_docstring() -> None:
    silent = [
        f"{module.path.name}:{node.lineno} {name}"
        for module in modules()
        for name, node in module.public_definitions()
        if not ast.get_docstring(node) and not _inherits_its_contract(node)
    ]
    assert not silent, "\n".join(silent)


def test_no_module_outgrows_a_screenful_of_screens() -> None:
    sizes = {module.name: len(module.text.splitlines()) for module in modules()}
    assert not {name: lines for name, lines in sizes.items() if lines > MAX_MODULE_LINES}


def test_no_function_outgrows_a_screen() -> None:
    assert not [
        f"{module.name}:{node.lineno} {node.name} has {_lines(node)} lines"
        for module in modules()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and _lines(node) > MAX_FUNCTION_LINES
        and not _is_one_literal(node)
    ]


def test_no_file_or_folder_has_a_name_that_says_nothing() -> None:
    parts = {part for module in modules() for part in module.name.split(".")}
    assert not parts & FORBIDDEN_NAMES


def test_every_folder_is_a_package_that_says_which_question_it_answers() -> None:
    found = modules()
    folders = {module.path.parent for module in found}
    inits = {module.path.parent: module for module in found if module.path.name == "__init__.py"}
    assert folders == set(inits)


def test_drivers_read_on_the_oldest_python_of_a_cluster() -> None:
    """Ray clusters may run Python 3.9: no newer syntax there, whatever Airflow's side speaks."""
    drivers = [module for module in modules() if ".drivers" in module.name]
    assert drivers
    for module in drivers:
        ast.parse(module.text, str(module.path), feature_version=(3, 9))


def test_drivers_import_each_other_relatively() -> None:
    """They travel as the top-level package ``air_drivers``."""
    assert not [
        module.name
        for module in modules()
        if ".drivers" in module.name
        for node in ast.walk(module.tree)
        if "airflow_provider_air" in _imported(node)
    ]


def test_no_private_method_of_ours_is_overridden() -> None:
    """What a subclass is to write has a name without an underscore, and a docstring."""
    overridden = [
        f"{module}.{node.name}.{name} overrides {base}"
        for module, node in classes()
        for base, names in _private_methods_of_bases(node)
        for name in _private_methods(node) & names
    ]
    assert not overridden, "\n".join(overridden)


def test_an_overridden_private_method_would_be_noticed() -> None:
    text = "class A:\n    def _act(self): ...\nclass B(A[int]): ...\nclass C(x.B):\n    async def _act(self): ..."
    known = {node.name: [node] for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ClassDef)}
    assert list(_private_methods_of_bases(known["C"][0], known)) == [("B", set()), ("A", {"_act"})]


def test_names_are_plain_words() -> None:
    """The words of the field; those of a voyage were hard to guess."""
    found = [
        f"{module.name}:{getattr(node, 'lineno', '?')} {name}"
        for module in modules()
        for node in ast.walk(module.tree)
        for name in _names(node)
        if METAPHORS & {word.lower() for word in WORDS.findall(name)}
    ]
    assert not found, "\n".join(found)


def test_names_are_read_as_modules_of_the_package() -> None:
    """Guards the other tests: an empty list of modules would make them all pass."""
    names = {module.name for module in modules()}
    assert {"airflow_provider_air", "airflow_provider_air.errors"} <= names
    errors = next(module for module in modules() if module.name.endswith(".errors"))
    assert "airflow_provider_air.errors.AirError" in dict(Module(errors.path).public_definitions())


def classes() -> list[tuple[str, ast.ClassDef]]:
    """Give all classes of the package with their modules."""
    return [
        (module.name, node) for module in modules() for node in ast.walk(module.tree) if isinstance(node, ast.ClassDef)
    ]


def _private_methods(node: ast.ClassDef) -> set[str]:
    methods = {item.name for item in node.body if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef)}
    return {name for name in methods if name.startswith("_") and not name.startswith("__")}


def _private_methods_of_bases(
    node: ast.ClassDef, known: Mapping[str, list[ast.ClassDef]] | None = None
) -> Iterator[tuple[str, set[str]]]:
    """Give for each base of ours, by its name, which private methods it has; of bases of bases, too."""
    if known is None:
        known = _classes_by_name()
    for base in node.bases:
        name = ast.unparse(base).partition("[")[0].rpartition(".")[2]
        for found in known.get(name, []):
            if found is not node:
                yield name, _private_methods(found)
                yield from _private_methods_of_bases(found, known)


@functools.cache
def _classes_by_name() -> Mapping[str, list[ast.ClassDef]]:
    found: dict[str, list[ast.ClassDef]] = {}
    for _, node in classes():
        found.setdefault(node.name, []).append(node)
    return found


def _names(node: ast.AST) -> list[str]:
    """Give the names that a node gives to things."""
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return [node.name]
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        return [node.id]
    if isinstance(node, ast.arg | ast.keyword):
        return [node.arg or ""]
    return [node.attr] if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) else []


def _inherits_its_contract(node: Definition) -> bool:
    overload = any(isinstance(item, ast.Name) and item.id in {"overload", "override"} for item in node.decorator_list)
    setter = any(isinstance(item, ast.Attribute) and item.attr == "setter" for item in node.decorator_list)
    return node.name in INHERITED_CONTRACTS or overload or setter


def _lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def _is_one_literal(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """A manifest is data that happens to be written as a function."""
    return [type(statement) for statement in node.body] == [ast.Expr, ast.Return]


def _imported(node: ast.AST) -> str:
    if isinstance(node, ast.ImportFrom):
        return node.module or ""
    return " ".join(alias.name for alias in node.names) if isinstance(node, ast.Import) else ""

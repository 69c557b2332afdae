"""Runs benchmarks by name and prints one JSON document each."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import pkgutil
import signal
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tests.conftest  # noqa: F401  # gives Airflow a home of this process alone, before anything imports it
from tests import benchmarks


def names() -> list[str]:
    """Give the names of all benchmarks: the modules beside this one."""
    found = pkgutil.iter_modules(benchmarks.__path__)
    return sorted(module.name for module in found if not module.ispkg and not module.name.startswith("_"))


def documents(name: str, *, quick: bool, **options: Any) -> Iterator[dict[str, Any]]:
    """Run one benchmark; what cannot be measured is a document too."""
    try:
        for report in _module(name).measure(quick=quick, **options):
            yield report.to_json()
    except Exception as error:  # noqa: BLE001  # the other benchmarks go on
        traceback.print_exc()
        yield {"benchmark": name, "error": f"{type(error).__name__}: {error}"[:2000]}


def _module(name: str) -> Any:
    return importlib.import_module(f"{benchmarks.__name__}.{name}")


def options_of(names: list[str], words: list[str], parser: argparse.ArgumentParser) -> dict[str, Any]:
    """Read the options that a benchmark has of its own, where it is the only one: its ``add_options`` says them."""
    if not words:
        return {}
    add_options = getattr(_module(names[0]), "add_options", None) if len(names) == 1 else None
    if add_options is None:
        parser.error(f"nobody knows {' '.join(words)}; a benchmark has options of its own where it runs alone")
    own = argparse.ArgumentParser(prog=f"{parser.prog} {names[0]}")
    add_options(own)
    return vars(own.parse_args(words))


def main() -> int:
    """Give 0 if everything could be measured, met aims or not."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=benchmarks.__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of: {', '.join(names())}; all by default")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions, and without what takes long")
    parser.add_argument("--out", type=Path, help="a file that gets the documents too, one line each")
    given, words = parser.parse_known_args()
    if unknown := sorted(set(given.names) - set(names())):
        parser.error(f"no benchmark is called {unknown[0]!r}; there are {', '.join(names())}")
    options = options_of(given.names, words, parser)
    # Heads and Airflows end with the benchmark that started them, also when somebody ends it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    failed = False
    output = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):  # Airflow's log, which would stand between the documents
        for name in given.names or names():
            for document in documents(name, quick=given.quick, **options):
                failed |= "error" in document
                print(json.dumps(document), file=output, flush=True)
                if given.out:
                    with given.out.open("a") as file:
                        file.write(json.dumps(document) + "\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())

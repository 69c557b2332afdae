"""The author's code that a model needs where it is loaded: MLflow keeps it beside the model."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import sysconfig
import tempfile
from typing import Any, Dict, List, Set

OURS = __name__.partition(".")[0]
INSTALLED = ("site-packages", "dist-packages")
LOAD_SECONDS = 900
LOAD = "import sys, mlflow; mlflow.pyfunc.load_model(sys.argv[1])"


class NotElsewhere(Exception):
    """A model can be loaded only where the author's code is."""


def paths(module: str = "") -> List[str]:
    """
    List what the author's code consists of: the modules that were imported from the job's working directory.

    :param module: one that belongs to it wherever it lies
    """
    found = [path for several in _authors().values() for path in several]
    top = module.partition(".")[0]
    return list(dict.fromkeys(found + (_places(sys.modules[top]) if top else [])))


def is_used_by(model: Any) -> bool:
    """Whether a model is, or holds, something that the author's code defines, as far as a pickle can tell."""
    authors = set(_authors())
    if not authors:
        return False
    seen = _Seen()
    try:
        seen.dump(model)
    except Exception:
        return True  # such as a lambda, which cloudpickle writes: it may use what the author has imported
    return bool(authors & seen.modules)


def must_load_elsewhere(module: Any, options: Dict[str, Any]) -> None:
    """
    Save a model and load it in a process that does not see the job's working directory.

    :param module: MLflow's module of the flavor
    :param options: of its ``save_model``
    :raises NotElsewhere: it cannot be loaded there
    """
    here = _here()
    seen = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path and not _is_below(path, here)]
    with tempfile.TemporaryDirectory() as folder:
        saved = os.path.join(folder, "saved")
        module.save_model(path=saved, **options)
        done = subprocess.run(
            [sys.executable, "-c", LOAD, saved],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(seen)},
            capture_output=True,
            text=True,
            timeout=LOAD_SECONDS,
        )
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["exit code %d" % done.returncode]
        raise NotElsewhere("outside of the job's code folder it cannot be loaded: %s" % said[-1])


class _Seen(pickle.Pickler):
    """Notes the top-level modules of all that a pickle refers to, and keeps no pickle."""

    def __init__(self) -> None:
        super().__init__(self)
        self.modules: Set[str] = set()

    def write(self, data: Any) -> int:
        return len(data)

    def persistent_id(self, found: Any) -> None:
        for named in (found, type(found)):
            module = getattr(named, "__module__", None)
            if isinstance(module, str):
                self.modules.add(module.partition(".")[0])


def _authors() -> Dict[str, List[str]]:
    """Give the top-level modules that lie below the working directory and are not installed there, and their paths."""
    here = _here()
    libraries = [os.path.realpath(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    found = {}
    for name, module in list(sys.modules.items()):
        if "." in name or name in ("__main__", OURS):
            continue
        places = [path for path in _places(module) if _is_below(path, here)]
        own = [path for path in places if not any(_is_below(path, library) for library in libraries)]
        own = [path for path in own if not set(INSTALLED) & set(path.split(os.sep))]
        if own:
            found[name] = own
    return found


def _places(module: Any) -> List[str]:
    """Give a module's file, or a package's folders, of which one without ``__init__.py`` may have several."""
    spec = getattr(module, "__spec__", None)
    if spec is None:
        return []
    return list(spec.submodule_search_locations or ()) or ([spec.origin] if spec.has_location else [])


def _here() -> str:
    return os.path.realpath(os.getcwd())


def _is_below(path: str, folder: str) -> bool:
    return os.path.join(os.path.realpath(path), "").startswith(os.path.join(folder, ""))

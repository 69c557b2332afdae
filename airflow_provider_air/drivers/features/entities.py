"""Rows in files as Arrow, read as often as they are asked for: a join's entity rows, and what feature views hold."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from typing import Any, Dict, Iterator, List, Optional, Sequence

import pyarrow
import pyarrow.parquet

from ..data import datasets, files, writers
from ..wire import outages
from ..wire.problems import ConfigurationProblem
from .asof import Side
from .places import Place, opened_places
from .plan import ViewPlan


@contextlib.contextmanager
def opened(spec: Dict[str, Any], field: str, needed: Sequence[str] = ()) -> Iterator[Side]:
    """
    Open a data set's rows, in the order of its files. What Arrow does not read by itself, Ray Data does, once.

    :param spec: a data set
    :param needed: columns that a hive partition above the place may tell, too
    :param field: what it is called in a message
    :raises ConfigurationProblem: absent data, a format of the author's own that fails, files without a common schema
    :raises Unavailable: the storage is away
    """
    named = spec.get("uri", "")  # a reader that is named knows its place itself
    uris = [named] if isinstance(named, str) else list(named)
    kind = "reader" if "reader" in spec else spec.get("format") or datasets.format_of(uris[0])
    by_web = any(uri.startswith(("http://", "https://")) for uri in uris)
    if kind in datasets.READERS and not spec.get("options") and not by_web:
        side = _by_arrow([Place(files.absolute(uri), kind) for uri in uris], field, needed)
        if side is not None:
            yield side
            return
    folder = tempfile.mkdtemp(prefix="air-entities-")
    try:
        _by_ray(spec, field, folder)
        yield opened_places([Place(folder, "parquet")], field)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def source(repo: str, view: ViewPlan) -> Side:
    """
    Open a feature view's parquet file or folder.

    :param repo: the repository's folder, where a relative path starts
    :raises ConfigurationProblem: absent data, files without a common schema
    :raises Unavailable: the storage is away
    """
    return opened_places([place_of(repo, view)], "feature view %s" % view.view, only=view.columns)


def place_of(repo: str, view: ViewPlan) -> Place:
    """Say where a feature view's values are; a relative path starts in the repository's folder."""
    uri = view.uri if "://" in view.uri else os.path.join(repo, view.uri)
    return Place(uri, "parquet", view.endpoint)


def check_names(columns: Sequence[str], features: Sequence[str], field: str) -> None:
    """
    Look for entity columns that the features would overwrite.

    :raises ConfigurationProblem: one has a feature's name
    """
    taken = sorted(set(features) & set(columns))
    if taken:
        raise ConfigurationProblem("%s: the columns %s have names of features" % (field, ", ".join(taken)))


def _by_arrow(places: List[Place], field: str, needed: Sequence[str]) -> Optional[Side]:
    """Open what Arrow reads; None is JSON that it does not, such as a file that is one array."""
    try:
        return opened_places(places, field, needed)
    except ConfigurationProblem as error:
        if "JSON parse error" not in str(error):
            raise
        return None


def _by_ray(spec: Dict[str, Any], field: str, folder: str) -> None:
    """Write what Ray Data reads, or a reader of the author's own gives, to the node's disk, in its order."""
    import ray.data

    context = ray.data.DataContext.get_current()
    before, context.execution_options.preserve_order = context.execution_options.preserve_order, True
    try:
        bare = {key: value for key, value in spec.items() if key not in ("columns", "split", "split_by", "seed")}
        rows = datasets.read_one(bare, field)
        batches = outages.asked(
            lambda: _parts(rows.iter_batches(batch_size=None, batch_format="pyarrow"), folder),
            "%s: cannot read %s" % (field, spec.get("uri") or spec["reader"]),
        )
        if not batches:
            schema = rows.schema()
            columns = {} if schema is None else dict(zip(schema.names, schema.types))
            pyarrow.parquet.write_table(pyarrow.schema(columns).empty_table(), os.path.join(folder, "0.parquet"))
    finally:
        context.execution_options.preserve_order = before


def _parts(batches: Any, folder: str) -> int:
    count = 0
    for count, batch in enumerate(batches, 1):
        pyarrow.parquet.write_table(writers.readable(batch), os.path.join(folder, "%08d.parquet" % count))
    return count

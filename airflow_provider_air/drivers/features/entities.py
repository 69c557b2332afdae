"""Rows in files as Arrow, read as often as they are asked for: a join's entity rows, and what feature views hold."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import shutil
import tempfile
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

import pyarrow
import pyarrow.dataset
import pyarrow.fs
import pyarrow.parquet

from ..data import datasets, files
from ..wire import outages
from ..wire.problems import ConfigurationProblem
from .asof import BATCH_ROWS, Batches, Side
from .plan import ViewPlan

# So many files are looked at for a schema that all of them share; Arrow itself looks at the first.
LOOKED_AT = 64


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
    uris = [spec["uri"]] if isinstance(spec["uri"], str) else list(spec["uri"])
    kind = spec.get("format") or datasets.format_of(uris[0])
    by_web = any(uri.startswith(("http://", "https://")) for uri in uris)
    if kind in datasets.READERS and not spec.get("options") and not by_web:
        yield _side([files.absolute(uri) for uri in uris], kind, field, needed)
        return
    folder = tempfile.mkdtemp(prefix="air-entities-")
    try:
        _by_ray(spec, field, folder)
        yield _side([folder], "parquet", field)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def source(repo: str, view: ViewPlan) -> Side:
    """
    Open a feature view's parquet file or folder.

    :param repo: the repository's folder, where a relative path starts
    :raises ConfigurationProblem: absent data, files without a common schema
    :raises Unavailable: the storage is away
    """
    field = "feature view %s" % view.view
    place = view.uri if "://" in view.uri else os.path.join(repo, view.uri)
    if not view.endpoint:
        return _side([place], "parquet", field)
    filesystem, path = pyarrow.fs.S3FileSystem(endpoint_override=view.endpoint), place.partition("://")[2]
    return _opened([(filesystem, path)], "parquet", field, place)


def check_names(columns: Sequence[str], features: Sequence[str], field: str) -> None:
    """
    Look for entity columns that the features would overwrite.

    :raises ConfigurationProblem: one has a feature's name
    """
    taken = sorted(set(features) & set(columns))
    if taken:
        raise ConfigurationProblem("%s: the columns %s have names of features" % (field, ", ".join(taken)))


def _side(uris: List[str], kind: str, field: str, needed: Sequence[str] = ()) -> Side:
    places = []
    for uri in uris:
        files.must_exist(uri, field)
        places.append(files.open_uri(uri, field))
    return _opened(places, kind, field, ", ".join(uris), needed)


def _opened(places: List[Tuple[Any, str]], kind: str, field: str, where: str, needed: Sequence[str] = ()) -> Side:
    cannot = "%s: cannot read %s" % (field, where)
    found = outages.asked(lambda: [_whole(fs, path.rstrip("/"), kind, needed) for fs, path in places], cannot)
    try:
        schema = pyarrow.unify_schemas([each for each, _ in found], promote_options="permissive").remove_metadata()
    except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError) as error:
        raise ConfigurationProblem("%s: the files of %s have no common schema: %s" % (field, where, error)) from error
    opened_again = [make(schema) for _, make in found]

    def read(columns: List[str]) -> Batches:
        for dataset in opened_again:
            # In the order of the files, and of the rows in them.
            yield from dataset.scanner(columns=columns, batch_size=BATCH_ROWS).to_reader()

    return Side(schema, read, lambda: sum(dataset.count_rows() for dataset in opened_again), where)


def _whole(filesystem: Any, path: str, kind: str, needed: Sequence[str]) -> Tuple[Any, Callable[[Any], Any]]:
    """Give the schema that the files of one place share, and what opens them with another."""
    # Of a file alone Arrow would take the whole path for partitions, of a folder what is below it.
    is_file = filesystem.get_file_info(path).type == pyarrow.fs.FileType.File
    make = functools.partial(_dataset, filesystem, path, kind, os.path.dirname(path) if is_file else None)
    dataset = make()
    if not set(needed) <= set(dataset.schema.names) and "=" in path:
        base = "/" if path.startswith("/") else path.partition("/")[0]
        make = functools.partial(_dataset, filesystem, path, kind, base)
        dataset = make()
    # A column may hold nothing but nulls in the first file, or smaller numbers.
    schemas = [one.physical_schema for one in itertools.islice(dataset.get_fragments(), LOOKED_AT)]
    return pyarrow.unify_schemas([*schemas, dataset.schema], promote_options="permissive"), make


def _dataset(filesystem: Any, path: str, kind: str, base: Optional[str], schema: Any = None) -> Any:
    return pyarrow.dataset.dataset(
        path, schema, filesystem=filesystem, format=kind, partitioning="hive", partition_base_dir=base
    )


def _by_ray(spec: Dict[str, Any], field: str, folder: str) -> None:
    """Write what a reader of the author's own gives to the node's disk, in its order."""
    import ray.data

    context = ray.data.DataContext.get_current()
    before, context.execution_options.preserve_order = context.execution_options.preserve_order, True
    try:
        bare = {key: value for key, value in spec.items() if key not in ("columns", "split", "split_by", "seed")}
        rows = datasets.read_one(bare, field)
        batches = outages.asked(
            lambda: _parts(rows.iter_batches(batch_size=None, batch_format="pyarrow"), folder),
            "%s: cannot read %s" % (field, spec["uri"]),
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
        pyarrow.parquet.write_table(batch, os.path.join(folder, "%08d.parquet" % count))
    return count

"""Files and folders that Arrow reads, with hive partitions and one schema over all, from any process of a job."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import functools
import os
import urllib.parse
from dataclasses import dataclass
from typing import Any, Collection, Dict, List, Optional, Sequence, Tuple

import pyarrow
import pyarrow.dataset
import pyarrow.fs

from ..data import files, writers
from ..wire import outages
from ..wire.problems import ConfigurationProblem
from .asof import BATCH_ROWS, Batches, Side

# So many files at once are looked at for a schema that all of them share: each costs a request or two.
LOOKING = 32


@dataclass(frozen=True)
class Place:
    """
    A file, or a folder of files.

    :param uri: with an absolute path
    :param kind: parquet, csv or json
    :param endpoint: an S3 endpoint of its own, or ""
    :param base: below which folders are partitions; None takes those below the place
    """

    uri: str
    kind: str
    endpoint: str = ""
    base: Optional[str] = None

    def dataset(self, schema: Any = None, only: Optional[List[str]] = None, told: Collection[str] = ()) -> Any:
        """
        Open it with Arrow; raises what Arrow raises.

        :param schema: what its files and partitions are; by default what the first file is, without partitions
        :param only: the paths of some of its files
        :param told: the columns of the schema that folders tell, and no file has
        :raises ConfigurationProblem: a folder tells what is none of a column's values in other files
        """
        filesystem, path = self._located()
        base = self.base or self._base(filesystem, path)
        found = pyarrow.dataset.dataset(
            path if only is None else only,
            schema,
            filesystem=filesystem,
            format=self.kind,
            # Left to itself, Arrow makes numbers of values that all look like some: 0042 would be 42.
            partitioning=None if schema is None else _hive(schema, told),
            partition_base_dir=base,
        )
        names = set() if schema is None else {*_told(base, found.files), *told} & set(schema.names)
        return found if names <= set(told) else _by_file(found, base, names)

    def partitions(self, paths: Collection[str]) -> Dict[str, str]:
        """Name the columns that the folders of these files tell; of each a text that is a padded integer, or ""."""
        return _told(self.base or self._base(*self._located()), paths)

    def _base(self, filesystem: Any, path: str) -> str:
        # Of a file alone Arrow would take the whole path for partitions, of a folder what is below it.
        is_file = filesystem.get_file_info(path).type == pyarrow.fs.FileType.File
        return os.path.dirname(path) if is_file else path

    def above(self) -> Place:
        """Give the same place, where every folder of its path may be a partition, too."""
        _, path = self._located()
        return dataclasses.replace(self, base="/" if path.startswith("/") else path.partition("/")[0])

    def _located(self) -> Tuple[Any, str]:
        if self.endpoint:
            filesystem = pyarrow.fs.S3FileSystem(endpoint_override=self.endpoint)
            return filesystem, self.uri.partition("://")[2].rstrip("/")
        filesystem, path = files.located(self.uri)
        return filesystem, path.rstrip("/")


def _told(base: str, paths: Collection[str]) -> Dict[str, str]:
    folders = sorted({os.path.dirname(path)[len(base) :] for path in paths})
    segments = [segment.partition("=") for folder in folders for segment in folder.split("/")]
    found: Dict[str, str] = {}
    for quoted, told, value in dict.fromkeys(segments):
        if told:
            name, text = urllib.parse.unquote(quoted), urllib.parse.unquote(value)  # as Arrow does
            found[name] = found.get(name) or (text if _is_padded(text) else "")
    return found


def _by_file(dataset: Any, base: str, names: Collection[str]) -> Any:
    """Let folders tell each file only what it does not have: Arrow would overwrite what it has."""

    def made(fragment: Any) -> Any:
        absent = set(names) - set(fragment.physical_schema.names)
        try:
            told = _hive(dataset.schema, absent).parse(fragment.path[len(base) :])
        except pyarrow.ArrowInvalid as error:
            raise ConfigurationProblem(
                "%s: what its folders tell is no value of the column that other files have: %s" % (fragment.path, error)
            ) from error
        return dataset.format.make_fragment(fragment.path, dataset.filesystem, told)

    with concurrent.futures.ThreadPoolExecutor(LOOKING) as pool:
        fragments = list(pool.map(made, dataset.get_fragments()))
    return pyarrow.dataset.FileSystemDataset(fragments, dataset.schema, dataset.format, dataset.filesystem)


def _hive(schema: Any, told: Collection[str]) -> Any:
    return pyarrow.dataset.HivePartitioning(pyarrow.schema([each for each in schema if each.name in told]))


def _is_padded(text: str) -> bool:
    """Whether a text reads as an integer that is not written so: 07."""
    try:
        return str(int(text)) != text
    except ValueError:
        return False


def opened_places(
    places: List[Place], field: str, needed: Sequence[str] = (), only: Optional[Collection[str]] = None
) -> Side:
    """
    Open places as one side of a join, in the order of their files.

    :param field: what is read, for a message
    :param needed: columns that a partition above a place may tell, too
    :param only: the columns that will be read, see :func:`described`
    :raises ConfigurationProblem: absent data, files without a common schema
    :raises Unavailable: the storage is away
    """
    told = described(places, field, needed, only)
    found = [place.dataset(told.schema, told=told.partitions) for place in told.places]

    def read(columns: List[str]) -> Batches:
        for dataset in found:
            yield from dataset.scanner(columns=columns, batch_size=BATCH_ROWS).to_reader()

    return Side(told.schema, read, lambda: sum(dataset.count_rows() for dataset in found), told.where, told.partitions)


@dataclass(frozen=True)
class Described:
    """
    What some places have in common.

    :param schema: of all their files, and of their partitions, which are text, as Ray Data reads them
    :param where: where they are, for a message
    :param partitions: the columns that no file has, but folders tell, see :meth:`Place.partitions`
    """

    places: List[Place]
    schema: Any
    where: str
    partitions: Dict[str, str]


def described(
    places: List[Place], field: str, needed: Sequence[str] = (), only: Optional[Collection[str]] = None
) -> Described:
    """
    Find the schema that all files of some places share.

    :param only: the columns that will be read, by default all; others are left out where their types differ
    :raises ConfigurationProblem: absent data, files without a common schema
    :raises Unavailable: the storage is away
    """
    where = ", ".join(place.uri for place in places)
    for place in places:
        if not place.endpoint:
            files.must_exist(place.uri, field)
    look = functools.partial(_look, places, needed)
    found, schemas, names = outages.asked(look, "%s: cannot read %s" % (field, where))
    schemas = schemas if only is None else _without_differing(schemas, only)
    try:
        schema = writers.shared(pyarrow.unify_schemas(schemas, promote_options="permissive"), schemas)
    except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError) as error:
        raise ConfigurationProblem("%s: the files of %s have no common schema: %s" % (field, where, error)) from error
    partitions = {name: padded for name, padded in names.items() if name not in schema.names}
    schema = pyarrow.schema([*schema, *(pyarrow.field(name, pyarrow.string()) for name in partitions)])
    return Described(found, schema, where, partitions)


def _without_differing(schemas: List[Any], read: Collection[str]) -> List[Any]:
    """Leave out the columns that nobody reads and whose types differ; the others are told where one is missing."""
    kinds: Dict[str, Any] = {}
    for schema in schemas:
        for column in schema:
            kinds.setdefault(column.name, set()).add(column.type)
    kept = {name for name, several in kinds.items() if name in read or len(several) == 1}
    return [pyarrow.schema([column for column in schema if column.name in kept]) for schema in schemas]


def _look(places: List[Place], needed: Sequence[str]) -> Tuple[List[Place], List[Any], Dict[str, str]]:
    """Give the places, with their partitions; the schemas of all files; the partitions."""
    found, names = [], {}  # type: List[Place], Dict[str, str]
    datasets = [place.dataset() for place in places]
    # A column may hold nothing but nulls in the first file, or smaller numbers, and be absent from all but the last.
    fragments = (fragment for dataset in datasets for fragment in dataset.get_fragments())
    with concurrent.futures.ThreadPoolExecutor(LOOKING) as pool:
        physical = pool.map(lambda fragment: fragment.physical_schema.remove_metadata(), fragments)
        schemas = list(dict.fromkeys([*physical, *(dataset.schema.remove_metadata() for dataset in datasets)]))
    columns = {name for schema in schemas for name in schema.names}
    for place, dataset in zip(places, datasets):
        partitions = place.partitions(dataset.files)
        if not set(needed) <= {*columns, *partitions} and "=" in place.uri:
            place = place.above()
            partitions = place.partitions(dataset.files)
        found.append(place)
        names.update({name: names.get(name) or padded for name, padded in partitions.items()})
    return found, schemas, names

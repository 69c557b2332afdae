"""Files and folders that Arrow reads, with hive partitions and one schema over all, from any process of a job."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import os
from dataclasses import dataclass
from typing import Any, List, Optional, Sequence, Tuple

import pyarrow
import pyarrow.dataset
import pyarrow.fs

from ..data import files
from ..wire import outages
from ..wire.problems import ConfigurationProblem
from .asof import BATCH_ROWS, Batches, Side

# So many files are looked at for a schema that all of them share; Arrow itself looks at the first.
LOOKED_AT = 64


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

    def dataset(self, schema: Any = None, only: Optional[List[str]] = None) -> Any:
        """
        Open it with Arrow; raises what Arrow raises.

        :param only: the paths of some of its files
        """
        filesystem, path = self._located()
        return pyarrow.dataset.dataset(
            path if only is None else only,
            schema,
            filesystem=filesystem,
            format=self.kind,
            partitioning="hive",
            partition_base_dir=self.base or self._base(filesystem, path),
        )

    def _base(self, filesystem: Any, path: str) -> Optional[str]:
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


@dataclass(frozen=True)
class Piece:
    """One file of a place, as it is read by a process of its own."""

    place: Place
    path: str

    def read(self, schema: Any, columns: List[str]) -> Batches:
        """Read columns of it, as what all files of the place are."""
        dataset = self.place.dataset(schema, [self.path])
        return iter(dataset.scanner(columns=columns, batch_size=BATCH_ROWS).to_reader())


def opened_places(places: List[Place], field: str, needed: Sequence[str] = ()) -> Side:
    """
    Open places as one side of a join, in the order of their files.

    :param field: what is read, for a message
    :param needed: columns that a partition above a place may tell, too
    :raises ConfigurationProblem: absent data, files without a common schema
    :raises Unavailable: the storage is away
    """
    places, schema, where = described(places, field, needed)
    found = [place.dataset(schema) for place in places]

    def read(columns: List[str]) -> Batches:
        for dataset in found:
            yield from dataset.scanner(columns=columns, batch_size=BATCH_ROWS).to_reader()

    return Side(schema, read, lambda: sum(dataset.count_rows() for dataset in found), where)


def described(places: List[Place], field: str, needed: Sequence[str] = ()) -> Tuple[List[Place], Any, str]:
    """
    Find the schema that all files of some places share.

    :return: the places, with their partitions; the schema; where they are, for a message
    :raises ConfigurationProblem: absent data, files without a common schema
    :raises Unavailable: the storage is away
    """
    where = ", ".join(place.uri for place in places)
    for place in places:
        if not place.endpoint:
            files.must_exist(place.uri, field)
    look = functools.partial(_look, places, needed)
    found = outages.asked(look, "%s: cannot read %s" % (field, where))
    try:
        schema = pyarrow.unify_schemas([each for _, each in found], promote_options="permissive").remove_metadata()
    except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError) as error:
        raise ConfigurationProblem("%s: the files of %s have no common schema: %s" % (field, where, error)) from error
    return [place for place, _ in found], schema, where


def _look(places: List[Place], needed: Sequence[str]) -> List[Tuple[Place, Any]]:
    found = []
    for place in places:
        dataset = place.dataset()
        if not set(needed) <= set(dataset.schema.names) and "=" in place.uri:
            place = place.above()
            dataset = place.dataset()
        # A column may hold nothing but nulls in the first file, or smaller numbers.
        schemas = [one.physical_schema for one in itertools.islice(dataset.get_fragments(), LOOKED_AT)]
        found.append((place, pyarrow.unify_schemas([*schemas, dataset.schema], promote_options="permissive")))
    return found

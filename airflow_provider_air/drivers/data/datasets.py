"""
Ray datasets from plain JSON: a name, a URI, a format, columns, a split.

Ray Data is slow to import, and only functions that build a dataset do it: the join of features reads specs alone.
"""

from __future__ import annotations

import inspect
from typing import Any, Callable, Dict, List, Tuple

from ..wire import imports, outages
from ..wire.problems import ConfigurationProblem
from . import files

READERS = {"parquet": "read_parquet", "csv": "read_csv", "json": "read_json"}
# How readers of Ray call their first argument where it is a place.
PLACES = ("path", "paths", "root", "table_uri", "uri")


def read_all(specs: Dict[str, Any], field: str = "datasets") -> Dict[str, Any]:
    """
    Build every dataset, lazily: nothing is read but schemas, and those only where columns are named, and a column that
    a split goes by the order of.

    A spec is a URI, a list of them, ``{"uri", "format", "columns", "options"}``, where ``format`` is parquet, csv, json
    or the import path of a reader of paths, or ``{"reader", "columns", "options"}``, where the reader takes the options
    alone. ``split`` is ``{"valid": 0.1, "test": 0.1}``, names and the shares they get of the rows, see :func:`_split`.

    :raises ConfigurationProblem: absent data, an unknown format or column; the message names the dataset
    :raises Unavailable: the storage is away
    """
    found: Dict[str, Any] = {}
    for name, spec in specs.items():
        spec = spec_of(spec)
        where = "%s.%s" % (field, name)
        others = sorted(set(spec.get("split") or {}) & {*specs, *found})
        if others:
            raise ConfigurationProblem("%s.split: there is a dataset %r already" % (where, others[0]))
        dataset = read_one(spec, where)
        for part, rows in _split(dataset, spec, where).items():
            found[part or name] = rows
    return found


def spec_of(value: Any) -> Dict[str, Any]:
    """Give a dataset's spec, also where the author wrote its URI, or several, alone."""
    return {"uri": value} if isinstance(value, (str, list)) else dict(value)


def anchored(specs: Dict[str, Any]) -> Dict[str, Any]:
    """Make relative paths absolute here, where the working directory is the author's code folder."""
    found: Dict[str, Any] = {}
    for name, spec in specs.items():
        spec = spec_of(spec)
        if "uri" in spec:
            uris = spec["uri"]
            spec["uri"] = files.absolute(uris) if isinstance(uris, str) else [files.absolute(uri) for uri in uris]
        found[name] = spec
    return found


def read_one(spec: Dict[str, Any], field: str) -> Any:
    """
    Build one dataset, see :func:`read_all`.

    :raises ConfigurationProblem: absent data, an unknown format or column; the message names ``field``
    :raises Unavailable: the storage is away
    """
    import ray.data

    # Its bars redraw themselves many times a second, which a log file keeps.
    ray.data.DataContext.get_current().enable_progress_bars = False
    if "sql" in spec:
        raise ConfigurationProblem("%s.sql: SQL is for data sets that are joined with features" % field)
    whole, dataset, pushed = _read_by_name(spec, field) if "reader" in spec else _read_places(spec, field)
    columns = spec.get("columns")
    if columns:
        _check_read_columns(columns, dataset, whole, field)
        if not pushed:
            dataset = dataset.select_columns(columns)
    return dataset


def _read_places(spec: Dict[str, Any], field: str) -> Tuple[Callable[[], Any], Any, bool]:
    """Give how to read the data with all columns, the data, and whether only the columns asked for are read."""
    import ray.data

    uris = [spec["uri"]] if isinstance(spec["uri"], str) else list(spec["uri"])
    uris = [files.absolute(uri) for uri in uris]
    kind = spec.get("format") or format_of(uris[0])
    reader = getattr(ray.data, READERS[kind]) if kind in READERS else imports.by_path(kind, "%s.format" % field)
    _check_takes_paths(reader, kind, field)
    for uri in uris:
        files.must_exist(uri, "%s.uri" % field)
    bare = dict(spec.get("options") or {})
    pushed = kind == "parquet" and bool(spec.get("columns"))
    options = {**bare, "columns": spec["columns"]} if pushed else bare
    return (
        lambda: _read(reader, uris, bare, kind, field),
        _read(reader, uris, options, kind, field),
        pushed,
    )


def _check_takes_paths(reader: Any, kind: str, field: str) -> None:
    # What Ray calls a place: of the readers of Ray 2.60, all that begin by one of these read files or folders.
    first = next(iter(inspect.signature(reader).parameters), "")
    is_place = first in PLACES and getattr(reader, "__name__", "") != "read_mongo"
    if getattr(reader, "__module__", "").startswith("ray.data") and not is_place:
        raise ConfigurationProblem(
            "%s.format: %s reads no files or folders, but %r; write {'reader': %r, 'options': {%r: ...}} without a uri"
            % (field, kind, first, kind, first)
        )


def _read_by_name(spec: Dict[str, Any], field: str) -> Tuple[Callable[[], Any], Any, bool]:
    """Do as :func:`_read_places` does, where the reader knows the place by its options."""
    reader = imports.by_path(spec["reader"], "%s.reader" % field)
    options = {
        name: imports.by_path(value, "%s.options.%s" % (field, name)) if _wants_code(reader, name, value) else value
        for name, value in (spec.get("options") or {}).items()
    }

    def read() -> Any:
        return outages.asked(lambda: reader(**options), "%s: %s cannot read" % (field, spec["reader"]))

    dataset = read()
    if not hasattr(dataset, "map_batches"):
        raise ConfigurationProblem(
            "%s.reader: %s gave a %s, not a data set of Ray" % (field, spec["reader"], type(dataset).__name__)
        )
    return read, dataset, False


def _wants_code(reader: Any, name: str, value: Any) -> bool:
    """Whether a text stands for a function: where the reader says that this argument is called, as of read_sql."""
    parameter = inspect.signature(reader).parameters.get(name)
    return isinstance(value, str) and parameter is not None and "Callable" in str(parameter.annotation)


def _read(reader: Any, uris: List[str], options: Dict[str, Any], kind: str, field: str) -> Any:
    paths, options = _by_token(reader, uris, options, kind, field)
    cannot = "%s: cannot read %s as %s" % (field, ", ".join(uris), kind)
    return outages.asked(lambda: reader(paths if len(paths) > 1 else paths[0], **options), cannot)


def _by_token(reader: Any, uris: List[str], options: Dict[str, Any], kind: str, field: str) -> Any:
    places = [files.for_ray_data(uri) for uri in uris]
    filesystem = next((found for _, found in places if found is not None), None)
    if filesystem is None:
        return uris, options
    if not _takes(reader, "filesystem"):
        raise ConfigurationProblem(
            "%s.format: %s takes no filesystem=, by which alone the job's token for Google Cloud Storage reaches it; "
            "add one, or use credentials='ambient'" % (field, kind)
        )
    return [path for path, _ in places], {"filesystem": filesystem, **options}


def _takes(function: Any, name: str) -> bool:
    parameters = inspect.signature(function).parameters.values()
    return any(parameter.name == name or parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)


def _check_read_columns(columns: List[str], dataset: Any, whole: Callable[[], Any], field: str) -> None:
    # Ray leaves out a parquet column that is not there, so the list of what there is needs another look.
    if not set(columns) <= set(column_names(dataset, field)):
        check_columns(columns, column_names(whole(), field), "%s.columns" % field, "the data")


def format_of(uri: str) -> str:
    """Guess the format from the name's end; a folder holds parquet unless the author says otherwise."""
    path = uri.partition("?")[0].lower()
    for end, kind in ((".csv", "csv"), (".csv.gz", "csv"), (".json", "json"), (".jsonl", "json")):
        if path.endswith(end):
            return kind
    return "parquet"


def column_names(dataset: Any, field: str) -> List[str]:
    """
    List a dataset's columns; reads one file's head where the format has no schema of its own.

    :raises ConfigurationProblem: the data cannot be read
    :raises Unavailable: the storage is away, or the node that reads has died
    """
    schema = outages.asked(dataset.schema, "%s: cannot read the schema" % field)
    return list(schema.names) if schema is not None else []


def check_columns(wanted: List[str], present: List[str], field: str, where: str) -> None:
    """
    Compare columns by name.

    :raises ConfigurationProblem: some are missing; the message lists what there is
    """
    missing = [name for name in wanted if name not in present]
    if missing:
        raise ConfigurationProblem(
            "%s: no column %s in %s; it has %s"
            % (field, ", ".join(map(repr, missing)), where, ", ".join(map(repr, present)))
        )


def arrow_schema(dataset: Any, field: str) -> Any:
    """
    Give a dataset's schema as Arrow has it: where its blocks are pandas', its columns without their types.

    :raises ConfigurationProblem: the data cannot be read
    :raises Unavailable: the storage is away, or the node that reads has died
    """
    import pyarrow

    schema = outages.asked(dataset.schema, "%s: cannot read the schema" % field)
    base = getattr(schema, "base_schema", None)
    if isinstance(base, pyarrow.Schema):
        return base.remove_metadata()
    return pyarrow.schema([(name, pyarrow.null()) for name in (schema.names if schema is not None else [])])


def _split(dataset: Any, spec: Dict[str, Any], where: str) -> Dict[str, Any]:
    """
    Carve the parts of ``split`` out of a dataset; what remains has the name ``""``.

    ``split_type`` is ``random`` (by the row itself and ``seed``), ``hash`` of the column ``split_by``, the default
    where there is one, or ``order`` of it: the last part gets the largest values.
    """
    shares = {name: float(share) for name, share in (spec.get("split") or {}).items()}
    if not shares:
        return {"": dataset}
    if min(shares.values()) <= 0 or sum(shares.values()) >= 1:
        raise ConfigurationProblem("%s.split: shares lie between 0 and 1, and so does their sum: %r" % (where, shares))
    from . import splits

    by = spec.get("split_by")
    if by:
        check_columns([by], column_names(dataset, where), "%s.split_by" % where, "the data")
    how = spec.get("split_type") or ("hash" if by else "random")
    return splits.parts(dataset, shares, how, by, int(spec.get("seed") or 0), where)

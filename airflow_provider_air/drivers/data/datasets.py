"""
Ray datasets from plain JSON: a name, a URI, a format, columns, a split.

Ray Data is slow to import, and only functions that build a dataset do it: the join of features reads specs alone.
"""

from __future__ import annotations

import inspect
from typing import Any, Callable, Dict, List

from ..wire import imports, outages
from ..wire.problems import ConfigurationProblem
from . import files

READERS = {"parquet": "read_parquet", "csv": "read_csv", "json": "read_json"}


def read_all(specs: Dict[str, Any], field: str = "datasets") -> Dict[str, Any]:
    """
    Build every dataset, lazily: nothing is read but schemas, and those only where columns are named.

    A spec is a URI, a list of them, or ``{"uri", "format", "columns", "options", "split"}``; ``format`` is parquet,
    csv, json or the import path of a reader; ``split`` is ``{"valid": 0.2}`` (one name and the share it gets),
    by hash of the column ``split_by`` where that is given, else at random by ``seed``.

    :raises ConfigurationProblem: absent data, an unknown format or column; the message names the dataset
    :raises Unavailable: the storage is away
    """
    import ray.data

    found: Dict[str, Any] = {}
    for name, spec in specs.items():
        spec = spec_of(spec)
        where = "%s.%s" % (field, name)
        split = spec.get("split") or {}
        if len(split) > 1 or any(other in specs or other in found for other in split):
            raise ConfigurationProblem("%s.split: %r must name one new dataset" % (where, split))
        if split and not spec.get("split_by"):
            # The split must be the same in every epoch and attempt, or validation rows leak into training.
            ray.data.DataContext.get_current().execution_options.preserve_order = True
        dataset = read_one(spec, where)
        for other, share in split.items():
            dataset, found[other] = _carve(dataset, float(share), spec, where)
        found[name] = dataset
    return found


def spec_of(value: Any) -> Dict[str, Any]:
    """Give a dataset's spec, also where the author wrote its URI, or several, alone."""
    return {"uri": value} if isinstance(value, (str, list)) else dict(value)


def anchored(specs: Dict[str, Any]) -> Dict[str, Any]:
    """Make relative paths absolute here, where the working directory is the author's code folder."""
    found: Dict[str, Any] = {}
    for name, spec in specs.items():
        spec = spec_of(spec)
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
    uris = [spec["uri"]] if isinstance(spec["uri"], str) else list(spec["uri"])
    uris = [files.absolute(uri) for uri in uris]
    for uri in uris:
        files.must_exist(uri, "%s.uri" % field)
    kind = spec.get("format") or format_of(uris[0])
    bare = dict(spec.get("options") or {})
    columns = spec.get("columns")
    options = {**bare, "columns": columns} if kind == "parquet" and columns else bare
    reader = getattr(ray.data, READERS[kind]) if kind in READERS else imports.by_path(kind, "%s.format" % field)
    dataset = _read(reader, uris, options, kind, field)
    if columns:
        _check_read_columns(columns, dataset, lambda: _read(reader, uris, bare, kind, field), field)
        if kind != "parquet":
            dataset = dataset.select_columns(columns)
    return dataset


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


def _carve(dataset: Any, share: float, spec: Dict[str, Any], where: str) -> Any:
    by = spec.get("split_by")
    if not 0 < share < 1:
        raise ConfigurationProblem("%s.split: a share lies between 0 and 1, not %r" % (where, share))
    if not hasattr(dataset, "streaming_train_test_split"):
        import ray

        raise ConfigurationProblem("%s.split needs a newer Ray on the cluster; it has %s" % (where, ray.__version__))
    if by:
        check_columns([by], column_names(dataset, where), "%s.split_by" % where, str(spec["uri"]))
        return dataset.streaming_train_test_split(share, split_type="hash", hash_column=by)
    return dataset.streaming_train_test_split(share, seed=int(spec.get("seed", 0)))

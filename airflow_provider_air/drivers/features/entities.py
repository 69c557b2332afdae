"""The entity rows of a join, read from files."""

from __future__ import annotations

from typing import Any, Dict, List

from ..data import datasets, files
from ..wire import outages
from ..wire.problems import ConfigurationProblem

TIMESTAMP = "event_timestamp"


def read(spec: Dict[str, Any], keys: List[str], field: str) -> Any:
    """
    Read a data set's rows as one frame, with its times in UTC.

    :param keys: the columns that must be there beside :data:`TIMESTAMP`
    :raises ConfigurationProblem: absent data, a format of the author's own, an absent column, no rows, no times
    :raises Unavailable: the storage is away
    """
    import pandas

    uris = [spec["uri"]] if isinstance(spec["uri"], str) else list(spec["uri"])
    kind = spec.get("format") or datasets.format_of(uris[0])
    if kind not in datasets.READERS or spec.get("options"):
        raise ConfigurationProblem(
            "%s: what is joined with features is parquet, csv or json without options, not %r" % (field, kind)
        )
    frame = pandas.concat([_frame(files.absolute(uri), kind, field) for uri in uris], ignore_index=True)
    datasets.check_columns([*keys, TIMESTAMP], list(frame.columns), field, ", ".join(uris))
    if frame.empty:
        raise ConfigurationProblem("%s: %s has no rows" % (field, ", ".join(uris)))
    try:
        # A time without a zone is UTC, as Feast takes it.
        frame[TIMESTAMP] = pandas.to_datetime(frame[TIMESTAMP], utc=True)
    except (ValueError, TypeError) as error:
        raise ConfigurationProblem("%s: %s holds what is no time: %s" % (field, TIMESTAMP, error)) from error
    return frame


def check_names(columns: List[str], service: Any, field: str) -> None:
    """
    Look for entity columns that the features would overwrite.

    :raises ConfigurationProblem: one has a feature's name
    """
    features = {feature.name for projection in service.feature_view_projections for feature in projection.features}
    taken = sorted(features & set(columns))
    if taken:
        raise ConfigurationProblem("%s: the columns %s have names of features" % (field, ", ".join(taken)))


def _frame(uri: str, kind: str, field: str) -> Any:
    import pyarrow.dataset

    files.must_exist(uri, field)
    filesystem, path = files.open_uri(uri, field)

    def rows() -> Any:
        return pyarrow.dataset.dataset(path, filesystem=filesystem, format=kind).to_table().to_pandas()

    return outages.asked(rows, "%s: cannot read %s" % (field, uri))

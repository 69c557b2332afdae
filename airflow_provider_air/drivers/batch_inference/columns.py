"""What predictors give as Arrow columns, in the types of the input where a column is one of the input's."""

from __future__ import annotations

import collections.abc
from typing import Any, Callable, List, Optional

import numpy
import pyarrow
import pyarrow.compute
from pyarrow import types

from ..wire.simpler import is_of

# Two of one family hold the same values; which of them a column is does not show in what a predictor is given.
_FAMILIES: List[Callable[[Any], bool]] = [
    lambda kind: types.is_string(kind) or types.is_large_string(kind) or _is("is_string_view", kind),
    lambda kind: (
        types.is_binary(kind)
        or types.is_large_binary(kind)
        or types.is_fixed_size_binary(kind)
        or _is("is_binary_view", kind)
    ),
    types.is_decimal,
    types.is_date,
    types.is_time,
    types.is_duration,
    types.is_floating,
    types.is_integer,
]


class NoColumn(TypeError):
    """Arrow has no type for what a predictor gives."""


def column(values: Any, name: str, given: Optional[Any], seen: Callable[[], Any]) -> Any:
    """
    Make an Arrow array of what a predictor gives for one column.

    :param values: Arrow's, pandas', numpy's, or another library's array; or a list
    :param given: the input's column of this name and length, where there is one
    :param seen: gives that column as the predictor was given it
    :return: the input's own column where the predictor left it as it was; else of its type where that can hold the
        values exactly; else of the values' own type
    :raises NoColumn: the values have no type in common
    """
    if given is None:
        return _natural(values, name, None)
    wanted = given.type
    found = _natural(values, name, wanted)
    if types.is_floating(found.type) and not types.is_floating(wanted) and _without_nan(found).null_count == len(found):
        return pyarrow.nulls(len(found), wanted)
    # Within nested values, numpy shows nulls as NaN.
    if found.type == wanted and found.null_count == given.null_count and not types.is_nested(wanted):
        return found
    if len(found) == len(given) and _is_same(found, _natural(seen(), name, wanted)):
        return given
    if found.type == wanted or not _may_be(found.type, wanted):
        return found
    if types.is_timestamp(found.type) and found.type.tz is None and _has_zones(values):
        return found  # a time without a zone, by somebody who could have given one
    exact = _as_type(found, values, wanted)
    return found if exact is None else exact


def _has_zones(values: Any) -> bool:
    """Whether who gives such values could give a zone: numpy has none, and shows instants as of UTC."""
    return isinstance(values, (pyarrow.Array, pyarrow.ChunkedArray)) or hasattr(values, "dt")


def _natural(values: Any, name: str, wanted: Any) -> Any:
    if isinstance(values, (pyarrow.Array, pyarrow.ChunkedArray)):
        return _unpickled(_whole(values), name)
    if type(values).__module__.startswith("pandas.") and hasattr(values, "dtype"):
        if values.dtype != object:
            return _whole(pyarrow.array(values, from_pandas=True))
        values = values.to_numpy()
    elif is_of(values, "polars", "Series"):
        return _whole(values.to_arrow())
    values = _local(values)
    if isinstance(values, numpy.ndarray) and values.dtype != object:
        return _of_numbers(values, name)
    if isinstance(values, (str, bytes, collections.abc.Mapping)) or not hasattr(values, "__iter__"):
        raise NoColumn(
            "column %r is one %s for the whole batch; give one value per row" % (name, type(values).__name__)
        )
    return _of_objects([_element(value) for value in values], name, wanted)


def _whole(values: Any) -> Any:
    if isinstance(values, pyarrow.ChunkedArray):
        return values.combine_chunks() if values.num_chunks != 1 else values.chunk(0)
    return values


def _local(values: Any) -> Any:
    """Give numpy's array of another library's, such as torch's, also on a GPU or with a gradient."""
    if isinstance(values, (numpy.ndarray, numpy.generic)) or not callable(getattr(type(values), "__array__", None)):
        return values
    if callable(getattr(values, "detach", None)):
        values = values.detach().cpu()
    try:
        return numpy.asarray(values)
    except TypeError:  # torch's bfloat16, which numpy has not
        return numpy.asarray(values.float())


def _element(value: Any) -> Any:
    if type(value).__name__ in ("NAType", "NaTType"):  # of pandas
        return None
    value = _local(value)
    return value[()] if isinstance(value, numpy.ndarray) and value.ndim == 0 else value


def _of_numbers(values: Any, name: str) -> Any:
    if values.ndim == 0:
        raise NoColumn("column %r is one number for the whole batch; give one value per row" % name)
    if values.ndim > 1:
        # Texts of several a row are lists: as a tensor they would be their code points.
        return pyarrow.array(values.tolist()) if values.dtype.kind in "US" else _tensors(values)
    # Units that Arrow has not: hours, or the days between two.
    known = ("s", "ms", "us", "ns", "D" if values.dtype.kind == "M" else "s")
    if values.dtype.kind in "Mm" and numpy.datetime_data(values.dtype)[0] not in known:
        values = values.astype("%s64[s]" % ("datetime" if values.dtype.kind == "M" else "timedelta"))
    return pyarrow.array(values)


def _tensors(values: Any) -> Any:
    from ray.data.extensions import ArrowTensorArray

    return _whole(ArrowTensorArray.from_numpy(values))


def _of_objects(values: List[Any], name: str, wanted: Any) -> Any:
    first = next((value for value in values if value is not None), None)
    if isinstance(first, numpy.ndarray) and first.ndim > 1:
        return _tensors(numpy.stack(values) if _is_even(values) else values)
    values = _of_scalars(values, first)
    try:
        return pyarrow.array(values)
    except (pyarrow.ArrowException, TypeError, ValueError, OverflowError) as error:
        # Where NaN is a null among texts, as in columns of pandas; where numpy's objects are in lists.
        forms = (values, [_nested(value) for value in values])
        for kind in (None, wanted) if wanted is not None else (None,):
            for form in forms:
                found = _built(form, kind)
                if found is not None:
                    return found
        kinds = sorted({type(value).__name__ for value in values if value is not None})
        raise NoColumn(
            "column %r: Arrow has no type for its values (%s): %s. Give values of one type, such as text of json.dumps"
            % (name, ", ".join(kinds[:5]), error)
        ) from error


def _nested(value: Any) -> Any:
    """Give numpy's arrays of objects as lists, at each depth, and those of days, which Arrow takes in none."""
    if getattr(value, "dtype", None) == "datetime64[D]":
        return value.tolist()
    if isinstance(value, list) or (isinstance(value, numpy.ndarray) and value.dtype.hasobject):
        return [_nested(each) for each in value]
    return value


def _of_scalars(values: List[Any], first: Any) -> Any:
    """
    Give scalars of which Arrow makes less than they are as an array of their library.

    Of pandas' times it drops the nanoseconds, of its spans of time it makes nothing, of numpy's nothing or zero.
    """
    if is_of(first, "pandas", "Timestamp"):
        import pandas

        try:
            times = pandas.Series(values)
        except (TypeError, ValueError, OverflowError):  # of several zones, or beside something else
            return values
        return values if times.dtype == object else times
    if is_of(first, "pandas", "Timedelta"):
        nothing = numpy.timedelta64("NaT")
        return numpy.array([getattr(value, "to_timedelta64", lambda: nothing)() for value in values])
    if isinstance(first, numpy.generic) and len({getattr(value, "dtype", None) for value in values}) == 1:
        return numpy.array(values)
    return values


def _is_even(values: List[Any]) -> bool:
    return len({getattr(value, "shape", None) for value in values}) == 1


def _unpickled(array: Any, name: str) -> Any:
    """Give values that Ray has pickled, since an earlier step had them as Python objects, a type of Arrow's."""
    if "PythonObject" not in type(array.type).__name__:
        return array
    return _of_objects([_element(value) for value in array.to_pylist()], name, None)


def _is_same(one: Any, other: Any) -> bool:
    """Whether two arrays have one type and the same values, at each depth; NaN is a null, for numpy they are one."""
    if one.type != other.type or len(one) != len(other):
        return False
    if not types.is_nested(one.type) or isinstance(one, pyarrow.ExtensionArray):
        return bool(_without_nan(one).equals(_without_nan(other)))
    if not one.is_null().equals(other.is_null()):
        return False
    if types.is_struct(one.type):
        return all(_is_same(mine, its) for mine, its in zip(one.flatten(), other.flatten()))
    if types.is_map(one.type):
        # What a null has is of nobody's interest.
        one, other = one.drop_null(), other.drop_null()
        lengths = [pyarrow.compute.subtract(side.offsets[1:], side.offsets[:-1]) for side in (one, other)]
        return lengths[0].equals(lengths[1]) and all(
            _is_same(mine, its) for mine, its in ((one.keys, other.keys), (one.items, other.items))
        )
    if types.is_list(one.type) or types.is_large_list(one.type) or types.is_fixed_size_list(one.type):
        lengths = [pyarrow.compute.list_value_length(side) for side in (one, other)]
        return lengths[0].equals(lengths[1]) and _is_same(one.flatten(), other.flatten())
    return bool(one.equals(other))


def _without_nan(array: Any) -> Any:
    """Give NaN as null: for numpy they are one, and NaN is not even equal to itself."""
    if not types.is_floating(array.type):
        return array
    return pyarrow.compute.if_else(pyarrow.compute.is_nan(array), None, array)


def _may_be(found: Any, wanted: Any) -> bool:
    """Whether values of the type ``found`` may be what a predictor made of a column of the type ``wanted``."""
    if types.is_null(found):
        return True
    if types.is_dictionary(wanted) or types.is_dictionary(found):
        return _may_be(_plain(found), _plain(wanted))
    if types.is_integer(wanted) and types.is_floating(found):
        return True
    if types.is_timestamp(found) and types.is_timestamp(wanted):
        return found.tz is None or wanted.tz is not None
    if types.is_struct(found) and types.is_struct(wanted):
        fields = {field.name: field.type for field in wanted}
        return all(field.name in fields and _may_be(field.type, fields[field.name]) for field in found)
    inside, wanted_inside = _values_of(found), _values_of(wanted)
    if inside is not None and wanted_inside is not None:
        return _may_be(inside, wanted_inside)
    return found == wanted or any(is_kind(found) and is_kind(wanted) for is_kind in _FAMILIES)


def _plain(kind: Any) -> Any:
    return kind.value_type if types.is_dictionary(kind) else kind


def _values_of(kind: Any) -> Any:
    """Give the type of a list's values, and of a tensor's; None of what is no list."""
    if isinstance(kind, pyarrow.BaseExtensionType):
        return _values_of(kind.storage_type)
    if types.is_map(kind):
        return None
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return kind.value_type
    return None


def _as_type(found: Any, values: Any, wanted: Any) -> Any:
    """Give the same values by another type, or None where it cannot hold them all."""
    if types.is_null(found.type):
        return pyarrow.nulls(len(found), wanted)
    if types.is_nested(wanted) or isinstance(found.type, pyarrow.BaseExtensionType):
        return _built([None if value is None else _listed(value) for value in _rows(values)], wanted)
    try:
        made = _without_nan(found).cast(wanted)
        if not (types.is_dictionary(wanted) or made.cast(found.type).equals(_without_nan(found))):
            return None
        return made
    except pyarrow.ArrowException:
        return None


def _rows(values: Any) -> List[Any]:
    return list(values.to_pylist() if isinstance(values, (pyarrow.Array, pyarrow.ChunkedArray)) else _local(values))


def _listed(value: Any) -> Any:
    return value.tolist() if isinstance(value, numpy.ndarray) and value.ndim > 1 else value


def _built(values: List[Any], wanted: Any) -> Any:
    try:
        return pyarrow.array(values, type=wanted, from_pandas=True)
    except (pyarrow.ArrowException, TypeError, ValueError, OverflowError, KeyError):
        return None


def _is(name: str, kind: Any) -> bool:
    check = getattr(types, name, None)  # newer than what clusters may have
    return bool(check and check(kind))

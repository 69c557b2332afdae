"""
What a value of another type is as plain Python, one step at a time: for what people return from their functions.

Libraries are looked up, never imported: where one is not loaded, no value can be of it. Standard library only.
"""

from __future__ import annotations

import array
import collections
import collections.abc
import dataclasses
import datetime
import decimal
import enum
import pathlib
import sys
import types
import uuid
from typing import Any, Callable, List, Optional, Tuple

# What is none of the types below.
UNKNOWN = object()
# Units of numpy's times that Python's have not.
FINER = ("ns", "ps", "fs", "as")


def simpler(value: Any) -> Any:
    """
    Give what stands for a value of another type: the next simpler one; :data:`UNKNOWN` where there is none.

    Whatever a type raises while it is looked at, this raises.
    """
    for step in (_of_pandas, _of_numpy, _of_arrow, _of_python, _of_models, _of_tensors):
        found = step(value)
        if found is not UNKNOWN:
            return found
    return UNKNOWN


def is_of(value: Any, module: str, *names: str) -> bool:
    """Tell whether a value is of one of these types of a library, without importing it."""
    loaded = sys.modules.get(module)
    kinds = [getattr(loaded, name, None) for name in names]
    return isinstance(value, tuple(kind for kind in kinds if isinstance(kind, type)))


def field_names(value: Any) -> Optional[List[str]]:
    """Give the fields of what has such: dataclasses, attrs, msgspec; else None."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [field.name for field in dataclasses.fields(value)]
    if hasattr(type(value), "__attrs_attrs__"):
        return [field.name for field in type(value).__attrs_attrs__]
    if hasattr(type(value), "__struct_fields__"):
        return list(type(value).__struct_fields__)
    return None


def python_time(value: Any) -> Any:
    """Give numpy's ``datetime64`` or ``timedelta64`` as Python's own: None for NaT, :data:`UNKNOWN` if it has none."""
    import numpy

    if numpy.isnat(value):
        return None
    item = value.item()
    if isinstance(item, int) and numpy.datetime_data(value.dtype)[0] in FINER:
        rough = value.astype(value.dtype.kind + "8[us]")
        item = rough.item() if rough == value else item
    # A bare number is no time.
    return UNKNOWN if isinstance(item, int) else item


def _of_pandas(value: Any) -> Any:
    pandas: Any = sys.modules.get("pandas")
    if value is getattr(pandas, "NaT", UNKNOWN) or value is getattr(pandas, "NA", UNKNOWN):
        return None
    if is_of(value, "pandas", "Timestamp"):
        # What is finer than Python's microseconds stays a time, without its zone: in UTC.
        return value.to_datetime64() if value.nanosecond or value.tzinfo is None else value.to_pydatetime()
    if is_of(value, "pandas", "Timedelta"):
        return value.to_timedelta64()
    if is_of(value, "pandas", "Index"):
        return value.tolist()
    if is_of(value, "pandas.api.extensions", "ExtensionArray"):
        # numpy would make floats of integers beside a null.
        return list(value)
    if is_of(value, "pandas", "Period", "Interval"):
        return str(value)
    if is_of(value, "pandas", "Series"):
        return _of_series(value, pandas)
    return UNKNOWN


def _of_series(value: Any, pandas: Any) -> Any:
    if value.index.equals(pandas.RangeIndex(len(value))):
        return value.tolist()
    # Its labels are what it is about, as after value_counts() or a groupby.
    return dict(value.items()) if value.index.is_unique else list(value.items())


def _of_numpy(value: Any) -> Any:
    numpy: Any = sys.modules.get("numpy")
    if is_of(value, "numpy", "void", "ndarray") and _has_times(value.dtype):
        # Step by step: of times finer than Python's, tolist() and item() make integers.
        if value.ndim == 0:
            names = value.dtype.names
            return value[()] if names is None else tuple(value[name] for name in names)
        return list(value)
    if is_of(value, "numpy", "generic"):
        item = value.item()
        if isinstance(item, numpy.generic):  # a long double gives itself
            return complex(item) if item.dtype.kind == "c" else float(item)
        return item
    if is_of(value, "numpy", "ndarray"):
        if isinstance(value, numpy.ma.MaskedArray):
            return value.tolist()
        return value[()] if value.ndim == 0 else value.tolist()
    return UNKNOWN


def _has_times(dtype: Any) -> bool:
    return dtype.base.kind in "mM" or any(_has_times(dtype.base[name]) for name in dtype.base.names or ())


def _of_arrow(value: Any) -> Any:
    if is_of(value, "pyarrow", "Scalar"):
        return value.as_py()
    if is_of(value, "pyarrow", "Array", "ChunkedArray"):
        return value.to_pylist()
    if is_of(value, "polars", "Series"):
        return value.to_list()
    return UNKNOWN


def _exact_time(value: Any) -> datetime.time:
    return datetime.time(value.hour, value.minute, value.second, value.microsecond, value.tzinfo, fold=value.fold)


def _exact_datetime(value: datetime.datetime) -> datetime.datetime:
    return datetime.datetime.combine(datetime.date(value.year, value.month, value.day), _exact_time(value))


def _exact_delta(value: datetime.timedelta) -> datetime.timedelta:
    # A subclass may have methods of its own, such as pendulum's.
    microseconds = datetime.timedelta.__floordiv__(value, datetime.timedelta(microseconds=1))
    return datetime.timedelta(microseconds=microseconds)


# The first that fits: an Enum may be an int, a datetime is a date, what a mapping shows is a set as well.
_PYTHON: List[Tuple[Any, Callable[[Any], Any]]] = [
    (enum.Enum, lambda value: value.value),
    (str, str.__str__),
    (int, int),
    (float, float),
    (complex, complex),
    (memoryview, memoryview.tobytes),
    ((bytes, bytearray), bytes),
    (datetime.datetime, _exact_datetime),
    (datetime.date, lambda value: datetime.date(value.year, value.month, value.day)),
    (datetime.time, _exact_time),
    (datetime.timedelta, _exact_delta),
    (decimal.Decimal, decimal.Decimal),
    (uuid.UUID, lambda value: uuid.UUID(int=value.int)),
    (pathlib.PurePath, str),
    (collections.UserString, lambda value: value.data),
    (collections.abc.Mapping, lambda value: dict(value.items())),
    (types.SimpleNamespace, vars),
    (tuple, tuple),
    ((collections.abc.KeysView, collections.abc.ValuesView, collections.abc.ItemsView), list),
    (frozenset, frozenset),
    (collections.abc.Set, set),
    ((collections.abc.Sequence, array.array), list),
]


def _of_python(value: Any) -> Any:
    for kinds, made in _PYTHON:
        if isinstance(value, kinds):
            return made(value)
    return UNKNOWN


def _of_models(value: Any) -> Any:
    if is_of(value, "argparse", "Namespace"):
        return vars(value)
    kind = type(value)
    if hasattr(kind, "model_fields") and callable(getattr(kind, "model_dump", None)):  # pydantic
        return value.model_dump()
    if hasattr(kind, "__fields__") and callable(getattr(kind, "dict", None)):  # pydantic before 2
        return value.dict()
    return UNKNOWN


def _of_tensors(value: Any) -> Any:
    """Give torch's, jax's, TensorFlow's, and what else numpy makes an array of; a number if it has no dimension."""
    if not callable(getattr(type(value), "__array__", None)):
        return UNKNOWN
    if callable(getattr(value, "detach", None)):
        value = value.detach().cpu()
    if getattr(value, "shape", None) == () and callable(getattr(value, "item", None)):
        return value.item()
    try:
        import numpy

        found = numpy.asarray(value)
    except Exception:  # such as torch's bfloat16, which numpy has not
        return value.tolist()
    return UNKNOWN if found.dtype == object and found.ndim == 0 else found

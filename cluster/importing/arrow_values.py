"""Converts Arrow's values to the JSON that a person expects.

Bytes in UTF-8 become text even if not marked as such, other bytes hexadecimal digits; UUIDs get hyphens; times are ISO
8601 to the microsecond; maps become objects, and dictionary-encoded values what they stand for. Lists, structs and maps
may nest.
"""

from __future__ import annotations

import uuid
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from .written import as_text, bytes_text

_UUID = "arrow.uuid"


def text_where_it_is(array: pa.Array) -> pa.Array:
    """Return a column of bytes as text if all of them are UTF-8: many writers do not mark text as such."""
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if _is_binary(array.type) and not pa.types.is_fixed_size_binary(array.type):
        try:
            return array.cast(pa.large_string())
        except pa.ArrowInvalid:
            return array
    return array.cast(pa.large_string()) if array.type == pa.string_view() else array


def json_values(array: pa.Array) -> list[Any]:
    """Return each value for JSON, with None for null and NaN."""
    if pa.types.is_floating(array.type) and array.null_count < len(array):
        array = array.cast(pa.float32()) if pa.types.is_float16(array.type) else array
        array = pc.if_else(pc.is_nan(array), None, array)
    target = _readable(array.type)
    values = _listed(array if target == array.type else array.cast(target, safe=False))
    return [_plain(value, target) for value in values] if _needs_care(target) else values


def _listed(array: pa.Array) -> list[Any]:
    try:
        values: list[Any] = array.to_pylist()
        return values
    except (OverflowError, ValueError):  # a time outside Python's range
        return [_told(item) for item in array]


def _told(item: pa.Scalar) -> Any:
    try:
        return item.as_py()
    except (OverflowError, ValueError):
        return str(getattr(item, "value", item))


def _readable(type: pa.DataType) -> pa.DataType:
    """Return the nearest type whose values Python reads without another library, exactly except for nanoseconds."""
    if pa.types.is_dictionary(type):
        return _readable(type.value_type)
    if pa.types.is_timestamp(type) and type.unit == "ns":
        return pa.timestamp("us", type.tz)
    if pa.types.is_time64(type) and type.unit == "ns":
        return pa.time64("us")
    if pa.types.is_duration(type) and type.unit == "ns":
        return pa.duration("us")
    if pa.types.is_float16(type):
        return pa.float32()
    if pa.types.is_struct(type):
        return pa.struct([field.with_type(_readable(field.type)) for field in type])
    if pa.types.is_map(type):
        return pa.map_(_readable(type.key_type), _readable(type.item_type))
    if _is_list(type):
        return pa.list_(_readable(type.value_type))
    return type


def _needs_care(type: pa.DataType) -> bool:
    return pa.types.is_nested(type) or _is_binary(type) or isinstance(type, pa.BaseExtensionType)


def _plain(value: Any, type: pa.DataType) -> Any:
    if value is None:
        return None
    if isinstance(type, pa.BaseExtensionType):
        if type.extension_name == _UUID:
            return str(value if isinstance(value, uuid.UUID) else uuid.UUID(bytes=value))
        return _plain(value, type.storage_type)
    if pa.types.is_map(type):
        return {as_text(_plain(key, type.key_type)): _plain(item, type.item_type) for key, item in value}
    if pa.types.is_struct(type):
        return {field.name: _plain(value[field.name], field.type) for field in type}
    if _is_list(type):
        return [_plain(item, type.value_type) for item in value]
    return bytes_text(value) if isinstance(value, bytes) else value


def _is_list(type: pa.DataType) -> bool:
    return bool(pa.types.is_list(type) or pa.types.is_large_list(type) or pa.types.is_fixed_size_list(type))


def _is_binary(type: pa.DataType) -> bool:
    return bool(
        pa.types.is_binary(type)
        or pa.types.is_large_binary(type)
        or pa.types.is_fixed_size_binary(type)
        or type == pa.binary_view()
    )

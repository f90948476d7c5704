"""Makes the JSON Schema of what is answered, from its type: msgspec's, and of unions of structs besides.

msgspec refuses a union of structs without tags, because it could not decode one. Answers are only encoded: there such a
union is "any of these".
"""

import types
from copy import deepcopy
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec
from msgspec import NODEFAULT, Struct

Schema = dict[str, Any]
_DEFS = "#/$defs/"


def schema_of(kind: Any) -> Schema:
    """Return the JSON Schema (2020-12) of a type, with its definitions under `$defs`; the caller may change it."""
    return deepcopy(_schema(kind))


@cache  # every resource is mounted twice
def _schema(kind: Any) -> Schema:
    others: dict[str, Any] = {}
    schema = msgspec.json.schema(_without_unions(kind, others))
    done: set[str] = set()
    while left := [name for name in others if name not in done]:
        for name in left:
            done.add(name)
            found = msgspec.json.schema(_without_unions(others[name], others))
            schema["$defs"] = found["$defs"] | schema.get("$defs", {})
    return schema


def _without_unions(kind: Any, others: dict[str, Any]) -> Any:
    """Return a type that is written alike and has no union of structs; what these are made of is put into ``others``.

    A type that has none is returned as it is.
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        structs = [one for one in arguments if isinstance(one, type) and issubclass(one, Struct)]
        if len(structs) > 1:
            others.update({one.__name__: one for one in structs})
            choices: list[Schema] = [{"$ref": _DEFS + one.__name__} for one in structs]
            choices += [{"type": "null"}] if types.NoneType in arguments else []
            return Annotated[Any, msgspec.Meta(extra_json_schema={"anyOf": choices})]
    if isinstance(kind, type) and issubclass(kind, Struct):
        return _struct_without_unions(kind, others)
    if origin is None or origin is Annotated:
        return kind
    plain = tuple(_without_unions(one, others) for one in arguments)
    if all(new is old for new, old in zip(plain, arguments, strict=True)):
        return kind
    if origin in (Union, types.UnionType):
        return Union[plain]  # noqa: UP007  of a tuple
    return origin[plain]


def _struct_without_unions(kind: type[Struct], others: dict[str, Any]) -> type[Struct]:
    fields = msgspec.structs.fields(kind)
    plain = {one.name: _without_unions(one.type, others) for one in fields}
    if all(plain[one.name] is one.type for one in fields):
        return kind
    made: list[Any] = []
    for one in fields:
        if one.default is not NODEFAULT:
            made.append((one.name, plain[one.name], one.default))
        elif one.default_factory is not NODEFAULT:
            made.append((one.name, plain[one.name], msgspec.field(default_factory=one.default_factory)))
        else:
            made.append((one.name, plain[one.name]))
    names = {one.name: one.encode_name for one in fields}
    return msgspec.defstruct(kind.__name__, made, namespace={"__doc__": kind.__doc__}, rename=names, kw_only=True)

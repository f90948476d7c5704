"""Define the predicate as a value: frozen structs whose fields are the keys of the JSON form.

:func:`whisperer.segments.parse.parse` builds it and guarantees every limit; a struct made by hand is not checked.
Equality is typed: ``plan eq 1`` and ``plan eq true`` are two predicates, although 1 == True in Python.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, TypeAlias

from msgspec import Meta, Struct, field

from whisperer.segments import limits

Scalar: TypeAlias = str | int | float | bool
Value: TypeAlias = Scalar | tuple[Scalar, ...] | None

TraitOp = Literal[
    "eq",
    "ne",
    "gt",
    "gte",
    "lt",
    "lte",
    "contains",
    "not_contains",
    "contains_any",
    "contains_all",
    "starts_with",
    "ends_with",
    "in",
    "not_in",
    "exists",
    "not_exists",
    "before",
    "after",
]
CountOp = Literal["eq", "ne", "gt", "gte", "lt", "lte"]
FeatureOp = Literal["eq", "ne", "gt", "gte", "lt", "lte", "exists", "not_exists"]

_Name = Annotated[str, Meta(min_length=1, max_length=limits.MAX_NAME)]
_NODE = {"$ref": "#/$defs/Predicate"}


class AllOf(Struct, frozen=True, forbid_unknown_fields=True):
    """Match users who match every part; with no parts, match everybody."""

    parts: Annotated[tuple[Any, ...], Meta(max_length=limits.MAX_LEAVES, extra_json_schema={"items": _NODE})] = field(
        name="all"
    )


class AnyOf(Struct, frozen=True, forbid_unknown_fields=True):
    """Match users who match at least one part."""

    parts: Annotated[
        tuple[Any, ...], Meta(min_length=1, max_length=limits.MAX_LEAVES, extra_json_schema={"items": _NODE})
    ] = field(name="any")


class Not(Struct, frozen=True, forbid_unknown_fields=True):
    """Match users who do not match the part."""

    part: Annotated[Any, Meta(extra_json_schema=_NODE)] = field(name="not")


class TraitLeaf(Struct, frozen=True, eq=False, forbid_unknown_fields=True):
    """Test one trait. A text and a number are never equal, larger or smaller: such a comparison is false."""

    trait: Annotated[_Name, Meta(description="A top-level trait's name, or a JSON Pointer such as /company/plan.")]
    op: TraitOp
    value: Annotated[Value, Meta(description="What to compare with; left out for exists and not_exists.")] = None
    ignore_case: Annotated[bool, Meta(description="Compare texts by their Unicode case folding.")] = False

    def _typed(self) -> tuple[str, str, str, bool]:
        return self.trait, self.op, repr(self.value), self.ignore_case  # repr distinguishes 1 from True

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TraitLeaf) and self._typed() == other._typed()

    def __hash__(self) -> int:
        return hash(self._typed())


class PropertyLeaf(Struct, frozen=True, eq=False, forbid_unknown_fields=True):
    """Test one property of an event, as :class:`TraitLeaf` tests a trait. No segment has one."""

    property: Annotated[_Name, Meta(description="A property's name, or a JSON Pointer such as /cart/total.")]
    op: TraitOp
    value: Annotated[Value, Meta(description="What to compare with; left out for exists and not_exists.")] = None
    ignore_case: Annotated[bool, Meta(description="Compare texts by their Unicode case folding.")] = False

    def as_trait(self) -> TraitLeaf:
        """Return the same test of a trait."""
        return TraitLeaf(self.property, self.op, self.value, self.ignore_case)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PropertyLeaf) and self.as_trait() == other.as_trait()

    def __hash__(self) -> int:
        return hash(self.as_trait())


class FeatureLeaf(Struct, frozen=True, forbid_unknown_fields=True):
    """Compare one computed feature. With an absent feature this is false, except for ``ne`` and ``not_exists``."""

    feature: _Name
    op: FeatureOp
    value: Annotated[int | float | None, Meta(description="Left out for exists and not_exists.")] = None


class EventLeaf(Struct, frozen=True, forbid_unknown_fields=True):
    """Compare how often an event happened: ever, or in the last ``days`` whole UTC days, today included."""

    event: _Name
    op: CountOp = "gte"
    count: Annotated[int, Meta(ge=0, le=limits.MAX_COUNT)] = 1
    days: Annotated[int, Meta(ge=1, le=limits.MAX_EVENT_DAYS)] | None = None


class SeenLeaf(Struct, frozen=True, forbid_unknown_fields=True):
    """Test if the user was last seen less than ``days`` times 86,400 s ago; a user never seen is not within."""

    seen: Literal["within", "not_within"]
    days: Annotated[int, Meta(ge=1, le=limits.MAX_SEEN_DAYS)]


Leaf: TypeAlias = TraitLeaf | FeatureLeaf | EventLeaf | SeenLeaf
ConditionLeaf: TypeAlias = TraitLeaf | PropertyLeaf
"""What can be tested of one event and whoever did it."""
Predicate: TypeAlias = AllOf | AnyOf | Not | Leaf


def leaves(predicate: Predicate, pointer: str = "") -> Iterator[tuple[str, Leaf]]:
    """Yield (JSON Pointer, leaf) for every leaf, in the order written."""
    if isinstance(predicate, AllOf | AnyOf):
        name = "all" if isinstance(predicate, AllOf) else "any"
        for index, part in enumerate(predicate.parts):
            yield from leaves(part, f"{pointer}/{name}/{index}")
    elif isinstance(predicate, Not):
        yield from leaves(predicate.part, f"{pointer}/not")
    else:
        yield pointer, predicate

"""Write a predicate as JSON, and give all ways of writing the same predicate one spelling.

The canonical form writes out defaults, sorts and removes duplicates among parts and list values, flattens ``all`` in
``all`` and ``any`` in ``any``, unwraps a single part and a double ``not``, writes the shortest path, and drops an
``ignore_case`` that no text needs. It matches the same users as the original. Predicates that are equivalent for deeper
reasons (De Morgan, say) keep different hashes.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
from msgspec.structs import replace

from whisperer.segments.paths import join_path, split_path
from whisperer.segments.predicate import AllOf, AnyOf, EventLeaf, FeatureLeaf, Not, Predicate, SeenLeaf, TraitLeaf

_encode = msgspec.json.Encoder(order="sorted").encode


def to_json(predicate: Predicate) -> dict[str, Any]:
    """Return the JSON form, ready for any encoder, without empty optional keys: ``parse(to_json(p)) == p``."""
    match predicate:
        case AllOf(parts):
            return {"all": [to_json(part) for part in parts]}
        case AnyOf(parts):
            return {"any": [to_json(part) for part in parts]}
        case Not(part):
            return {"not": to_json(part)}
        case TraitLeaf(trait, op, value, ignore_case):
            body: dict[str, Any] = {"trait": trait, "op": op}
            if value is not None:
                body["value"] = list(value) if isinstance(value, tuple) else value
            return body | {"ignore_case": True} if ignore_case else body
        case FeatureLeaf(feature, op, value):
            return {"feature": feature, "op": op} | ({} if value is None else {"value": value})
        case EventLeaf(event, op, count, days):
            return {"event": event, "op": op, "count": count} | ({} if days is None else {"days": days})
        case SeenLeaf(seen, days):
            return {"seen": seen, "days": days}


def canonical(predicate: Predicate) -> Predicate:
    """Return the canonical form: ``canonical(canonical(p)) == canonical(p)``."""
    match predicate:
        case AllOf(parts):
            return _combined(AllOf, parts)
        case AnyOf(parts):
            return _combined(AnyOf, parts)
        case Not(part):
            inner = canonical(part)
            return inner.part if isinstance(inner, Not) else Not(inner)
        case TraitLeaf():
            return _canonical_trait(predicate)
    return predicate


def canonical_json(predicate: Predicate) -> bytes:
    """Encode the canonical form as UTF-8 JSON with sorted keys and no blanks."""
    return _encode(to_json(canonical(predicate)))


def predicate_hash(predicate: Predicate) -> str:
    """Hash a predicate to 32 hex digits, the same for the same predicate in every process and release."""
    return hashlib.blake2b(canonical_json(predicate), digest_size=16).hexdigest()


def _combined(kind: type[AllOf] | type[AnyOf], parts: tuple[Predicate, ...]) -> Predicate:
    flat: dict[bytes, Predicate] = {}
    for part in map(canonical, parts):
        inner = part.parts if isinstance(part, kind) else (part,)
        flat.update({_encode(to_json(p)): p for p in inner})
    ordered = tuple(flat[key] for key in sorted(flat))
    return ordered[0] if len(ordered) == 1 else kind(ordered)


def _canonical_trait(leaf: TraitLeaf) -> TraitLeaf:
    steps = split_path(leaf.trait)
    value = leaf.value
    if isinstance(value, tuple):
        distinct = {_encode(v): v for v in value}
        value = tuple(distinct[key] for key in sorted(distinct))
    has_text = any(isinstance(v, str) for v in (value if isinstance(value, tuple) else (value,)))
    return replace(
        leaf,
        trait=leaf.trait if steps is None else join_path(steps),
        value=value,
        ignore_case=leaf.ignore_case and has_text,
    )

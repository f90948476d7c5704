"""Pass Structs between processes as plain documents, so that both sides of an upgrade read each other.

Shards are upgraded one by one while gateways, the directory and the learner still run the code of before, and gateways
are while shards do. A Struct that Ray pickles names its class and gives its fields by position, so its reader needs the
very same class. A plain document (dicts, lists, numbers, text) has them by name: a field that its reader does not know
is ignored, and one that is missing has its default. So a field that is added to such a Struct gets a default, for one
release.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

Plain = Any
"""What :func:`plain` returns."""


def plain(view: object) -> Plain:
    """Return a Struct, or a list or dict of them, as a plain document."""
    return msgspec.to_builtins(view, builtin_types=(bytes,))


def read(document: Plain, kind: type[T]) -> T:
    """Return the Struct that :func:`plain` made a document of. Raises msgspec.ValidationError for another document."""
    return msgspec.convert(document, kind)

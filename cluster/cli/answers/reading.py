"""Reads a document into the Struct that a command shows."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from whisperer.errors import WhispererError

Answer = TypeVar("Answer")


def read(document: object, kind: type[Answer]) -> Answer:
    """Return a JSON document as a Struct. Raises WhispererError for one that lacks what this release reads."""
    try:
        return msgspec.convert(document, kind)
    except msgspec.ValidationError as error:
        raise WhispererError(f"the answer is not one that this release can show: {error}") from None

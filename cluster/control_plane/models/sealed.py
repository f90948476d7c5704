"""Defines columns whose values the database holds sealed, and the rest of the product as they are.

The keys come with the engine (:func:`sealing`). A value of before there were keys is read as it is, until it is sealed.
"""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import JSON, Dialect, Engine, String, TypeDecorator

from cluster.control_plane.keyring import Keyring

_KEYRING = "whisperer_keyring"


def sealing(engine: Engine, keyring: Keyring) -> Engine:
    """Give an engine the keys for its sealed columns."""
    setattr(engine.dialect, _KEYRING, keyring)
    return engine


class SealedText(TypeDecorator[str]):
    """A text; ``column`` is its table and name, to which each value is bound, ``kept_as`` the database's own type."""

    impl = String
    cache_ok = True

    def __init__(self, column: str, kept_as: String | None = None) -> None:
        super().__init__()
        self.column = column
        self.impl = kept_as or String()  # type: ignore[assignment]  # SQLAlchemy makes one of the class, too

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else _keyring(dialect).seal(value, self.column)

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else _keyring(dialect).open(value, self.column)


class SealedJson(TypeDecorator[dict[str, Any]]):
    """A JSON object, stored as the JSON string of its sealed text; ``column`` as for :class:`SealedText`."""

    impl = JSON
    cache_ok = True

    def __init__(self, column: str) -> None:
        super().__init__(none_as_null=True)
        self.column = column

    def process_bind_param(self, value: dict[str, Any] | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        return _keyring(dialect).seal(msgspec.json.encode(value).decode(), self.column)

    def process_result_value(self, value: Any, dialect: Dialect) -> dict[str, Any] | None:
        if not isinstance(value, str):
            return value  # type: ignore[no-any-return]
        return msgspec.json.decode(_keyring(dialect).open(value, self.column), type=dict[str, Any])


def _keyring(dialect: Dialect) -> Keyring:
    found: Keyring = getattr(dialect, _KEYRING)
    return found

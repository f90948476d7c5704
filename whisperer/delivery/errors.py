"""Report everything that is wrong with a tenant's channel at once, or what is wrong with one message.

A :class:`Problem` names the place by JSON Pointer (RFC 6901; ``""`` is the whole configuration), a stable code, and
what to do about it. No message quotes a password, a webhook secret or a URL's query.

Codes: ``unknown_channel``, ``unknown_provider``, ``unknown_field``, ``missing_field``, ``invalid_type``,
``out_of_range``, ``too_long``, ``too_many``, ``invalid_text``, ``invalid_host``, ``invalid_url``, ``invalid_address``,
``invalid_secret``, ``hidden_secret``, ``unencrypted_login``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict

from whisperer.errors import RequestError


class Problem(TypedDict):
    """Describe one thing that is wrong, and what to do about it."""

    pointer: str
    code: str
    message: str


class ChannelError(RequestError):
    """Say that a channel cannot be used; ``errors`` has one entry per problem and goes into problem+json as it is."""

    code = "invalid_channel"

    def __init__(self, errors: Sequence[Problem]) -> None:
        self.errors = list(errors)
        places = "; ".join(f"{e['pointer'] or 'channel'}: {e['message']}" for e in self.errors[:3])
        more = f" (and {len(self.errors) - 3} more)" if len(self.errors) > 3 else ""
        super().__init__(f"The channel cannot be used: {places}{more}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.errors,)


class UnsendableError(ValueError):
    """Say that one message cannot take the form that its channel needs; trying again would change nothing."""

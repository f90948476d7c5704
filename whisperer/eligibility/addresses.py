"""Find a user's address on a channel, in what the tenant stated about the user.

Leaves which traits may hold it to the channel (:mod:`whisperer.vocabulary.channels`), and what makes a text an address,
and its one form, to :func:`whisperer.delivery.addresses.usable_address`.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from whisperer.delivery.addresses import usable_address
from whisperer.ids import UserKey
from whisperer.vocabulary.channels import CHANNELS

_text = msgspec.json.Decoder(str).decode


def address_of(traits: Mapping[str, bytes], channel: str, user_key: UserKey, *, is_bared: bool = True) -> str | None:
    """Return the address in the form that is used, or None.

    ``traits`` are JSON as the client wrote it; only texts count.
    ``is_bared`` as in :func:`usable_address`. A channel without traits addresses users by their key.

    >>> address_of({"email": b'" ada@Example.com"'}, "email", "u:ada"), address_of({"phone": b"4915"}, "sms", "u:ada")
    ('ada@example.com', None)
    """
    known = CHANNELS.get(channel)
    if known is None:
        return None
    if not known.address.traits:
        return usable_address(channel, user_key)
    for name in known.address.traits:
        written = traits.get(name)
        if written is None:
            continue
        try:
            text = _text(written)
        except (msgspec.MsgspecError, UnicodeError):
            continue
        found = usable_address(channel, text, is_bared=is_bared)
        if found is not None:
            return found
    return None

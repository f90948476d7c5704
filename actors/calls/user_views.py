"""Pass a user's view between processes.

Through Ray it is a Struct that Ray pickles, because what clients wrote is in it as raw JSON, which a plain document
cannot hold; its decisions travel as plain documents, so that both sides of an upgrade read each other
(:mod:`actors.calls.plain`). Over a socket all of it is one JSON text, for the same reasons: raw JSON is part of it as
it was written, and fields have names.
"""

from __future__ import annotations

import msgspec

from actors.calls.plain import plain, read
from whisperer.shard.views.decision import DecisionView
from whisperer.shard.views.user import UserView

_decode = msgspec.json.Decoder(UserView).decode


def packed(view: UserView) -> UserView:
    """Return the view as it travels through Ray."""
    return msgspec.structs.replace(view, candidacies=plain(view.candidacies))


def document(view: UserView) -> bytes:
    """Return the view as it travels over a socket."""
    return msgspec.json.encode(view)


def unpacked(view: UserView | bytes) -> UserView:
    """Return a view that has travelled, either way."""
    if isinstance(view, bytes):
        return _decode(view)
    return msgspec.structs.replace(view, candidacies=read(view.candidacies, list[DecisionView]))

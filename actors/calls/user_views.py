"""Pass a user's view between processes.

It is a Struct that Ray pickles, because what clients wrote is in it as raw JSON, which a plain document cannot hold.
Its decisions travel as plain documents, so that both sides of an upgrade read each other (:mod:`actors.calls.plain`).
"""

from __future__ import annotations

import msgspec

from actors.calls.plain import plain, read
from whisperer.shard.views.decision import DecisionView
from whisperer.shard.views.user import UserView


def packed(view: UserView) -> UserView:
    """Return the view as it travels."""
    return msgspec.structs.replace(view, candidacies=plain(view.candidacies))


def unpacked(view: UserView) -> UserView:
    """Return a view that has travelled."""
    return msgspec.structs.replace(view, candidacies=read(view.candidacies, list[DecisionView]))

"""Puts messages into their users' inboxes, which are state of the shards: the receipt brings the message back.

The record that makes a decision *sent* is the one that makes its message part of the inbox. So there is no moment at
which one of the two holds without the other, whatever is killed, and no further call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from serve_apps.delivery.provider import receipt, rejected
from serve_apps.delivery.ssrf import Guard
from whisperer.delivery.dispatch import Dispatch, Kept, Receipt, Verdict
from whisperer.delivery.providers.inbox import INBOX
from whisperer.vocabulary.inapp import Unfit, encoded, read_message

PROVIDER = INBOX.name


class Inbox:
    """The inbox behind the interface of all providers: it calls nobody, and holds nothing."""

    provider, connections = PROVIDER, 0

    def __init__(self, config: dict[str, Any], clock: Callable[[], int], guard: Guard) -> None:
        del config, clock, guard  # it has no settings, no time limits and no connections

    async def send(self, dispatch: Dispatch) -> Receipt:
        message = read_message(dispatch.parts.get("message", ""))
        if isinstance(message, Unfit):  # what it says may quote the message
            return rejected(dispatch, PROVIDER, "the message does not fit the schema of in-app messages")
        kept = Kept(encoded(message), message.expires_in_s or 0)
        return msgspec.structs.replace(receipt(dispatch, Verdict.ACCEPTED, PROVIDER), kept=kept)

    async def aclose(self) -> None:
        """Do nothing: there is nothing to close."""

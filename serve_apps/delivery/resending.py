"""Repeats unknown attempts where the tenant would rather have a message twice than not at all.

For providers that take no send key; `resend_unknown` in the channel's configuration. It is decided here, for all of
them.
"""

from __future__ import annotations

import msgspec

from serve_apps.delivery.admission import Admitting, MayLeave
from whisperer.delivery.dispatch import Dispatch, Receipt, Verdict


class Resending:
    """A provider whose unknown attempts may be repeated."""

    def __init__(self, provider: Admitting) -> None:
        self._provider = provider

    def __repr__(self) -> str:
        return f"Resending({self._provider!r})"

    async def send(self, dispatch: Dispatch, may_leave: MayLeave | None = None) -> Receipt:
        answer = await self._provider.send(dispatch, may_leave)
        if answer.status != Verdict.UNKNOWN:
            return answer
        return msgspec.structs.replace(answer, repeatable=True)

    async def aclose(self) -> None:
        await self._provider.aclose()

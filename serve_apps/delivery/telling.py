"""Tells the directory how the accounts do that this replica uses, so that the gateway can show it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from actors.calls.directory import DirectoryCalls
from actors.calls.plain import plain
from actors.calls.provider_states import ChannelState, DeliveryReport
from actors.telemetry.logs import Seldom

EVERY_S = 2.0

_log = logging.getLogger(__name__)


async def tell_forever(directory: DirectoryCalls, replica: str, states: Callable[[], list[ChannelState]]) -> None:
    """Leave a report every `EVERY_S`. A directory that is away, or of an older release, misses some."""
    seldom = Seldom(_log)
    while True:
        try:
            await directory.leave_delivery_report(plain(DeliveryReport(replica=replica, channels=states())))
        except Exception as error:
            seldom.log(logging.INFO, "report", "the directory does not take reports now: %r", error)
        await asyncio.sleep(EVERY_S)

"""Channels: through which provider a tenant's messages of each channel go. A channel without a row goes to the sink.

What a provider's configuration may contain is decided in ``whisperer/delivery/channels.py``. It holds secrets in the
clear, as the provider needs them: they are read by the delivery application alone and shown redacted to everyone else.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select

from cluster.control_plane.models import ChannelRow
from cluster.control_plane.transactions import Transactions, find_tenant, now_ms
from whisperer.content.message import CHANNELS
from whisperer.errors import NotFoundError

SINK = "sink"


@dataclass(frozen=True, slots=True)
class ChannelConfig:
    provider: str
    config: dict[str, Any] = field(repr=False)
    """Checked, with its secrets; kept out of logs by having no part in the repr."""


class Channels(Transactions):
    def set_channel(self, tenant: str, channel: str, provider: str, config: object) -> ChannelConfig:
        """Send a channel through a provider from now on; provider `sink` brings it back to the sink.

        Raises the error of :func:`whisperer.delivery.channels.parse_channel` with every problem, and NotFoundError.
        """
        from whisperer.delivery.channels import parse_channel

        _check_channel(channel)
        checked = parse_channel(channel, provider, config)
        with self._writing() as session:
            owner = find_tenant(session, tenant)
            row = session.get(ChannelRow, (owner.id, channel))
            if row is None:
                row = ChannelRow(tenant_id=owner.id, channel=channel)
                session.add(row)
            if (row.provider, row.config) != (provider, checked):  # else it would count as a change
                row.provider, row.config, row.changed_at = provider, checked, now_ms()
            return _config(row)

    def channel(self, tenant_id: str, channel: str) -> ChannelConfig | None:
        """How a channel is configured; None where nothing was ever said, and so for the sink."""
        with self._reading() as session:
            row = session.get(ChannelRow, (find_tenant(session, tenant_id).id, channel))
            return None if row is None else _config(row)

    def list_channels(self, tenant: str) -> dict[str, ChannelConfig]:
        """Every channel there is, by name, with the sink where nothing else was said."""
        with self._reading() as session:
            owner = find_tenant(session, tenant)
            rows = session.scalars(select(ChannelRow).where(ChannelRow.tenant_id == owner.id))
            said = {row.channel: _config(row) for row in rows}
        return {channel: said.get(channel, ChannelConfig(SINK, {})) for channel in CHANNELS}


def _check_channel(channel: str) -> None:
    if channel not in CHANNELS:
        raise NotFoundError(f"there is no channel {channel[:80]!r}; channels are {', '.join(CHANNELS)}")


def _config(row: ChannelRow) -> ChannelConfig:
    return ChannelConfig(row.provider, row.config)

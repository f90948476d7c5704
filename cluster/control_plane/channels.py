"""Channels: the provider that delivers a tenant's messages on each channel.

A channel without a row uses what its entry in :mod:`whisperer.vocabulary.channels` says, mostly the sink.

What a provider's configuration may contain is decided in ``whisperer/delivery/providers``. The database holds it
sealed; only the delivery application reads secrets, and everyone else sees them redacted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select

from cluster.control_plane.models import ChannelRow
from cluster.control_plane.transactions import Transactions, find_tenant, now_ms
from whisperer.delivery.channels import parse_plan
from whisperer.delivery.plan import ALONE, Plan, read, written
from whisperer.errors import NotFoundError, UnavailableError
from whisperer.ids import TenantId
from whisperer.vocabulary.channels import CHANNELS


@dataclass(frozen=True, slots=True)
class ChannelConfig:
    """A channel's provider and its configuration."""

    provider: str
    config: dict[str, Any] = field(repr=False)
    """Checked, with its secrets; left out of the repr to keep them out of logs."""
    callback_serial: int = 0
    """The number of the callback token that is good."""
    plan: Plan = ALONE
    """How messages are paced and shared among this account and further ones."""


class Channels(Transactions):
    """Sets and reads the channels' providers."""

    def set_channel(
        self, tenant: str, channel: str, provider: str, config: object, plan: object = ALONE
    ) -> ChannelConfig:
        """Set a channel's provider, and the rest of the channel, from now on; provider `sink` returns it to the sink.

        Raises the error of :func:`whisperer.delivery.channels.parse_plan` with every problem, and NotFoundError.
        """
        _check_channel(channel)
        checked, parsed = parse_plan(channel, provider, config, plan)
        stored = None if parsed == ALONE else written(parsed)
        with self._writing() as session:
            owner = find_tenant(session, tenant)
            row = session.get(ChannelRow, (owner.id, channel))
            if row is None:
                row = ChannelRow(tenant_id=owner.id, channel=channel)
                session.add(row)
            # Writing equal values would count as a change.
            if (row.provider, row.config, row.plan) != (provider, checked, stored):
                row.provider, row.config, row.plan, row.changed_at = provider, checked, stored, now_ms()
            return _config(row)

    def replace_callback_token(self, tenant: str, channel: str) -> ChannelConfig:
        """Let a channel's callback token be void from now on, and the next one good. Raises NotFoundError."""
        _check_channel(channel)
        with self._writing() as session:
            row = session.get(ChannelRow, (find_tenant(session, tenant).id, channel), with_for_update=True)
            if row is None:
                raise NotFoundError(f"nothing was set for the channel {channel}: it has no callbacks")
            row.callback_serial += 1
            row.changed_at = now_ms()
            return _config(row)

    def channel(self, tenant_id: TenantId, channel: str) -> ChannelConfig | None:
        """Return a channel's configuration, or None if it was never set, which means what its entry says."""
        with self._reading() as session:
            row = session.get(ChannelRow, (find_tenant(session, tenant_id).id, channel))
            return None if row is None else _config(row)

    def list_channels(self, tenant: str) -> dict[str, ChannelConfig]:
        """Return every channel by name, those that were never set as their entries say."""
        with self._reading() as session:
            owner = find_tenant(session, tenant)
            rows = session.scalars(select(ChannelRow).where(ChannelRow.tenant_id == owner.id))
            said = {row.channel: _config(row) for row in rows}
        return {name: said.get(name, ChannelConfig(channel.unset, {})) for name, channel in CHANNELS.items()}


def _check_channel(channel: str) -> None:
    if channel not in CHANNELS:
        raise NotFoundError(f"there is no channel {channel[:80]!r}; channels are {', '.join(CHANNELS)}")


def _config(row: ChannelRow) -> ChannelConfig:
    plan = ALONE if row.plan is None else read(row.plan)
    if not isinstance(plan, Plan):  # a newer release wrote it; nothing of it may be left out
        raise UnavailableError("this channel was set by a newer release; set it anew to use it with this one")
    return ChannelConfig(row.provider, row.config, row.callback_serial or 0, plan)

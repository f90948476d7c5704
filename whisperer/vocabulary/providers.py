"""Name what carries messages. What each can do is in :mod:`whisperer.delivery.providers`."""

from __future__ import annotations

from typing import Literal, get_args

ProviderName = Literal["sink", "smtp", "webhook"]

PROVIDER_NAMES: tuple[ProviderName, ...] = get_args(ProviderName)

UNSET: ProviderName = "sink"
"""The provider of a channel for which none was set: it keeps what it gets, and reaches nobody."""

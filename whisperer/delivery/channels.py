"""Check a tenant's channels, and which provider carries each, before they are stored.

Guarantees: whatever the input, either a complete configuration within every limit, defaults filled in, or a
``ChannelError`` with every problem; what :func:`redacted` returns may be shown to anybody who may see the channel.
Leaves what a configuration contains to its provider (:mod:`whisperer.delivery.providers`), and to sending whether a
host answers, and whether a URL leads to an address that we may call.
"""

from __future__ import annotations

from typing import Any

from whisperer.delivery.callback_fields import take_callback_fields
from whisperer.delivery.errors import ChannelError
from whisperer.delivery.providers import HIDDEN, PROVIDERS
from whisperer.delivery.providers.reading import ConfigReader
from whisperer.vocabulary.channels import CHANNELS


def parse_channel(channel: object, provider: object, config: object) -> dict[str, Any]:
    """Check a channel as a caller wants it and return the whole configuration, defaults filled in.

    Raises
    ------
    ChannelError : with every problem found

    Examples
    --------
    >>> parse_channel("email", "smtp", {"host": "mail.example.com", "sender": "Ada <ada@example.com>"})["port"]
    587
    """
    spec = PROVIDERS.get(provider) if isinstance(provider, str) else None
    common = () if spec is None else spec.common_fields
    reader = ConfigReader(common)
    known = isinstance(channel, str) and channel in CHANNELS
    if not known:
        reader.note("/channel", "unknown_channel", f"a channel is one of {', '.join(CHANNELS)}")
    if spec is None:
        reader.note("/provider", "unknown_provider", f"a provider is one of {', '.join(PROVIDERS)}")
    elif known and channel not in spec.channels:
        reader.note("/provider", "unknown_provider", f"{spec.name} carries {', '.join(spec.channels)} only")
    if not isinstance(config, dict):
        reader.note("/config", "invalid_type", "write the provider's configuration as an object")
    read: dict[str, Any] = {}
    if isinstance(config, dict):
        own = dict(config)
        if spec is not None:
            of_callbacks = take_callback_fields(reader, spec.name, own)
            read = spec.read(reader, own) | of_callbacks
        read |= {name: reader.flag(config, name) for name in common}
    if reader.problems:
        raise ChannelError(reader.problems)
    return read


def redacted(provider: str, config: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration as it may be shown: without passwords, secrets and what a URL asks for.

    Of a provider of a newer release, of which nothing is known here, every value is hidden.

    >>> redacted("smtp", {"host": "mail.example.com", "password": "geheim"})
    {'host': 'mail.example.com', 'password': '…'}
    """
    spec = PROVIDERS.get(provider)
    if spec is None:
        return dict.fromkeys(config, HIDDEN)
    return {name: spec.shown[name](value) if name in spec.shown else value for name, value in config.items()}


def is_repeatable(channel: str) -> bool:
    """Return whether every provider that may carry a channel honours send keys, for when it is unknown which did."""
    return all(provider.takes_keys for provider in PROVIDERS.values() if channel in provider.channels)

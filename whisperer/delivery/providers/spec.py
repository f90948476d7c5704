"""Describe what a provider needs and promises, apart from how it sends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from whisperer.delivery.providers.reading import ConfigReader
from whisperer.vocabulary.providers import ProviderName

RESEND_UNKNOWN = "resend_unknown"
"""The field by which a tenant has unknown attempts repeated where the provider takes no send key: default false."""


@dataclass(frozen=True, slots=True)
class ProviderSpec:
    """Describe one provider.

    Attributes
    ----------
    channels : those it can carry
    takes_keys : whether sending again under the same key is harmless, and so right after an unknown outcome
    read : reads a configuration; returns all of it, defaults filled in, and notes every problem
    shown : secret field -> how its value is shown
    own_ports : ports that may be called besides those on which no system service conventionally listens
    is_plain_allowed : whether http:// may lead anywhere. Where a request carries a secret it may not: only to networks
        that the operator opened
    searches : whether it can be asked if it has a message (:mod:`whisperer.delivery.search`)
    """

    name: ProviderName
    channels: tuple[str, ...]
    takes_keys: bool
    read: Callable[[ConfigReader, dict[str, Any]], dict[str, Any]]
    shown: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)
    own_ports: tuple[int, ...] = ()
    is_plain_allowed: bool = False
    searches: bool = False

    @property
    def common_fields(self) -> tuple[str, ...]:
        """Return the fields of its configuration that are not its own."""
        return () if self.takes_keys else (RESEND_UNKNOWN,)

    def allows_port(self, port: int) -> bool:
        """Return whether a port is one of the provider's own, or one that no system service conventionally listens
        on."""
        return port in self.own_ports or 1_024 <= port <= 65_535

    @property
    def ports(self) -> str:
        """Return which ports may be called, as a sentence for a caller."""
        return f"the port is {', '.join(map(str, self.own_ports))} or 1024 to 65535"

"""Read the configuration of the in-app inbox, which has none: {}."""

from __future__ import annotations

from typing import Any

from whisperer.delivery.providers.reading import ConfigReader
from whisperer.delivery.providers.spec import ProviderSpec


def _read(reader: ConfigReader, config: dict[str, Any]) -> dict[str, Any]:
    reader.fields(config, ())
    return {}


INBOX = ProviderSpec(
    "inbox",
    channels=("inapp",),
    takes_keys=True,  # what it accepts is there once its receipt is journaled, and a receipt is journaled once
    read=_read,
)

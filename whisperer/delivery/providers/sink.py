"""Read the configuration of the sink, which has none: {}."""

from __future__ import annotations

from typing import Any

from whisperer.delivery.providers.reading import ConfigReader
from whisperer.delivery.providers.spec import ProviderSpec
from whisperer.vocabulary.channels import CHANNELS


def _read(reader: ConfigReader, config: dict[str, Any]) -> dict[str, Any]:
    reader.fields(config, ())
    return {}


SINK = ProviderSpec(
    "sink",
    channels=tuple(CHANNELS),
    takes_keys=True,  # keeps one message per send key
    read=_read,
)

"""Prepare the kernels of ingestion, compiled or loaded from disk, before the first request needs them."""

from __future__ import annotations

from whisperer.events.admit import admit
from whisperer.events.parse import Parsed, parse_body
from whisperer.events.routes import Route
from whisperer.ids import N_PARTITIONS

_EVENT = b'{"batch":[{"type":"page","userId":"u","messageId":"m"}]}'


def warm() -> None:
    """Compile the kernels, about twenty seconds once per installation, or load them in a fraction of a second."""
    parsed = parse_body(_EVENT, Route.BATCH)
    assert isinstance(parsed, Parsed)
    admit(parsed, seed=0, received_at=0, client_ip=None, new_message_id=str, shard_of=[0] * N_PARTITIONS)

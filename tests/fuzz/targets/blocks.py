"""A block of any bytes: it is refused, or whatever reads it stays within it."""

from __future__ import annotations

import contextlib
from collections.abc import Hashable

from tests.unit.whisperer.events.ingesting import admitted
from whisperer.errors import UNREADABLE, JournalDamagedError
from whisperer.events import block as form
from whisperer.events.block import encode_block
from whisperer.events.decoding import readable
from whisperer.events.parts import merge
from whisperer.events.refusals import Refusal
from whisperer.shard.machine import Shard
from whisperer.shard.records import RECORD_VERSION, Events, Record

WORDS = ("u:", "a:", "$identify", "Europe/Vienna")


def seeds() -> list[bytes]:
    body = (
        b'{"batch":[{"type":"track","userId":"u","anonymousId":"a","event":"E","messageId":"m","context":{"locale":"de"}},'
        b'{"type":"identify","userId":"u","traits":{"plan":"pro"},"messageId":"n"},'
        b'{"type":"alias","userId":"u","previousId":"p","messageId":"o"}]}'
    )
    result = admitted(body, "batch")
    assert not isinstance(result, Refusal)
    return [encode_block(merge("tn_test", [part])) for part in result.parts.values()]


def attack(data: bytes) -> Hashable:
    try:
        read = readable(data)
    except JournalDamagedError:
        return "refused"
    block = read.block
    payloads = [read[i] for i in range(len(block))]
    keys = form.keys_of(block)
    for what in ("key", "message_id", "link", "payload"):
        offsets, found = form.gather(*form.spans(block, what))
        assert offsets[-1] == len(found)
    for index in range(len(block)):
        form.message_id_of(block, index)
        form.link_of(block, index)
        form.connection_ip(block, index)
    with contextlib.suppress(*UNREADABLE):  # a payload that no gateway would have let in
        Shard(0).apply([(0, Record(RECORD_VERSION, 1, max(block.received_at, 0), Events(data)))])
    return len(keys), sum(map(bool, payloads)), len(block.names), len(block.zones), len(block.connections)

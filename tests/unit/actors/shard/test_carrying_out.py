"""What cannot be carried out names the record that asked for it: the shard ends, and its log is all there is."""

from __future__ import annotations

import pytest

from actors.shard.actor import ShardActor
from tests.support.shard_world import World, event
from whisperer.shard.effects import Effect, SendLetter
from whisperer.shard.records import Letter


class Broken:
    def send(self, letter: Letter) -> None:
        raise RuntimeError("no courier")


def test_an_effect_that_cannot_be_carried_out_names_its_record() -> None:
    world = World(2)
    asked: list[Effect] = []
    write = world.write
    world.write = lambda shard, body: asked.extend(done := write(shard, body)) or done  # type: ignore[method-assign]
    world.send(event("ann"))
    world.send(*(event(f"u{n}", anonymous=f"d{n}") for n in range(20)))
    letter = next(effect for effect in asked if isinstance(effect, SendLetter))
    assert letter.cause >= 0
    actor = object.__new__(ShardActor)
    actor._courier = Broken()  # type: ignore[assignment]
    with pytest.raises(RuntimeError) as error:
        actor._carry_out([letter])
    assert error.value.__notes__ == [f"while a SendLetter was carried out, of journal position {letter.cause}"]

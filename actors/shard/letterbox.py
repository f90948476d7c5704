"""Accept letters for the partitions that live here: each once, in order, and none after a missing one.

Returns the fate of every letter: *taken* means exactly that the target's state has it (applied now or before); *gap*
that an earlier letter of the same pair of partitions is missing here; *elsewhere* that the target does not live here.
What is refused is not journaled. The state has the last word: a letter queued behind its target's departure is not
applied (:meth:`whisperer.shard.machine.Shard.apply`), and so not taken.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from actors.calls.shard_status import LetterboxState
from actors.shard.commit import Committer
from actors.shard.weighing import batches
from whisperer.events.decoding import held_bytes
from whisperer.ids import Partition, TenantId
from whisperer.shard.machine import Shard
from whisperer.shard.records import Astray, Forward, Led, Letter, LettersArrived, MergeIn
from whisperer.vocabulary.named import Named


class LetterFate(Named):
    """Name what became of a letter: applied, refused for want of those before it, or its target lives elsewhere."""

    TAKEN = "taken"
    GAP = "gap"
    ELSEWHERE = "elsewhere"


_LEAST = 512
_ENTRY = 64


class Letterbox:
    """Accept letters for one shard. Use from one event loop."""

    def __init__(self, shard: Shard, committer: Committer, is_elsewhere: Callable[[TenantId, Partition], bool]) -> None:
        self._shard = shard
        self._committer = committer
        self._is_elsewhere = is_elsewhere
        self._counts = dict.fromkeys(LetterFate, 0)

    def state(self, n_waiting: int) -> LetterboxState:
        """Return the letters by fate since the shard started; one that is sent again is counted again.

        ``n_waiting`` letters of ours wait for other shards (:attr:`actors.shard.courier.Courier.n_waiting`).
        """
        return LetterboxState(
            n_waiting,
            self._counts[LetterFate.TAKEN],
            {why: self._counts[why] for why in (LetterFate.GAP, LetterFate.ELSEWHERE)},
        )

    async def take(self, letters: list[Letter]) -> list[LetterFate]:
        """Return the fate of each letter, once those that are taken are durable.

        Never refuses for lack of room: each shard has one batch under way here, of bounded size.
        """
        acceptable = self._acceptable(letters)
        submitted = [
            self._committer.submit_bounded(LettersArrived(batch), sum(map(letter_bytes, batch)))
            for batch in batches(self._shard, acceptable)
        ]
        await asyncio.gather(*submitted)
        fates = [self._fate(letter) for letter in letters]
        for fate in fates:
            self._counts[fate] += 1
        return fates

    def _acceptable(self, letters: list[Letter]) -> list[Letter]:
        """Return those that are new, at home, and follow what is here or each other."""
        reached: dict[tuple[TenantId, Partition, Partition], int] = {}
        found = []
        for letter in letters:
            if self._is_elsewhere(letter.tenant, letter.target):
                continue
            pair = (letter.tenant, letter.source, letter.target)
            at = reached.get(pair)
            if at is None:
                at = self._reached(letter)
            if letter.after <= at < letter.sequence:
                reached[pair] = letter.sequence
                found.append(letter)
        return found

    def _reached(self, letter: Letter) -> int:
        """Return the sequence of the last letter of its pair that was applied here."""
        tenant = self._shard.tenants.get(letter.tenant)
        return 0 if tenant is None else tenant.cursors.get((letter.target, letter.source), 0)

    def _fate(self, letter: Letter) -> LetterFate:
        if letter.sequence <= self._reached(letter):
            return LetterFate.TAKEN
        return LetterFate.ELSEWHERE if self._is_elsewhere(letter.tenant, letter.target) else LetterFate.GAP


def letter_bytes(letter: Letter) -> int:
    """Estimate the memory that a letter takes, unpacked."""
    body = letter.body.letter if isinstance(letter.body, (Astray, Led)) else letter.body
    match body:
        case Forward(block, _, references):
            return _LEAST + held_bytes(block) + 8 * len(references)
        case MergeIn(state=state):
            traits = sum(len(name) + len(text) + _ENTRY for name, (_, _, text) in state.traits.items())
            n_entries = len(state.history) + len(state.timeline) + len(state.links) + len(state.refused)
            return _LEAST + traits + _ENTRY * n_entries + len(state.engagement)
        case _:
            return _LEAST

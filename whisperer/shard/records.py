"""Define what a shard reads: the records of its journal, and the letters that partitions send each other.

Only records change a shard; each carries the `now` at which it happened. The wire form is msgpack with arrays rather
than maps, so fields are only ever added at the end, with a default (golden files pin this).
"""

from __future__ import annotations

import msgspec

from whisperer.decisions.decision import Choice
from whisperer.delivery.dispatch import Receipt
from whisperer.errors import UNREADABLE, JournalDamagedError
from whisperer.events.block import Payloads
from whisperer.events.decoding import decode_block
from whisperer.feedback.outcome import OutcomeKind
from whisperer.ids import DecisionId, Partition, TenantId, UserKey
from whisperer.journeys.campaign import CampaignStatus
from whisperer.journeys.inbox import Mark
from whisperer.profiles.state import ProfileState
from whisperer.shard.accounts import StoredAccount

RECORD_VERSION = 6
"""1: profiles and segments. 2: campaigns, decisions, deliveries, outcomes. 3: event blocks of version 2, moves in
parts, removed shards. 4: scores. 5: bounds on names, traits, aliases; letters in a chain. 6: in-app inboxes,
replays, what providers say."""

ALIAS_ARBITER = Partition(0)
"""The partition that orders a tenant's aliases."""

BOUNDED_SINCE = 5
"""Record version since which a tenant's names, a user's history, traits and joined ids are bounded."""

CHAINED_SINCE = 5
"""Record version since which letters name the one before them and are refused where their target does not live."""

BARED_SINCE = 5
"""Record version since which invisible characters are stripped from addresses."""

JOINED_SINCE = 6
"""Record version since which an erasure takes along whom an alias asked for before it names."""

# -- letters between partitions: delivered at least once, in order, applied once ----------------------------------


class Claim(msgspec.Struct, array_like=True, frozen=True, tag=1):
    """Report that a known user was seen with an anonymous id. `also`: keys that were joined into the user.

    `if_known`: an alias named the id, which may not be an anonymous id at all; without a history it is ignored.
    """

    anonymous: UserKey
    user: UserKey
    also: list[UserKey]
    if_known: bool = False


class Refused(msgspec.Struct, array_like=True, frozen=True, tag=2):
    """Refuse a claim: the anonymous id belongs to another user."""

    anonymous: UserKey
    user: UserKey


class MergeIn(msgspec.Struct, array_like=True, frozen=True, tag=3):
    """Make the state of `origin` as of `as_of` (ms UTC) part of `user`."""

    user: UserKey
    origin: UserKey
    as_of: int
    state: ProfileState


class Forward(msgspec.Struct, array_like=True, frozen=True, tag=4):
    """Pass on events that reached a merged key's old home: an encoded block under new keys, with event references.

    ``keys``: (replaced key, new key) pairs.
    """

    block: bytes
    origin: int
    references: list[int]
    keys: list[tuple[UserKey, UserKey]] = []


class AliasAsk(msgspec.Struct, array_like=True, frozen=True, tag=5):
    """Ask to join `previous` into `user`. ``at``: when, ms UTC, so that an erasure in between is noticed."""

    previous: UserKey
    user: UserKey
    at: int = 0


class AliasGrant(msgspec.Struct, array_like=True, frozen=True, tag=6):
    """Grant an alias. ``user``: the root `previous` is joined into; up to version 4, the user the alias named."""

    previous: UserKey
    user: UserKey
    at: int = 0


class AliasForget(msgspec.Struct, array_like=True, frozen=True, tag=7):
    """Report that a key was erased at ``erased_at`` (ms UTC): aliases of it asked for by then no longer hold."""

    key: UserKey
    erased_at: int = (1 << 63) - 1


class EraseLinked(msgspec.Struct, array_like=True, frozen=True, tag=8):
    """Erase a key that was joined to an erased one; ``erased_at``: when that erasure was asked for, ms UTC."""

    key: UserKey
    erased_at: int


class Outcome(msgspec.Struct, array_like=True, frozen=True):
    """Report an outcome: ``kind`` is one of :data:`whisperer.feedback.outcome.OUTCOMES`; ``at`` is ms UTC.

    ``purpose`` is set only for an unsubscription. ``address_hash`` is that of the address that was used, b"" if it is
    not known. ``limit`` and ``within_ms`` are set only for a soft bounce: so many of an address within so long stop it.
    """

    user: UserKey
    decision_id: DecisionId
    kind: OutcomeKind
    at: int
    detail: str = ""
    channel: str = ""
    purpose: str = ""
    address_hash: bytes = b""
    limit: int = 0
    within_ms: int = 0


class OutcomePassed(msgspec.Struct, array_like=True, frozen=True, tag=9):
    """Pass on an outcome that reached a merged key's old home."""

    outcome: Outcome


Passed = Refused | MergeIn | Forward | OutcomePassed
"""Letters to a user who may have been merged since."""


class Astray(msgspec.Struct, array_like=True, frozen=True, tag=10):
    """Send a letter that found its user merged to the arbiter of aliases, which knows into whom.

    ``keys``: (key, outdated target) pairs of the keys whose homes still send letters to that user.
    """

    letter: Passed
    keys: list[tuple[UserKey, UserKey]]


class Led(msgspec.Struct, array_like=True, frozen=True, tag=11):
    """Carry a letter that went astray from the arbiter to the root's home; one merged just now passes it on itself."""

    letter: Passed


class Moved(msgspec.Struct, array_like=True, frozen=True, tag=12):
    """From the arbiter: let a merged key that leads to ``was`` lead to ``user`` from now on."""

    key: UserKey
    was: UserKey
    user: UserKey


class Released(msgspec.Struct, array_like=True, frozen=True, tag=13):
    """Release an anonymous id from its user: a merge gave the profile more ids than it may hold."""

    anonymous: UserKey


LetterBody = (
    Claim
    | Refused
    | MergeIn
    | Forward
    | AliasAsk
    | AliasGrant
    | AliasForget
    | EraseLinked
    | OutcomePassed
    | Astray
    | Led
    | Moved
    | Released
)


class Letter(msgspec.Struct, array_like=True, frozen=True):
    """Carry one statement or request from a partition to another.

    `sequence` counts up per (tenant, source); a target applies each source's letters once, in order. `after` is the
    sequence of the letter before it from the same source to the same target: 0 if there is none, or none is known
    (written before version 5). A target that has not applied that letter refuses this one.
    """

    tenant: TenantId
    source: Partition
    target: Partition
    sequence: int
    body: LetterBody
    after: int = 0


# -- records of the journal -----------------------------------------------------------------------------------------


class SegmentConfig(msgspec.Struct, array_like=True, frozen=True):
    """Describe a published segment; ``predicate`` is JSON text."""

    name: str
    version: int
    predicate: str


class CampaignConfig(msgspec.Struct, array_like=True, frozen=True):
    """Describe a published campaign; ``definition`` comes from :func:`whisperer.journeys.campaign.to_json`.

    ``status`` is live, paused or ended.
    """

    name: str
    version: int
    status: CampaignStatus
    definition: str


class Experiment(msgspec.Struct, array_like=True, frozen=True):
    """Set how a tenant's users are divided into groups; ``salt`` keeps the experiments of tenants independent.

    ``consent_default``: whether marketing may reach a user who never stated anything.
    """

    salt: str = ""
    holdout: float = 0.05
    uniform: float = 0.05
    consent_default: bool = True


class Events(msgspec.Struct, array_like=True, frozen=True, tag=1, dict=True):
    """Bring in a block of events: an encoded :class:`~whisperer.events.block.EventBlock`."""

    block: bytes

    @classmethod
    def of(cls, block: bytes, read: Payloads) -> Events:
        """Make a record that remembers its decoded block, to avoid decoding twice; not part of the wire form."""
        made = cls(block)
        made.__dict__["_read"] = read
        return made

    def read(self) -> Payloads:
        """Return the block and its payloads. Raises JournalDamagedError if the block cannot be read."""
        found: Payloads | None = self.__dict__.get("_read")
        return found or Payloads(decode_block(self.block))


class Tick(msgspec.Struct, array_like=True, frozen=True, tag=2):
    """Say that time has passed."""


class ConfigPublished(msgspec.Struct, array_like=True, frozen=True, tag=3):
    """Replace a tenant's published configuration; a version not newer than the one in force is ignored."""

    tenant: TenantId
    version: int
    segments: list[SegmentConfig]
    campaigns: list[CampaignConfig] = []
    experiment: Experiment = Experiment()


class LettersArrived(msgspec.Struct, array_like=True, frozen=True, tag=4):
    """Bring letters to partitions that live here."""

    letters: list[Letter]


class LettersConfirmed(msgspec.Struct, array_like=True, frozen=True, tag=5):
    """Confirm that the targets have these letters of ours on disk: (tenant, source, sequence)."""

    letters: list[tuple[TenantId, Partition, int]]


class Erase(msgspec.Struct, array_like=True, frozen=True, tag=6):
    """Erase a user by key, with every key joined to it."""

    tenant: TenantId
    key: UserKey


class PartitionLeft(msgspec.Struct, array_like=True, frozen=True, tag=7):
    """Let a partition leave: it lives elsewhere from here on.

    ``kept``: its state stays, frozen, until the new home has it all; otherwise it was saved to a file before.
    """

    tenant: TenantId
    partition: Partition
    map_version: int
    kept: bool = False


class PartitionJoined(msgspec.Struct, array_like=True, frozen=True, tag=8):
    """Let a partition live here from now on: an encoded :class:`~whisperer.shard.move.packing.PartitionState`."""

    tenant: TenantId
    partition: Partition
    map_version: int
    state: bytes


class ErasureDone(msgspec.Struct, array_like=True, frozen=True, tag=9):
    """Report that the warehouse holds nothing of the key any more.

    ``erased_at`` says which erasure that was (ms UTC); 0 is the latest.
    """

    tenant: TenantId
    key: UserKey
    erased_at: int = 0


class Asked(msgspec.Struct, array_like=True, frozen=True, tag=10):
    """Ask, for a caller, what one campaign does about these users now: (user key, occurrence)."""

    tenant: TenantId
    campaign: str
    users: list[tuple[UserKey, str]]


class DecisionsMade(msgspec.Struct, array_like=True, frozen=True, tag=11):
    """Bring in choices of the decisions application; the first one for each decision holds."""

    tenant: TenantId
    choices: list[Choice]


class Receipts(msgspec.Struct, array_like=True, frozen=True, tag=12):
    """Report what became of attempts to send: (decision id, receipt)."""

    tenant: TenantId
    receipts: list[tuple[DecisionId, Receipt]]


class Outcomes(msgspec.Struct, array_like=True, frozen=True, tag=13):
    """Report what users or providers did about messages."""

    tenant: TenantId
    outcomes: list[Outcome]


class ConsentStated(msgspec.Struct, array_like=True, frozen=True, tag=14):
    """State, for a caller, a user's consent by channel and purpose."""

    tenant: TenantId
    key: UserKey
    channel: str
    purpose: str
    granted: bool
    source: str


class RewardsTaken(msgspec.Struct, array_like=True, frozen=True, tag=15):
    """Report that the learner has stored every reward below the number ``before``."""

    tenant: TenantId
    before: int


class PartitionPart(msgspec.Struct, array_like=True, frozen=True, tag=16):
    """Bring part of a partition that moves here: a :class:`~whisperer.shard.move.packing.PackedPart`; from number 0."""

    tenant: TenantId
    partition: Partition
    map_version: int
    number: int
    part: bytes


class PartitionSwept(msgspec.Struct, array_like=True, frozen=True, tag=17):
    """Forget the next ``limit`` users of a partition that left, since the new home has all of it."""

    tenant: TenantId
    partition: Partition
    limit: int


class ShardClosed(msgspec.Struct, array_like=True, frozen=True, tag=18):
    """Close the shard: partitions that hold nothing here are not at home here, whatever the map's default says."""


class CountsJoined(msgspec.Struct, array_like=True, frozen=True, tag=19):
    """Add the sums of a shard that is being removed and has no partitions any more; applied once."""

    origin: int
    tenant: TenantId
    accounts: list[StoredAccount]
    counters: dict[str, int]


class Scored(msgspec.Struct, array_like=True, frozen=True, tag=20):
    """Store a model's scores of the users from row ``first`` on: per row and score a little-endian float32.

    NaN leaves a score as it is.
    """

    tenant: TenantId
    model: str
    first: int
    churn: bytes
    engagement: bytes


class ScoreModelChosen(msgspec.Struct, array_like=True, frozen=True, tag=21):
    """Let a tenant's sweeps use this artifact of a store (:mod:`whisperer.models.store`) from here on.

    Without ``name`` they use the formula, which needs no training.
    """

    tenant: TenantId
    store: str = ""
    name: str = ""
    number: int = 0
    digest: str = ""


class InboxMarked(msgspec.Struct, array_like=True, frozen=True, tag=22):
    """Mark an entry of a user's inbox; without ``entry``, all of them. ``action``: the index of the one clicked."""

    tenant: TenantId
    key: UserKey
    entry: DecisionId
    mark: Mark
    action: int = -1


class Replays(msgspec.Struct, array_like=True, frozen=True, tag=23):
    """Bring dead letters back, by their decisions: see :mod:`whisperer.shard.decision.replaying`."""

    tenant: TenantId
    decisions: list[DecisionId]


RecordBody = (
    Events
    | Tick
    | ConfigPublished
    | LettersArrived
    | LettersConfirmed
    | Erase
    | PartitionLeft
    | PartitionJoined
    | ErasureDone
    | Asked
    | DecisionsMade
    | Receipts
    | Outcomes
    | ConsentStated
    | RewardsTaken
    | PartitionPart
    | PartitionSwept
    | ShardClosed
    | CountsJoined
    | Scored
    | ScoreModelChosen
    | InboxMarked
    | Replays
)


class Record(msgspec.Struct, array_like=True, frozen=True):
    """Hold one journal entry: `now` (ms UTC) never goes back in a shard; `epoch` is the incarnation that wrote it."""

    version: int
    epoch: int
    now: int
    body: RecordBody


encode_record = msgspec.msgpack.Encoder().encode
_decode_record = msgspec.msgpack.Decoder(Record).decode


def decode_record(data: bytes) -> Record:
    """Decode a record. Raises JournalDamagedError if it cannot be read, or if a newer release wrote it."""
    try:
        record = _decode_record(data)
    except UNREADABLE as error:
        raise JournalDamagedError(f"a journal record cannot be read: {error}") from error
    if record.version > RECORD_VERSION:
        raise JournalDamagedError(
            f"a journal record has version {record.version}, this release reads up to {RECORD_VERSION}: "
            "start a newer release on this data"
        )
    return record

"""What a shard reads: the records of its journal, and the messages that partitions send each other.

A record is everything that can change a shard, each with the `now` it happened at. The wire form is msgpack; arrays
rather than maps, so fields are only ever added at the end, with a default (golden files pin this).
"""

from __future__ import annotations

import msgspec

from whisperer.decisions.decision import Choice
from whisperer.delivery.dispatch import Receipt
from whisperer.errors import UNREADABLE, JournalDamagedError
from whisperer.events.block import Payloads, decode_block
from whisperer.profiles.state import ProfileState
from whisperer.shard.accounts import StoredAccount

RECORD_VERSION = 5
"""1: up to profiles and segments. 2: campaigns, decisions, deliveries, outcomes. 3: event blocks of version 2, moves in
parts, removed shards. 4: scores. 5: bounds of names, traits, aliases; letters in a chain."""

ALIAS_ARBITER = 0
"""The partition that orders a tenant's aliases."""

BOUNDED_SINCE = 5
"""Version of the first records under which a tenant's names, a user's history, traits and joined ids are bounded."""

CHAINED_SINCE = 5
"""The version from which messages name the one before them, and are refused where their target does not live."""

BARED_SINCE = 5
"""Version of the first records under which marks that nobody sees are taken off addresses."""

# -- messages between partitions: delivered at least once, in order, applied once ---------------------------------


class Claim(msgspec.Struct, array_like=True, frozen=True, tag=1):
    """A known user was seen with an anonymous id. `also` are keys that were joined into the user.

    `if_known`: an alias named the id, which may be no anonymous id at all; nothing happens unless it has a history.
    """

    anonymous: str
    user: str
    also: list[str]
    if_known: bool = False


class Refused(msgspec.Struct, array_like=True, frozen=True, tag=2):
    """The anonymous id belongs to another user."""

    anonymous: str
    user: str


class MergeIn(msgspec.Struct, array_like=True, frozen=True, tag=3):
    """The state of `origin` as of `as_of` (ms) becomes part of `user`."""

    user: str
    origin: str
    as_of: int
    state: ProfileState


class Forward(msgspec.Struct, array_like=True, frozen=True, tag=4):
    """Events that reached a merged key's old home: an encoded block, its keys replaced, with each event's reference.

    ``keys``: which keys were replaced, each with what it was replaced by.
    """

    block: bytes
    origin: int
    references: list[int]
    keys: list[tuple[str, str]] = []


class AliasAsk(msgspec.Struct, array_like=True, frozen=True, tag=5):
    """``at``: when it was asked, ms UTC, so that an erasure in between is noticed."""

    previous: str
    user: str
    at: int = 0


class AliasGrant(msgspec.Struct, array_like=True, frozen=True, tag=6):
    """``user``: whoever `previous` is joined into in the end; up to version 4, whom the alias named."""

    previous: str
    user: str
    at: int = 0


class AliasForget(msgspec.Struct, array_like=True, frozen=True, tag=7):
    """The key was erased, ms UTC: no alias of it that was asked for before holds."""

    key: str
    erased_at: int = (1 << 63) - 1


class EraseLinked(msgspec.Struct, array_like=True, frozen=True, tag=8):
    key: str
    erased_at: int


class Outcome(msgspec.Struct, array_like=True, frozen=True):
    """``kind`` is one of :data:`whisperer.feedback.outcome.OUTCOMES`; ``purpose`` only of an unsubscription."""

    user: str
    decision_id: str
    kind: str
    at: int
    detail: str = ""
    channel: str = ""
    purpose: str = ""


class OutcomePassed(msgspec.Struct, array_like=True, frozen=True, tag=9):
    """An outcome that reached a merged key's old home."""

    outcome: Outcome


Passed = Refused | MergeIn | Forward | OutcomePassed
"""What is sent to a user who may have been merged meanwhile."""


class Astray(msgspec.Struct, array_like=True, frozen=True, tag=10):
    """A letter that found its user merged: the arbiter of aliases knows into whom.

    ``keys``: who leads there without knowing it, each with whom it leads to.
    """

    letter: Passed
    keys: list[tuple[str, str]]


class Led(msgspec.Struct, array_like=True, frozen=True, tag=11):
    """A letter that went astray, from the arbiter to the user's home. One merged just now leads on by itself."""

    letter: Passed


class Moved(msgspec.Struct, array_like=True, frozen=True, tag=12):
    """From the arbiter: a merged key that leads to ``was`` leads to ``user`` from now on."""

    key: str
    was: str
    user: str


class Released(msgspec.Struct, array_like=True, frozen=True, tag=13):
    """A merge brought a profile more ids than it may hold: this anonymous one is no longer the user's."""

    anonymous: str


Body = (
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


class Message(msgspec.Struct, array_like=True, frozen=True):
    """`sequence` counts up for each (tenant, source); a target applies each source's messages once, in order.

    `after` is the sequence of the message before it from the same source to the same target; 0 where there is none, or
    none is known (written by a release before version 5). A target that has not applied that one refuses this one.
    """

    tenant: str
    source: int
    target: int
    sequence: int
    body: Body
    after: int = 0


# -- records of the journal -----------------------------------------------------------------------------------------


class SegmentConfig(msgspec.Struct, array_like=True, frozen=True):
    name: str
    version: int
    predicate: str


class CampaignConfig(msgspec.Struct, array_like=True, frozen=True):
    """``definition`` is :func:`whisperer.journeys.campaign.to_json`'s; ``status`` live, paused or ended."""

    name: str
    version: int
    status: str
    definition: str


class Experiment(msgspec.Struct, array_like=True, frozen=True):
    """How a tenant's users are divided; ``salt`` keeps experiments of different tenants independent.

    ``consent_default``: whether marketing may reach a user who never stated anything.
    """

    salt: str = ""
    holdout: float = 0.05
    uniform: float = 0.05
    consent_default: bool = True


class Events(msgspec.Struct, array_like=True, frozen=True, tag=1, dict=True):
    """An encoded :class:`~whisperer.events.block.EventBlock`."""

    block: bytes

    @classmethod
    def of(cls, block: bytes, read: Payloads) -> Events:
        """With what it was read as, so that it is not read twice; that is no part of the record."""
        made = cls(block)
        made.__dict__["_read"] = read
        return made

    def read(self) -> Payloads:
        """The block and its payloads. Raises JournalDamagedError."""
        found: Payloads | None = self.__dict__.get("_read")
        return found or Payloads(decode_block(self.block))


class Tick(msgspec.Struct, array_like=True, frozen=True, tag=2):
    """Time has passed."""


class ConfigPublished(msgspec.Struct, array_like=True, frozen=True, tag=3):
    """A tenant's published configuration, whole; older versions are ignored."""

    tenant: str
    version: int
    segments: list[SegmentConfig]
    campaigns: list[CampaignConfig] = []
    experiment: Experiment = Experiment()


class Delivered(msgspec.Struct, array_like=True, frozen=True, tag=4):
    messages: list[Message]


class Confirmed(msgspec.Struct, array_like=True, frozen=True, tag=5):
    """The targets have these of our messages on disk: (tenant, source, sequence)."""

    messages: list[tuple[str, int, int]]


class Erase(msgspec.Struct, array_like=True, frozen=True, tag=6):
    tenant: str
    key: str


class PartitionLeft(msgspec.Struct, array_like=True, frozen=True, tag=7):
    """The partition lives elsewhere from here on. ``kept``: its state stays, frozen, until the new home has it all;
    otherwise it was put away in a file before this point.
    """

    tenant: str
    partition: int
    map_version: int
    kept: bool = False


class PartitionJoined(msgspec.Struct, array_like=True, frozen=True, tag=8):
    """The partition lives here from here on: an encoded :class:`~whisperer.shard.packing.PartitionState`."""

    tenant: str
    partition: int
    map_version: int
    state: bytes


class ErasureDone(msgspec.Struct, array_like=True, frozen=True, tag=9):
    """The warehouse holds nothing of the key any more; ``erased_at`` says of which erasure, 0 of the latest."""

    tenant: str
    key: str
    erased_at: int = 0


class Asked(msgspec.Struct, array_like=True, frozen=True, tag=10):
    """A caller asks what to do about these users now: (user key, occurrence), for one campaign."""

    tenant: str
    campaign: str
    users: list[tuple[str, str]]


class DecisionsMade(msgspec.Struct, array_like=True, frozen=True, tag=11):
    """Choices of the decisions application. For each decision the first one holds."""

    tenant: str
    choices: list[Choice]


class Receipts(msgspec.Struct, array_like=True, frozen=True, tag=12):
    """What became of attempts to send: (decision id, receipt)."""

    tenant: str
    receipts: list[tuple[str, Receipt]]


class Outcomes(msgspec.Struct, array_like=True, frozen=True, tag=13):
    tenant: str
    outcomes: list[Outcome]


class ConsentStated(msgspec.Struct, array_like=True, frozen=True, tag=14):
    tenant: str
    key: str
    channel: str
    purpose: str
    granted: bool
    source: str


class RewardsTaken(msgspec.Struct, array_like=True, frozen=True, tag=15):
    """The learner has stored every reward below this number."""

    tenant: str
    before: int


class PartitionPart(msgspec.Struct, array_like=True, frozen=True, tag=16):
    """A part of a partition on its way here: an encoded :class:`~whisperer.shard.packing.Part`, numbered from 0."""

    tenant: str
    partition: int
    map_version: int
    number: int
    part: bytes


class PartitionSwept(msgspec.Struct, array_like=True, frozen=True, tag=17):
    """The new home has all of it: forget the next ``limit`` users of a partition that left."""

    tenant: str
    partition: int
    limit: int


class ShardClosed(msgspec.Struct, array_like=True, frozen=True, tag=18):
    """From here on partitions that hold nothing here yet are not at home here, whatever the rule of the map says."""


class CountsJoined(msgspec.Struct, array_like=True, frozen=True, tag=19):
    """A shard that is being removed has no partitions any more; its sums go on here, once."""

    origin: int
    tenant: str
    accounts: list[StoredAccount]
    counters: dict[str, int]


class Scored(msgspec.Struct, array_like=True, frozen=True, tag=20):
    """What a model said of the users in rows ``first`` and on: 4 bytes a row and score, float32, little-endian.

    NaN leaves a score as it is.
    """

    tenant: str
    model: str
    first: int
    churn: bytes
    engagement: bytes


class ScoreModelChosen(msgspec.Struct, array_like=True, frozen=True, tag=21):
    """From here on the sweeps of a tenant use this artifact of a store (:mod:`whisperer.models.store`).

    No ``name``: the formula that needs no training.
    """

    tenant: str
    store: str = ""
    name: str = ""
    number: int = 0
    digest: str = ""


RecordBody = (
    Events
    | Tick
    | ConfigPublished
    | Delivered
    | Confirmed
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
)


class Record(msgspec.Struct, array_like=True, frozen=True):
    """`now` never goes back within a shard; `epoch` is the incarnation that wrote it."""

    version: int
    epoch: int
    now: int
    body: RecordBody


encode_record = msgspec.msgpack.Encoder().encode
_decode_record = msgspec.msgpack.Decoder(Record).decode


def decode_record(data: bytes) -> Record:
    """Raises JournalDamagedError for a record that no version of this code wrote."""
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

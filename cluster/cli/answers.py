"""What commands read of the documents that the server answers or the control plane makes.

Each Struct has the fields that a command shows; the rest of a document is ignored here, and printed by ``--json``.
docs/api.md and docs/operations.md say what the fields mean.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from whisperer.errors import WhispererError

Answer = TypeVar("Answer")


def read(document: object, kind: type[Answer]) -> Answer:
    """Return a JSON document as a Struct. Raises WhispererError for one that lacks what this release reads."""
    try:
        return msgspec.convert(document, kind)
    except msgspec.ValidationError as error:
        raise WhispererError(f"the answer is not one that this release can show: {error}") from None


class Delivery(msgspec.Struct):
    """One entry of the list of deliveries."""

    decision_id: str
    user_key: str
    user_id: str | None
    campaign: str
    channel: str
    status: str
    reason_text: str | None
    detail: str | None
    attempts: int
    at: str | None


# -- campaigns and their reports --------------------------------------------------------------------------------------


class Counts(msgspec.Struct):
    candidates: int
    sent: int
    no_send: int
    refused: dict[str, int]


class Campaign(msgspec.Struct):
    """``counts``: only of a running installation; ``definition`` is the caller's JSON."""

    name: str
    version: int
    status: str
    draft_version: int | None
    description: str
    definition: dict[str, Any]
    counts: Counts | None = None


class Lift(msgspec.Struct):
    """A lift, or with ``not_yet`` why there is none; the other fields then have no meaning."""

    not_yet: str | None = None
    difference: float = 0.0
    low: float = 0.0
    high: float = 0.0
    level: float = 0.0
    relative: float | None = None
    relative_reason: str | None = None
    users: int = 0
    holdout_users: int = 0


class SampleRatio(msgspec.Struct):
    p_value: float
    suspicious: bool


class Group(msgspec.Struct):
    group: str
    users: int
    mean: float | None


class Arm(msgspec.Struct):
    group: str
    arm: str
    decisions: int
    sent: int
    converted: int
    reward: float


class Window(msgspec.Struct):
    begins_at: str
    ends_at: str
    amount: float
    spent: float
    granted: float
    price: float
    withheld: int


class Report(msgspec.Struct, kw_only=True):
    name: str
    version: int
    status: str
    since: str | None
    description: str
    candidates: int
    sent: int
    unknown: int = 0
    no_send: int
    refused: dict[str, int]
    pending: int
    groups: list[Group]
    arms: list[Arm]
    budget: list[Window] | None
    lift: Lift
    uniform_lift: Lift
    sample_ratio: SampleRatio


class Look(msgspec.Struct):
    """A day's lift, or with ``not_yet`` why there is none; the other fields then have no meaning."""

    not_yet: str | None = None
    difference: float = 0.0
    low: float = 0.0
    high: float = 0.0
    decided: bool = False


class UsersOfDay(msgspec.Struct):
    users: int


class Day(msgspec.Struct):
    day: str
    groups: list[UsersOfDay]
    lift: Look
    uniform_lift: Look
    over_uniform: Look
    sample_ratio: SampleRatio


class Days(msgspec.Struct):
    data: list[Day]


class Asked(msgspec.Struct):
    """What a saved report asks."""

    campaigns: list[str]
    metric: str
    period: dict[str, str | int] | None = None


class SavedReport(msgspec.Struct):
    name: str
    definition: Asked
    changed_at: str | None


class CampaignAnswer(msgspec.Struct):
    """One campaign's part of a saved report's answer: which fields it has depends on the metric."""

    campaign: str
    candidates: int = 0
    sent: int = 0
    no_send: int = 0
    pending: int = 0
    refused: dict[str, int] = {}
    lift: Lift = msgspec.field(default_factory=Lift)
    uniform_lift: Lift = msgspec.field(default_factory=Lift)
    days: list[Day] = []


class ReportAnswer(msgspec.Struct):
    name: str
    metric: str
    as_of: str | None
    data: list[CampaignAnswer]


# -- decisions and users ----------------------------------------------------------------------------------------------


class Send(msgspec.Struct):
    send_key: str
    channel: str
    attempts: int
    sent_at: str | None


class Outcome(msgspec.Struct):
    at: str | None
    kind: str
    detail: str | None


class Audit(msgspec.Struct, kw_only=True):
    id: str
    user_key: str
    campaign: str
    campaign_version: int
    trigger: str
    occurrence: str | None
    at: str | None
    status: str
    reason: str | None
    reason_text: str | None
    refused_arms: dict[str, str]
    group: str | None
    features: dict[str, int | float | None]
    arm: str | None
    arms: list[str]
    propensities: list[float]
    means: list[float]
    spreads: list[float]
    send: Send | None
    outcomes: list[Outcome]
    matured: bool
    reward: float | None = None


class Candidacy(msgspec.Struct):
    id: str
    campaign: str
    arm: str | None
    at: str | None
    status: str
    reason: str | None


class Entry(msgspec.Struct):
    type: str
    timestamp: str | None = None
    event: str | None = None


class UserToken(msgspec.Struct):
    user_id: str
    token: str
    expires_at: str


class InboxMessage(msgspec.Struct):
    id: str
    campaign: str
    kind: str
    title: str
    state: str
    sent_at: str | None


class Inbox(msgspec.Struct):
    data: list[InboxMessage]
    unread: int


class Profile(msgspec.Struct):
    """``traits`` are the client's JSON."""

    user_id: str | None
    first_seen: str | None
    last_seen: str | None
    segments: list[str]
    traits: dict[str, Any]
    features: dict[str, int | float | None]
    timeline: list[Entry]
    candidacies: list[Candidacy]


# -- policies, templates, channels, segments --------------------------------------------------------------------------


class Needs(msgspec.Struct):
    hours: float
    decisions: int


class Rows(msgspec.Struct):
    rows: int
    last: str | None = msgspec.field(name="to")


class PolicyVersion(msgspec.Struct):
    version: int
    status: str
    kind: str
    data: Rows
    code_version: str
    digest: str


class Policy(msgspec.Struct):
    name: str
    live: int
    candidate: int | None
    stage: str | None
    share: float
    since: str | None
    needs: Needs | None
    versions: list[PolicyVersion]


class ListedPolicy(msgspec.Struct):
    name: str
    live: int
    candidate: int | None
    stage: str | None
    share: float
    since: str | None


class PolicyEvent(msgspec.Struct):
    at: str | None
    version: int
    action: str
    before: str | None
    after: str
    live: int
    by: str
    reason: str | None


class TemplateBody(msgspec.Struct):
    locales: dict[str, Any]


class ListedTemplate(msgspec.Struct):
    name: str
    version: int
    channel: str
    template: TemplateBody


class Template(msgspec.Struct):
    """``template`` is as its author wrote it."""

    version: int
    channel: str
    published_at: str | None
    template: dict[str, Any]


class Found(msgspec.Struct):
    """One finding of the lint."""

    severity: str
    code: str
    message: str
    locale: str | None = None
    part: str | None = None
    line: int | None = None
    column: int | None = None


class Linted(msgspec.Struct):
    """What the lint finds in a template."""

    errors: int
    warnings: int
    findings: list[Found]


class ScoreBin(msgspec.Struct):
    """Messages with about one score."""

    score: float
    sent: int
    engaged: int
    rate: float
    calibrated: float


class ChannelQuality(msgspec.Struct):
    """A channel's scored messages."""

    channel: str
    scored: int
    mean: float | None
    bins: list[ScoreBin]


class Qualities(msgspec.Struct):
    """Quality by channel."""

    channels: list[ChannelQuality]


class CriterionMark(msgspec.Struct):
    """A criterion's mean mark."""

    criterion: str
    mark: float


class ArmQuality(msgspec.Struct):
    """The scored messages of an arm in one language."""

    arm: str
    channel: str
    locale: str
    scored: int
    mean: float
    calibrated: float
    lowest: list[CriterionMark]


class CampaignQuality(msgspec.Struct):
    """A campaign's scored messages."""

    days: int
    scored: int
    mean: float | None
    calibrated: float | None
    arms: list[ArmQuality]


class LocaleScore(msgspec.Struct):
    """A language's score, or why there is none."""

    locale: str
    score: float | None = None
    marks: dict[str, float] = {}
    why: str | None = None


class Scored(msgspec.Struct):
    """A template's scores."""

    mean: float
    locales: list[LocaleScore]


class Variant(msgspec.Struct):
    """What a model wrote for a template; ``draft`` is None if it is not used."""

    number: int
    ruling: str
    detail: str = ""
    draft: str | None = None
    texts: dict[str, str] = {}
    score: float | None = None


class Variants(msgspec.Struct):
    """The variants of a template."""

    variants: list[Variant]


class Segments(msgspec.Struct):
    """What an SMS is billed as."""

    encoding: str
    segments: int


class Quality(msgspec.Struct):
    """A message's score."""

    score: float


class Preview(msgspec.Struct):
    """``reason`` and ``detail`` say why it is not ``rendered``; the other fields are then empty."""

    version: int
    rendered: bool
    locale: str = ""
    parts: dict[str, str] = {}
    reason: str = ""
    detail: str = ""
    sms: Segments | None = None
    findings: list[Found] = []
    quality: Quality | None = None
    from_name: str | None = None
    reply_to: str | None = None


class ChannelAccount(msgspec.Struct):
    name: str
    provider: str
    config: dict[str, Any]
    weight: int
    rates: dict[str, Any] | None = None
    warm_up: dict[str, Any] | None = None
    callback_url: str | None = None


class Proof(msgspec.Struct):
    """``reason`` says why it is not ``rendered``; the other fields but ``detail`` are then empty."""

    version: int
    rendered: bool
    locale: str = ""
    to: str = ""
    status: str = ""
    provider: str | None = None
    reason: str = ""
    detail: str | None = None


class Channel(msgspec.Struct):
    """``config`` is the provider's, without secrets; ``callback_url`` is where the provider posts what became of
    messages."""

    channel: str
    provider: str
    config: dict[str, Any]
    callback_url: str | None = None
    name: str = ""
    weight: int = 1
    rates: dict[str, Any] | None = None
    warm_up: dict[str, Any] | None = None
    failover: list[ChannelAccount] = []


class WarmUpState(msgspec.Struct):
    """``given`` of the ``limit`` messages of day ``day``."""

    day: int
    days: int
    limit: int
    given: int


class AccountState(msgspec.Struct):
    """How one provider account does; docs/delivery.md says what the figures mean."""

    account: str
    provider: str
    weight: int
    breaker: str
    left_alone_s: float
    times_opened: int
    under_way: int
    receipts: dict[str, int]
    held: dict[str, int]
    last_trouble: str
    breaker_since: str | None = None
    per_second: float | None = None
    per_second_lately: float = 0.0
    warm_up: WarmUpState | None = None
    taken_over: int = 0
    searches: dict[str, int] = {}


class ChannelCounts(msgspec.Struct):
    days: int
    by_status: dict[str, int]


class ChannelState(msgspec.Struct):
    channel: str
    replicas: int
    accounts: list[AccountState]


class PublishedSegment(msgspec.Struct):
    version: int


class Segment(msgspec.Struct):
    members: int
    done: int
    total: int


# -- simulations ------------------------------------------------------------------------------------------------------


class Progress(msgspec.Struct):
    events: int
    of: int


class Reach(msgspec.Struct):
    considered: int
    eligible: int
    reached: int


class SimulatedArm(msgspec.Struct):
    arm: str
    channel: str | None
    decisions: int
    sent: int
    spent: float
    refused: dict[str, int]


class SimulatedWindow(msgspec.Struct):
    begins_at: str
    ends_at: str
    amount: float
    spent: float
    price: float
    withheld: float


class Cost(msgspec.Struct):
    amount: float | None
    spent: float
    used: float | None
    windows: list[SimulatedWindow]


class Interval(msgspec.Struct, frozen=True):
    value: float = 0.0
    low: float | None = None
    high: float | None = None


class Worth(msgspec.Struct):
    """A policy's value, or with ``not_estimated`` why there is none; the other fields then have no meaning."""

    not_estimated: str | None = None
    per_decision: Interval = Interval()
    over_no_send: Interval | None = None
    total: Interval = Interval()
    source: str = ""
    decisions: int = 0
    effective: float = 0.0
    caveats: list[str] = []


class Check(msgspec.Struct):
    level: str
    code: str
    sentence: str
    advice: str


class Simulated(msgspec.Struct):
    campaign: str
    policy: str
    since: str
    until: str
    share: float
    events: int
    users: int
    candidates: int
    sent: int
    no_send: int
    refused: dict[str, int]
    reach: Reach
    arms: list[SimulatedArm]
    budget: Cost
    value: Worth
    checklist: list[Check]
    caveats: list[str]


class Simulation(msgspec.Struct):
    """``result`` is None until it is done, and where it failed."""

    id: str
    campaign: str
    status: str
    progress: Progress
    error: str | None = None
    result: Simulated | None = None


class ExportProgress(msgspec.Struct):
    rows: int
    share: float | None = None


class Export(msgspec.Struct):
    """What follows ``error`` is None until it is done."""

    id: str
    of: str
    format: str
    state: str
    progress: ExportProgress
    created_at: str
    created_by: str = ""
    error: str | None = None
    rows: int | None = None
    size_bytes: int | None = None
    sha256: str | None = None
    expires_at: str | None = None
    download_url: str | None = None


# -- the installation -------------------------------------------------------------------------------------------------


class TenantStatus(msgspec.Struct):
    users: int | None = None
    events_accepted: int | None = None
    events_duplicate: int | None = None
    events_rejected: dict[str, int] = {}
    candidates: int = 0
    sent: int = 0
    unknown: int = 0
    no_send: int = 0
    refused: dict[str, int] = {}
    pending: int = 0
    conversions: int = 0


class TenantBytes(msgspec.Struct):
    bytes: dict[str, int] = {}


class Shard(msgspec.Struct):
    """A shard; one that is away has no more than its state."""

    state: str
    number: int = -1
    node: str | None = None
    pid: int | None = None
    epoch: int | None = None
    sequence: int | None = None
    users: int | None = None
    rss_bytes: int | None = None
    messages_under_way: int = 0
    tenants: dict[str, TenantBytes] = {}


class Status(msgspec.Struct):
    """The local part of `whisperer status`, and the server's if it is ready."""

    ready: bool
    reason: str
    url: str
    n_processes: int
    rss_bytes: int
    tenants: dict[str, TenantStatus]
    shards: list[Shard]


class Shards(msgspec.Struct):
    shards: list[Shard]
    map_version: int | None = None


class Holding(msgspec.Struct):
    shard: int
    tenant: str
    partition: list[int]
    users: list[int]
    events: list[int]


class Holdings(msgspec.Struct):
    shards: list[int]
    draining: list[int]
    holdings: list[Holding]


class AddedShard(msgspec.Struct):
    shard: int


class Moved(msgspec.Struct):
    users: int = 0
    pause_ms: float = 0.0


class Upgraded(msgspec.Struct):
    name: str
    prepared_s: float
    pause_s: float
    records: int

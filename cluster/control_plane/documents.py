"""Turns the control plane's rows into documents for callers, the command line and pages. Times are ISO 8601.

Field order is the order of the JSON.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from cluster.control_plane.campaigns import CampaignVersion
from cluster.control_plane.channels import ChannelConfig
from cluster.control_plane.policies import Policy, PolicyVersion
from cluster.control_plane.policy_record import PolicyEvent
from cluster.control_plane.templates import TemplateVersion
from cluster.times import iso
from whisperer.delivery.channels import redacted
from whisperer.delivery.plan import Rates, WarmUp, accounts
from whisperer.journeys.caller import describe, template_versions, to_caller
from whisperer.models.artifact import ArtifactFile
from whisperer.models.guardrails import VersionTally
from whisperer.models.rollout import stage_named

COMPRESSED_S = 900.0
"""A goal window shorter than this means compressed time, as in the demo; no real campaign has one."""


class CampaignTotals(msgspec.Struct, kw_only=True):
    """Count a campaign's candidates: candidates = sent + no_send + the refused + pending."""

    candidates: int = 0
    sent: int = 0
    unknown: int = 0
    no_send: int = 0
    pending: int = 0
    conversions: int = 0
    refused: dict[str, int] = {}


class CampaignDocument(msgspec.Struct, kw_only=True):
    """A campaign; ``definition`` can be sent back as it is, ``counts`` are there while the installation runs."""

    name: str
    version: int
    status: str
    draft_version: int | None
    etag: str | None
    description: str
    compressed: bool
    created_at: str | None
    published_at: str | None
    changed_at: str | None
    definition: dict[str, Any]
    template_versions: dict[str, int]
    counts: CampaignTotals | msgspec.UnsetType = msgspec.UNSET


class TemplateDocument(msgspec.Struct, kw_only=True):
    """A template; ``template`` can be sent back as it is."""

    name: str
    version: int
    channel: str
    etag: str
    published_at: str | None
    template: dict[str, Any]


class AccountDocument(msgspec.Struct):
    """A further provider account of a channel, without its secrets."""

    name: str
    provider: str
    config: dict[str, Any]
    weight: int
    rates: Rates | None = None
    warm_up: WarmUp | None = None
    callback_url: str | None = None


class ChannelDocument(msgspec.Struct):
    """A channel's provider, without its secrets."""

    channel: str
    provider: str
    config: dict[str, Any]
    callback_url: str | None = None
    """Where the provider posts what became of messages; only for those who may change channels."""
    name: str = ""
    """The account's name in receipts and figures."""
    weight: int = 1
    """Its share of messages, of the sum of all accounts' weights."""
    rates: Rates | None = None
    warm_up: WarmUp | None = None
    failover: list[AccountDocument] = []
    """Further accounts, which share the messages by weight, and take over what another surely did not take."""


class DataSpan(msgspec.Struct, kw_only=True):
    """Where training data came from."""

    first: str | None = msgspec.field(name="from")
    last: str | None = msgspec.field(name="to")
    rows: int


class VersionDocument(msgspec.Struct, kw_only=True):
    """One version of a policy, with its lineage."""

    version: int
    status: str
    digest: str
    kind: str
    created_at: str | None
    registered_at: str | None
    data: DataSpan
    code_version: str
    features: list[str]
    feature_registry: str
    parameters: dict[str, Any]
    metrics: dict[str, float]
    files: list[ArtifactFile]


class StepNeeds(msgspec.Struct):
    """What the next step of a candidate requires."""

    hours: float
    decisions: int


class PolicyEventDocument(msgspec.Struct, kw_only=True):
    """One entry of a policy's record; ``evidence`` is the gate's or the guardrail's JSON, ``review`` is by its id."""

    serial: int
    at: str | None
    action: str
    version: int
    before: str | None
    after: str
    live: int
    by: str
    reason: str | None
    evidence: dict[str, Any] | None
    review: str | None = None


class PolicyHead(msgspec.Struct, kw_only=True):
    """A policy without its versions. ``since`` identifies the stage of the tallies, which are by version."""

    name: str
    live: int
    candidate: int | None
    stage: str | None
    share: float
    since: str | None
    past: list[int]
    needs: StepNeeds | None
    tallies: dict[str, VersionTally]
    tallied_at: str | None
    etag: str


class ListedPolicy(PolicyHead, kw_only=True):
    """A policy among others, with the number of its versions."""

    versions: int


class PolicyDocument(PolicyHead, kw_only=True):
    """A policy with its versions, newest first."""

    versions: list[VersionDocument]


def campaign_document(row: CampaignVersion) -> CampaignDocument:
    """Return a campaign's document."""
    campaign = row.campaign
    return CampaignDocument(
        name=row.name,
        version=row.version,
        status=row.status,
        draft_version=row.draft_version,
        etag=row.etag or None,
        description=describe(campaign),
        compressed=campaign.goal.window_s < COMPRESSED_S,
        created_at=iso(row.created_at),
        published_at=iso(row.published_at),
        changed_at=iso(row.changed_at),
        definition=to_caller(campaign),
        template_versions=template_versions(campaign),
    )


def template_document(row: TemplateVersion) -> TemplateDocument:
    """Return a template's document."""
    return TemplateDocument(
        name=row.name,
        version=row.version,
        channel=row.channel,
        etag=row.etag,
        published_at=iso(row.published_at),
        template=row.body,
    )


def channel_document(
    channel: str, found: ChannelConfig, url_of: Callable[[str], str | None] = lambda _: None
) -> ChannelDocument:
    """Return a channel's document; ``url_of`` gives where a provider posts its callbacks."""
    first, *further = (
        AccountDocument(
            account.name,
            account.provider,
            redacted(account.provider, account.config),
            account.weight,
            account.rates,
            account.warm_up,
            url_of(account.provider),
        )
        for account in accounts(found.provider, found.config, found.plan)
    )
    return ChannelDocument(
        channel,
        first.provider,
        first.config,
        first.callback_url,
        first.name,
        first.weight,
        first.rates,
        first.warm_up,
        further,
    )


def policy_document(policy: Policy) -> PolicyDocument:
    """Return a policy's document."""
    versions = [version_document(version) for version in policy.versions]
    return PolicyDocument(**msgspec.structs.asdict(_head(policy)), versions=versions)


def listed_policy(policy: Policy) -> ListedPolicy:
    """Return a policy's document among others."""
    return ListedPolicy(**msgspec.structs.asdict(_head(policy)), versions=len(policy.versions))


def _head(policy: Policy) -> PolicyHead:
    state = policy.rollout
    stage = stage_named(state.stage, policy.name) if state.stage else None
    return PolicyHead(
        name=policy.name,
        live=state.live,
        candidate=state.candidate,
        stage=state.stage or None,
        share=state.share,
        since=iso(state.since),
        past=list(state.past),
        needs=None if stage is None else StepNeeds(stage.min_ms / 3_600_000, stage.min_decisions),
        tallies={str(version): tally for version, tally in policy.tallies.items()},
        tallied_at=iso(policy.tallied_at),
        etag=policy.etag,
    )


def version_document(version: PolicyVersion) -> VersionDocument:
    """Return the document of one version."""
    manifest = version.manifest
    return VersionDocument(
        version=version.version,
        status=version.status,
        digest=version.digest,
        kind=manifest.kind,
        created_at=iso(manifest.created_at),
        registered_at=iso(version.registered_at),
        data=DataSpan(first=iso(manifest.data.first), last=iso(manifest.data.last), rows=manifest.data.n_rows),
        code_version=manifest.code_version,
        features=manifest.features,
        feature_registry=manifest.feature_registry,
        parameters=manifest.parameters,
        metrics=manifest.metrics,
        files=manifest.files,
    )


def event_document(event: PolicyEvent) -> PolicyEventDocument:
    """Return the document of one entry in a policy's record."""
    return PolicyEventDocument(
        serial=event.serial,
        at=iso(event.at),
        action=event.action,
        version=event.version,
        before=event.before or None,
        after=event.after,
        live=event.live,
        by=event.by,
        reason=event.reason or None,
        evidence=event.evidence,
        review=event.review_id,
    )

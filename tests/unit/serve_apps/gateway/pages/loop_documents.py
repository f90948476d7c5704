"""Documents of the loop for tests of its pages: one campaign well under way, users, decisions of each kind, messages."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from cluster.control_plane.documents import DataSpan, PolicyEventDocument, StepNeeds, VersionDocument
from cluster.control_plane.supply_documents import CatalogueDocument, CouponPoolDocument, GivenDocument, ItemDocument
from serve_apps.delivery.sink import SinkCounts
from serve_apps.gateway.pages.documents import (
    CampaignPage,
    CataloguesPage,
    ChannelsPage,
    CouponsPage,
    DeliveriesPage,
    SinkPage,
    TemplatePage,
)
from serve_apps.gateway.pages.live_view import (
    ArmView,
    CampaignView,
    LatestDecision,
    LatestMessage,
    LoopTotals,
    LoopView,
)
from serve_apps.gateway.routes.deliveries import DeliveryDocument
from serve_apps.gateway.routes.sink import MessageDocument
from serve_apps.gateway.services.audit import (
    Audit,
    ConsentDocument,
    GroupDocument,
    OutcomeAudit,
    SendAudit,
    SentDocument,
    SuppressionDocument,
)
from serve_apps.gateway.services.campaign_quality import ArmQuality, CampaignQualityDocument, CriterionMark
from serve_apps.gateway.services.deliveries import StateCounts
from serve_apps.gateway.services.inbox_message import ActionDocument, InboxMessage
from serve_apps.gateway.services.policies import PolicyRecord
from serve_apps.gateway.services.preview import Preview
from serve_apps.gateway.services.profile import TimelineEntry, TraitsHeld, UserProfile
from serve_apps.gateway.services.provider_states import AccountDoing, ChannelDoing, WarmUpDoing
from serve_apps.gateway.services.report import ArmTotals, GroupResult, LiftDocument, SampleRatioDocument
from tests.unit.serve_apps.gateway.pages.documents import NOW
from whisperer.content.lint.finding import Finding
from whisperer.content.quality.score import score
from whisperer.decisions.context import NAMES
from whisperer.ids import DecisionId
from whisperer.models.guardrails import VersionTally

DECISION = "dec_0123456789abcdefghjkmnpqrs"
SEND_KEY = "snd_0123456789abcdefghjkmnpqrs"
PUBLIC = "http://127.0.0.1:8000"

REFUSED = {"capped": 1_874, "no_address": 611, "no_consent": 240, "decision_open": 96, "not_in_audience": 12}


def lift(difference: float, low: float, high: float, **more: Any) -> LiftDocument:
    """A lift over the holdout, of so many users that it rests on all of them."""
    usual: dict[str, Any] = {"relative": None, "relative_low": None, "relative_high": None, "relative_reason": ""}
    usual |= {"level": 0.95, "rests_on": 100.0, "mean": 0.0, "holdout_mean": 0.0, "users": 900, "holdout_users": 100}
    return LiftDocument(difference=difference, low=low, high=high, **(usual | more))


def campaign_view(name: str = "Adopt a feature") -> CampaignView:
    return CampaignView(
        tenant="demo",
        name=name,
        status="live",
        compressed=True,
        candidates=12_345,
        sent=6_480,
        unknown=0,
        no_send=3_010,
        refused=dict(REFUSED),
        pending=22,
        conversions=1_906,
        arms=[
            ArmView("no_send", "", 3_010, 0, 312),
            ArmView("tips-email", "email", 3_204, 3_190, 801),
            ArmView("offer-email", "email", 1_650, 1_644, 402),
            ArmView("nudge-sms", "sms", 702, 698, 120),
            ArmView("nudge-push", "push", 946, 948, 271),
        ],
        lift=lift(0.0621, 0.0312, 0.093, relative=0.48, users=3_420, holdout_users=388),
        uniform_lift=lift(0.024, -0.009, 0.057, relative=0.185, users=402, holdout_users=388),
    )


def loop() -> LoopView:
    arms = [
        "tips-email",
        "no_send",
        "offer-email",
        "nudge-sms",
        "",
        "nudge-push",
        "no_send",
        "tips-email",
        "tips-email",
    ]
    status = ["sent", "no_send", "sent", "sending", "refused", "sent", "no_send", "deciding", "sent"]
    groups = ["policy", "holdout", "policy", "uniform", "", "policy", "policy", "policy", "policy"]
    subjects = [
        ("email", "en", "Three shortcuts that save an hour, Ada"),
        ("sms", "de", "Hallo Grace, dein Bericht ist fertig: sieh ihn dir an"),
        ("push", "ja", "グレースさん、レポートができました"),
        ("email", "ar", "آدا، ثلاث طرق توفر عليك ساعة كل أسبوع"),
        ("email", "es", "Un 20 % menos si vuelves esta semana"),
    ]
    return LoopView(
        [campaign_view()],
        LoopTotals(
            candidates=12_345,
            sent=6_480,
            no_send=3_010,
            refused=dict(REFUSED),
            pending=22,
            conversions=1_906,
            opened=2_711,
            clicked=988,
            unsubscribed=41,
        ),
        [
            LatestDecision(
                tenant="demo",
                decision_id=DECISION[:-1] + str(i),
                user=f"u:user-{4711 + i}",
                campaign="Adopt a feature",
                arm=arm,
                propensity=(0.61, 1.0, 0.02, 0.2, None, 0.33, 0.18, 0.55, 0.47)[i] if arm else None,
                group=groups[i],
                status=status[i],
                reason="capped" if status[i] == "refused" else None,
                at=NOW - 900 * (i + 1),
            )
            for i, arm in enumerate(arms)
        ],
        [
            LatestMessage(
                tenant="demo",
                send_key=SEND_KEY[:-1] + str(i),
                channel=channel,
                locale=locale,
                user=f"u:user-{4711 + i}",
                subject=subject,
                at=NOW - 1_700 * (i + 1),
            )
            for i, (channel, locale, subject) in enumerate(subjects)
        ],
    )


def decision(status: str = "sent", **changes: Any) -> Audit:
    """A decision of the policy group that was sent by e-mail, opened, clicked and converted."""
    values = [14, 52, 1.3333333, 0.0, 0.021, 203.4, 31, 2.06, 0.01, 1, 53.2, 0.5, 9.75, 1, *[2] * (len(NAMES) - 14)]
    found = Audit(
        id=DECISION,
        user_key="u:ada",
        user_id="ada",
        campaign="Adopt a feature",
        campaign_version=3,
        trigger="event",
        occurrence="9f2c51aa7be00413",
        at=_iso(64_000),
        status=status,
        reason=None,
        refused_arms={"nudge-sms": "no_address"},
        group="policy",
        features=dict(zip(NAMES, values, strict=True)),
        arms=["no_send", "tips-email", "offer-email", "nudge-push"],
        arm="tips-email",
        chosen_at=_iso(63_940),
        propensity=0.6125,
        propensities=[0.0481, 0.6125, 0.2794, 0.06],
        means=[0.101, 0.262, 0.214, 0.121],
        spreads=[0.021, 0.034, 0.047, 0.052],
        seed=13_835_058_055_282_163_712,
        policy_version="Adopt a feature@1841",
        scores=[],
        shadow=[],
        shadow_version=None,
        template=msgspec.UNSET,
        offer=msgspec.UNSET,
        send=send(),
        outcomes=[
            OutcomeAudit(_iso(58_000), "opened", None, 0),
            OutcomeAudit(_iso(55_200), "clicked", "https://acme.example/reports?arm=tips", 0),
            OutcomeAudit(_iso(47_000), "converted", "Feature Adopted", 1_000_000),
        ],
        mature_at=msgspec.UNSET,
        matured=True,
        reward_micros=980_000,
        reward=0.98,
        price=0.0,
        reason_text=None,
    )
    return msgspec.structs.replace(found, **changes)


def send(**changes: Any) -> SendAudit:
    found = SendAudit(
        send_key=SEND_KEY,
        channel="email",
        attempts=1,
        next_at=None,
        last_error=None,
        provider="sink",
        provider_id="sink-99182",
        content_hash="5f0c9b3c1a7e4d2290ab51cc72d1e0f4",
        locale="en",
        sent_at=_iso(63_700),
        unknown=False,
    )
    return msgspec.structs.replace(found, **changes)


def refused() -> Audit:
    return decision(
        "refused",
        reason="capped",
        refused_arms={
            "tips-email": "capped",
            "offer-email": "capped",
            "nudge-sms": "no_address",
            "nudge-push": "no_consent",
        },
        group=None,
        arm=None,
        propensity=None,
        arms=[],
        propensities=[],
        means=[],
        spreads=[],
        seed=None,
        policy_version=None,
        chosen_at=None,
        send=None,
        outcomes=[],
        reward_micros=None,
        reward=None,
        matured=False,
    )


def held_out() -> Audit:
    return decision(
        "no_send",
        group="holdout",
        refused_arms={},
        arm="no_send",
        propensity=1.0,
        propensities=[1.0, 0.0, 0.0, 0.0],
        means=[0.0] * 4,
        spreads=[0.0] * 4,
        policy_version="holdout",
        send=None,
        outcomes=[],
        reward_micros=0,
        matured=False,
    )


def entry(type: str, age_ms: int | None, **more: Any) -> TimelineEntry:
    """An entry of the timeline; ``traits`` and ``properties`` are given as values."""
    for name in ("traits", "properties"):
        if name in more:
            more[name] = msgspec.Raw(msgspec.json.encode(more[name]))
    return TimelineEntry(type=type, timestamp=None if age_ms is None else _iso(age_ms), **more)


def raw(traits: dict[str, Any]) -> dict[str, msgspec.Raw]:
    return {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in traits.items()}


def inbox_message(**changes: Any) -> InboxMessage:
    found = InboxMessage(
        id=DecisionId(DECISION),
        campaign="Adopt a feature",
        locale="en",
        kind="card",
        title="Three tips",
        body="Invite your team.",
        image=None,
        actions=[ActionDocument("Invite", "https://app.example.com/team")],
        state="unread",
        archived=False,
        sent_at=_iso(60_000),
        expires_at=None,
        seen_at=None,
        read_at=None,
        archived_at=None,
    )
    return msgspec.structs.replace(found, **changes)


def user(**changes: Any) -> UserProfile:
    found = UserProfile(
        user_id="ada",
        anonymous_ids=["6f9619ff-8b86-d011-b42d-00c04fc964ff"],
        previous_ids=[],
        refused_anonymous_ids=[],
        traits=raw(
            {
                "name": "Ada Lovelace",
                "email": "ada@example.com",
                "plan": "pro",
                "seats": 12,
                "address": {"city": "London", "country": "GB"},
                "verified": True,
            }
        ),
        traits_held=TraitsHeld(6, 200, 1_000, 65_536),
        features={
            "events_7d": 14,
            "events_30d": 52,
            "trend": 1.3333,
            "revenue": 420.5,
            "recency_days": 0.021,
            "gap_mean_days": None,
        },
        scores=None,
        event_counts={"Dashboard Viewed": 41, "Feature Adopted": 3, "Report Exported": 8},
        segments=["Power users", "Pro plan"],
        timeline=[
            entry("track", 47_000, event="Feature Adopted", properties={"feature": "reports"}),
            entry("track", 64_000, event="Dashboard Viewed", properties={"dashboard": "team"}),
            entry("segment_entered", 3_500_000, segment="Power users"),
            entry("page", 3_700_000, properties={"path": "/pricing"}),
            entry("identify", 90_000_000, traits={"plan": "pro", "seats": 12}),
            entry("merged", 91_000_000),
        ],
        first_seen=_iso(203 * 86_400_000),
        last_seen=_iso(47_000),
        time_zone="Europe/London",
        locale="en-GB",
        partition=17,
        group=GroupDocument("policy", _iso(40 * 86_400_000), False),
        consent=[
            ConsentDocument("email", "marketing", True, _iso(86_400_000), "api"),
            ConsentDocument("sms", "*", False, _iso(5_000_000), "unsubscribe link"),
        ],
        suppressed=[SuppressionDocument("push", _iso(9_000_000), "bounced")],
        sends=[
            SentDocument(_iso(63_700), "Adopt a feature", "email", SEND_KEY),
            SentDocument(_iso(3 * 86_400_000), "Adopt a feature", "email", SEND_KEY),
            SentDocument(_iso(20 * 86_400_000), "Adopt a feature", "push", SEND_KEY),
        ],
        candidacies=[
            decision(),
            msgspec.structs.replace(refused(), id=DECISION[:-1] + "1", at=_iso(3_700_000)),
            msgspec.structs.replace(
                held_out(), id=DECISION[:-1] + "2", at=_iso(7_300_000), group="uniform", propensity=0.25
            ),
        ],
    )
    return msgspec.structs.replace(found, **changes)


def unknown_user() -> UserProfile:
    """Somebody who was seen once."""
    return user(
        user_id=None,
        anonymous_ids=["mobile-7"],
        traits={},
        features={},
        event_counts={},
        segments=[],
        timeline=[],
        candidacies=[],
        consent=[],
        suppressed=[],
        group=None,
        sends=[],
        time_zone=None,
        locale=None,
        last_seen=None,
    )


_HTML = """<!doctype html><html lang="{locale}" dir="{dir}"><body style="font-family: sans-serif; color: #222">
<h1 style="font-size: 22px">{title}</h1><p>{text}</p>
<p><a href="{public}/m/c/token-1" style="color: #0b6e5f">{button}</a></p>
<script>window.top.owned = 1; window.owned = 1</script><img src="{public}/m/o/token-2" onerror="window.owned = 1">
<p><a href="{public}/m/u/token-3">{leave}</a></p></body></html>"""

_TEXTS = {
    "en": (
        "ltr",
        "Three shortcuts that save an hour",
        "Hello Ada, your team opens the same report every morning.",
        "Show me",
        "Unsubscribe",
    ),
    "ar": ("rtl", "ثلاث طرق توفر عليك ساعة", "مرحبًا آدا، يفتح فريقك التقرير نفسه كل صباح.", "أرني", "إلغاء الاشتراك"),
    "ja": (
        "ltr",
        "1時間を節約する3つの近道",
        "エイダさん、チームは毎朝同じレポートを開いています。",
        "見てみる",
        "配信停止",
    ),
}


def message(channel: str = "email", locale: str = "en", **changes: Any) -> MessageDocument:
    direction, title, text, button, leave = _TEXTS.get(locale, _TEXTS["en"])
    link = f"{PUBLIC}/m/c/token-1"
    parts = {
        "email": {
            "subject": title,
            "html": _HTML.format(
                locale=locale, dir=direction, title=title, text=text, button=button, leave=leave, public=PUBLIC
            ),
            "text": f"{text}\n\n{button}: {link}\n\n{leave}: {PUBLIC}/m/u/token-3",
        },
        "sms": {"text": f"{text} {link}"},
        "push": {"title": title, "body": f"{text} {link}"},
        "webhook": {"body": '{"user": "ada", "link": "' + link + '"}'},
    }[channel]
    found = MessageDocument(
        serial=99_182,
        send_key=SEND_KEY,
        decision_id=DECISION,
        channel=channel,
        user_id="ada",
        user_key="u:ada",
        address={"email": "ada@example.com", "sms": "+442079460000"}.get(channel, "ada"),
        campaign="Adopt a feature",
        locale=locale,
        parts=parts,
        headers={
            "List-Unsubscribe": f"<{PUBLIC}/m/u/token-3>",
            "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        }
        if channel == "email"
        else {},
        content_hash="5f0c9b3c1a7e4d2290ab51cc72d1e0f4",
        received_at=_iso(63_700),
        n_received=1,
    )
    return msgspec.structs.replace(found, **changes)


def target_of(url: str) -> tuple[str, str] | None:
    """As the signer of links reads them."""
    if "/m/c/" in url:
        return ("click", "https://acme.example/reports?arm=tips")
    return ("unsubscribe", "") if "/m/u/" in url else None


def sink(n: int = 8, next_before: int | None = 99_174) -> SinkPage:
    kinds = [("email", "en"), ("email", "ar"), ("sms", "ja"), ("push", "ar"), ("webhook", "en")]
    return SinkPage(
        [
            message(
                *kinds[i % 5],
                serial=99_182 - i,
                send_key=f"snd_{i:026d}",
                user_id=f"user-{4711 + i}",
                n_received=2 if i == 2 else 1,
                received_at=_iso(40_000 * (i + 1)),
            )
            for i in range(n)
        ],
        next_before,
        SinkCounts({"email": 4_834, "sms": 698, "push": 948} if n else {}, 6_480 if n else 0, 3 if n else 0, 0),
        ["Adopt a feature", "Win back"] if n else [],
    )


def campaign(**changes: Any) -> CampaignPage:
    view = campaign_view()
    found = CampaignPage(
        name=view.name,
        version=3,
        status=view.status,
        draft_version=None,
        etag=None,
        description="Each event Dashboard Viewed of a user who never exported a report may bring a tip, an offer or a nudge.",
        compressed=view.compressed,
        created_at=_iso(7_400_000),
        published_at=_iso(7_300_000),
        changed_at=_iso(7_300_000),
        definition={
            "name": "Adopt a feature",
            "trigger": {"event": "Dashboard Viewed"},
            "audience": None,
            "goal": {"event": "Feature Adopted", "window": "30s", "reward": "conversion", "unsubscribe_cost": 0.5},
            "purpose": "marketing",
            "caps": [
                {"most": 3, "per": "rolling", "hours": 1, "scope": "campaign"},
                {"most": 6, "per": "day", "scope": "tenant"},
            ],
            "quiet_hours": {"from": "21:00", "until": "08:00"},
            "arms": [
                {"id": "tips-email", "channel": "email", "template": "tips-email", "offer": None, "cost": 0},
                {
                    "id": "offer-email",
                    "channel": "email",
                    "template": "offer-email",
                    "offer": {"percent": 20},
                    "cost": 0.02,
                },
                {"id": "nudge-sms", "channel": "sms", "template": "nudge-sms", "cost": 0.05},
            ],
        },
        template_versions={},
        since=_iso(7_300_000),
        candidates=view.candidates,
        sent=view.sent,
        unknown=0,
        no_send=view.no_send,
        refused=view.refused,
        pending=view.pending,
        conversions=view.conversions,
        outcomes={},
        groups=[
            GroupResult("holdout", 388, 0.129),
            GroupResult("uniform", 402, 0.153),
            GroupResult("policy", 3_420, 0.191),
        ],
        conflicted_users=0,
        lift=view.lift,
        uniform_lift=view.uniform_lift,
        sample_ratio=SampleRatioDocument(0.548, False, {}),
        budget=None,
        arms=[
            ArmTotals("holdout", "no_send", 902, 0, 88, 88_000_000, 88.0),
            ArmTotals("policy", "no_send", 1_820, 0, 190, 190_000_000, 190.0),
            ArmTotals("policy", "tips-email", 3_010, 3_001, 770, 751_400_000, 751.4),
            ArmTotals("policy", "offer-email", 1_450, 1_448, 360, 331_000_000, 331.0),
            ArmTotals("uniform", "nudge-sms", 240, 236, 33, 20_800_000, 20.8),
        ],
    )
    return msgspec.structs.replace(found, **changes)


def policy(**changes: Any) -> PolicyRecord:
    """Version 2 decides for a quarter of users; version 1 is live."""
    version = VersionDocument(
        version=2,
        status="25",
        digest="ab" * 32,
        kind="uplift",
        created_at=_iso(9_000_000),
        registered_at=_iso(8_000_000),
        data=DataSpan(first="2026-01-01T00:00:00.000Z", last="2026-03-01T00:00:00.000Z", rows=120_000),
        code_version="0.1.0+abc",
        features=["recency_days", "events_30d"],
        feature_registry="",
        parameters={},
        metrics={"value": 13.91, "auc": 0.8123},
        files=[],
    )
    evidence = {
        "promote": True,
        "against": 1,
        "judged_at": 0,
        "reasons": [],
        "figures": {
            "overlap": {"n_effective": 4_210},
            "dr": {"difference": {"value": 0.0213, "low": 0.004}},
            "tau": None,
        },
    }
    step = PolicyEventDocument(
        serial=4,
        at=_iso(7_200_000),
        action="promoted",
        version=2,
        before="5",
        after="25",
        live=1,
        by="operator",
        reason="looks good",
        evidence=evidence,
    )
    found = PolicyRecord(
        name="offers",
        live=1,
        candidate=2,
        stage="25",
        share=0.25,
        since=_iso(7_200_000),
        past=[],
        needs=StepNeeds(24, 5_000),
        tallies={
            "1": VersionTally(decisions=7_500, users=7_000),
            "2": VersionTally(decisions=2_500, unsubscribed=3),
        },
        tallied_at=None,
        etag="",
        versions=[version, msgspec.structs.replace(version, version=1, status="live")],
        history=[
            step,
            msgspec.structs.replace(step, serial=1, at=_iso(9_000_000), before=None, after="registered", evidence=None),
        ],
    )
    return msgspec.structs.replace(found, **changes)


def _iso(age_ms: int) -> str:
    return datetime.fromtimestamp((NOW - age_ms) / 1000, UTC).isoformat().replace("+00:00", "Z")


def template(**more: Any) -> TemplatePage:
    parts = {
        "subject": "Hello Ada",
        "html": '<p>Hello <a href="https://a.example">there</a></p>',
        "text": "Hello there",
    }
    shown = Preview(
        name="tips-email",
        version=3,
        channel="email",
        locale="en",
        parts=parts,
        headers={},
        content_hash="9f2c",
        placeholders=[],
        sizes={part: len(text) for part, text in parts.items()},
        sms=None,
        findings=[],
        quality=score("email", "en", parts),
    )
    found = Finding(
        severity="warning",
        code="link_not_https",
        message="http://x is not over https",
        locale="en",
        part="html",
        line=1,
        column=4,
    )
    usual: dict[str, Any] = {"name": "tips-email", "version": 3, "channel": "email", "locales": ["en", "de", "ar"]}
    return TemplatePage(**{**usual, "preview": shown, "findings": [found], **more})


def channels(text: str = "no connection: the connection was refused", **changes: Any) -> ChannelsPage:
    """A mail channel of which one account fails and another warms up and takes over, and webhooks that nothing was
    sent to. ``text``: what strangers wrote."""
    failing = AccountDoing(
        account="main",
        provider="smtp",
        weight=3,
        breaker="open",
        left_alone_s=4.2,
        times_opened=2,
        receipts={"accepted": 1_200, "retry": 5},
        held={"breaker": 64, "rate": 3},
        last_trouble=text,
        breaker_since=_iso(180_000),
        per_second=50.0,
        per_second_lately=12.5,
    )
    warming = AccountDoing(
        account="backup",
        provider="ses",
        weight=1,
        breaker="closed",
        receipts={"accepted": 120},
        per_second=20.0,
        per_second_lately=20.0,
        warm_up=WarmUpDoing(day=3, days=10, limit=500, given=125),
        taken_over=69,
    )
    idle = AccountDoing(account="webhook", provider="webhook", weight=1, breaker="closed")
    found = ChannelsPage(
        [ChannelDoing("email", 2, [failing, warming]), ChannelDoing("webhook", 0, [idle])],
        [("sms", "sink"), ("push", "sink"), ("inapp", "inbox")],
        StateCounts(NOW, {"email": {"accepted": 12_000, "unknown": 2, "dead": 5}}),
    )
    return msgspec.structs.replace(found, **changes)


def deliveries(text: str = "the server answered 451 4.3.0", after: tuple[int, str] | None = None) -> DeliveriesPage:
    """A dead letter, and a message of somebody who was erased since. ``text``: what strangers wrote."""
    dead = DeliveryDocument(
        id=SEND_KEY,
        decision_id=DECISION,
        user_key="u:ada",
        user_id="ada",
        campaign="Adopt a feature",
        channel="email",
        status="dead",
        reason="delivery_expired",
        reason_text="every attempt failed",
        provider="smtp",
        provider_id=None,
        detail=text,
        locale="de",
        attempts=9,
        first_at=_iso(90_000_000),
        at=_iso(7_200_000),
    )
    gone = msgspec.structs.replace(dead, user_id=None, status="accepted", reason_text=None, attempts=1)
    return DeliveriesPage([dead, gone], after)


def quality(text: str = "tips-email") -> CampaignQualityDocument:
    """Messages of an arm in two languages. ``text``: what strangers wrote."""
    lowest = [CriterionMark("readability", 0.42), CriterionMark("length", 0.9)]
    de = ArmQuality(arm=text, channel="email", locale="de", scored=1_200, mean=4.61, calibrated=4.72, lowest=lowest)
    en = msgspec.structs.replace(de, locale="en", scored=300, mean=5.0, calibrated=5.0, lowest=[])
    return CampaignQualityDocument(
        name="Adopt a feature", as_of=_iso(1_000), days=90, scored=1_500, mean=4.69, calibrated=4.78, arms=[de, en]
    )


def catalogues(name: str, text: str = "Walking boots") -> CataloguesPage:
    """All catalogues, or one with its items. ``text``: what strangers wrote in it."""
    at = "2026-01-31T09:00:00.000Z"
    fields = {"name": "string", "price": "number"}
    one = CatalogueDocument(
        name=name or "products", fields=fields, n_items=2, n_bytes=4_096, created_at=at, changed_at=at
    )
    item = ItemDocument(id=text, values={"name": text, "price": 3}, changed_at=at)
    return CataloguesPage([one], [item] if name else None, text if name else None)


def coupons(name: str, text: str = "spring sale") -> CouponsPage:
    """All coupon pools, or one with what was given. ``text``: what strangers wrote in it."""
    at = "2026-01-31T09:00:00.000Z"
    pool = CouponPoolDocument(
        name=name or "spring", description=text, n_codes=2, n_given=2, n_left=0, created_at=at, changed_at=at
    )
    codes = [
        GivenDocument(code=f"C{n}", campaign=text, user_id=user_id, given_at=at)
        for n, user_id in enumerate((text, None))
    ]
    return CouponsPage([pool], codes if name else None)

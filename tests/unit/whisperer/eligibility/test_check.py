"""Which arms are left, and what is told of the others."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.whisperer.eligibility.moments import HOUR, at
from whisperer.eligibility.caps import record
from whisperer.eligibility.check import ORDER, eligible_arms, may_dispatch, overall
from whisperer.eligibility.consent import state
from whisperer.eligibility.rules import Cap, QuietHours
from whisperer.eligibility.standing import Consent, Sent, Standing
from whisperer.eligibility.suppression import suppress
from whisperer.vocabulary.reasons import Reason

NOON = at("2026-06-01T12:00+02:00")
MIDNIGHT = at("2026-06-01T00:00+02:00")
ARMS = [("mail-1", "email"), ("sms-1", "sms"), ("mail-2", "email"), ("push-1", "push")]
NIGHT = QuietHours(21 * 60, 8 * 60)
ADA = {"email": "ada@example.com", "phone": "+4915123456789", "push_token": "t"}


def asked(**changes: Any) -> tuple[list[str], dict[str, Reason]]:
    traits = {name: json.dumps(value).encode() for name, value in changes.pop("traits", ADA).items()}
    usual: dict[str, Any] = {
        "arms": ARMS, "purpose": "marketing", "caps": [], "quiet_hours": None, "campaign": "tips",
        "standing": Standing(), "traits": traits, "user_key": "u:ada", "zone": "Europe/Berlin", "now": NOON,
        "consent_default": True,
    }  # fmt: skip
    return eligible_arms(**usual | changes)


def standing(
    *, withdrawn: str = "", suppressed: str = "", sent: str = "", purpose: str = "marketing", at: int = NOON - HOUR
) -> Standing:
    made = Standing()
    if withdrawn:
        state(made, withdrawn, purpose, Consent(at, False, "link"))
    if suppressed:
        suppress(made, "email", suppressed, at, "bounced")
    if sent:
        record(made, Sent(at, "tips", sent, "snd_1"))
    return made


def test_a_user_with_every_address_and_no_word_against_it_may_have_every_arm() -> None:
    assert asked() == (["mail-1", "sms-1", "mail-2", "push-1"], {})


def test_arms_are_refused_channel_by_channel_in_the_order_of_the_campaign() -> None:
    eligible, refused = asked(
        standing=standing(withdrawn="email"), traits={"email": "ada@example.com", "push_token": "t"}
    )
    assert eligible == ["push-1"]
    assert list(refused.items()) == [
        ("mail-1", Reason.NO_CONSENT),
        ("sms-1", Reason.NO_ADDRESS),
        ("mail-2", Reason.NO_CONSENT),
    ]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"standing": standing(suppressed="ADA@example.com")}, Reason.SUPPRESSED),
        ({"standing": standing(withdrawn="email")}, Reason.NO_CONSENT),
        ({"standing": standing(withdrawn="*")}, Reason.NO_CONSENT),
        ({"consent_default": False}, Reason.NO_CONSENT),
        ({"traits": {}}, Reason.NO_ADDRESS),
        ({"standing": standing(sent="email"), "caps": [Cap(1, "day")]}, Reason.CAPPED),
        ({"quiet_hours": NIGHT, "now": MIDNIGHT}, Reason.QUIET_HOURS),
    ],
)
def test_each_reason_refuses_an_arm(changes: dict[str, Any], reason: Reason) -> None:
    assert asked(arms=[("mail-1", "email")], **changes) == ([], {"mail-1": reason})


def test_a_channels_cap_leaves_other_channels() -> None:
    eligible, refused = asked(standing=standing(sent="email"), caps=[Cap(1, "day", scope="channel")])
    assert eligible == ["sms-1", "push-1"]
    assert set(refused.values()) == {Reason.CAPPED}


def test_it_is_quiet_where_the_user_is() -> None:
    assert asked(quiet_hours=NIGHT, now=MIDNIGHT, zone="America/Los_Angeles")[1] == {}
    assert set(asked(quiet_hours=NIGHT, now=NOON, zone="America/Los_Angeles")[1].values()) == {Reason.QUIET_HOURS}


def test_a_transactional_message_skips_consent_and_never_suppression() -> None:
    silent = {"purpose": "transactional", "consent_default": False, "arms": [("mail-1", "email")]}
    assert asked(standing=standing(withdrawn="*", purpose="*"), **silent) == (["mail-1"], {})
    assert asked(standing=standing(suppressed="ada@example.com"), **silent) == ([], {"mail-1": Reason.SUPPRESSED})


def test_a_transactional_campaign_keeps_the_caps_and_quiet_hours_it_states() -> None:
    receipt = {"purpose": "transactional", "arms": [("mail-1", "email")]}
    assert asked(caps=[Cap(1, "day")], standing=standing(sent="email"), **receipt)[1] == {"mail-1": Reason.CAPPED}
    assert asked(quiet_hours=NIGHT, now=MIDNIGHT, **receipt)[1] == {"mail-1": Reason.QUIET_HOURS}


def test_of_several_reasons_the_most_lasting_is_told() -> None:
    against: dict[str, Any] = {
        "arms": [("mail-1", "email")],
        "standing": standing(suppressed="ada@example.com", withdrawn="email", sent="email"),
        "caps": [Cap(1, "rolling", 24)],
        "quiet_hours": NIGHT,
        "now": MIDNIGHT + 24 * HOUR,
    }
    told = [asked(**against, traits={})[1]["mail-1"]]
    told.append(asked(**against)[1]["mail-1"])
    against["standing"] = standing(withdrawn="email", sent="email")
    told.append(asked(**against)[1]["mail-1"])
    against["standing"] = standing(sent="email")
    told.append(asked(**against)[1]["mail-1"])
    against["standing"] = Standing()
    told.append(asked(**against)[1]["mail-1"])
    assert tuple(told) == ORDER


@given(st.dictionaries(st.text(max_size=3), st.sampled_from(ORDER), min_size=1))
def test_a_candidate_without_arms_is_refused_for_the_reason_of_the_arm_that_came_nearest(
    refused: dict[str, Reason],
) -> None:
    assert overall(refused) == next(reason for reason in reversed(ORDER) if reason in refused.values())


def test_a_missing_push_token_does_not_hide_that_the_user_had_a_mail_today() -> None:
    assert overall({"mail": Reason.CAPPED, "push": Reason.NO_ADDRESS}) == Reason.CAPPED


any_standing = st.builds(
    standing,
    withdrawn=st.sampled_from(["", "email", "sms", "*"]),
    suppressed=st.sampled_from(["", "ada@example.com", "bob@example.com"]),
    sent=st.sampled_from(["", "email", "sms"]),
    purpose=st.sampled_from(["marketing", "news", "*"]),
    at=st.sampled_from([NOON - HOUR, NOON - 30 * HOUR]),
)


@given(
    any_standing,
    st.sampled_from([ADA, {}, {"phone": "+4915123456789"}]),
    st.sampled_from(["marketing", "transactional"]),
    st.sampled_from([None, NIGHT]),
    st.sampled_from([NOON, MIDNIGHT]),
    st.booleans(),
)
@settings(deadline=None)
def test_before_dispatch_the_same_is_asked_but_for_the_caps(
    held: Standing, traits: dict[str, str], purpose: str, quiet: QuietHours | None, now: int, default: bool
) -> None:
    eligible, refused = asked(
        standing=held, traits=traits, purpose=purpose, quiet_hours=quiet, now=now, consent_default=default
    )
    assert [arm for arm, _ in ARMS] == sorted([*eligible, *refused], key=[arm for arm, _ in ARMS].index)
    written = {name: json.dumps(value).encode() for name, value in traits.items()}
    for arm, channel in ARMS:
        why_not = may_dispatch(channel, purpose, quiet, held, written, "u:ada", "Europe/Berlin", now, default)
        assert why_not == refused.get(arm)


def test_a_cap_reached_since_the_decision_does_not_stop_its_message() -> None:
    held, caps = standing(sent="email"), [Cap(1, "day")]
    assert asked(standing=held, caps=caps, arms=[("mail-1", "email")])[0] == []
    written = {"email": b'"ada@example.com"'}
    assert may_dispatch("email", "marketing", None, held, written, "u:ada", "", NOON, True) is None

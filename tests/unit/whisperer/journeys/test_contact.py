"""What passed between us and a user, counted alike for a live decision and for a simulated one."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from training.simulator.history import History
from whisperer.decisions.context import NAMES
from whisperer.eligibility.standing import Sent, Standing
from whisperer.feedback.outcome import OutcomeKind
from whisperer.journeys import contact
from whisperer.journeys.contact import BY_CHANNEL, CONTACT
from whisperer.journeys.engagement import Decision, Engagement, OutcomeEntry, SendState
from whisperer.shard.decision.features import SPECS
from whisperer.vocabulary.channels import CHANNELS

DAY, HOUR = 86_400_000, 3_600_000
NOW = 1_790_000_000_000


def values(held: Engagement | None, now: int = NOW) -> dict[str, float]:
    overall, by_channel = contact.counts(*contact.of_engagement(held), now)
    names = [spec.name for spec in (*contact.OVERALL, *BY_CHANNEL)]
    return dict(zip(names, [*overall, *by_channel], strict=True))


def test_each_channel_is_counted_for_itself() -> None:
    mail = Decision("d1", "c", 1, "event", "o", NOW - DAY, "sent", send=SendState("s1", "email"))
    mail.outcomes = [
        OutcomeEntry(NOW - HOUR, OutcomeKind.OPENED),
        OutcomeEntry(NOW - HOUR, OutcomeKind.CLICKED, "https://a"),
    ]
    text = Decision("d2", "c", 1, "event", "p", NOW - 40 * DAY, "sent", send=SendState("s2", "sms"))
    text.outcomes = [
        OutcomeEntry(NOW - 31 * DAY, OutcomeKind.CLICKED),
        OutcomeEntry(NOW - DAY, OutcomeKind.UNSUBSCRIBED),
    ]
    sends = [Sent(NOW - 40 * DAY, "c", "sms", "s2"), Sent(NOW - 10 * DAY, "c", "email", "s0")]
    held = Engagement(Standing(sends=[*sends, Sent(NOW - 2 * HOUR, "c", "email", "s1")]), [text, mail])
    found = values(held)
    assert (found["sends_7d"], found["hours_since_send"], found["engaged_30d"]) == (1, 2, 2)
    assert [found[f"email_{what}_30d"] for what in ("sends", "opens", "clicks")] == [2, 1, 1]
    assert [found[f"sms_{what}_30d"] for what in ("sends", "opens", "clicks")] == [0, 0, 0]
    assert (found["hours_since_email"], found["hours_since_sms"]) == (2, 960)
    assert math.isnan(found["hours_since_push"])


def test_a_user_we_never_wrote_to_has_counts_of_zero_and_no_times() -> None:
    found = values(None)
    assert {value for name, value in found.items() if not name.startswith("hours")} == {0.0}
    assert all(math.isnan(value) for name, value in found.items() if name.startswith("hours"))


def test_every_name_of_a_decision_has_one_definition() -> None:
    assert tuple(SPECS) == NAMES
    assert all(f"hours_since_{channel}" in SPECS for channel in CHANNELS)
    assert {name for name in CONTACT if name not in SPECS} == set()


@given(st.lists(st.integers(0, 60 * 24), max_size=8), st.lists(st.integers(0, 60 * 24), max_size=8))
def test_the_simulator_counts_contact_as_a_shard_does(sent: list[int], noticed: list[int]) -> None:
    history = History(NOW - 90 * DAY, NOW, "Asia/Tokyo")
    sends = sorted(NOW - hours * HOUR for hours in sent)
    history.sends, history.engaged = sends, sorted(NOW - hours * HOUR for hours in noticed)
    decision = Decision("d", "c", 1, "event", "o", NOW, "sent", send=SendState("s", "push"))
    decision.outcomes = [OutcomeEntry(at, OutcomeKind.OPENED) for at in history.engaged]
    found = values(Engagement(Standing(sends=[Sent(at, "c", "push", "s") for at in sends]), [decision]))
    simulated = dict(zip(NAMES, history.features(NOW, NOW), strict=True))
    for name in ("sends_7d", "hours_since_send", "engaged_30d"):
        assert known(simulated[name]) == known(found[name])
    assert simulated["local_hour"] == contact.local_time(NOW, "Asia/Tokyo")[0]


def known(value: float) -> float | None:
    return None if math.isnan(value) else value

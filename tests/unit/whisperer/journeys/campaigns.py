"""Campaigns as callers write them, made up by hypothesis; and any JSON at all."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.unit.whisperer.segments.strategies import predicates
from whisperer.decisions.pacing import HOURS
from whisperer.journeys import limits
from whisperer.journeys.parse import PERIODS, SCOPES
from whisperer.profiles.features import FEATURES
from whisperer.segments import PredicateError, parse
from whisperer.vocabulary.channels import CHANNELS


def _is_usable(predicate: dict[str, Any]) -> bool:
    """Those strategies know features of their own."""
    try:
        parse(predicate, FEATURES)
    except PredicateError:
        return False
    return True


names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,20}", fullmatch=True).filter(lambda name: name != "no_send")
events = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40)
amounts = st.one_of(st.integers(0, 1_000), st.floats(0, limits.MAX_AMOUNT))
offers = st.none() | st.dictionaries(
    st.text(st.characters(codec="utf-8"), max_size=8),
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
        max_leaves=5,
    ),
    max_size=4,
)
schedules = st.fixed_dictionaries(
    {"cron": st.sampled_from(["0 9 * * 1", "*/15 8-18 * * MON-FRI", "30 6 1 JAN *"])},
    optional={"zone": st.sampled_from(["user", "Europe/Berlin", "UTC"])},
)
triggers = st.one_of(
    st.fixed_dictionaries({"event": events}),
    st.fixed_dictionaries({"segment": names}),
    st.fixed_dictionaries({"schedule": schedules}),
    st.just({"request": True}),
)
windows = st.one_of(
    st.fixed_dictionaries({"window_s": st.floats(0.001, limits.MAX_WINDOW_S)}),
    st.fixed_dictionaries({"window": st.sampled_from(["30s", "1.5m", "72h", "90d"])}),
)
goals = st.builds(
    lambda goal, window: goal | window,
    st.fixed_dictionaries(
        {"event": events, "cap": st.floats(0.01, 1e6)},
        optional={"reward": st.sampled_from(["conversion", "revenue"]), "unsubscribe_cost": amounts},
    ),
    windows,
)
caps = st.builds(
    lambda cap, hours: cap | ({"hours": hours} if cap["per"] == "rolling" else {}),
    st.fixed_dictionaries(
        {"most": st.integers(1, limits.MAX_MOST), "per": st.sampled_from(PERIODS)},
        optional={"scope": st.sampled_from(SCOPES)},
    ),
    st.floats(0.001, limits.MAX_CAP_HOURS),
)
clocks = st.builds(lambda hour, minute: f"{hour:02d}:{minute:02d}", st.integers(0, 23), st.integers(0, 59))
quiet = (
    st.tuples(clocks, clocks)
    .filter(lambda ends: ends[0] != ends[1])
    .map(lambda ends: {"from": ends[0], "until": ends[1]})
)


briefs = st.none() | st.fixed_dictionaries(
    {"brief": st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1, max_size=200)},
    optional={
        "facts": st.lists(st.sampled_from(["user.plan", "offer.percent", "features.events_7d", "arm"]), max_size=16),
        "max_chars": st.integers(20, 2_000),
    },
)


names_of_senders = st.none() | st.sampled_from(["Acme", " Acme, Inc. ", "أكمي", "👩\u200d💻 Ada", 'Ada "x"', "x" * 100])
answers = st.none() | st.sampled_from(["help@example.com", 'Help, "x" <help@bücher.example>', " <a@b.co> "])


@st.composite
def arms(draw: st.DrawFn) -> list[dict[str, Any]]:
    ids = draw(st.lists(names, min_size=1, max_size=limits.MAX_ARMS, unique=True))
    written = [
        {"id": id, "channel": draw(st.sampled_from(sorted(CHANNELS))), "template": draw(names)}
        | draw(st.fixed_dictionaries({}, optional={"offer": offers, "cost": amounts, "generate": briefs}))
        for id in ids
    ]
    sender = st.fixed_dictionaries({}, optional={"from_name": names_of_senders, "reply_to": answers})
    return [arm | draw(sender) if CHANNELS[arm["channel"]].names_sender else arm for arm in written]


budgets = st.fixed_dictionaries(
    {"amount": st.floats(1e-6, limits.MAX_AMOUNT)},
    optional={
        "days": st.integers(1, limits.MAX_BUDGET_DAYS),
        "hours": st.none() | st.lists(st.floats(0, 1e6), min_size=HOURS, max_size=HOURS).filter(any),
    },
)


def _applicable(written: dict[str, Any]) -> dict[str, Any]:
    """Without its budget where nothing costs anything, and without a sender where no message names one."""
    idle = set() if any(arm.get("cost") for arm in written["arms"]) else {"budget"}
    if not any(CHANNELS[arm["channel"]].names_sender for arm in written["arms"]):
        idle |= {"from_name", "reply_to"}
    return {name: value for name, value in written.items() if name not in idle}


campaigns = st.fixed_dictionaries(
    {"trigger": triggers, "goal": goals, "arms": arms()},
    optional={
        "audience": st.none() | predicates.filter(_is_usable),
        "purpose": names,
        "caps": st.none() | st.lists(caps, max_size=3),
        "quiet_hours": st.none() | quiet,
        "budget": st.none() | budgets,
        "from_name": names_of_senders,
        "reply_to": answers,
    },
).map(_applicable)

_WORDS = ["event", "segment", "schedule", "request", "cron", "zone", "window", "id", "most", "per", "from", "offer"]
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(10**400) | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_WORDS) | st.text(max_size=3), inner),
    max_leaves=15,
)

"""Questions about events, against the same worked out by hand on many small pasts."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.warehouse import Warehouse
from actors.warehouse.analysis import analysed
from cluster.times import iso as iso_of
from tests.unit.actors.warehouse.asked_by_hand import NOTHING, ByHand, Done, comparable
from tests.unit.actors.warehouse.conftest import Event, erased, record
from whisperer.analytics.answers import (
    Answer,
    FunnelAnswer,
    LifecycleAnswer,
    RetentionAnswer,
    StickinessAnswer,
    TrendsAnswer,
)
from whisperer.analytics.questions import Funnel, Lifecycle, QuestionError, Retention, Stickiness, Trends, check
from whisperer.events.types import EventType

SPRING, AUTUMN = 1_774_746_000_000, 1_792_890_000_000
"""When clocks in Berlin go forward and back in 2026: 29 March and 25 October, 01:00 UTC."""
HOUR, DAY = 3_600_000, 86_400_000
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Asia/Beirut", "Pacific/Apia")
NAMES = ("A", "B", "C", "Ünïcode ☃", "x'; DROP TABLE events; --")
VALUES = ("pro", "free", 1, 1.0, True, None, {"deep": 1}, [1], "1", 'a"b', "ß", 2.5, -3, 10**20)


def stored(done: list[Done]) -> list[Event]:
    """The events as the warehouse gets them."""
    kinds = {"$identify": EventType.IDENTIFY, "$alias": EventType.ALIAS}
    return [
        Event(
            one.key,
            one.name,
            one.at,
            received=one.received,
            kind=kinds.get(one.name, EventType.TRACK),
            link=one.previous or one.link,
            payload=json.dumps(
                {"properties": one.properties, "traits": one.traits}
                | ({} if one.previous is None else {"previousId": one.previous[2:]})
            ),
        )
        for one in done
    ]


def asked(folder: Path, done: list[Done], question: Any, now: int, kind: Any) -> Any:
    warehouse = Warehouse(folder)
    half = len(done) // 2
    events = stored(done)
    if events[:half]:
        warehouse.export(0, 0, 10, [record(1, "acme", *events[:half])])
    if events[half:]:
        warehouse.export(1, 0, 10, [record(1, "acme", *events[half:]), record(2, "other", Event("u:z", "A", now))])
    return answer(warehouse, msgspec.convert(question, kind), now)


def answer(warehouse: Warehouse, question: Any, now: int, tenant: str = "acme") -> Any:
    found: Answer = analysed(warehouse, tenant, question, now, [])
    return msgspec.json.decode(msgspec.json.encode(found), type=type(found))  # what is answered can be written


moments = st.builds(
    lambda base, days, ms: base + days * DAY + ms,
    st.sampled_from([SPRING, AUTUMN]),
    st.integers(-3, 3),
    st.one_of(st.sampled_from([0, 1, -1, HOUR, -HOUR, 2 * HOUR]), st.integers(-DAY, DAY)),
)
properties = st.dictionaries(st.sampled_from(["plan", "price", "a/b"]), st.sampled_from(VALUES), max_size=3)


@st.composite
def pasts(draw: Any, base: int | None = None) -> list[Done]:
    """Some users' events around a change of the clocks, many in the same millisecond; ids that turn out to be one."""
    done = []
    at = (
        moments
        if base is None
        else st.builds(lambda o: base + o, st.sampled_from([0, 0, 1, 2, 1000, HOUR, 5 * HOUR, DAY]))
    )
    for n in range(draw(st.integers(0, 14))):
        kind = draw(st.sampled_from(["track"] * 8 + ["identify", "alias"]))
        key = draw(st.sampled_from(["u:ann", "u:bob", "u:cy", "a:web", "a:app"]))
        when = draw(at)
        received = when + draw(st.sampled_from([0, 5, 9]))
        if kind == "track":
            link = draw(st.sampled_from([None, None, None, "a:web", "a:app"])) if key.startswith("u:") else None
            name = draw(st.sampled_from(NAMES))
            done.append(Done(key, name, when, received, draw(properties), link=link, n=n))
        elif kind == "identify":
            key = key if key.startswith("u:") else "u:ann"
            traits = draw(st.dictionaries(st.just("plan"), st.sampled_from(["pro", "free", None, 3]), max_size=1))
            done.append(Done(key, "$identify", when, received, traits=traits, n=n))
        else:
            done.append(Done("u:dee", "$alias", when, received, previous="u:cy", link="u:cy", n=n))
    return done


leaves = st.one_of(
    st.builds(lambda p, v: {"property": p, "op": "eq", "value": v}, st.sampled_from(["plan", "price", "/a~1b"]), st.sampled_from(["pro", 1, True, "ß", 'a"b'])),
    st.builds(lambda p: {"property": p, "op": "exists"}, st.sampled_from(["plan", "/plan/deep"])),
    st.builds(lambda v: {"property": "price", "op": "gte", "value": v}, st.sampled_from([1, 2.5, -3])),
    st.builds(lambda v: {"trait": "plan", "op": "ne", "value": v}, st.sampled_from(["pro", 3])),
)  # fmt: skip
conditions = st.one_of(
    leaves,
    st.builds(lambda parts: {"all": parts}, st.lists(leaves, max_size=2)),
    st.builds(lambda parts: {"any": parts}, st.lists(leaves, min_size=1, max_size=2)),
    st.builds(lambda part: {"not": part}, leaves),
)
breakdowns = st.builds(
    lambda by, limit: by | {"limit": limit},
    st.sampled_from([{"property": "plan"}, {"property": "/plan/deep"}, {"trait": "plan"}, {"event": True}]),
    st.integers(1, 4),
)


def maybe(strategy: Any) -> Any:
    return st.one_of(st.just(None), st.just(None), strategy)


def selections(*, names: Any = st.sampled_from(NAMES), where: Any = None) -> Any:
    return st.builds(
        lambda event, where: {k: v for k, v in {"event": event, "where": where}.items() if v is not None},
        names,
        where if where is not None else maybe(conditions),
    )


@st.composite
def questions(draw: Any, **more: Any) -> dict[str, Any]:
    base = draw(st.sampled_from([SPRING, AUTUMN]))
    asked: dict[str, Any] = {"time_zone": draw(st.sampled_from(ZONES))}
    if draw(st.booleans()):
        asked |= {"since": iso(base - 2 * DAY - draw(st.sampled_from([0, HOUR // 2]))), "until": iso(base + 2 * DAY)}
    else:
        asked |= {"last_days": draw(st.integers(1, 9)), "until": iso(base + 3 * DAY)}
    for name, strategy in more.items():
        value = draw(strategy)
        if value is not None:
            asked[name] = value
    return asked


def iso(ms: int) -> str:
    return str(iso_of(ms))


def lines_of(series: Any, buckets: list[str]) -> dict[Any, tuple[Any, dict[str, Any]]]:
    found = {}
    for line in series.lines:
        label = NOTHING if line.is_other else as_label(line.value)
        nothing = 0 if series.measure in ("count", "users", "per_user", "sum") else None
        numbers = {b: v for b, v in zip(buckets, line.values, strict=True) if v != nothing}
        found[label] = line.total, numbers
    return found


def as_label(value: Any) -> Any:
    if isinstance(value, str) and value[:1] in "[{" and value:
        return "json", repr(json.loads(value))
    return comparable(value)


def same(found: Any, expected: Any) -> bool:
    return found == (pytest.approx(expected, rel=1e-9) if isinstance(expected, float) else expected)


@settings(max_examples=80, deadline=None)
@given(
    pasts(),
    questions(
        series=st.lists(
            st.one_of(
                st.builds(lambda s, m: s | {"measure": m}, selections(names=maybe(st.sampled_from(NAMES))), st.sampled_from(["count", "users", "per_user"])),
                st.builds(lambda s, m: s | {"measure": m, "property": "price"}, selections(), st.sampled_from(["sum", "average", "min", "max", "p50", "p90", "p95", "p99"])),
            ),
            min_size=1,
            max_size=2,
        ),
        interval=st.sampled_from(["hour", "day", "week", "month"]),
        breakdown=maybe(breakdowns),
        where=maybe(conditions),
    ),
)  # fmt: skip
def test_trends_are_those_counted_by_hand(tmp_path_factory: Any, done: list[Done], question: dict[str, Any]) -> None:
    now = AUTUMN + 4 * DAY
    found: TrendsAnswer = asked(tmp_path_factory.mktemp("w"), done, question, now, Trends)
    expected = ByHand(done, now).trends(msgspec.convert(question, Trends))
    assert len(set(found.buckets)) == len(found.buckets)
    for series, by_hand in zip(found.series, expected, strict=True):
        nothing = 0 if series.measure in ("count", "users", "per_user", "sum") else None
        lines = lines_of(series, found.buckets)
        if "breakdown" not in question:
            by_hand = by_hand or {None: (nothing, {})}
        assert set(lines) == set(by_hand)
        for label, (total, numbers) in by_hand.items():
            assert same(lines[label][0], total)
            numbers = {bucket: value for bucket, value in numbers.items() if value != nothing}
            assert set(lines[label][1]) == set(numbers)
            assert all(same(lines[label][1][bucket], value) for bucket, value in numbers.items())


@settings(max_examples=100, deadline=None)
@given(
    pasts(SPRING),
    questions(
        steps=st.lists(selections(names=st.sampled_from(NAMES[:3])), min_size=2, max_size=4),
        order=st.sampled_from(["ordered", "ordered", "strict", "any"]),
        window_s=st.sampled_from([1, 3_600, 2 * 86_400]),
        exclude=maybe(st.lists(selections(names=st.sampled_from(NAMES[1:])), min_size=1, max_size=2)),
        breakdown=maybe(breakdowns),
        where=maybe(conditions),
    ),
)
def test_funnels_are_those_walked_by_hand(tmp_path_factory: Any, done: list[Done], question: dict[str, Any]) -> None:
    now = AUTUMN + 4 * DAY
    question |= {"since": iso(SPRING - DAY), "until": iso(SPRING + HOUR + 1)}
    question.pop("last_days", None)
    if question["order"] != "ordered":
        question.pop("exclude", None)
    elif "exclude" in question:
        question["exclude"][0] |= {"after": 1, "before": 2}
    found: FunnelAnswer = asked(tmp_path_factory.mktemp("w"), done, question, now, Funnel)
    times, by_label = ByHand(done, now).funnel(msgspec.convert(question, Funnel))
    assert [step.users for step in found.steps] == [len(took) for took in times]
    for step, took in zip(found.steps, times, strict=True):
        assert step.median_s == (None if not took else pytest.approx(middle(took) / 1000))
    lines = {NOTHING if line.is_other else as_label(line.value): [s.users for s in line.steps] for line in found.lines}
    assert lines == by_label


def middle(took: list[int]) -> float:
    half = len(took) // 2
    return took[half] if len(took) % 2 else (took[half - 1] + took[half]) / 2


@settings(max_examples=80, deadline=None)
@given(
    pasts(),
    questions(
        **{"return": selections(names=maybe(st.sampled_from(NAMES)))},
        start=selections(names=maybe(st.sampled_from(NAMES))),
        type=st.sampled_from(["first_time", "recurring", "rolling"]),
        interval=st.sampled_from(["day", "week", "month"]),
        periods=st.integers(1, 5),
        where=maybe(conditions),
    ),
)
def test_retention_is_that_counted_by_hand(tmp_path_factory: Any, done: list[Done], question: dict[str, Any]) -> None:
    now = AUTUMN + 4 * DAY
    found: RetentionAnswer = asked(tmp_path_factory.mktemp("w"), done, question, now, Retention)
    expected = ByHand(done, now).retention(msgspec.convert(question, Retention))
    cohorts = {one.start: (one.users, [n for n in one.returned if n is not None]) for one in found.cohorts if one.users}
    assert cohorts == expected
    assert found.total.users[0] == sum(users for users, _ in expected.values())
    assert found.total.returned[0] == sum(back[0] for _, back in expected.values())


who_is_active = questions(
    of=selections(names=maybe(st.sampled_from(NAMES))),
    interval=st.sampled_from(["day", "week", "month"]),
    where=maybe(conditions),
)


@settings(max_examples=60, deadline=None)
@given(pasts(), who_is_active)
def test_the_lifecycle_is_that_counted_by_hand(
    tmp_path_factory: Any, done: list[Done], question: dict[str, Any]
) -> None:
    now = AUTUMN + 4 * DAY
    found: LifecycleAnswer = asked(tmp_path_factory.mktemp("w"), done, question, now, Lifecycle)
    rows = [(one.start, one.new, one.returning, one.resurrecting, one.dormant) for one in found.buckets]
    assert rows == ByHand(done, now).lifecycle(msgspec.convert(question, Lifecycle))


@settings(max_examples=60, deadline=None)
@given(pasts(), who_is_active)
def test_stickiness_is_that_counted_by_hand(tmp_path_factory: Any, done: list[Done], question: dict[str, Any]) -> None:
    now = AUTUMN + 4 * DAY
    found: StickinessAnswer = asked(tmp_path_factory.mktemp("w"), done, question, now, Stickiness)
    counts, rows = ByHand(done, now).stickiness(msgspec.convert(question, Stickiness))
    assert found.users_by_count == counts
    assert [(one.day, one.daily, one.weekly, one.monthly) for one in found.active] == rows


T0 = SPRING
STEPS = [{"event": "A"}, {"event": "B"}]


def test_steps_in_the_same_millisecond_count_in_the_stated_order(tmp_path: Path) -> None:
    done = [Done("u:ann", "B", T0, T0), Done("u:ann", "A", T0, T0)]
    question = {"steps": STEPS, "since": iso(T0), "until": iso(T0 + 1)}
    found = asked(tmp_path, done, question, T0 + DAY, Funnel)
    assert [step.users for step in found.steps] == [1, 1]


@pytest.mark.parametrize("order", ["ordered", "strict", "any"])
def test_a_step_exactly_at_the_windows_end_still_counts(tmp_path: Path, order: str) -> None:
    for after_ms, users in ((60_000, [1, 1]), (60_001, [1, 0])):
        done = [Done("u:ann", "A", SPRING, SPRING), Done("u:ann", "B", SPRING + after_ms, SPRING + after_ms, n=1)]
        question = {"steps": [{"event": "A"}, {"event": "B"}], "order": order, "window_s": 60, "last_days": 3}
        found = asked(tmp_path / str(after_ms), done, question, SPRING + DAY, Funnel)
        assert [step.users for step in found.steps] == users


def test_an_erased_user_and_another_tenant_are_in_no_answer(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path, pseudonym_key=b"k")
    events = [Event("u:ann", "A", T0), Event("u:bob", "A", T0), Event("u:bob", "A", T0 + 1, counted=False)]
    warehouse.export(0, 0, 10, [record(1, "acme", *events), record(2, "other", Event("u:zoe", "A", T0))])
    question = msgspec.convert({"series": [{"event": "A"}], "since": iso(T0 - DAY)}, Trends)
    assert answer(warehouse, question, T0 + DAY).series[0].lines[0].total == 2
    warehouse.erase("acme", erased("u:ann"))
    assert answer(warehouse, question, T0 + DAY).series[0].lines[0].total == 1
    assert answer(warehouse, question, T0 + DAY, "nobody").series[0].lines[0].total == 0


def test_a_period_before_is_as_long(tmp_path: Path) -> None:
    done = [Done("u:ann", "A", T0 - n * DAY, T0) for n in (0, 1, 2, 3, 4)]
    question = {"series": [{"event": "A"}], "last_days": 2, "until": iso(T0 + 1), "compare": True}
    found = asked(tmp_path, done, question, T0 + DAY, Trends)
    assert found.buckets == ["2026-03-28", "2026-03-29"]
    assert found.previous is not None
    assert found.previous.buckets == ["2026-03-26", "2026-03-27"]
    assert (found.series[0].lines[0].total, found.previous.series[0].lines[0].total) == (2, 2)


def test_a_text_that_json_of_another_reader_refuses_breaks_nothing(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path)
    payloads = [
        '{"properties": {"plan": "\\ud800"}}',
        '{"properties": {"plan": 1e999}}',
        '{"properties": {"plan": "pro"}}',
    ]
    events = [Event("u:ann", "A", T0 + n, payload=payload) for n, payload in enumerate(payloads)]
    warehouse.export(0, 0, 10, [record(1, "acme", *events)])
    where = {"property": "plan", "op": "eq", "value": "pro"}
    asked = {"series": [{"event": "A", "where": where}], "since": iso(T0), "breakdown": {"property": "plan"}}
    found = answer(warehouse, msgspec.convert(asked, Trends), T0 + DAY)
    assert [(line.value, line.total) for line in found.series[0].lines] == [("pro", 1)]


def test_what_is_wrong_with_a_question_is_said_with_its_place() -> None:
    asked = {
        "series": [{"measure": "sum"}, {"event": "A", "where": {"property": "plan", "op": "equals", "value": 1}}],
        "time_zone": "Mars/Olympus",
        "breakdown": {"property": "a", "trait": "b"},
    }
    with pytest.raises(QuestionError) as refused:
        check(msgspec.convert(asked, Trends), T0)
    assert [(one["pointer"], one["code"]) for one in refused.value.errors] == [
        ("/time_zone", "unknown_time_zone"),
        ("/series/0/property", "not_applicable"),
        ("/series/1/where/op", "unknown_operator"),
        ("/breakdown", "ambiguous_node"),
    ]


def test_numbers_that_are_equal_are_one_value() -> None:
    assert comparable(1) == comparable(1.0) == ("number", Fraction(1))
    assert comparable(1) != comparable(True)

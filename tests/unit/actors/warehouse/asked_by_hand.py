"""What questions about events are to be answered with: worked out in plain Python, one event after the other.

Nothing here is shared with what it is compared to but the structs of the questions.
"""

from __future__ import annotations

import itertools
import json
import math
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from whisperer.analytics.questions import Breakdown, Funnel, Lifecycle, Retention, Selection, Stickiness, Trends

NOTHING = object()


@dataclass(frozen=True)
class Done:
    """One event as the oracle sees it."""

    key: str
    name: str
    at: int
    received: int
    properties: dict[str, Any] = field(default_factory=dict)
    traits: dict[str, Any] = field(default_factory=dict)
    link: str | None = None
    previous: str | None = None
    n: int = 0


def tops(events: list[Done]) -> dict[str, str]:
    """Who each key is now."""
    links: dict[str, tuple[int, str]] = {}
    for event in events:
        child = event.previous if event.previous is not None else event.link
        if child is None or child == event.key:
            continue
        found = (event.received, event.key)
        links[child] = min(links.get(child, found), found)
    who = {}
    for key in {event.key for event in events} | set(links):
        at, seen = key, 0
        while at in links and seen < 16:
            at, seen = links[at][1], seen + 1
        who[key] = at
    return who


def value_of(event: Done, path: str, of: dict[str, Any]) -> Any:
    here: Any = of
    for step in path[1:].split("/") if path.startswith("/") else [path]:
        step = step.replace("~1", "/").replace("~0", "~") if path.startswith("/") else step
        here = here.get(step, NOTHING) if isinstance(here, dict) else NOTHING
        if here is NOTHING:
            return None
    return here


def holds(condition: dict[str, Any] | None, event: Done, traits: dict[str, Any]) -> bool:
    if condition is None:
        return True
    if "all" in condition:
        return all(holds(part, event, traits) for part in condition["all"])
    if "any" in condition:
        return any(holds(part, event, traits) for part in condition["any"])
    if "not" in condition:
        return not holds(condition["not"], event, traits)
    name = "property" if "property" in condition else "trait"
    seen = value_of(event, condition[name], event.properties if name == "property" else traits)
    wanted, op = condition.get("value"), condition["op"]
    if op == "exists":
        return seen is not None
    is_number = isinstance(seen, int | float) and not isinstance(seen, bool)
    if op in ("eq", "ne"):
        both = is_number and isinstance(wanted, int | float) and not isinstance(wanted, bool)
        same = (both and seen == wanted) or (type(seen) is type(wanted) and seen == wanted)
        return same == (op == "eq")
    assert op == "gte"
    return is_number and seen >= wanted


class ByHand:
    """The events of one tenant, asked as of a moment."""

    def __init__(self, events: list[Done], now: int) -> None:
        self.events, self.now, self.who = events, now, tops(events)
        self.traits: dict[str, dict[str, Any]] = defaultdict(dict)
        for event in sorted(events, key=lambda e: (e.at, e.received, e.n)):
            if event.name == "$identify":
                self.traits[self.who[event.key]].update(event.traits)

    def matches(self, selection: Selection, event: Done) -> bool:
        named = selection.event is None or selection.event == event.name
        return named and holds(selection.where, event, self.traits[self.who[event.key]])

    def inside(self, asked: Any) -> tuple[int, int]:
        zone = ZoneInfo(asked.time_zone)
        until = self.now + 1 if asked.until is None else moment(asked.until, zone)
        if asked.since is not None:
            return moment(asked.since, zone), until
        last = datetime.fromtimestamp((until - 1) / 1000, UTC).astimezone(zone).date()
        first = last - timedelta(days=(asked.last_days or 30) - 1)
        return moment(first.isoformat(), zone), until

    def wanted(self, asked: Any, since: int, until: int) -> list[Done]:
        found = [event for event in self.events if since <= event.at < until]
        return [event for event in found if holds(asked.where, event, self.traits[self.who[event.key]])]

    def label(self, breakdown: Breakdown, event: Done) -> Any:
        if breakdown.event:
            return event.name
        if breakdown.property is not None:
            found = value_of(event, breakdown.property, event.properties)
        else:
            assert breakdown.trait is not None
            found = value_of(event, breakdown.trait, self.traits[self.who[event.key]])
        return comparable(found)

    # -- trends --------------------------------------------------------------------------------------------------------

    def trends(self, asked: Trends) -> list[dict[Any, tuple[Any, dict[str, Any]]]]:
        """For each series: value of the breakdown -> (total, bucket's beginning -> number)."""
        since, until = self.inside(asked)
        answers = []
        for series in asked.series:
            groups: dict[Any, list[Done]] = defaultdict(list)
            for event in self.wanted(asked, since, until):
                if self.matches(series, event):
                    groups[None if asked.breakdown is None else self.label(asked.breakdown, event)].append(event)
            if asked.breakdown is not None:
                groups = self.largest(groups, asked.breakdown.limit)
            answer = {}
            for label, events in groups.items():
                buckets: dict[str, list[Done]] = defaultdict(list)
                for event in events:
                    buckets[begins(event.at, asked.interval, asked.time_zone)].append(event)
                numbers = {bucket: self.measure(series, held) for bucket, held in buckets.items()}
                answer[label] = self.measure(series, events), numbers
            answers.append(answer)
        return answers

    def largest(self, groups: dict[Any, list[Done]], limit: int) -> dict[Any, list[Done]]:
        ranked = sorted(groups, key=lambda label: (-len(groups[label]), label is None, text(label)))
        kept = {label: groups[label] for label in ranked[:limit]}
        rest = [event for label in ranked[limit:] for event in groups[label]]
        return {**kept, **({NOTHING: rest} if rest else {})}

    def measure(self, series: Any, events: list[Done]) -> Any:
        users = {self.who[event.key] for event in events}
        if series.measure == "count":
            return len(events)
        if series.measure == "users":
            return len(users)
        if series.measure == "per_user":
            return len(events) / len(users) if users else 0
        found = [value_of(event, series.property, event.properties) for event in events]
        numbers = sorted(n for n in found if isinstance(n, int | float) and not isinstance(n, bool))
        if series.measure == "sum":
            return math.fsum(numbers)
        if not numbers:
            return None
        if series.measure == "average":
            return math.fsum(numbers) / len(numbers)
        if series.measure in ("min", "max"):
            return {"min": min, "max": max}[series.measure](numbers)
        return quantile(numbers, int(series.measure[1:]) / 100)

    # -- funnels -------------------------------------------------------------------------------------------------------

    def funnel(self, asked: Funnel) -> tuple[list[list[int]], dict[Any, list[int]]]:
        """For each step: the ms of everybody who reached it, sorted; for each value: users by step."""
        since, until = self.inside(asked)
        window = asked.window_s * 1000
        allowed = self.allowed(asked, since, until) if asked.breakdown is not None else []
        held: dict[str, list[tuple[Any, Done, set[int], set[int]]]] = defaultdict(list)
        for event in self.wanted(asked, since, until + window):
            steps = {n for n, step in enumerate(asked.steps) if self.matches(step, event)}
            out = {n for n, one in enumerate(asked.exclude) if self.matches(one, event)}
            first = min(steps, default=len(asked.steps) + min(out, default=len(asked.exclude)))
            if steps or out or asked.order == "strict":
                bits = sum(1 << n for n in steps) + sum(1 << len(asked.steps) + n for n in out)
                place = 0
                if asked.breakdown is not None:
                    label = self.label(asked.breakdown, event)
                    place = allowed.index(label) if label in allowed else len(allowed)
                held[self.who[event.key]].append(((event.at, first, bits, place), event, steps, out))
        times: list[list[int]] = [[] for _ in asked.steps]
        reached: dict[Any, list[list[int]]] = defaultdict(lambda: [[] for _ in asked.steps])
        for events in held.values():
            events.sort(key=lambda one: one[0])
            walked = self.any_order(asked, events, until) if asked.order == "any" else self.chains(asked, events, until)
            if not walked:
                continue
            label = None
            if asked.breakdown is not None:
                label = self.label(asked.breakdown, events[walked[-1][0]][1])
                label = label if label in allowed else NOTHING
            for step, (_, took) in enumerate(walked):
                times[step].append(took)
                reached[label][step].append(took)
        by_label = {label: [len(one) for one in steps] for label, steps in reached.items()}
        return [sorted(one) for one in times], by_label if asked.breakdown is not None else {}

    def allowed(self, asked: Funnel, since: int, until: int) -> list[Any]:
        groups: dict[Any, list[Done]] = defaultdict(list)
        assert asked.breakdown is not None
        for event in self.wanted(asked, since, until):
            begins = asked.steps if asked.order == "any" else asked.steps[:1]
            if any(self.matches(step, event) for step in begins):
                groups[self.label(asked.breakdown, event)].append(event)
        return [label for label in self.largest(groups, asked.breakdown.limit) if label is not NOTHING]

    def chains(self, asked: Funnel, events: list[Any], until: int) -> list[tuple[int, int]]:
        """(where it began, ms) of each step that was reached, looking at every chain there is."""
        window = asked.window_s * 1000
        found: dict[int, set[tuple[int, int]]] = defaultdict(set)  # steps -> (end, begin) of chains

        def go_on(chain: list[int]) -> None:
            found[len(chain)].add((chain[-1], chain[0]))
            if len(chain) == len(asked.steps):
                return
            for at in range(chain[-1] + 1, len(events)):
                if asked.order == "strict" and at != chain[-1] + 1:
                    return
                if len(chain) not in events[at][2] or events[at][1].at - events[chain[0]][1].at > window:
                    continue
                between = range(chain[-1] + 1, at)
                if any(
                    n in events[one][3]
                    for one in between
                    for n, out in enumerate(asked.exclude)
                    if out.after <= len(chain) < (out.before or len(asked.steps))
                ):
                    continue
                go_on([*chain, at])

        for at, (_, event, steps, _) in enumerate(events):
            if 0 in steps and event.at < until:
                go_on([at])
        walked = []
        for n in range(1, len(asked.steps) + 1):
            if not found[n]:
                break
            end = min(end for end, _ in found[n])
            begin = max(begin for one, begin in found[n] if one == end)
            walked.append((begin, events[end][1].at - events[begin][1].at))
        return walked

    def any_order(self, asked: Funnel, events: list[Any], until: int) -> list[tuple[int, int]]:
        window = asked.window_s * 1000
        best: dict[int, tuple[int, int]] = {}
        for at, (_, event, _, _) in enumerate(events):
            if event.at >= until:
                continue
            waits: dict[int, int] = {}
            for _, later, steps, _ in events[at:]:
                for step in steps:
                    if later.at - event.at <= window:
                        waits.setdefault(step, later.at - event.at)
            for n, took in enumerate(sorted(waits.values())):
                best.setdefault(n, (at, took))
        return [best[n] for n in sorted(best)]

    # -- retention -----------------------------------------------------------------------------------------------------

    def retention(self, asked: Retention) -> dict[str, tuple[int, list[int]]]:
        """Cohort's beginning -> (users, how many returned by period), of cohorts with users."""
        since, until = self.inside(asked)
        starts: dict[str, set[int]] = defaultdict(set)
        returns: dict[str, set[int]] = defaultdict(set)
        order = all_buckets(since, until, asked.interval, asked.time_zone)
        early = set()
        for event in self.wanted(asked, -(2**60), until):
            user = self.who[event.key]
            if event.at < since:
                if self.matches(asked.start, event):
                    early.add(user)
                continue
            at = order.index(begins(event.at, asked.interval, asked.time_zone))
            if self.matches(asked.start, event):
                starts[user].add(at)
            if self.matches(asked.return_, event):
                returns[user].add(at)
        answer: dict[str, tuple[int, list[int]]] = {}
        for at, bucket in enumerate(order):
            if asked.type == "recurring":
                users = [user for user, held in starts.items() if at in held]
            else:
                users = [user for user, held in starts.items() if user not in early and min(held) == at]
            back = []
            for n in range(min(asked.periods + 1, len(order) - at)):
                if asked.type == "rolling":
                    back.append(sum(any(one >= at + n for one in returns[user]) for user in users))
                else:
                    back.append(sum(at + n in returns[user] for user in users))
            if users:
                answer[bucket] = len(users), back
        return answer

    # -- who is active -------------------------------------------------------------------------------------------------

    def active(self, asked: Any, until: int) -> dict[str, set[str]]:
        """Each user's buckets."""
        found: dict[str, set[str]] = defaultdict(set)
        for event in self.wanted(asked, -(2**60), until):
            if self.matches(asked.of, event):
                found[self.who[event.key]].add(begins(event.at, asked.interval, asked.time_zone))
        return found

    def lifecycle(self, asked: Lifecycle) -> list[tuple[str, int, int, int, int]]:
        since, until = self.inside(asked)
        held = self.active(asked, until).values()
        answer = []
        for bucket in all_buckets(since, until, asked.interval, asked.time_zone):
            day = date.fromisoformat(bucket) - timedelta(days=1)
            at_noon = moment(day.isoformat(), ZoneInfo(asked.time_zone)) + 43_200_000
            before = begins(at_noon, asked.interval, asked.time_zone)
            here = [user for user in held if bucket in user]
            new = sum(min(user) == bucket for user in here)
            returning = sum(before in user for user in here)
            dormant = sum(before in user and bucket not in user for user in held)
            answer.append((bucket, new, returning, len(here) - new - returning, dormant))
        return answer

    def stickiness(self, asked: Stickiness) -> tuple[list[int], list[tuple[str, int, int, int]]]:
        since, until = self.inside(asked)
        order = all_buckets(since, until, asked.interval, asked.time_zone)
        counts = [len(user & set(order)) for user in self.active(asked, until).values()]
        days = self.active(msgspec.structs.replace(asked, interval="day"), until).values()
        zone = ZoneInfo(asked.time_zone)
        first = date.fromisoformat(order[0])
        last = datetime.fromtimestamp((until - 1) / 1000, UTC).astimezone(zone).date()
        rows = []
        for n in range((last - first).days + 1):
            day = first + timedelta(days=n)
            windows = [{(day - timedelta(days=k)).isoformat() for k in range(length)} for length in (1, 7, 30)]
            rows.append((day.isoformat(), *(sum(bool(user & window) for user in days) for window in windows)))
        return [counts.count(n) for n in range(1, len(order) + 1)], rows


def comparable(value: Any) -> Any:
    """Equal for what counts as the same value: 1 and 1.0 are, 1 and true are not."""
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return ("bool", value) if isinstance(value, bool) else value
    if isinstance(value, int | float):
        return ("number", Fraction(value))
    return ("json", repr(value))


def text(label: Any) -> str:
    if isinstance(label, tuple) and label[0] == "number":
        return str(int(label[1])) if label[1].denominator == 1 else repr(float(label[1]))
    if isinstance(label, tuple):
        return json.dumps(label[1]) if label[0] == "bool" else label[1]
    return json.dumps(label, ensure_ascii=False)


def quantile(numbers: list[float], share: float) -> float:
    at = (len(numbers) - 1) * share
    low = math.floor(at)
    high = min(low + 1, len(numbers) - 1)
    return numbers[low] + (numbers[high] - numbers[low]) * (at - low)


def moment(written: str, zone: ZoneInfo) -> int:
    if len(written) == 10:
        day = date.fromisoformat(written)
        return round(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp() * 1000)
    return round(datetime.fromisoformat(written.replace("Z", "+00:00")).timestamp() * 1000)


def begins(at: int, interval: str, zone: str) -> str:
    local = datetime.fromtimestamp(at / 1000, UTC).astimezone(ZoneInfo(zone))
    if interval == "hour":
        return local.replace(minute=0, second=0, microsecond=0).isoformat(timespec="minutes")
    day = local.date()
    if interval == "week":
        day -= timedelta(days=day.weekday())
    return (day.replace(day=1) if interval == "month" else day).isoformat()


def all_buckets(since: int, until: int, interval: str, zone: str) -> list[str]:
    """All buckets that touch a period, found a quarter of an hour at a time."""
    moments = itertools.chain(range(since, until, 900_000), [until - 1])
    return list(dict.fromkeys(begins(at, interval, zone) for at in moments))

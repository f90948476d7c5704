"""Answer funnels: the query brings each user's events together, and here is computed how far everybody came.

A user may try often. Counted is the attempt that reached furthest, of those the one that reached it first; to each step
the time is measured from the latest first step from which the user came there. Everything is worked out for all users
of a batch at once: for each step, in one pass over the events, from the latest attempt that had reached the step
before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from whisperer.analytics.answers import FunnelAnswer, FunnelLine, StepAnswer, iso, shown, span_of
from whisperer.analytics.moves import Ints, Layout, Moves, first_of_each
from whisperer.analytics.questions import Funnel, Period, period_of
from whisperer.analytics.sql import MOMENT, Query
from whisperer.analytics.statement import Ask, Statement

LABEL_BITS = 7


@dataclass(frozen=True, slots=True)
class Rules:
    """What of a question decides about a user's events.

    Attributes
    ----------
    n_steps : without exclusions, whose bits follow those of the steps
    window : ms within which the last step must follow the first
    entry : ms since the period began, before which the first step must be
    excluded : (bit, after, before) of each exclusion, steps counted from 1
    """

    n_steps: int
    order: str
    window: int
    entry: int
    excluded: tuple[tuple[int, int, int], ...] = ()


@dataclass(slots=True)
class Tally:
    """Users by the step that they reached: how many reached each, and the ms that it took them."""

    n_steps: int
    users: list[int] = field(init=False)
    times: list[list[Ints]] = field(init=False)

    def __post_init__(self) -> None:
        self.users = [0] * self.n_steps
        self.times = [[] for _ in range(self.n_steps)]

    def add(self, step: int, times: Ints) -> None:
        """Count users who reached a step (from 0), each with the time that it took."""
        self.users[step] += len(times)
        self.times[step].append(times)


def answer(question: Funnel, now: int, ask: Ask) -> FunnelAnswer:
    """Return the answer to a question that was checked."""
    period = period_of(question, now)
    labels: list[str | None] = []
    if question.breakdown is not None:
        for batch in ask(labels_statement(question, period)):
            labels += batch.column(0).to_pylist()
    layout, rules = layout_of(question), rules_of(question, period)
    whole = Tally(rules.n_steps)
    by_label: dict[int, Tally] = {}
    for batch in ask(statement(question, period, labels)):
        reached(Moves.of_batch(batch, layout), rules, whole, by_label if question.breakdown is not None else None)
    lines = []
    for place in sorted(by_label):
        is_other = place >= len(labels)
        value = None if is_other else shown(labels[place])
        lines.append(FunnelLine(value=value, is_other=is_other, steps=_steps(question, by_label[place])))
    return FunnelAnswer(
        as_of=iso(now),
        period=span_of(period),
        order=question.order,
        window_s=question.window_s,
        steps=_steps(question, whole),
        lines=lines,
    )


def layout_of(question: Funnel) -> Layout:
    """Return how the query packs events."""
    n_bits = len(question.steps) + len(question.exclude)
    return Layout.of(n_bits, 0 if question.breakdown is None else LABEL_BITS)


def rules_of(question: Funnel, period: Period) -> Rules:
    """Return what decides about a user's events."""
    n_steps = len(question.steps)
    excluded = tuple(
        (n_steps + at, one.after, n_steps if one.before is None else one.before)
        for at, one in enumerate(question.exclude)
    )
    return Rules(n_steps, question.order, question.window_s * 1000, period.until - period.since, excluded)


def labels_statement(question: Funnel, period: Period) -> Statement:
    """Return the query of the breakdown's values, one row each: those with most events with which users can begin."""
    assert question.breakdown is not None
    query = Query(period)
    begins = question.steps if question.order == "any" else question.steps[:1]
    wanted = [query.within(period.since, period.until), f"({' OR '.join(map(query.selected, begins))})"]
    if question.where is not None:
        wanted.append(query.condition(question.where))
    label = query.label(question.breakdown)
    source = f"SELECT {label} AS label {query.of_events()} WHERE {' AND '.join(wanted)}"
    text = (
        f"{query.opening()}SELECT label FROM ({source}) GROUP BY label "
        f"ORDER BY count(*) DESC, label NULLS LAST LIMIT {question.breakdown.limit}"
    )
    return Statement(text, query, period.since, period.until)


def statement(question: Funnel, period: Period, labels: Sequence[str | None]) -> Statement:
    """Return the query of users' events: one row a user, a list of integers."""
    query = Query(period)
    end = period.until + question.window_s * 1000
    selections = [*question.steps, *question.exclude]
    steps = " | ".join(
        f"CASE WHEN {query.selected(one)} THEN {1 << at} ELSE 0 END::BIGINT" for at, one in enumerate(selections)
    )
    wanted = [query.within(period.since, end)]
    if question.where is not None:
        wanted.append(query.condition(question.where))
    names = {one.event for one in selections}
    if question.order != "strict" and None not in names:
        wanted.append(f"e.event IN ({', '.join(query.bind(name) for name in sorted(map(str, names)))})")
    label, placed = "0::BIGINT", "0::BIGINT"
    if question.breakdown is not None:
        label = query.label(question.breakdown)
        cases = " ".join(
            f"WHEN label IS NOT DISTINCT FROM {query.bind(value)}::VARCHAR THEN {at}" for at, value in enumerate(labels)
        )
        placed = f"CASE {cases} ELSE {len(labels)} END::BIGINT" if cases else placed
    kept = "" if question.order == "strict" else "WHERE steps <> 0"
    entered = "" if question.order == "any" else "HAVING bool_or((steps & 1) <> 0)"
    packed = layout_of(question).packed_sql(f"moment - {period.since}", "steps", placed)
    source = (
        f"SELECT {query.who()} AS who, {MOMENT} AS moment, {steps} AS steps, {label} AS label "
        f"{query.of_events()} WHERE {' AND '.join(wanted)}"
    )
    text = f"{query.opening()}SELECT list({packed}) AS moves FROM ({source}) {kept} GROUP BY who {entered}"
    return Statement(text, query, period.since, end)


def reached(moves: Moves, rules: Rules, whole: Tally, by_label: dict[int, Tally] | None) -> None:
    """Add up how far a batch's users came; by the value of the event that their attempt began with, if asked."""
    if not len(moves.time):
        return
    walk = _any_order if rules.order == "any" else _in_order
    firsts: list[
        tuple[Ints, Ints, Ints]
    ] = []  # of each step: users who reached it, the event they began with, the time
    for ends, begins, times in walk(moves, rules):
        users = moves.user[ends]
        whole.add(len(firsts), times)
        firsts.append((users, begins, times))
    if by_label is None or not firsts:
        return
    label = np.full(int(moves.user[-1]) + 1, -1)
    for users, begins, _ in firsts:  # the last step that a user reached says with what the attempt began
        label[users] = moves.label[begins]
    for step, (users, _, times) in enumerate(firsts):
        of = label[users]
        for place in np.unique(of).tolist():
            by_label.setdefault(place, Tally(rules.n_steps)).add(step, times[of == place])


def _in_order(moves: Moves, rules: Rules) -> list[tuple[Ints, Ints, Ints]]:
    """Return, for each step, the events at which users first reached it, where these began, and the ms it took."""
    n = len(moves.time)
    here = np.arange(n)
    began = np.where((moves.steps & 1 != 0) & (moves.time < rules.entry), here, -1)
    found = []
    for step in range(rules.n_steps):
        if step:
            before = _just_before(began, moves) if rules.order == "strict" else _latest(began, moves, rules, step)
            took = moves.time - moves.time[before]
            is_next = (before >= 0) & (moves.steps >> step & 1 != 0) & (took <= rules.window)
            began = np.where(is_next, before, -1)
        ends = first_of_each(moves.user, np.flatnonzero(began >= 0))
        begins = began[ends]
        found.append((ends, begins, moves.time[ends] - moves.time[begins]))
    return found


def _just_before(began: Ints, moves: Moves) -> Ints:
    before = np.concatenate(([-1], began[:-1]))
    return np.where(before >= moves.start, before, -1)


def _latest(began: Ints, moves: Moves, rules: Rules, step: int) -> Ints:
    """Return at each event the latest attempt that had reached the step before it, and no exclusion has ended since."""
    n = len(began)
    segment = moves.user
    is_barrier = np.zeros(0, np.bool_)
    bits = sum(1 << bit for bit, after, before in rules.excluded if after <= step < before)
    if bits:
        # Each exclusion begins a segment of its own: what was reached before counts no more after it.
        is_barrier = moves.steps & bits != 0
        segment = segment + np.cumsum(is_barrier)
    # A later segment's codes are larger than all of an earlier one's.
    codes = np.maximum.accumulate(segment * (n + 1) + began + 1)
    of_before = np.concatenate(([0], codes[:-1]))
    # An exclusion that is a step as well is the step first: it follows what the segment before had reached.
    wanted = np.where(is_barrier, segment - 1, segment) if bits else segment
    before = of_before % (n + 1) - 1
    return np.where((of_before // (n + 1) == wanted) & (before >= moves.start), before, -1)


def _any_order(moves: Moves, rules: Rules) -> list[tuple[Ints, Ints, Ints]]:
    """Do the same where steps may come in any order, the first of them whichever it is."""
    n = len(moves.time)
    never = np.iinfo(np.int64).max
    waits = np.empty((n, rules.n_steps), np.int64)
    end_of = _ends(moves)
    for step in range(rules.n_steps):
        places = np.where(moves.steps >> step & 1 != 0, np.arange(n), n)
        following = np.minimum.accumulate(places[::-1])[::-1]
        is_theirs = following < end_of
        times = moves.time[np.minimum(following, n - 1)] - moves.time
        waits[:, step] = np.where(is_theirs & (times <= rules.window), times, never)
    waits.sort(axis=1)
    may_begin = moves.time < rules.entry
    found = []
    for step in range(rules.n_steps):
        begins = first_of_each(moves.user, np.flatnonzero(may_begin & (waits[:, step] != never)))
        found.append((begins, begins, waits[begins, step]))
    return found


def _ends(moves: Moves) -> Ints:
    """Return for each event where its user's events end."""
    sizes = np.bincount(moves.user)
    return moves.start + sizes[moves.user]


def _steps(question: Funnel, tally: Tally) -> list[StepAnswer]:
    found: list[StepAnswer] = []
    for at, (step, n_users) in enumerate(zip(question.steps, tally.users, strict=True)):
        times = np.concatenate(tally.times[at]) if tally.times[at] else np.zeros(0, np.int64)
        median, p90 = np.quantile(times, (0.5, 0.9)) / 1000 if len(times) else (None, None)
        found.append(
            StepAnswer(
                event=step.event,
                users=n_users,
                of_first=_share(n_users, tally.users[0]),
                of_previous=_share(n_users, tally.users[max(0, at - 1)]),
                median_s=None if median is None else float(median),
                p90_s=None if p90 is None else float(p90),
            )
        )
    return found


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None

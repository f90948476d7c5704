"""View a shard without changing it: one user for callers, a digest for replay tests, invariants for every teardown."""

from __future__ import annotations

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import msgspec

from whisperer.errors import InvariantError
from whisperer.ids import DecisionId, TenantId, UserKey, anonymous_key, bare_id, is_anonymous, known_key
from whisperer.journeys.engagement import OPEN, DecisionStatus
from whisperer.journeys.engagement import encode as encode_engagement
from whisperer.profiles import features, pages, timeline, traits
from whisperer.profiles.history import EVER
from whisperer.profiles.population import AWAY, FORWARDED, LIVE, VACANT
from whisperer.profiles.record import NEVER, WINDOW_DAYS
from whisperer.profiles.scores import SCORES
from whisperer.profiles.timeline import Entry
from whisperer.shard import accounts
from whisperer.shard.accounts import Account, expose_all
from whisperer.shard.decision import view as decision_view
from whisperer.shard.machine import Shard
from whisperer.shard.state.log import encode_log
from whisperer.shard.state.tenant import PartitionPair, Tenant
from whisperer.shard.views.decision import DecisionView
from whisperer.shard.views.user import Located, ScoresView, UserView


def keys_for(user_id: str) -> tuple[UserKey, UserKey]:
    """Return the keys to try for an id that a caller gives: as a userId first, then as an anonymousId."""
    return known_key(user_id), anonymous_key(user_id)


def user(shard: Shard, tenant_id: TenantId, key: UserKey, as_of: int | None = None) -> UserView | None:
    """Return one user as of ``as_of`` (ms UTC; the shard's own time if None), or None if there is no such user."""
    return users(shard, tenant_id, [key], as_of)[0]


def users(
    shard: Shard, tenant_id: TenantId, keys: Sequence[UserKey], as_of: int | None = None
) -> list[UserView | None]:
    """Return what :func:`user` does for each key: together they cost less."""
    tenant = shard.tenants.get(tenant_id)
    if tenant is None:
        return [None] * len(keys)
    people = tenant.people
    found: list[UserView | None] = []
    live: defaultdict[int, dict[int, UserView]] = defaultdict(dict)
    """By the time that features are of, and row."""
    for key in keys:
        row = people.keys.get(key)
        if row is not None and people.table["status"][row] == FORWARDED:
            found.append(UserView(key, moved_to=people.targets[row]))
        elif row is None or people.table["n_events"][row] == 0:
            found.append(None)
        else:
            view = _without_features(tenant, key, row)
            now = max(shard.now, view.last_seen or 0) if as_of is None else as_of
            found.append(live[now].setdefault(row, view))
    for now, views in live.items():
        for view, values in zip(views.values(), features.describe(people.table, list(views), now), strict=True):
            view.features = values
    return found


def located(shard: Shard, tenant_id: TenantId, key: UserKey) -> Located | None:
    """Return where a key leads, or None if there is no such user: what :func:`user` begins with."""
    tenant = shard.tenants.get(tenant_id)
    row = tenant.people.keys.get(key) if tenant else None
    if tenant is None or row is None:
        return None
    people = tenant.people
    if people.table["status"][row] == FORWARDED:
        return Located(key, people.targets[row])
    return Located(key, None) if people.table["n_events"][row] else None


def _without_features(tenant: Tenant, key: UserKey, row: int) -> UserView:
    people = tenant.people
    state = people.extract(row)
    partition = people.partition(row)
    held = tenant.loop.engagements.get(row) or tenant.loop.beginning(key)
    return UserView(
        key=key,
        anonymous_ids=[bare_id(k) for k in state.links if is_anonymous(k)],
        previous_ids=[bare_id(k) for k in state.links if not is_anonymous(k)],
        refused_anonymous_ids=[bare_id(k) for k in state.refused],
        traits=traits.raw_values(people.traits[row]),
        event_counts={name: count for name, day, count in state.history if day == EVER},
        segments=tenant.segments.of(people, row),
        timeline=state.timeline,
        first_seen=None if state.first_seen == NEVER else state.first_seen,
        last_seen=None if state.last_seen == NEVER else state.last_seen,
        time_zone=state.zone or None,
        locale=state.locale or None,
        partition=partition,
        sequence=int(tenant.sequence[partition]),
        daily_counts=[entry for entry in state.history if entry[1] != EVER],
        candidacies=[decision_view.view(tenant, row, decision) for decision in reversed(held.decisions)],
        standing=held.standing,
        group=held.standing.assignment.group if held.standing.assignment else "",
        scores=_scores(tenant, row),
        n_traits=pages.n_names_of(people.traits[row]),
        traits_bytes=pages.n_bytes_of(people.traits[row]),
    )


def _scores(tenant: Tenant, row: int) -> ScoresView | None:
    """Return a user's scores, or None before the first sweep that found the user."""
    found = [float(tenant.people.table[name][row]) for name in SCORES]
    if all(map(math.isnan, found)):
        return None
    churn, engagement = (None if math.isnan(value) else round(value, 6) for value in found)
    return ScoresView(churn, engagement, tenant.scored_by, tenant.scored_at)


def root(shard: Shard, tenant_id: TenantId, key: UserKey) -> UserKey:
    """At the arbiter of aliases: return the user that a key is part of, itself if it was never joined."""
    tenant = shard.tenants.get(tenant_id)
    return key if tenant is None else tenant.forest.root(key)


def decision(shard: Shard, tenant_id: TenantId, decision_id: DecisionId) -> DecisionView | None:
    """Return the view of a decision, or None if it is not in memory here."""
    tenant = shard.tenants.get(tenant_id)
    found = tenant.loop.find(decision_id) if tenant else None
    return None if tenant is None or found is None else decision_view.view(tenant, *found)


def profile_digest(shard: Shard) -> str:
    """Hash the users, without where their JSON is stored: equal for equal histories, however they were batched."""
    return _digest({t.id: _profiles(t) for t in shard.tenants.values()})


def digest(shard: Shard) -> str:
    """Hash everything that a replay must reproduce."""
    state = {
        t.id: [
            _profiles(t, exact=True),
            t.sequence.tolist(),
            t.sent.tolist(),
            sorted(t.chain.items()),
            sorted(t.cursors.items()),
            [(one.source, one.sequence, one.target, msgspec.msgpack.encode(one.body)) for one in t.letters.values()],
            sorted((k, o.user, o.shared) for k, o in t.owners.items()),
            sorted(t.forest.parents.items()),
            sorted(t.forest.sizes.items()),
            sorted(t.forest.asked.items()),
            sorted(t.tombstones.items()),
            sorted((str(t.people.keys.text(row)), at) for row, at in t.floors.items()),
            sorted(t.counters.items()),
            sorted((s.config.name, s.config.version, s.backfilled) for s in t.segments.live.values()),
            _loop(t),
            [t.score_model, t.scored_by, t.scored_at],
            [t.config_version, sorted(t.erasing.items())],
        ]
        for t in shard.tenants.values()
    }
    moves = [sorted(shard.absent), sorted(shard.arriving.items()), sorted(shard.sweeping), sorted(shard.counted)]
    kept = None if shard.kept is None else sorted((tenant, sorted(held)) for tenant, held in shard.kept.items())
    repeats = sorted((position, counted.tolist()) for position, counted in shard.repeats.items())
    moves += [sorted(shard.moved.items()), kept]
    return _digest([state, shard.now, moves, len(shard.dedup), encode_log(shard.log), repeats])


def _profiles(tenant: Tenant, exact: bool = False) -> list[Any]:
    people = tenant.people
    found = []
    for row in range(people.table.n):
        key = people.keys.text(row)
        if key is None:
            continue
        state = people.extract(row)
        newest = int(people.table["newest_day"][row])
        state.history = [h for h in state.history if h[1] == EVER or h[1] > newest - WINDOW_DAYS]
        if not exact:
            # Sequence numbers and references depend on where an event was journaled, not on what it was.
            state.timeline = sorted(Entry(e.timestamp, 0, e.kind, e.name, 0, 0) for e in state.timeline)
            state.traits = {name: (at, 0, text) for name, (at, _, text) in state.traits.items()}
        segments = tenant.segments.of(people, row)
        days = people.table["daily"][row].tolist()
        scores = [float(people.table[name][row]) for name in SCORES] if exact else []
        found.append((key, people.targets.get(row), msgspec.msgpack.encode(state), segments, newest, days, scores))
    return sorted(found, key=lambda entry: entry[0])


def _loop(tenant: Tenant) -> list[Any]:
    loop = tenant.loop
    return [
        sorted((str(tenant.people.keys.text(row)), encode_engagement(held)) for row, held in loop.engagements.items()),
        sorted((str(tenant.people.keys.text(row)), encode_engagement(held)) for row, held in loop.asleep.items()),
        sorted(msgspec.msgpack.encode(accounts.store(name, account)) for name, account in loop.accounts.items()),
        [loop.rewards.first, loop.rewards.all()],
        sorted(msgspec.msgpack.encode(config) for config in loop.campaigns.versions.values()),
        loop.schedules,
        loop.experiment,
        sorted(loop.retained.items()),
        *([sorted(loop.wishes.items())] if loop.wishes else []),  # earlier releases had none, and so another digest
    ]


def _digest(value: Any) -> str:
    return hashlib.blake2b(msgspec.msgpack.encode(value), digest_size=16).hexdigest()


def check(shard: Shard) -> None:
    """Check every invariant of a shard at rest.

    Raises
    ------
    InvariantError
        Names the tenant, the key and what is wrong.
    """
    for tenant in shard.tenants.values():
        people, table = tenant.people, tenant.people.table
        _require(len(people.keys) == table.n == len(people.traits), tenant, "columns differ in length")
        stored = sum(map(pages.length_of, people.traits))
        _require(people.traits_bytes == stored, tenant, "the size of the traits is miscounted")
        for row in range(table.n):
            key = people.keys.text(row)
            _require(key is None or people.keys.get(key) == row, tenant, f"the index does not lead to {key}")
            status = int(table["status"][row]) & ~AWAY
            _require((key is None) == (status == VACANT), tenant, f"row {row} is vacant and has a key")
            if key is None:
                continue
            place = (tenant.id, people.partition(row))
            _require(place[1] == tenant.home(key), tenant, f"{key} is not in its partition", key)
            if table["status"][row] & AWAY:
                known = place in shard.absent or place in shard.arriving
                _require(known, tenant, f"{key} is away and its partition neither left nor comes", key)
                _require(row not in tenant.loop.engagements, tenant, f"{key} is away and its engagement is awake", key)
            _require((row in people.targets) == (status == FORWARDED), tenant, f"{key} has a forward and is live", key)
            state = people.extract(row)
            scores = [float(people.table[name][row]) for name in SCORES]
            _require(not any(s < 0 or s > 1 for s in scores), tenant, f"{key} has a score outside of 0 to 1", key)
            if status != LIVE:
                _require(all(map(math.isnan, scores)), tenant, f"{key} was merged away and still has a score", key)
                empty = state.n_events == 0 and not state.history and not state.traits and not state.timeline
                _require(empty, tenant, f"{key} was merged away and still holds state", key)
                continue
            ever = sum(count for _, day, count in state.history if day == EVER)
            _require(
                ever == state.n_events, tenant, f"{key}: counts by name add up to {ever}, not {state.n_events}", key
            )
            newest = int(table["newest_day"][row])
            dated: dict[int, int] = {}
            for _, day, count in state.history:
                if day > max(EVER, newest - WINDOW_DAYS):
                    dated[day] = dated.get(day, 0) + count
            ring = {
                day: int(table["daily"][row, day % WINDOW_DAYS])
                for day in range(max(1, newest - WINDOW_DAYS + 1), newest + 1)
                if table["daily"][row, day % WINDOW_DAYS]
            }
            _require(ring == dated, tenant, f"{key}: the daily ring and the history differ", key)
            _require(len(state.timeline) <= timeline.KEEP, tenant, f"{key}: the timeline is too long", key)
            if state.last_seen != NEVER:
                _require(state.first_seen <= state.last_seen, tenant, f"{key} was last seen before first seen", key)
        last: dict[PartitionPair, int] = {}
        for letter in tenant.letters.values():
            pair = (letter.source, letter.target)
            in_order = letter.after in (last.get(pair, letter.after), 0) and letter.after < letter.sequence
            _require(in_order, tenant, f"the letters from partition {pair[0]} to {pair[1]} are no chain")
            last[pair] = letter.sequence
        for pair, sequence in last.items():
            _require(sequence <= tenant.chain.get(pair, 0), tenant, f"the chain of {pair} ends before its last letter")
        for (source, sequence), letter in tenant.letters.items():
            _require((letter.source, letter.sequence) == (source, sequence), tenant, "a letter is misfiled")
            _require(sequence <= int(tenant.sent[source]), tenant, "a letter is ahead of its counter")
        _check_loop(tenant)
        parents = tenant.forest.parents
        for child in parents:
            seen = {child}
            while child in parents:
                child = parents[child]
                _require(child not in seen, tenant, f"aliases run in a circle at {child}")
                seen.add(child)


def _check_loop(tenant: Tenant) -> None:
    loop, people = tenant.loop, tenant.people
    n_open: Counter[str] = Counter()
    places = {}
    groups: dict[str, Account] = {}
    for row, held in loop.engagements.items():
        key = people.keys.text(row)
        _require(key is not None, tenant, f"row {row} is vacant and has an engagement")
        opened = [d for d in held.decisions if d.status in OPEN]
        _require(len(opened) <= 1, tenant, f"{key} has {len(opened)} open decisions", people.keys.text(row))
        _require(
            len({d.id for d in held.decisions}) == len(held.decisions),
            tenant,
            "a decision is there twice",
            people.keys.text(row),
        )
        n_open.update(d.campaign for d in opened)
        places.update({d.id: (row, d) for d in held.decisions})
        expose_all(groups, held, 1)
        for d in held.decisions:
            _require(
                d.status != DecisionStatus.SENT or d.send is not None,
                tenant,
                f"{d.id} was sent and has no send",
                people.keys.text(row),
            )
            _require(
                d.mature_at >= 0 or d.status in OPEN or d.chosen_at < 0,
                tenant,
                f"{d.id} never matures",
                people.keys.text(row),
            )
    _require(places.keys() == loop.places.keys(), tenant, "the index of decisions is incomplete")
    same = all(loop.places[d][0] == row and loop.places[d][1] is held for d, (row, held) in places.items())
    _require(same, tenant, "the index of decisions is out of step")
    under = Counter((d.campaign, d.campaign_version) for _, d in places.values())
    _require(under == loop.n_under, tenant, "versions that decisions are under are counted wrong")
    _require(under.keys() <= loop.campaigns.versions.keys(), tenant, "a decision is under a version that is forgotten")
    for name, account in loop.accounts.items():
        _require(account.balance == 0, tenant, f"{name}: candidates are off by {account.balance}")
        _require(
            0 <= account.unknown <= account.sent, tenant, f"{name}: {account.unknown} unknown of {account.sent} sent"
        )
        _require(account.pending == n_open[name], tenant, f"{name}: {account.pending} pending, {n_open[name]} open")
        counted = {g: a for g, a in account.groups.items() if a.users or a.total_milli}
        exposed = {g: a for g, a in groups.get(name, Account()).groups.items() if a.users or a.total_milli}
        _require(counted == exposed, tenant, f"{name}: the groups' sums differ from their users'")
    _require(set(n_open) <= set(loop.accounts), tenant, "a campaign has open decisions and no account")


def _require(holds: bool, tenant: Tenant, what: str, user: UserKey | None = None) -> None:
    if not holds:
        raise InvariantError(f"tenant {tenant.id}: {what}", tenant=tenant.id, user=user or "")

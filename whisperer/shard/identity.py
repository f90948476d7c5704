"""The merge saga: which keys are one person, decided by messages between partitions.

The partition of an anonymous id arbitrates it: the first user it is claimed for owns it; a claim by another user is
refused, marks the id as shared and starts a fresh anonymous history that merges into nobody. One partition of each
tenant arbitrates aliases, so that accepted aliases form a forest and no forward can run in a circle. Each step is
idempotent: messages come at least once, in order for each (source, target), and are applied once.

    home of the user             home of the anonymous id
    -----------------            ------------------------
    event with both ids  Claim ->  first: owner := user; state taken out; forward left behind
                    <- MergeIn     (state)
    state added                    later events of the id -> Forward
                    <- Refused     another user owns it
"""

from __future__ import annotations

from collections.abc import Iterator

from whisperer.eligibility.refusal import Reason
from whisperer.ids import anonymous_key, bare_id, is_anonymous, message_hash
from whisperer.journeys.engagement import decode as decode_engagement
from whisperer.journeys.engagement import encode as encode_engagement
from whisperer.profiles.population import FORWARDED
from whisperer.shard.effects import Effect, Send, UserErased
from whisperer.shard.records import (
    AliasAsk,
    AliasForget,
    AliasGrant,
    Claim,
    EraseLinked,
    MergeIn,
    Refused,
)
from whisperer.shard.tenant import Owner, Tenant

ALIAS_ARBITER = 0
"""The partition that orders a tenant's aliases."""

MAX_LINKS = 1_000
"""Other keys a profile may hold; more are refused as `identity_full`."""


def note_link(tenant: Tenant, row: int, link: str, now: int) -> Iterator[Effect]:
    """An event of a live user carried a second id."""
    people = tenant.people
    held = people.links.get(row, {})
    if link in held:
        return
    user = people.keys.text(row)
    assert user is not None
    if len(held) >= MAX_LINKS:
        tenant.counters["dropped.identity_full"] += 1
        return
    source = int(people.table["partition"][row])
    also = [key for key, owned in held.items() if owned and not is_anonymous(key)]
    if is_anonymous(link):
        people.link(row, link, owned=True)
        tenant.touch_one(row)
        yield Send(tenant.post(source, tenant.home(link), Claim(link, user, also)))
    elif link != user:
        yield Send(tenant.post(source, ALIAS_ARBITER, AliasAsk(link, user, now)))
        # Older SDKs alias an anonymous id to its first user id.
        older = anonymous_key(bare_id(link))
        yield Send(tenant.post(source, tenant.home(older), Claim(older, user, also, if_known=True)))


def claim(tenant: Tenant, body: Claim, now: int) -> Iterator[Effect]:
    """At the home of the anonymous id."""
    owner = tenant.owners.get(body.anonymous)
    home = tenant.home(body.anonymous)
    if owner is None:
        if body.if_known and body.anonymous not in tenant.people.keys:
            return
        tenant.owners[body.anonymous] = Owner(body.user)
        if tenant.watch is not None:
            tenant.watch.owners.append(body.anonymous)
        yield from _hand_over(tenant, body.anonymous, body.user, now)
    elif owner.user == body.user:
        return
    elif owner.user in body.also:
        owner.user = body.user
        row = tenant.row_for(body.anonymous)
        tenant.touch_one(row)
        if tenant.people.table["status"][row] == FORWARDED:
            tenant.people.targets[row] = body.user
    else:
        if not owner.shared:
            owner.shared = True
            row = tenant.row_for(body.anonymous)
            tenant.touch_one(row)
            if tenant.people.table["status"][row] == FORWARDED:
                tenant.people.unforward(row)
        yield Send(tenant.post(home, tenant.home(body.user), Refused(body.anonymous, body.user)))


def refused(tenant: Tenant, body: Refused) -> None:
    """At the home of the user whose claim came second."""
    row = tenant.people.keys.get(body.user)
    if row is not None and body.anonymous in tenant.people.links.get(row, {}):
        tenant.people.links[row][body.anonymous] = False
        tenant.touch_one(row)


def alias_ask(tenant: Tenant, body: AliasAsk) -> Iterator[Effect]:
    """At the arbiter: the first accepted alias of a key holds; what would close a circle changes nothing."""
    if body.previous in tenant.parents or _root(tenant.parents, body.user) == body.previous:
        tenant.counters["dropped.alias_ignored"] += 1
        return
    tenant.parents[body.previous] = body.user
    yield Send(tenant.post(ALIAS_ARBITER, tenant.home(body.previous), AliasGrant(body.previous, body.user, body.at)))


def alias_grant(tenant: Tenant, body: AliasGrant, now: int) -> Iterator[Effect]:
    """At the home of the previous id, unless that was erased since the alias was asked for."""
    erased_at = tenant.erased_at(body.previous)
    if erased_at is not None and body.at <= erased_at:
        tenant.counters["dropped.user_erased"] += 1
        return
    yield from _hand_over(tenant, body.previous, body.user, now)


def merge_in(tenant: Tenant, body: MergeIn) -> Iterator[Effect]:
    """At the home of the user: add the state, or pass it on if the user was itself merged into another."""
    erased_at = tenant.erased_at(body.user)
    if erased_at is not None and body.as_of <= erased_at:
        tenant.counters["dropped.user_erased"] += 1
        return
    people = tenant.people
    row = tenant.row_for(body.user)
    tenant.touch_one(row)
    if people.table["status"][row] == FORWARDED:
        target = people.targets[row]
        source = int(people.table["partition"][row])
        passed_on = MergeIn(target, body.origin, body.as_of, body.state)
        yield Send(tenant.post(source, tenant.home(target), passed_on))
        return
    people.combine(row, body.state)
    people.link(row, body.origin, owned=True)
    if body.state.engagement:
        tenant.loop.take_in(row, decode_engagement(body.state.engagement))


def erase(tenant: Tenant, key: str, erased_at: int) -> Iterator[Effect]:
    """Remove a key, its state and all keys joined to it. Late events do not bring it back."""
    people = tenant.people
    home = tenant.home(key)
    row = people.keys.get(key)
    linked: list[str] = []
    if row is not None:
        tenant.loop.erase(row, home, erased_at)
        linked = [k for k, owned in people.links.get(row, {}).items() if owned]
        if people.table["status"][row] == FORWARDED and not is_anonymous(key):
            linked.append(people.targets[row])
        people.vacate(row)
        tenant.floors.pop(row, None)
        if tenant.watch is not None:
            tenant.watch.gone.append(key)
    tenant.owners.pop(key, None)
    tenant.tombstones[message_hash(key)] = (home, erased_at)
    tenant.erasing[key] = erased_at
    yield UserErased(tenant.id, key)
    for other in linked:
        yield Send(tenant.post(home, tenant.home(other), EraseLinked(other, erased_at)))
    if not is_anonymous(key):
        yield Send(tenant.post(home, ALIAS_ARBITER, AliasForget(key)))


def erase_linked(tenant: Tenant, body: EraseLinked) -> Iterator[Effect]:
    held = tenant.erased_at(body.key)
    if held is None or held < body.erased_at:
        yield from erase(tenant, body.key, body.erased_at)


def alias_forget(tenant: Tenant, body: AliasForget) -> None:
    """At the arbiter: the key forwards to nobody any more. Keys that forward to it still do, and stay known."""
    tenant.parents.pop(body.key, None)


def _hand_over(tenant: Tenant, key: str, user: str, now: int) -> Iterator[Effect]:
    """Take the state of a key out, leave a forward, send the state to the user's home."""
    people = tenant.people
    row = tenant.row_for(key)
    tenant.touch_one(row)
    if people.table["status"][row] == FORWARDED:
        return
    state = people.extract(row)
    engagement = tenant.loop.hand_over(row, now, Reason.MERGED)
    if engagement is not None:
        state.engagement = encode_engagement(engagement)
    people.forward(row, user)
    if state.n_events or state.traits or state.links or state.refused or state.engagement:
        body = MergeIn(user, key, now, state)
        yield Send(tenant.post(int(people.table["partition"][row]), tenant.home(user), body))


def _root(parents: dict[str, str], key: str) -> str:
    while key in parents:
        key = parents[key]
    return key

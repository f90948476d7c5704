"""Decide which keys are one person: the merge saga, carried by letters between partitions.

The partition of an anonymous id arbitrates it: the first user it is claimed for owns it. A claim by another user is
refused, marks the id as shared and starts a fresh anonymous history that merges into nobody. One partition of each
tenant arbitrates aliases, so that accepted aliases form a forest and no forward can run in a circle. Each step is
idempotent: letters arrive at least once, in order per (source, target), and are applied once.

    home of the user             home of the anonymous id
    -----------------            ------------------------
    event with both ids  Claim ->  first: owner := user; state taken out; forward left behind
                    <- MergeIn     (state)
    state added                    later events of the id -> Forward
                    <- Refused     another user owns it
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import msgspec

from whisperer.ids import UserKey, anonymous_key, bare_id, is_anonymous, message_hash
from whisperer.journeys.engagement import decode as decode_engagement
from whisperer.journeys.engagement import encode as encode_engagement
from whisperer.profiles import traits
from whisperer.profiles.population import FORWARDED
from whisperer.shard.effects import Effect, SendLetter, UserErased
from whisperer.shard.people.forwarding import lead
from whisperer.shard.records import (
    ALIAS_ARBITER,
    BOUNDED_SINCE,
    JOINED_SINCE,
    AliasAsk,
    AliasForget,
    AliasGrant,
    Astray,
    Claim,
    EraseLinked,
    Forward,
    Led,
    MergeIn,
    Moved,
    OutcomePassed,
    Passed,
    Refused,
    Released,
)
from whisperer.shard.state.tenant import Owner, Tenant
from whisperer.vocabulary.reasons import Reason

MAX_LINKS = 1_000
"""Other keys that a profile may hold; more are refused as `identity_full`."""
MAX_ALSO = 16
"""Newest ids of a profile that a claim looks through for users to name."""


def note_link(tenant: Tenant, row: int, link: UserKey, now: int, version: int) -> Iterator[Effect]:
    """Claim a second id that an event of a live user carried, or ask for its alias."""
    people = tenant.people
    held = people.links.get(row, {})
    if link in held:
        return
    user = people.keys.text(row)
    assert user is not None
    if len(held) >= MAX_LINKS:
        tenant.counters["dropped.identity_full"] += 1
        return
    source = people.partition(row)
    newest = reversed(held.items()) if version < BOUNDED_SINCE else islice(reversed(held.items()), MAX_ALSO)
    also = [key for key, owned in newest if owned and not is_anonymous(key)][::-1]
    if is_anonymous(link):
        people.link(row, link, owned=True)
        tenant.touch_one(row)
        yield SendLetter(tenant.post(source, tenant.home(link), Claim(link, user, also)))
    elif link != user:
        yield SendLetter(tenant.post(source, ALIAS_ARBITER, AliasAsk(link, user, now)))
        # Older SDKs alias an anonymous id to its first user id.
        older = anonymous_key(bare_id(link))
        yield SendLetter(tenant.post(source, tenant.home(older), Claim(older, user, also, if_known=True)))


def claim(tenant: Tenant, body: Claim, now: int) -> Iterator[Effect]:
    """At the home of the anonymous id: make the user its owner, or refuse a second user's claim."""
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
        _share(tenant, body.anonymous, owner)
        yield SendLetter(tenant.post(home, tenant.home(body.user), Refused(body.anonymous, body.user)))


def _share(tenant: Tenant, anonymous: UserKey, owner: Owner) -> None:
    """Give an anonymous id a history of its own from here on, which merges into nobody."""
    if owner.shared:
        return
    owner.shared = True
    row = tenant.row_for(anonymous)
    tenant.touch_one(row)
    if tenant.people.table["status"][row] == FORWARDED:
        tenant.people.unforward(row)


def released(tenant: Tenant, body: Released) -> None:
    """At the home of an anonymous id: mark it as shared, since a merged profile had no room for it."""
    owner = tenant.owners.get(body.anonymous)
    if owner is not None:
        _share(tenant, body.anonymous, owner)


def refused(tenant: Tenant, body: Refused, version: int, *, led: bool = False) -> Iterator[Effect]:
    """At the home of the user whose claim came second: note that the anonymous id is another user's."""
    people = tenant.people
    row = people.keys.get(body.user)
    if row is None:
        return
    if people.table["status"][row] == FORWARDED and version >= BOUNDED_SINCE:
        yield pass_on(tenant, row, body, led=led)
    elif body.anonymous in people.links.get(row, {}):
        people.links[row][body.anonymous] = False
        tenant.touch_one(row)


def alias_ask(tenant: Tenant, body: AliasAsk, version: int) -> Iterator[Effect]:
    """At the arbiter: grant an alias. A key's first accepted alias holds; one that would close a cycle is ignored.

    The grant names the root, so that the key's state goes there in one step.
    """
    forest = tenant.forest
    root = forest.root(body.user)
    if body.previous in forest.parents or root == body.previous:
        tenant.counters["dropped.alias_ignored"] += 1
        return
    user = body.user
    if version >= BOUNDED_SINCE:
        if not forest.has_room(body.previous, root):
            tenant.counters["dropped.identity_full"] += 1
            return
        user = root
        yield from _shorten(tenant, body.user)
    forest.join(body.previous, user, root, body.at)
    yield SendLetter(tenant.post(ALIAS_ARBITER, tenant.home(body.previous), AliasGrant(body.previous, user, body.at)))


def astray(tenant: Tenant, body: Astray) -> Iterator[Effect]:
    """At the arbiter: lead a letter to its user's root, and inform the homes that sent it where to send the next."""
    match body.letter:
        case Forward() as letter:
            yield from lead(tenant, letter)
        case OutcomePassed(outcome):
            root = tenant.forest.root(outcome.user)
            yield _led(tenant, root, OutcomePassed(msgspec.structs.replace(outcome, user=root)))
        case letter:
            root = tenant.forest.root(letter.user)
            yield _led(tenant, root, msgspec.structs.replace(letter, user=root))
    for key, was in body.keys:
        if not is_anonymous(key):
            yield from _shorten(tenant, key)
        elif (root := tenant.forest.root(was)) != was:
            yield _told(tenant, key, was, root)


def _led(tenant: Tenant, root: UserKey, letter: Passed) -> SendLetter:
    return SendLetter(tenant.post(ALIAS_ARBITER, tenant.home(root), Led(letter)))


def _shorten(tenant: Tenant, key: UserKey) -> Iterator[SendLetter]:
    for move in tenant.forest.find(key)[1]:
        yield _told(tenant, *move)


def _told(tenant: Tenant, key: UserKey, was: UserKey, root: UserKey) -> SendLetter:
    return SendLetter(tenant.post(ALIAS_ARBITER, tenant.home(key), Moved(key, was, root)))


def moved(tenant: Tenant, body: Moved) -> None:
    """At the home of a merged key: let it lead straight to the root, unless it leads elsewhere by now."""
    people = tenant.people
    row = people.keys.get(body.key)
    if row is None or people.targets.get(row) != body.was:
        return
    people.targets[row] = body.user
    tenant.touch_one(row)
    owner = tenant.owners.get(body.key)
    if owner is not None and owner.user == body.was:
        owner.user = body.user


def pass_on(tenant: Tenant, row: int, letter: Refused | MergeIn | OutcomePassed, *, led: bool) -> SendLetter:
    """Pass on a letter to a user who was merged: to the arbiter or, if that ``led`` it here, where the user went."""
    people = tenant.people
    source = people.partition(row)
    if not led:
        came = [(letter.origin, letter.user)] if isinstance(letter, MergeIn) else []
        return SendLetter(tenant.post(source, ALIAS_ARBITER, Astray(letter, came)))
    target = people.targets[row]
    if isinstance(letter, OutcomePassed):
        letter = OutcomePassed(msgspec.structs.replace(letter.outcome, user=target))
    else:
        letter = msgspec.structs.replace(letter, user=target)
    return SendLetter(tenant.post(source, tenant.home(target), letter))


def alias_grant(tenant: Tenant, body: AliasGrant, now: int, version: int) -> Iterator[Effect]:
    """At the home of the previous id: merge it into the user, unless it was erased after the alias was asked for.

    The user's home is informed even if the id holds no state, because an erasure of the user must find the id. If the
    id was erased, so is the user, as had the grant come first: both were one person when the erasure was asked for,
    and the arbiter may have led parts of that person there in between.
    """
    erased_at = tenant.erased_at(body.previous)
    if erased_at is not None and body.at <= erased_at:
        tenant.counters["dropped.user_erased"] += 1
        home = tenant.home(body.previous)
        if version >= BOUNDED_SINCE:
            yield SendLetter(tenant.post(home, ALIAS_ARBITER, AliasForget(body.previous, erased_at)))
        if version >= JOINED_SINCE:
            yield SendLetter(tenant.post(home, tenant.home(body.user), EraseLinked(body.user, erased_at)))
        return
    yield from _hand_over(tenant, body.previous, body.user, now, always=version >= BOUNDED_SINCE)


def merge_in(tenant: Tenant, body: MergeIn, version: int, *, led: bool = False) -> Iterator[Effect]:
    """At the home of the user: add the state, or pass it on if the user was itself merged."""
    is_bounded = version >= BOUNDED_SINCE
    erased_at = tenant.erased_at(body.user)
    if erased_at is not None and body.as_of <= erased_at:
        tenant.counters["dropped.user_erased"] += 1
        if is_bounded:  # the merged key was part of the erased person, which the erasure could not know yet
            home = tenant.home(body.user)
            yield SendLetter(tenant.post(home, tenant.home(body.origin), EraseLinked(body.origin, erased_at)))
        return
    people = tenant.people
    row = tenant.row_for(body.user)
    tenant.touch_one(row)
    if people.table["status"][row] == FORWARDED:
        yield pass_on(tenant, row, body, led=led or not is_bounded)
        return
    written = people.combine(row, body.state, traits.JOINED if is_bounded else traits.UNBOUNDED)
    people.link(row, body.origin, owned=True)
    tenant.traits_written(row, written, count=is_bounded)
    if is_bounded:
        yield from _release(tenant, row)
    if body.state.engagement:
        tenant.loop.take_in(row, decode_engagement(body.state.engagement))


def _release(tenant: Tenant, row: int) -> Iterator[Effect]:
    """Release the ids that a merge gave a profile beyond what it may hold.

    Users joined by alias always stay, as the arbiter counts them; then anonymous ids stay in order of name, so the
    result does not depend on the order of merges.
    """
    links = tenant.people.links[row]
    if len(links) <= MAX_LINKS:
        return
    ranked = sorted(links, key=lambda key: (not links[key], is_anonymous(key), key))
    home = tenant.people.partition(row)
    for key in ranked[MAX_LINKS:]:
        if not is_anonymous(key):
            continue
        if links.pop(key):
            tenant.counters["dropped.identity_full"] += 1
            yield SendLetter(tenant.post(home, tenant.home(key), Released(key)))


def erase(tenant: Tenant, key: UserKey, erased_at: int, asked_at: int) -> Iterator[Effect]:
    """Remove a key, its state and all keys joined to it. Late events do not bring it back.

    ``asked_at``: when the erasure that led here was asked for. A joined key is erased as of later (``erased_at``), so
    that everything it gathered in between goes as well. Both are ms UTC.
    """
    people = tenant.people
    home = tenant.home(key)
    row = people.keys.get(key)
    linked: list[UserKey] = []
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
        yield SendLetter(tenant.post(home, tenant.home(other), EraseLinked(other, asked_at)))
    if not is_anonymous(key):
        yield SendLetter(tenant.post(home, ALIAS_ARBITER, AliasForget(key, erased_at)))


def erase_linked(tenant: Tenant, body: EraseLinked, at: int) -> Iterator[Effect]:
    """At the home of a joined key: erase it as of ``at`` (ms UTC), unless this or a later erasure already did."""
    held = tenant.erased_at(body.key)
    if held is None or held < body.erased_at:
        yield from erase(tenant, body.key, at, body.erased_at)


def alias_forget(tenant: Tenant, body: AliasForget) -> None:
    """At the arbiter: forget where an erased key leads. Keys that lead to it still do, and stay known."""
    tenant.forest.forget(body.key, body.erased_at)


def _hand_over(tenant: Tenant, key: UserKey, user: UserKey, now: int, *, always: bool = False) -> Iterator[Effect]:
    """Take out a key's state, leave a forward behind and send the state to the user's home."""
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
    if always or state.n_events or state.traits or state.links or state.refused or state.engagement:
        body = MergeIn(user, key, now, state)
        yield SendLetter(tenant.post(people.partition(row), tenant.home(user), body))

"""Lists of users over several shards, held against a plain model: every user, all filters, sorted, cut.

Shards are real, with real slices a few rows long; changes happen between pages and between slices. What a user's state
is, the model takes from the view that one user's own address shows.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.calls.partition_map import PartitionMap
from actors.calls.shards import CallStatus, ShardCalls
from actors.shard import listings
from actors.shard.listings import TENANT_OPEN, Listings
from cluster.times import iso
from serve_apps.gateway.services import user_list
from serve_apps.gateway.services.user_list import UserList, UserPage
from serve_apps.gateway.services.user_query import FIELDS, read_query
from tests.support.gateway_world import PlayedPlaces
from tests.support.shard_world import DAY, SEED, T0, TENANT, World, event
from whisperer.errors import NotFoundError, OverloadError, RequestError, TooManyError
from whisperer.events.clock import instant
from whisperer.ids import N_PARTITIONS, UserKey, anonymous_key, known_key, partition_of
from whisperer.profiles import trait_columns
from whisperer.shard import inspection, listing
from whisperer.shard.views.listing import ListingCall
from whisperer.shard.views.user import UserView

SECRET = bytes(32)
IDS = [f"u{n}" for n in range(12)] + [
    "acme/export",
    "..",
    "%2F",
    "%",
    "é",
    "É",
    "",
    " ",
    "a" * 256,
    "\x00",
    "u1/consent",
]
KEYS = [known_key(i) for i in IDS if i] + [anonymous_key(f"d{n}") for n in range(5)] + [anonymous_key("u1")]
TRAITS: dict[str, list[Any]] = {
    "plan": ["free", "pro", 'p"ro\\', None, 42, 42.0, True, ["pro"], "42", "prö"],
    "email": ["ann@example.com", "anna@example.com", "bob@example.com", "Ann@example.com", None],
}
SEGMENT = {"trait": "plan", "op": "eq", "value": "pro"}


class Shards(ShardCalls):
    """The world's shards, asked as over Ray."""

    def __init__(self, world: World) -> None:
        super().__init__(PlayedPlaces())
        moves = {f"{TENANT}/{partition}": world.home(partition) for partition in range(N_PARTITIONS)}
        self.places.current = PartitionMap(1, world.n, world.n, moves)
        self.world = world
        self.n_stale = 0
        self.was_stale = asyncio.Event()
        self.listings = [
            Listings(shard, lambda tenant, partition, shard=shard: not shard.is_at_home(tenant, partition))
            for shard in world.shards
        ]

    async def call(self, shard: int, method: str, *args: Any, timeout_s: float = 30.0) -> Any:
        assert method == "list_users"
        status, value = await self.listings[shard].answer(msgspec.convert(args[1], ListingCall))
        if status == CallStatus.STALE_MAP:
            self.n_stale += 1
            self.was_stale.set()
        return status, value


@pytest.fixture(scope="module", autouse=True)
def short_slices() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(listing, "ROWS", 4)
        patch.setattr(listing, "READ_AT_ONCE", 4)
        patch.setattr(listing, "SHOWN_AT_ONCE", 3)
        patch.setattr(trait_columns, "MAX_COLUMNS", 1)
        for name in ("PATIENCE_S", "TIME_LIMIT_S", "IDLE_S"):  # nothing here depends on how busy the machine is
            patch.setattr(listings, name, 3_600.0)
        patch.setattr(user_list, "PATIENCE_S", 3_600.0)
        yield


def known_as(key: UserKey) -> dict[str, Any]:
    return {"user": key[2:]} if key[0] == "u" else {"anonymous": key[2:]}


class Play:
    def __init__(self, n_shards: int, seed: int) -> None:
        self.random = random.Random(seed)
        self.world = World(n_shards)
        self.world.publish(1, pros=SEGMENT)
        self.shards = Shards(self.world)
        self.users = UserList(self.shards, SECRET)
        self.changed: set[UserKey] = set()

    def touch(self, key: UserKey) -> None:
        """One change of one user."""
        self.changed.add(key)
        kind = self.random.randrange(8)
        if kind == 0:
            self.world.erase(key)
        elif kind == 1 and key[0] == "u":
            anonymous = f"d{self.random.randrange(5)}"
            self.changed.update({anonymous_key(anonymous), *KEYS})  # owners before, and whoever it is merged into
            self.world.send(event(key[2:], anonymous=anonymous, type="identify", at=self.moment()))
            self.world.deliver()
        elif kind == 2:
            self.score(key)
        else:
            self.seen(key)

    def moment(self) -> int:
        return T0 - self.random.randrange(4) * DAY

    def seen(self, key: UserKey) -> None:
        traits = {name: self.random.choice(values) for name, values in TRAITS.items() if self.random.random() < 0.7}
        self.world.send(
            event(**known_as(key), type="identify", traits=traits, at=self.moment(), active=self.random.random() < 0.8)
        )

    def score(self, key: UserKey) -> None:
        people = self.world.shards[self.world.home(partition_of(key, SEED))].tenant(TENANT).people
        row = people.keys.get(key)
        if (
            row is not None
            and listing_view(self.world.shards[self.world.home(partition_of(key, SEED))], key) is not None
        ):
            for name in ("score.churn", "score.engagement"):
                people.table[name][row] = self.random.choice([0.0, 0.25, 0.5, 1.0, float("nan")])

    def everybody(self) -> dict[UserKey, tuple[UserView, tuple[float, float]]]:
        found = {}
        for key in KEYS:
            shard = self.world.shards[self.world.home(partition_of(key, SEED))]
            people = shard.tenant(TENANT).people
            view = listing_view(shard, key)
            if view is not None:
                row = people.keys.get(key)
                found[key] = view, tuple(float(people.table[f"score.{n}"][row]) for n in ("churn", "engagement"))
        return found


def listing_view(shard: Any, key: UserKey) -> UserView | None:
    view = inspection.user(shard, TENANT, key)
    return None if view is None or view.moved_to is not None else view


# -- the model ---------------------------------------------------------------------------------------------------------


def passes(key: UserKey, view: UserView, scores: tuple[float, float], name: str, value: str) -> bool:
    name, _, operator = name.partition("][")
    if name.startswith("traits."):
        raw = view.traits.get(name[7:])
        held = None if raw is None else json.loads(bytes(raw))
        if operator == "prefix":
            return isinstance(held, str) and held.startswith(value)
        if isinstance(held, str):
            return held == value
        try:
            wanted = json.loads(value)
        except ValueError:
            return False
        scalars = isinstance(held, int | float) and isinstance(wanted, int | float)
        return scalars and isinstance(held, bool) == isinstance(wanted, bool) and held == wanted
    if name == "segment":
        return value in view.segments
    if name == "known":
        return (key[0] == "u") == (value == "true")
    if name == "user_id":
        return key.startswith(f"u:{value}")
    number = number_of(name, view, scores)
    if number is None:
        return False
    limit = instant(value) if operator in ("after", "before") else float(value)
    assert limit is not None
    return {
        "after": number > limit, "before": number < limit,
        "gt": number > limit, "gte": number >= limit, "lt": number < limit, "lte": number <= limit,
    }[operator]  # fmt: skip


def number_of(name: str, view: UserView, scores: tuple[float, float]) -> float | None:
    found = {
        "last_seen": view.last_seen, "first_seen": view.first_seen, "events": sum(view.event_counts.values()),
        "score": scores[0], "engagement": scores[1],
    }[name]  # fmt: skip
    return None if found is None or found < 0 or found != found else found


def expected(play: Play, filters: list[tuple[str, str]], sort: str) -> list[UserKey]:
    name, descends = sort.removeprefix("-"), sort.startswith("-")
    sign = -1 if descends else 1

    def place(key: UserKey) -> tuple[Any, ...]:
        by_id = ([*key[2:].encode(), -1], key[0])
        if name == "user_id":
            return ([*(sign * (byte + 1) for byte in key[2:].encode()), 0], sign * ord(key[0]))
        number = number_of(name, *everybody[key])
        return (number is None, sign * (number or 0), by_id)

    everybody = play.everybody()
    return sorted((k for k, one in everybody.items() if all(passes(k, *one, *f) for f in filters)), key=place)


moments = st.sampled_from([T0 - n * DAY for n in range(5)]).map(lambda ms: str(iso(ms)))
some_filters = st.one_of(
    st.tuples(st.just("traits.plan"), st.sampled_from(["pro", "42", "42.0", "true", 'p"ro\\', "free", "nobody"])),
    st.tuples(st.just("traits.email][prefix"), st.sampled_from(["ann", "anna@", "", "b"])),
    st.tuples(st.just("traits.plan][prefix"), st.sampled_from(["p", "prö"])),
    st.just(("segment", "pros")),
    st.tuples(st.just("known"), st.sampled_from(["true", "false"])),
    st.tuples(st.sampled_from(["last_seen", "first_seen"]).flatmap(
        lambda name: st.sampled_from([f"{name}][after", f"{name}][before"])), moments),
    st.tuples(st.sampled_from(["score", "engagement"]).flatmap(
        lambda name: st.sampled_from([f"{name}][{op}" for op in ("gt", "gte", "lt", "lte")])), st.sampled_from(["0", "0.25", "0.5", "1"])),
    st.tuples(st.just("events][gte"), st.sampled_from(["1", "2", "3"])),
)  # fmt: skip
sorts = st.sampled_from(["user_id", "last_seen", "first_seen", "events", "score", "engagement"]).flatmap(
    lambda name: st.sampled_from([name, f"-{name}"])
)


def key_of(user: dict[str, Any]) -> UserKey:
    return known_key(user["user_id"]) if user["user_id"] is not None else anonymous_key(user["anonymous_id"])


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    n_shards=st.integers(1, 3), seed=st.integers(0, 2**32), filters=st.lists(some_filters, max_size=3, unique_by=lambda one: one[0]), sort=sorts,
    limits=st.lists(st.integers(1, 7), min_size=1, max_size=3), n_changes=st.sampled_from([0, 0, 1, 3]),
    while_listing=st.booleans(),
)  # fmt: skip
def test_who_does_not_change_is_shown_exactly_once_and_in_order(
    n_shards: int,
    seed: int,
    filters: list[tuple[str, str]],
    sort: str,
    limits: list[int],
    n_changes: int,
    while_listing: bool,
) -> None:
    play = Play(n_shards, seed)
    for _ in range(3):
        for key in play.random.sample(KEYS, 16):
            play.touch(key)
    for shard in play.world.shards:
        while shard.wants_tick(T0):
            play.world.tick(T0)
    play.changed.clear()
    before = expected(play, filters, sort)
    listed: list[UserKey] = []

    async def change() -> None:
        for key in play.random.sample(KEYS, n_changes):
            await asyncio.sleep(0)
            play.touch(key)

    async def walk() -> None:
        cursor = None
        for n in range(200):
            asked = read_query(TENANT, filters, sort, None, limits[n % len(limits)])
            changes = asyncio.ensure_future(change()) if while_listing else None
            page = await play.users.page(asked, cursor)
            assert len(page.data) <= asked.query.limit
            listed.extend(map(key_of, page.data))
            await (changes or change())
            if page.next_cursor is None:
                return
            cursor = page.next_cursor
        raise AssertionError("it never ends")

    asyncio.run(walk())
    if n_changes == 0:
        assert listed == before
    still = [key for key in before if key not in play.changed]
    assert [key for key in listed if key not in play.changed] == still
    for shard in play.world.shards:
        inspection.check(shard)


def play_of(n: int, n_shards: int = 2) -> Play:
    play = Play(n_shards, 1)
    for number in range(n):
        play.world.send(event(f"u{number:03}", type="identify", traits={"note": "x" * 200, "n": number}))
    return play


def ask(play: Play, cursor: str | None = None, **more: Any) -> UserPage:
    wanted = {"filters": [], "sort": None, "fields": None, "limit": 5} | more
    return asyncio.run(play.users.page(read_query(TENANT, **wanted), cursor))


def test_a_page_ends_early_where_traits_are_many_and_nobody_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "MOST_TRAITS_BYTES", 1_000)
    play = play_of(60, 3)
    found, cursor, n_pages = [], None, 0
    while True:
        page = ask(play, cursor, fields="traits", limit=50)
        found += [user["user_id"] for user in page.data]
        n_pages, cursor = n_pages + 1, page.next_cursor
        if cursor is None:
            break
    assert found == [f"u{n:03}" for n in range(60)]
    assert n_pages > 3


def test_only_the_fields_that_are_asked_for_are_shown() -> None:
    play = play_of(3)
    assert list(ask(play, fields="events").data[0]) == ["user_id", "anonymous_id", "events"]
    shown = ask(play, fields="traits.n, traits.nothing,last_seen").data[1]
    assert json.loads(msgspec.json.encode(shown)) == {
        "user_id": "u001", "anonymous_id": None, "traits": {"n": 1}, "last_seen": "2026-09-21T14:13:20.000Z",
    }  # fmt: skip
    assert set(ask(play, fields=",".join(FIELDS)).data[0]) == set(FIELDS)


@pytest.mark.parametrize(
    "spoil",
    [lambda c: "", lambda c: c[:-2], lambda c: c + "A", lambda c: "A" + c[1:], lambda c: c[::-1], lambda c: "é" * 20,
     lambda c: "A" * 5_000, lambda c: c.replace(c[30], "B" if c[30] != "B" else "C"), lambda c: "null", lambda c: "%00"],
)  # fmt: skip
def test_a_cursor_that_was_altered_is_refused(spoil: Any) -> None:
    play = play_of(20)
    cursor = ask(play).next_cursor
    with pytest.raises(RequestError) as refused:
        ask(play, spoil(cursor))
    assert (refused.value.code, refused.value.status) == ("invalid_cursor", 400)


def test_a_cursor_serves_only_its_own_tenant_filters_and_order() -> None:
    play = play_of(20)
    cursor = ask(play).next_cursor
    assert cursor is not None
    assert ask(play, cursor, limit=7, fields="traits").data[0]["user_id"] == "u005"
    for other in ({"sort": "last_seen"}, {"sort": "-user_id"}, {"filters": [("known", "true")]}):
        with pytest.raises(RequestError, match="not of this list"):
            ask(play, cursor, **other)
    foreign = read_query("tn_other", [], None, None, 5)
    with pytest.raises(RequestError, match="not of this list"):
        asyncio.run(play.users.page(foreign, cursor))
    with pytest.raises(RequestError, match="not of this list"):
        asyncio.run(UserList(play.shards, b"1" * 32).page(read_query(TENANT, [], None, None, 5), cursor))


def test_a_segment_that_does_not_exist_is_404() -> None:
    with pytest.raises(NotFoundError) as refused:
        ask(play_of(3), filters=[("segment", "nobody")])
    assert refused.value.code == "segment_not_found"


@pytest.mark.parametrize("comes_back_at_once", [False, True])
def test_a_list_begins_again_where_a_partition_leaves_meanwhile(comes_back_at_once: bool) -> None:
    play = play_of(40)
    gone = partition_of(known_key("u000"), SEED)
    shard = play.world.shards[play.world.home(gone)]

    async def leave() -> None:
        for _ in range(3):  # a few slices of the list are done
            await asyncio.sleep(0)
        assert play.shards.listings[play.world.home(gone)].state().slices
        if comes_back_at_once:
            shard.moved[TENANT, gone] = 2
            return
        shard.absent.add((TENANT, gone))
        await play.shards.was_stale.wait()
        shard.absent.discard((TENANT, gone))

    async def both() -> UserPage:
        left = asyncio.ensure_future(leave())
        page = await play.users.page(read_query(TENANT, [], None, None, 100), None)
        await left
        return page

    page = asyncio.run(both())
    assert play.shards.n_stale
    assert [user["user_id"] for user in page.data] == [f"u{n:03}" for n in range(40)]


def test_a_tenant_that_lists_too_much_at_once_is_refused_and_others_are_not() -> None:
    play = play_of(40)

    async def flood() -> list[Any]:
        asked = (read_query(TENANT, [], None, None, 5) for _ in range(user_list.TENANT_OPEN + 3))
        flood = [asyncio.ensure_future(play.users.page(one, None)) for one in asked]
        await asyncio.sleep(0)
        other = await play.users.page(read_query("tn_other", [], None, None, 5), None)
        assert other.data == []
        return await asyncio.gather(*flood, return_exceptions=True)

    found = asyncio.run(flood())
    refused = [one for one in found if isinstance(one, TooManyError)]
    assert len(refused) == 3
    assert (refused[0].code, refused[0].status) == ("too_many_lists", 429)
    assert refused[0].retry_after_s
    assert all(len(one.data) == 5 for one in found if isinstance(one, UserPage))


def test_a_shard_that_lists_for_too_many_says_when_to_come_back() -> None:
    play = play_of(40)
    query = read_query(TENANT, [], None, None, 5).query

    async def flood() -> list[Any]:
        call = ListingCall(query=query, partitions=list(range(64)))
        return await asyncio.gather(*(play.shards.listings[0].answer(call) for _ in range(TENANT_OPEN + 1)))

    statuses = [status for status, _ in asyncio.run(flood())]
    assert statuses == [CallStatus.OK] * TENANT_OPEN + [CallStatus.OVERLOADED]
    assert play.shards.listings[0].state().refused == 1


def test_a_shard_that_is_overloaded_makes_the_list_503() -> None:
    play = play_of(4)

    async def refuse(*_: Any, **__: Any) -> Any:
        return CallStatus.OVERLOADED, 3.0

    play.shards.call = refuse  # type: ignore[method-assign]
    with pytest.raises(OverloadError) as refused:
        ask(play)
    assert (refused.value.status, refused.value.retry_after_s) == (503, 3.0)


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        ({"filters": [("trait.plan", "x")]}, "unknown_filter"),
        ({"filters": [("traits.", "x")]}, "unknown_filter"),
        ({"filters": [("traits.plan][gte", "x")]}, "unknown_filter"),
        ({"filters": [("last_seen", "2026-01-01")]}, "unknown_filter"),
        ({"filters": [("last_seen][gte", "2026-01-01")]}, "unknown_filter"),
        ({"filters": [("last_seen][after", "tomorrow")]}, "invalid_filter"),
        ({"filters": [("score][gte", "nan")]}, "invalid_filter"),
        ({"filters": [("score][gte", "high")]}, "invalid_filter"),
        ({"filters": [("known", "yes")]}, "invalid_filter"),
        ({"filters": [("known", "false"), ("user_id][prefix", "a")]}, "invalid_filter"),
        ({"filters": [("user_id][prefix", "a"), ("known", "false")]}, "invalid_filter"),
        ({"filters": [("traits.plan", "x" * 201)]}, "invalid_filter"),
        ({"filters": [(f"traits.{n}", "x") for n in range(5)]}, "too_many_filters"),
        ({"filters": [("events][gt", "1")] * 11}, "too_many_filters"),
        ({"sort": "email"}, "unknown_sort"),
        ({"sort": "--score"}, "unknown_sort"),
        ({"sort": ""}, "unknown_sort"),
        ({"fields": "email"}, "unknown_field"),
        ({"fields": ""}, "unknown_field"),
        ({"fields": "traits."}, "unknown_field"),
    ],
)  # fmt: skip
def test_what_does_not_exist_is_refused_with_what_does(wanted: dict[str, Any], code: str) -> None:
    with pytest.raises(RequestError) as refused:
        read_query(TENANT, **({"filters": [], "sort": None, "fields": None, "limit": 5} | wanted))
    assert (refused.value.code, refused.value.status) == (code, 400)
    if code.startswith("unknown"):
        assert "last_seen" in refused.value.message

"""Bodies on their way in: what is held of them stays in bounds, and who holds on pays for it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_apps.gateway.http.arrivals import (
    ADDRESS_BODIES,
    ADDRESS_BYTES,
    Arrival,
    Arrivals,
    BodyOwner,
    BodyPace,
    owner_of_address,
)
from serve_apps.gateway.http.connection import HEADER, client_address
from serve_apps.gateway.tracking.bodies import NO_ROOM, TOO_SLOW, read_body
from whisperer.events.decompress import MAX_BODY_BYTES, TOO_LARGE

KEY = BodyOwner("key_1", has_key=True)


def begin(arrivals: Arrivals, owner: BodyOwner) -> tuple[Arrival, list[str]]:
    given_up: list[str] = []
    return arrivals.begin(owner, lambda: given_up.append("given up")), given_up


steps = st.lists(
    st.tuples(st.sampled_from(["begin", "grow", "end"]), st.integers(0, 12), st.integers(1, 600_000)), max_size=200
)


@given(steps, st.integers(1, 3_000_000), st.integers(1, 12))
def test_whatever_comes_bytes_and_bodies_stay_in_bounds(
    steps: list[tuple[str, int, int]], max_bytes: int, max_bodies: int
) -> None:
    arrivals = Arrivals(max_bytes, max_bodies)
    owners = [BodyOwner(f"key{n}", has_key=True) for n in range(3)] + [
        owner_of_address(f"192.0.2.{n}") for n in range(4)
    ]
    held: list[Arrival] = []
    for what, number, size in steps:
        if what == "begin":
            held.append(begin(arrivals, owners[number % len(owners)])[0])
        elif held and what == "grow":
            arrivals.grew(held[number % len(held)], size)
        elif held:
            arrivals.end(held.pop(number % len(held)))
        live = [one for one in held if not one.is_given_up]
        assert arrivals.n_bytes == sum(one.n_bytes for one in live) <= max_bytes
        assert arrivals.n_bodies == len(live) <= max_bodies
    for one in held:
        arrivals.end(one)
    assert (arrivals.n_bytes, arrivals.n_bodies, arrivals._strangers) == (0, 0, {})


def test_what_is_announced_reserves_nothing() -> None:
    arrivals = Arrivals(1_000_000, 500)
    for n in range(400):
        begin(arrivals, owner_of_address(f"192.0.{n // 200}.{n % 200}"))
    assert arrivals.n_bytes == 0


def test_who_holds_on_makes_room_and_who_sends_at_an_ordinary_speed_never_does() -> None:
    arrivals = Arrivals(1_000_000, 500)
    slow = [begin(arrivals, owner_of_address(f"198.51.100.{n}")) for n in range(60)]
    for n, (arrival, _) in enumerate(slow):
        arrivals.grew(arrival, 100_000)
        ordinary, not_given_up = begin(arrivals, KEY)
        arrivals.grew(ordinary, 400_000)
        assert not_given_up == [], n
        arrivals.end(ordinary)
    assert slow[-1][1] == []
    assert [bool(given_up) for _, given_up in slow].count(False) <= 10


def test_among_too_many_bodies_a_newcomer_has_its_place() -> None:
    arrivals = Arrivals(1_000_000, 10)
    many = [begin(arrivals, KEY) for _ in range(10)]
    _, not_given_up = begin(arrivals, owner_of_address("192.0.2.1"))
    assert not_given_up == []
    assert many[0][1] == ["given up"]


def test_an_address_without_a_key_has_a_bound_of_its_own() -> None:
    arrivals = Arrivals(64 << 20, 10_000)
    stranger = owner_of_address("192.0.2.1")
    bodies = [begin(arrivals, stranger) for _ in range(ADDRESS_BODIES + 5)]
    assert [bool(given_up) for _, given_up in bodies].count(True) == 5
    for arrival, _ in bodies[5:]:
        arrivals.grew(arrival, 500_000)
    assert arrivals.n_bytes <= ADDRESS_BYTES


def test_addresses_of_one_network_of_ipv6_are_one_and_mapped_ones_are_ipv4() -> None:
    assert owner_of_address("2001:db8::1") == owner_of_address("2001:db8::ffff:2")
    assert owner_of_address("2001:db8:0:1::1") != owner_of_address("2001:db8::1")
    assert owner_of_address("::ffff:192.0.2.1") == owner_of_address("192.0.2.1")
    assert owner_of_address(None) == owner_of_address("no address")


class Line:
    """A client's bytes, and when they come."""

    def __init__(self, *messages: dict[str, Any] | float) -> None:
        self._messages = list(messages)

    async def receive(self) -> dict[str, Any]:
        while self._messages:
            message = self._messages.pop(0)
            if isinstance(message, dict):
                return message
            await asyncio.sleep(message)
        await asyncio.Event().wait()
        raise AssertionError


def part(text: bytes, more: bool = True) -> dict[str, Any]:
    return {"type": "http.request", "body": text, "more_body": more}


QUICK = BodyPace(first_s=0.05, bytes_per_s=1e6, all_s=5)


async def test_a_body_comes_out_as_it_was_cut() -> None:
    arrivals = Arrivals(1_000, 10)
    line = Line(part(b"a"), part(b""), part(b"bc"), part(b"", more=False))
    assert await read_body(line.receive, arrivals, KEY, QUICK) == b"abc"
    assert arrivals.n_bytes == arrivals.n_bodies == 0


@pytest.mark.parametrize(
    "messages",
    [
        (),
        (part(b"x" * 100),),
        (part(b""),),
        (part(b"x"), 0.2, part(b"y", more=False)),
        (part(b"x"), {"type": "http.disconnect"}),
    ],
)
async def test_a_body_that_stays_behind_or_breaks_off_is_too_slow(messages: tuple[Any, ...]) -> None:
    arrivals = Arrivals(10_000, 10)
    assert await read_body(Line(*messages).receive, arrivals, KEY, QUICK) is TOO_SLOW
    assert arrivals.n_bytes == arrivals.n_bodies == 0


def test_a_body_that_keeps_the_pace_has_time_until_the_end() -> None:
    pace = BodyPace(first_s=2, bytes_per_s=1_000, all_s=30)
    assert pace.deadline(100, 0) == 102
    assert pace.deadline(100, 10_000) == 112
    assert pace.deadline(100, 10**9) == 130


async def test_a_body_given_up_for_room_is_told_to_come_back() -> None:
    arrivals = Arrivals(1_000, 10)
    slow = asyncio.ensure_future(read_body(Line(part(b"x" * 900)).receive, arrivals, KEY, BodyPace(60, 1e6, 60)))
    for _ in range(3):
        await asyncio.sleep(0)
    assert arrivals.n_bytes == 900
    line = Line(part(b"y" * 500), part(b"y" * 100, more=False))
    assert await read_body(line.receive, arrivals, owner_of_address("192.0.2.1"), QUICK) == b"y" * 600
    assert await slow is NO_ROOM


async def test_a_body_whose_time_is_over_already_can_be_given_up_for_room() -> None:
    """Both may happen in one turn of the loop: whoever needs the room must not suffer for it."""
    arrivals = Arrivals(1_000, 10)
    slow = asyncio.ensure_future(read_body(Line(part(b"x" * 900)).receive, arrivals, KEY, BodyPace(0.02, 1e9, 0.02)))
    while not slow.cancelling():  # noqa: ASYNC110  nothing tells of it
        await asyncio.sleep(0)
    assert not slow.done()
    arrivals.grew(arrivals.begin(KEY, lambda: None), 900)
    assert await slow is NO_ROOM


async def test_a_body_without_end_is_too_large() -> None:
    line = Line(*(part(b"x" * 60_000) for _ in range(20)))
    assert await read_body(line.receive, Arrivals(10**7, 10), KEY, QUICK) is TOO_LARGE
    assert len(line._messages) > 20 - MAX_BODY_BYTES // 60_000 - 2


@pytest.mark.parametrize(
    ("value", "address"),
    [
        (b"secret 192.0.2.7", "192.0.2.7"),
        (b"secret ::ffff:192.0.2.7", "192.0.2.7"),
        (b"secret 2001:DB8::1", "2001:db8::1"),
        (b"192.0.2.7", None),
        (b"guess 192.0.2.7", None),
        (b"secret", None),
        (b"secret nowhere", None),
        (None, None),
    ],
)
def test_only_our_own_proxy_says_where_a_request_came_from(value: bytes | None, address: str | None) -> None:
    claimed = {b"x-forwarded-for": b"203.0.113.9", b"forwarded": b"for=203.0.113.9"}
    headers = claimed if value is None else claimed | {HEADER: value}
    assert client_address(headers, "secret") == address

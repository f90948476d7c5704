"""The search for a message at Twilio, next to an account that does what the published contract says, and to Prism, which
holds the requests to it."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from serve_apps.delivery.account import Carrier
from serve_apps.delivery.attempts import AttemptFile, Attempts, Leave
from serve_apps.delivery.searching import Searching
from serve_apps.delivery.spread import Spread
from serve_apps.delivery.twilio import MAX_PAGES, PAGE_SIZE, SKEW_MS, Twilio
from tests.contracts.test_provider_contracts import CONTRACTS, needs_contracts
from tests.support import prism
from tests.support.provider_server import NOW, Fate, Says, connected, serving
from tests.support.shard_world import TENANT, World
from tests.support.twilio_account import TwilioAccount
from tests.unit.whisperer.delivery.dispatches import dispatch
from tests.unit.whisperer.shard.campaigns import BY_EVENT
from tests.unit.whisperer.shard.decision.test_heard import send
from tests.unit.whisperer.shard.decision.test_looking import state
from tests.unit.whisperer.shard.state.test_loop import only, treated
from whisperer.delivery.dispatch import Dispatch, Looked, Verdict
from whisperer.delivery.plan import Account
from whisperer.delivery.search import CannotSay, Finding, Found, NotThere
from whisperer.shard.records import Receipts

TO = "+4915112345678"
TEXT = "Hello Ada 🎉 & more: 100 % + 1"


class Clock:
    now = NOW

    def __call__(self) -> int:
        return self.now


@asynccontextmanager
async def finder(account: TwilioAccount, **more: Any) -> AsyncIterator[Twilio]:
    async with serving(account) as server, connected("twilio", server.url, **more) as adapter:
        yield inner(adapter)


def inner(adapter: Any) -> Twilio:
    assert isinstance(adapter, Searching)
    return cast(Twilio, adapter._finder)


def sms(**more: Any) -> Dispatch:
    return dispatch(1, "sms", address=TO, parts={"text": TEXT}, **{"decided_at": NOW} | more)


async def found(account: TwilioAccount, **more: Any) -> Finding:
    async with finder(account) as twilio:
        return await twilio.find(sms(**more))


# -- what follows from a list -----------------------------------------------------------------------------------------


async def test_exactly_one_message_with_the_text_is_the_one() -> None:
    account = TwilioAccount(Clock())
    account.take(TO, "another one")
    one = account.take(TO, f"{TEXT}  ")  # Twilio strips white space
    account.take("+4915112345679", TEXT)
    assert await found(account) == Found(one["sid"])


async def test_an_empty_list_is_an_empty_list() -> None:
    account = TwilioAccount(Clock())
    account.take("+4915112345679", TEXT)
    account.take(TO, "STOP", direction="inbound")
    assert await found(account) == NotThere()


async def test_what_was_sent_before_it_was_decided_is_not_it() -> None:
    clock = Clock()
    account = TwilioAccount(clock)
    clock.now = NOW - SKEW_MS - 1_000
    account.take(TO, TEXT)
    assert await found(account) == NotThere()
    clock.now = NOW - SKEW_MS
    one = account.take(TO, TEXT)
    assert await found(account) == Found(one["sid"])


async def test_several_with_its_text_say_nothing() -> None:
    account = TwilioAccount(Clock())
    account.take(TO, TEXT)
    account.take(TO, TEXT)
    assert await found(account) == CannotSay("2 messages with its text were sent to its recipient")


@pytest.mark.parametrize(
    "odd",
    [
        {"body": "Sent from your Twilio trial account - " + TEXT}, {"body": ""}, {"body": None}, {"sid": "XX1"},
        {"to": None}, {"date_created": None, "body": "?"}, {"date_created": "yesterday", "body": "?"},
    ],
)  # fmt: skip
async def test_a_message_that_may_be_it_is_never_taken_for_nothing(odd: dict[str, Any]) -> None:
    account = TwilioAccount(Clock())
    account.take(TO, TEXT)
    listed = account.messages[0][1] | odd
    said = {"messages": [listed], "next_page_uri": None}
    account.get = lambda: Says(200, json.dumps(said))
    finding = await found(account)
    assert isinstance(finding, CannotSay), finding


async def test_all_pages_are_read() -> None:
    account = TwilioAccount(Clock(), page_size=2)
    one = account.take(TO, TEXT)
    for n in range(6):
        account.take(TO, f"later {n}")
    assert await found(account) == Found(one["sid"])
    assert account.n_lists == 4
    account.take(TO, TEXT)
    assert isinstance(await found(account), CannotSay)


async def test_a_list_without_an_end_says_nothing() -> None:
    account = TwilioAccount(Clock(), page_size=1)
    for n in range(MAX_PAGES + 1):
        account.take(TO, f"{n}")
    finding = await found(account)
    assert finding == CannotSay(f"the recipient has more than {PAGE_SIZE * MAX_PAGES:,} messages")
    assert account.n_lists == MAX_PAGES


@pytest.mark.parametrize(
    "said",
    [
        Says(500, "{}"), Says(503), Says(404), Says(403), Says(401), Says(301, headers={"location": "/x"}), Says(204),
        Says(200, ""), Says(200, "[]"), Says(200, '{"messages": []}'), Says(200, '{"next_page_uri": null}'),
        Says(200, '{"messages": {}, "next_page_uri": null}'), Says(200, '{"messages": [1], "next_page_uri": null}'),
        Says(200, '{"messages": [], "next_page_uri": ""}'), Says(200, '{"messages": [], "next_page_uri": 7}'),
        Says(200, " " * 2_000_000 + '{"messages": [], "next_page_uri": null}'), Fate.DROPS,
    ],
)  # fmt: skip
async def test_what_is_no_whole_answer_says_nothing(said: Says | Fate) -> None:
    finding = await found(TwilioAccount(Clock(), get=lambda: said))
    assert isinstance(finding, CannotSay), finding
    assert TO not in finding.why


async def test_a_page_that_fails_after_others_says_nothing() -> None:
    answers = iter([None, Says(500)])
    account = TwilioAccount(Clock(), page_size=1, get=lambda: next(answers))
    account.take("+4915112345678", "first")
    account.take("+4915112345678", TEXT)
    assert await found(account) == CannotSay("the provider answered 500")


async def test_a_busy_search_says_when_to_come_again_and_one_that_hangs_is_given_up() -> None:
    account = TwilioAccount(Clock(), get=lambda: Says(429, headers={"retry-after": "90"}))
    assert await found(account) == CannotSay("the provider answered 429", 90.0)
    account.get = lambda: Fate.HANGS
    async with finder(account, timeout_s=1.0) as twilio:
        assert await twilio.find(sms()) == CannotSay("no answer within 1 s")


async def test_the_next_page_is_asked_for_at_the_account_wherever_it_is_said_to_be() -> None:
    elsewhere = {"messages": [], "next_page_uri": "https://evil.example/steal?Page=1&PageToken=PA1&To=%2B1&X=1"}
    answers = iter([Says(200, json.dumps(elsewhere)), Says(200, '{"messages": [], "next_page_uri": null}')])
    async with serving(lambda _: next(answers)) as server, connected("twilio", server.url) as adapter:
        assert await inner(adapter).find(sms()) == NotThere()
        first, second = server.calls
    assert first.query() == {"To": TO, "PageSize": str(PAGE_SIZE)}
    assert second.query() == {"To": TO, "PageSize": str(PAGE_SIZE), "Page": "1", "PageToken": "PA1"}


# -- the published description ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def twilio_url() -> Iterator[str]:
    with prism.playing(CONTRACTS / "twilio/twilio_api_v2010.json") as url:
        yield url


def description() -> Any:
    return json.loads((CONTRACTS / "twilio/twilio_api_v2010.json").read_text())


def listing() -> Any:
    return description()["paths"]["/2010-04-01/Accounts/{AccountSid}/Messages.json"]["get"]


@needs_contracts
async def test_twilios_description_takes_our_question(twilio_url: str) -> None:
    """Prism looks: it finds fault with the description's own examples (addresses that are paths), and none with us."""
    async with connected("twilio", twilio_url) as adapter:
        twilio = inner(adapter)
        for page in ({}, {"Page": "1", "PageToken": "PASM1"}):
            asked = {"To": TO, "PageSize": str(PAGE_SIZE), **page}
            answer = await twilio._listing.get(twilio._url.copy_with(params=asked), twilio._reading)
            found = json.loads(cast(Any, answer).body)
            assert {fault["location"][0] for fault in found.get("validation", [])} <= {"response"}, found
        too_many = twilio._url.copy_with(params={"To": TO, "PageSize": "1001"})
        assert cast(Any, await twilio._listing.get(too_many, twilio._reading)).status == 422


@needs_contracts
async def test_the_descriptions_examples_are_read() -> None:
    examples = listing()["responses"]["200"]["content"]["application/json"]["examples"]
    full = examples["readFullPage1"]["value"]
    empty = next(one["value"] for name, one in examples.items() if name.startswith("readEmpty"))
    first = full["messages"][0] | {"to": TO}
    later = {**full, "next_page_uri": None, "messages": []}
    for pages, expected in (
        ([empty | {"next_page_uri": None}], NotThere),
        ([full | {"messages": [first]}, later], Found),
        ([full | {"messages": [first]}, later | {"messages": [first | {"sid": "SM" + "0" * 32}]}], CannotSay),
    ):
        answers = iter([Says(200, json.dumps(page)) for page in pages])
        async with serving(lambda _: next(answers)) as server, connected("twilio", server.url) as adapter:
            one = dispatch(1, "sms", address=TO, parts={"text": first["body"]}, decided_at=0)
            found = await inner(adapter).find(one)
        assert isinstance(found, expected), found
        assert not isinstance(found, CannotSay) or "form" not in found.why


@needs_contracts
async def test_the_account_lists_what_the_description_says() -> None:
    schemas = description()["components"]["schemas"]
    page = listing()["responses"]["200"]["content"]["application/json"]["schema"]["properties"]
    account = TwilioAccount(Clock())
    account.take(TO, TEXT)
    async with serving(account) as server, connected("twilio", server.url) as adapter:
        twilio = inner(adapter)
        answer = await twilio._listing.get(twilio._url.copy_with(params={"To": TO, "PageSize": "5"}), twilio._reading)
    said = json.loads(cast(Any, answer).body)
    assert set(said) <= set(page)
    assert set(said["messages"][0]) <= set(schemas["api.v2010.account.message"]["properties"])
    assert {parameter["name"] for parameter in listing()["parameters"]} >= {"To", "PageSize", "Page", "PageToken"}


# -- from the unknown attempt to its end, with kills ------------------------------------------------------------------


class Stand:
    """One user's message, its shard, the delivery application and an account at Twilio. Anything can be killed."""

    def __init__(self, folder: Path, account: TwilioAccount, world: World, url: str, lot: random.Random) -> None:
        self.folder = folder
        self.account = account
        self.world = world
        self.url = url
        self.lot = lot
        self.n_kills = 0
        world.publish_campaigns(1, BY_EVENT)
        self.user = treated(world)
        send(world, self.user, None)

    def attempts(self) -> Attempts:
        """Notes as a process finds them that was just started: those before it are gone."""
        file = AttemptFile(self.folder / "attempts.db")
        file._connection.execute("UPDATE owner SET pid = 1, started = 0 WHERE id <> ?", (file._me,))
        return Attempts(file, lambda: self.world.now)

    def asked(self) -> Dispatch:
        sent, found = state(self.world, self.user), only(self.world, self.user)
        return sms(
            send_key=sent.send_key, decision_id=found.id, attempt=sent.attempts, decided_at=found.at,
            may_be_at=sent.provider if sent.unknown else None, looked=sent.looked,
        )  # fmt: skip

    async def run(self, *, kill_rate: float) -> None:
        """Until the decision is closed: each attempt and each look when it is due, some killed on the way."""
        for _ in range(60):
            if only(self.world, self.user).status != "sending":
                return
            self.world.tick(max(self.world.now, state(self.world, self.user).next_at))
            async with connected("twilio", self.url, now=lambda: self.world.now, timeout_s=5.0) as adapter:
                one = self.asked()
                spread = Spread([Carrier(Account("twilio", {}, "twilio"), adapter, 1.0, lambda: float(self.world.now))])
                leave = Leave(self.attempts(), one)
                sending = asyncio.ensure_future(spread.send(one, leave))
                if self.lot.random() < kill_rate:
                    await asyncio.sleep(self.lot.uniform(0, 0.02))
                    sending.cancel()
                    await asyncio.gather(sending, return_exceptions=True)
                    self.n_kills += 1
                    self.world.now += 1_000
                    continue  # neither the receipt nor its note is anywhere
                answer = await sending
                if leave.needs_end:
                    await leave.end(answer)
            if self.lot.random() < kill_rate:
                self.n_kills += 1  # the shard was, before the receipt was journaled: it asks again
                self.world.now += 1_000
                continue
            if answer.status in (Verdict.WAITING, Verdict.LATER):
                self.world.now += round(1000 * (answer.retry_after_s or 1.0))
                continue
            self.world.write(self.world.home_of(one.decision_id), Receipts(TENANT, [(one.decision_id, answer)]))
        raise AssertionError("it never came to an end")


@asynccontextmanager
async def standing(folder: Path, seed: int = 0, **more: Any) -> AsyncIterator[Stand]:
    world = World()
    account = TwilioAccount(lambda: world.now, **more)
    async with serving(account) as server:
        yield Stand(folder, account, world, server.url, random.Random(seed))
    world.check()


def once(*fates: str | None) -> Callable[[], str | None]:
    """Each fate once, then all is well."""
    left = itertools.chain(fates, itertools.repeat(None))
    return lambda: next(left)


@pytest.mark.parametrize("fate", ["dropped", "500"])
async def test_what_was_taken_without_an_answer_is_found_and_never_sent_again(tmp_path: Path, fate: str) -> None:
    async with standing(tmp_path, post=once(fate), lag_ms=40_000) as stand:
        await stand.run(kill_rate=0)
        sent = state(stand.world, stand.user)
    assert (sent.unknown, sent.provider_id) == (False, stand.account.messages[0][1]["sid"])
    assert (stand.account.copies()[TEXT], stand.world.account("nudge").unknown) == (1, 0)
    assert stand.account.n_lists == 2  # after 10 s not yet, after 70 s it was


async def test_what_was_not_taken_is_sent_once_more_when_that_is_sure(tmp_path: Path) -> None:
    async with standing(tmp_path, post=once("500, lost")) as stand:
        began = stand.world.now
        await stand.run(kill_rate=0)
    assert stand.account.copies()[TEXT] == 1
    assert stand.account.messages[0][0] - began > 3_600_000
    assert (only(stand.world, stand.user).status, state(stand.world, stand.user).unknown) == ("sent", False)


async def test_a_list_that_lags_by_almost_as_long_as_is_waited_for_costs_no_second_copy(tmp_path: Path) -> None:
    async with standing(tmp_path, post=once("dropped"), lag_ms=4_200_000) as stand:
        await stand.run(kill_rate=0)
    assert stand.account.copies()[TEXT] == 1


@pytest.mark.parametrize("said", [Says(500), Says(403), Says(429), Says(200, "[]"), Fate.DROPS])
async def test_a_search_that_fails_leaves_it_as_it_was_before_there_was_one(tmp_path: Path, said: Says | Fate) -> None:
    async with standing(tmp_path, post=once("500, lost"), get=lambda: said) as stand:
        await stand.run(kill_rate=0)
    assert stand.account.copies()[TEXT] == 0
    assert (only(stand.world, stand.user).status, state(stand.world, stand.user).unknown) == ("sent", True)


@pytest.mark.parametrize("seed", range(24))
async def test_nothing_is_sent_twice_whatever_fails_and_whoever_is_killed(tmp_path: Path, seed: int) -> None:
    lot = random.Random(seed)

    def fate() -> str | None:
        return lot.choice([None, "lost", "dropped", "500", "500, lost"])

    def failure() -> Says | Fate | None:
        return lot.choice([None, None, None, Says(500), Says(429), Says(200, "{}"), Fate.DROPS])

    lag_ms = lot.choice([0, 30_000, 1_000_000, 3_000_000])
    async with standing(tmp_path, seed, post=fate, get=failure, lag_ms=lag_ms, page_size=lot.choice([1, 50])) as stand:
        await stand.run(kill_rate=0.25)
    assert stand.account.copies()[TEXT] <= 1
    sent = state(stand.world, stand.user)
    if sent.provider_id:
        assert stand.account.copies()[TEXT] == 1
    if not sent.unknown and only(stand.world, stand.user).status == "sent":
        assert stand.account.copies()[TEXT] == 1


async def test_looks_of_an_account_that_was_replaced_are_no_sends(tmp_path: Path) -> None:
    async with standing(tmp_path, post=once("500, lost")) as stand:
        one = sms(looked=Looked(stand.world.now, "of another account"), may_be_at="twilio", attempt=1)
        async with connected("twilio", stand.url) as adapter:
            answer = await adapter.send(one)
    assert (answer.status, answer.looked) == (Verdict.UNKNOWN, None)
    assert (stand.account.n_lists, stand.account.messages) == (0, [])

"""The addresses in messages, over HTTP: what they answer, and what is recorded when."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from cluster.launch.front_door import CLIENT_HEADER as HEADER
from serve_apps.gateway.http import problems
from serve_apps.gateway.message_links import endpoints as routes
from tests.support.readers import PHONE
from whisperer.errors import UnavailableError
from whisperer.feedback.links import CLICK, LIFETIME_MS, OPEN, PATHS, UNSUBSCRIBE, Link, LinkSigner

NOW = 1_772_359_200_000
SIGNER = LinkSigner(b"s" * 32)
VOUCHED = "v" * 32
ONE_CLICK = {"List-Unsubscribe": "One-Click"}


def token(kind: str, **more: Any) -> str:
    url = "https://app.example/a?b=1" if kind == CLICK else ""
    said = {"tenant": "tn_1", "user_key": "u:ada", "decision_id": "dec_1", "channel": "email", "purpose": "marketing"}
    return SIGNER.sign(Link(**{"kind": kind, **said, "url": url, "issued_at": NOW, **more}))


class Journal:
    """Remembers what was recorded; ``answer`` may be replaced by something that fails or waits."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, str]] = []
        self.answer: Callable[[], Awaitable[None]] | None = None

    async def record(self, link: Link, kind: str) -> None:
        if self.answer is not None:
            await self.answer()
        self.seen.append((link.user_key, link.decision_id, kind))


KEPT = {"0123456789ab": token(CLICK), "0123456789ac": token(UNSUBSCRIBE)}
"""What codes of short links stand for."""


@pytest.fixture
def journal() -> Journal:
    return Journal()


@pytest.fixture
async def client(journal: Journal) -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    problems.install(app)
    routes.install(app, SIGNER, journal.record, VOUCHED, now_ms=lambda: NOW + 1_000, token_of=KEPT.get)
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="https://go.example", headers=PHONE) as made:
        yield made


def path(kind: str, **more: Any) -> str:
    return PATHS[kind] + token(kind, **more)


async def test_an_opening_is_recorded_and_answered_by_a_picture(client: httpx.AsyncClient, journal: Journal) -> None:
    answer = await client.get(path(OPEN))
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/gif")
    assert answer.content.startswith(b"GIF89a")
    assert "no-store" in answer.headers["cache-control"]
    assert journal.seen == [("u:ada", "dec_1", "opened")]


@pytest.mark.parametrize("made", ["nonsense", "1" * 60, "%00", "ü", token(CLICK), token(OPEN)[:-1]])
async def test_a_forged_picture_is_a_picture_that_records_nothing(
    client: httpx.AsyncClient, journal: Journal, made: str
) -> None:
    answer = await client.get(PATHS[OPEN] + made)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/gif")
    assert not journal.seen


async def test_a_click_leads_where_it_was_signed_for(client: httpx.AsyncClient, journal: Journal) -> None:
    answer = await client.get(path(CLICK) + "?url=https://evil.example/&next=//evil.example")
    assert (answer.status_code, answer.headers["location"]) == (302, "https://app.example/a?b=1")
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert journal.seen == [("u:ada", "dec_1", "clicked")]


@pytest.mark.parametrize("code", ["0123456789ab", "0123456789AB", "0123456789ab.", "0123456789ab\u3002"])
async def test_a_short_link_is_the_click_that_it_stands_for(
    client: httpx.AsyncClient, journal: Journal, code: str
) -> None:
    answer = await client.get(f"/l/{code}")
    assert (answer.status_code, answer.headers["location"]) == (302, "https://app.example/a?b=1")
    assert journal.seen == [("u:ada", "dec_1", "clicked")]


@pytest.mark.parametrize("code", ["0123456789ad", "0123456789ac", "0123", "x" * 5_000])
async def test_a_code_that_stands_for_no_click_leads_nowhere(
    client: httpx.AsyncClient, journal: Journal, code: str
) -> None:
    answer = await client.get(f"/l/{code}")
    assert (answer.status_code, answer.json()["code"], journal.seen) == (400, "link_forged", [])


@pytest.mark.parametrize(("kind", "seen"), [(OPEN, ["auto_opened"]), (CLICK, ["auto_clicked"]), (UNSUBSCRIBE, [])])
async def test_who_only_looks_at_the_headers_is_a_program(
    client: httpx.AsyncClient, journal: Journal, kind: str, seen: list[str]
) -> None:
    answer = await client.head(path(kind))
    assert answer.status_code == (302 if kind == CLICK else 200)
    assert [kind for _, _, kind in journal.seen] == seen


@pytest.mark.parametrize(
    ("headers", "seen"),
    [
        ({}, ["opened", "clicked"]),
        ({"User-Agent": "Barracuda Sentinel (EE)"}, ["auto_opened", "auto_clicked"]),
        ({"User-Agent": ""}, ["auto_opened", "auto_clicked"]),
        ({HEADER: f"{VOUCHED} 104.47.1.2"}, ["auto_opened", "auto_clicked"]),
        ({HEADER: f"{VOUCHED} 17.58.1.2"}, ["auto_opened", "clicked"]),
        ({HEADER: "forged 104.47.1.2"}, ["opened", "clicked"]),
        ({"X-Forwarded-For": "104.47.1.2"}, ["opened", "clicked"]),
    ],
)
async def test_a_program_is_told_from_a_reader_by_what_it_says_and_where_it_is(
    client: httpx.AsyncClient, journal: Journal, headers: dict[str, str], seen: list[str]
) -> None:
    assert (await client.get(path(OPEN), headers=headers)).status_code == 200
    assert (await client.get(path(CLICK), headers=headers)).status_code == 302
    assert [kind for _, _, kind in journal.seen] == seen


@pytest.mark.parametrize("kind", [CLICK, UNSUBSCRIBE])
async def test_a_forged_link_is_400_and_an_expired_one_410(
    client: httpx.AsyncClient, journal: Journal, kind: str
) -> None:
    method = client.get if kind == CLICK else client.post
    old = token(kind, issued_at=NOW - LIFETIME_MS[kind])
    for made, status, code in (
        ("x" * 80, 400, "link_forged"),
        (token(OPEN), 400, "link_forged"),
        (token(kind)[:-2] + "AA", 400, "link_forged"),
        (old, 410, "link_expired"),
    ):
        answer = await method(PATHS[kind] + made)
        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert answer.headers["content-type"] == "application/problem+json"
        assert "location" not in answer.headers
    assert not journal.seen


async def test_a_reader_is_not_kept_waiting_for_a_shard_and_the_outcome_is_not_lost(
    client: httpx.AsyncClient, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "PATIENCE_S", 0.0)
    back = asyncio.Event()
    journal.answer = lambda: _none(back.wait())
    assert (await client.get(path(CLICK))).status_code == 302
    assert (await client.get(path(OPEN))).status_code == 200
    assert not journal.seen
    back.set()
    for _ in range(10):
        await asyncio.sleep(0)
    assert sorted(kind for _, _, kind in journal.seen) == ["clicked", "opened"]


async def test_not_more_than_so_many_outcomes_wait(
    client: httpx.AsyncClient, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "PATIENCE_S", 0.0)
    monkeypatch.setattr(routes, "MAX_PENDING", 2)
    back = asyncio.Event()
    journal.answer = lambda: _none(back.wait())
    for _ in range(5):
        assert (await client.get(path(CLICK))).status_code == 302
    back.set()
    for _ in range(10):
        await asyncio.sleep(0)
    assert len(journal.seen) == 2


async def _none(waiting: Awaitable[object]) -> None:
    await waiting


async def _fails() -> None:
    raise UnavailableError("a shard is recovering", retry_after_s=2.0)


async def _breaks() -> None:
    raise RuntimeError("secret detail")


@pytest.mark.parametrize("failure", [_fails, _breaks])
async def test_a_reader_is_not_refused_because_recording_failed(
    client: httpx.AsyncClient, journal: Journal, failure: Callable[[], Awaitable[None]]
) -> None:
    journal.answer = failure
    assert (await client.get(path(CLICK))).status_code == 302
    assert (await client.get(path(OPEN))).status_code == 200


async def test_looking_at_the_unsubscribe_page_unsubscribes_nobody(client: httpx.AsyncClient, journal: Journal) -> None:
    answer = await client.get(path(UNSUBSCRIBE))
    assert answer.status_code == 200
    assert '<form method="post">' in answer.text
    assert not journal.seen
    policy = answer.headers["content-security-policy"]
    assert "form-action 'self'" in policy
    assert "default-src 'none'" in policy
    assert not re.search(r"<script|style=|onclick", answer.text)
    assert "ada" not in answer.text


async def test_the_pages_button_and_a_mail_programs_one_click_unsubscribe(
    client: httpx.AsyncClient, journal: Journal
) -> None:
    page = await client.post(path(UNSUBSCRIBE), data=ONE_CLICK, headers={"Accept": "text/html"})
    assert page.status_code == 200
    assert "You are unsubscribed" in page.text
    assert "<form" not in page.text
    one_click = await client.post(path(UNSUBSCRIBE), data=ONE_CLICK)
    assert (one_click.status_code, one_click.text) == (200, "unsubscribed\n")
    multipart = await client.post(path(UNSUBSCRIBE), files={"List-Unsubscribe": (None, "One-Click")})
    assert multipart.status_code == 200
    assert journal.seen == [("u:ada", "dec_1", "unsubscribed")] * 3


@pytest.mark.parametrize("failure", [_fails, _breaks])
async def test_an_unsubscription_that_is_not_on_disk_is_not_claimed(
    client: httpx.AsyncClient, journal: Journal, failure: Callable[[], Awaitable[None]]
) -> None:
    journal.answer = failure
    answer = await client.post(path(UNSUBSCRIBE), data=ONE_CLICK)
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert int(answer.headers["retry-after"]) >= 1
    assert "secret" not in answer.text


async def test_an_unsubscription_that_hangs_is_not_claimed(
    client: httpx.AsyncClient, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "UNSUBSCRIBE_PATIENCE_S", 0.0)
    journal.answer = lambda: _none(asyncio.Event().wait())
    assert (await client.post(path(UNSUBSCRIBE))).status_code == 503


@pytest.mark.parametrize(
    ("wanted", "locale"),
    [
        ("de-AT,en;q=0.5", "de"),
        ("eu, ja;q=0.9, en;q=0.1", "ja"),
        ("ar", "ar"),
        ("", "en"),
        ("x;q=z,,;;q=1", "en"),
        ("en;q=0,es", "es"),
    ],
)
async def test_the_page_speaks_the_readers_language(client: httpx.AsyncClient, wanted: str, locale: str) -> None:
    answer = await client.get(path(UNSUBSCRIBE), headers={"Accept-Language": wanted})
    direction = "rtl" if locale == "ar" else "ltr"
    assert f'<html lang="{locale}" dir="{direction}">' in answer.text


async def test_what_the_link_says_is_escaped(client: httpx.AsyncClient) -> None:
    answer = await client.get(path(UNSUBSCRIBE, purpose="<b>news</b>"))
    assert "&lt;b&gt;news" in answer.text
    assert "<b>news" not in answer.text

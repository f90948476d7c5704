"""Batches: an answer for every request, in order, with each template asked for once."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cluster.control_plane import ShortLink
from cluster.control_plane.catalogues import LoadedCatalogue
from cluster.control_plane.coupons import Ask
from cluster.control_plane.tenancy.tenant_settings import TenantSettings
from serve_apps.content import rendering
from serve_apps.content.brands import Brands
from serve_apps.content.rendering import Rendering
from serve_apps.supplies.stock import Stock
from serve_apps.supplies.versions import PlaneVersion
from tests.unit.whisperer.content.requests import NOW, request, template
from whisperer.content.blocks import Block, Filled, filled_in
from whisperer.content.generation.record import read
from whisperer.content.message import NotRendered, Rendered, RenderRequest, Wanting
from whisperer.content.recent import RecentEvent
from whisperer.eligibility.suppression import address_hash
from whisperer.errors import NotFoundError, UnavailableError
from whisperer.feedback.links import PATHS, UNSUBSCRIBE, Link, LinkSigner
from whisperer.feedback.references import References
from whisperer.ids import TenantId
from whisperer.vocabulary.reasons import Reason

SIGNER = LinkSigner(b"s" * 32)
encode = msgspec.msgpack.encode
decode = msgspec.msgpack.Decoder(list[Rendered | NotRendered]).decode
decode_all = msgspec.msgpack.Decoder(list[Rendered | NotRendered | Wanting]).decode


class FakePlane:
    def __init__(self, templates: dict[tuple[str, str, int], Any]) -> None:
        self.templates = templates
        self.asked: list[tuple[str, str, int]] = []
        self.down = False
        self.changes = 1
        self.brands: dict[str, dict[str, str]] = {}
        self.asked_for_settings: list[str] = []
        self.catalogues: dict[tuple[str, str], LoadedCatalogue] = {}
        self.loaded: list[str] = []
        self.pools: dict[str, list[str]] = {}
        self.given: dict[Ask, str] = {}
        self.n_given = 0
        self.blocks: dict[str, Block] = {}
        self.asked_for_versions = 0
        self.kept: dict[str, str] = {}
        self.links_base_url = ""

    def catalogue_revision(self, tenant_id: str, name: str) -> int | None:
        if self.down:
            raise UnavailableError("the database does not answer")
        found = self.catalogues.get((tenant_id, name))
        return None if found is None else found.revision

    def load_catalogue(self, tenant_id: str, name: str) -> LoadedCatalogue | None:
        self.loaded.append(name)
        return self.catalogues.get((tenant_id, name))

    def code_lengths(self, tenant_id: str) -> dict[str, int]:
        if self.down:
            raise UnavailableError("the database does not answer")
        return {name: 6 for name in self.pools}

    def give_codes(self, tenant_id: str, asks: Iterable[Ask], now: int) -> dict[Ask, str | Reason]:
        if self.down:
            raise UnavailableError("the database does not answer")
        self.n_given += 1
        for ask in asks:
            if ask not in self.given and self.pools[ask.pool]:
                self.given[ask] = self.pools[ask.pool].pop(0)
        return {ask: self.given.get(ask, Reason.COUPONS_EXHAUSTED) for ask in asks}

    def version(self) -> int:
        if self.down:
            raise UnavailableError("the database does not answer")
        return self.changes

    def tenant_settings(self, tenant: str) -> TenantSettings:
        self.asked_for_settings.append(tenant)
        if self.down:
            raise UnavailableError("the database does not answer")
        return TenantSettings(brand=self.brands.get(tenant, {}), links_base_url=self.links_base_url)

    def template(self, tenant_id: str, name: str, version: int) -> dict[str, Any]:
        self.asked.append((tenant_id, name, version))
        if self.down:
            raise UnavailableError("the database does not answer")
        try:
            found: dict[str, Any] = self.templates[tenant_id, name, version]
        except KeyError:
            raise NotFoundError(f"there is no template {name!r} version {version}") from None
        return found

    def filled_template(self, tenant: str, body: Any) -> Filled:
        return filled_in(body, self.blocks)

    def keep_short_links(self, links: Sequence[ShortLink], now: int) -> dict[str, str]:
        if self.down:
            raise UnavailableError("the database does not answer")
        return {link.code: self.kept.setdefault(link.code, link.token) for link in links}

    def block_versions(self, tenant: str) -> dict[str, int]:
        self.asked_for_versions += 1
        if self.down:
            raise UnavailableError("the database does not answer")
        return {name: block.version for name, block in self.blocks.items()}


def plane() -> FakePlane:
    return FakePlane(
        {
            ("tn_1", "hello", 1): template("sms", text="one {{ user.name }}"),
            ("tn_1", "hello", 2): template("sms", text="two {{ user.name }}"),
            ("tn_2", "hello", 1): template("sms", text="other {{ user.name }}"),
            ("tn_1", "brand", 1): template("sms", "blank", text="by {{ brand.name | default: 'nobody' }}"),
            ("tn_2", "brand", 1): template("sms", "blank", text="by {{ brand.name | default: 'nobody' }}"),
            ("tn_1", "mail", 1): template("email", subject="Hi", html="<p>Hi</p>"),
            ("tn_1", "code", 1): template("sms", text="{{ user.name }}: {% coupon 'spring' %}"),
            ("tn_1", "picks", 1): template("sms", text='{% catalogue p from "products" %}{{ p | map: "id" | join }}!'),
            ("tn_1", "broken", 1): {"channel": "sms", "locales": {"en": {"text": "{{"}}},
        }
    )


async def rendered(of: Rendering, *requests: RenderRequest) -> list[Rendered | NotRendered]:
    return decode(await of.render(encode(list(requests))))


async def test_every_request_is_answered_in_order_and_one_bad_one_spoils_nothing() -> None:
    requests = [
        request(send_key="snd_1"),
        request(send_key="snd_2", template="nowhere"),
        request(send_key="snd_3", template="broken"),
        request({"other": 1}, send_key="snd_4"),
        request(send_key="snd_5", template_version=2),
        request(send_key="snd_6", tenant="tn_2"),
        request(send_key="snd_7", template="mail"),
        request(send_key="snd_8"),
    ]
    answers = await rendered(Rendering(plane(), SIGNER, "https://go.example"), *requests)
    assert [answer.send_key for answer in answers] == [f"snd_{n}" for n in range(1, 9)]
    said = [answer.parts["text"] if isinstance(answer, Rendered) else answer.reason for answer in answers]
    failed = "template_failed"
    assert said == ["one Ada", failed, failed, "variable_missing", "two Ada", "other Ada", failed, "one Ada"]


async def test_a_template_is_asked_for_once() -> None:
    source = plane()
    of = Rendering(source, SIGNER, "https://go.example")
    for _ in range(3):
        await rendered(of, request(), request(), request(template_version=2))
    assert source.asked == [("tn_1", "hello", 1), ("tn_1", "hello", 2)]


async def test_the_templates_used_last_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "MAX_COMPILED", 2)
    source = plane()
    of = Rendering(source, SIGNER, "https://go.example")
    one, two, other = request(), request(template_version=2), request(tenant="tn_2")
    for asked in (one, two, one, other, one, two):
        await rendered(of, asked)
    assert [version for _, _, version in source.asked] == [1, 2, 1, 2]


async def test_a_message_knows_its_tenants_brand_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    source = plane()
    source.brands["tn_1"] = {"name": "Acme"}
    of = Rendering(source, SIGNER, "https://go.example")
    of._brands = Brands(source, poll_interval_s=0)
    asked = (request(template="brand"), request(template="brand", tenant="tn_2"))
    for _ in range(2):
        assert [one.parts["text"] for one in await rendered(of, *asked) if isinstance(one, Rendered)] == [
            "by Acme",
            "by nobody",
        ]
    assert sorted(source.asked_for_settings) == ["tn_1", "tn_2"], "they are kept until something changes"
    source.brands["tn_1"], source.changes = {"name": "Acorn"}, 2
    (changed,) = await rendered(of, asked[0])
    assert isinstance(changed, Rendered)
    assert changed.parts["text"] == "by Acorn"


async def test_a_known_brand_stays_while_the_plane_does_not_answer() -> None:
    source = plane()
    source.brands["tn_1"] = {"name": "Acme"}
    of = Rendering(source, SIGNER, "https://go.example")
    of._brands = Brands(source, poll_interval_s=0)
    await rendered(of, request(template="brand"), request())
    source.down = True
    (known,) = await rendered(of, request(template="brand"))
    assert isinstance(known, Rendered)
    assert known.parts["text"] == "by Acme"
    with pytest.raises(UnavailableError):
        await of._brands.of(TenantId("tn_2"))


async def test_what_is_not_there_yet_is_asked_for_again() -> None:
    source = plane()
    of = Rendering(source, SIGNER, "https://go.example")
    asked = request(template="late")
    assert isinstance((await rendered(of, asked))[0], NotRendered)
    source.templates["tn_1", "late", 1] = template("sms", text="here")
    assert isinstance((await rendered(of, asked))[0], Rendered)


async def test_when_the_plane_cannot_be_asked_nothing_is_known_about_any_message() -> None:
    source = plane()
    of = Rendering(source, SIGNER, "https://go.example")
    await rendered(of, request())
    source.down = True
    assert isinstance((await rendered(of, request()))[0], Rendered)
    with pytest.raises(UnavailableError):
        await rendered(of, request(), request(template_version=2))


async def test_the_links_of_a_message_are_signed_for_it() -> None:
    of = Rendering(plane(), SIGNER, "https://go.example/")
    (mail,) = await rendered(of, request(template="mail", channel="email"))
    assert isinstance(mail, Rendered)
    address = mail.headers["List-Unsubscribe"].strip("<>")
    start = "https://go.example" + PATHS[UNSUBSCRIBE]
    found = SIGNER.read(address.removeprefix(start), NOW)
    assert (found.tenant, found.user_key, found.decision_id) == ("tn_1", "u:ada", "dec_1")
    assert (found.channel, found.purpose, found.issued_at) == ("email", "marketing", NOW)


async def test_an_empty_batch_is_answered_by_nothing() -> None:
    assert await rendered(Rendering(plane(), SIGNER, "")) == []


def test_the_value_types_load_no_template_engine() -> None:
    """Shards import them: a parser of HTML and the locales of the world would be in the memory of each."""
    package = Path(rendering.__file__).parents[2] / "whisperer" / "content"
    assert not (package / "__init__.py").read_text().strip()
    imports = {
        node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
        for module in ("message.py", "recent.py")
        for node in ast.walk(ast.parse((package / module).read_text()))
        if isinstance(node, (ast.Import, ast.ImportFrom))
    }
    plain = {"__future__", "collections.abc", "typing", "msgspec"}
    assert imports == plain | {"whisperer.ids", "whisperer.content.recent"}


async def test_a_message_carries_what_its_provider_s_callbacks_will_refer_to() -> None:
    references = References(b"s" * 32)
    of = Rendering(plane(), SIGNER, "https://go.example", references)
    asked = request()
    message, failed = await rendered(of, asked, request(template="nowhere"))
    assert isinstance(message, Rendered)
    assert isinstance(failed, NotRendered)
    found = references.read(message.reference)
    assert found is not None
    assert (found.tenant, found.user_key, found.decision_id, found.channel) == (
        asked.tenant,
        asked.user_key,
        asked.decision_id,
        asked.channel,
    )
    assert found.address_hash == address_hash(asked.channel, asked.address)


def of_catalogue(revision: int, *ids: str) -> LoadedCatalogue:
    return LoadedCatalogue(revision, {"name": "string"}, [(id, f'{{"id": "{id}"}}'.encode()) for id in ids])


async def test_a_batch_takes_its_codes_at_once_and_a_repeated_one_the_same() -> None:
    source = plane()
    source.pools["spring"] = ["CODE-1", "CODE-2"]
    of = Rendering(source, SIGNER, "https://go.example")
    users = [request({"name": name}, template="code", user_key=f"u:{name}") for name in ("Ada", "Bob", "Eve")]
    refused = request({"other": 1}, template="code", user_key="u:nobody")
    first = await rendered(of, *users, refused, request())
    assert [one.parts["text"] if isinstance(one, Rendered) else one.reason for one in first] == [
        "Ada: CODE-1",
        "Bob: CODE-2",
        "coupons_exhausted",
        "variable_missing",
        "one Ada",
    ]
    assert source.n_given == 1
    assert refused.user_key not in {ask.user_key for ask in source.given}, "who gets no message takes no code"
    again = await rendered(Rendering(source, SIGNER, "https://go.example"), users[1], users[0])
    assert [one.parts["text"] for one in again if isinstance(one, Rendered)] == ["Bob: CODE-2", "Ada: CODE-1"]


async def test_a_code_does_not_change_what_a_content_hashes_to() -> None:
    source = plane()
    source.pools["spring"] = ["CODE-1", "CODE-2"]
    asked = [request(template="code", user_key=f"u:{n}") for n in range(2)]
    one, other = await rendered(Rendering(source, SIGNER, "https://go.example"), *asked)
    assert isinstance(one, Rendered)
    assert isinstance(other, Rendered)
    assert one.parts != other.parts
    assert one.content_hash == other.content_hash


async def test_a_catalogue_is_loaded_again_when_it_changed_and_kept_while_the_plane_is_away() -> None:
    source = plane()
    source.catalogues["tn_1", "products"] = of_catalogue(1, "a", "b")
    of = Rendering(source, SIGNER, "https://go.example")
    of._stock = Stock(source, poll_interval_s=0)

    async def shown() -> str:
        (found,) = await rendered(of, request(template="picks"))
        assert isinstance(found, Rendered)
        return found.parts["text"]

    assert await shown() == await shown() == "a b!"
    source.changes += 1
    assert await shown() == "a b!"
    assert source.loaded == ["products"], "something else has changed"
    source.catalogues["tn_1", "products"] = of_catalogue(2, "c")
    source.changes += 1
    for held in of._stock._held.values():
        held.rests_until = 0.0
    assert await shown() == "c!"
    source.down = True
    assert await shown() == "c!"
    with pytest.raises(UnavailableError):
        await Stock(source).catalogues(TenantId("tn_1"), {"products"})


async def test_a_catalogue_that_changes_all_the_time_is_not_loaded_all_the_time() -> None:
    source = plane()
    of = Stock(source, poll_interval_s=0)
    for revision in range(1, 30):
        source.catalogues["tn_1", "products"] = of_catalogue(revision, str(revision))
        source.changes += 1
        if revision == 1:
            await of.catalogues(TenantId("tn_1"), {"products"})
            next(iter(of._held.values())).rests_until = float("inf")
        found = await of.catalogues(TenantId("tn_1"), {"products"})
        assert len(found["products"]) == 1
    assert len(source.loaded) == 1


async def test_a_message_that_shows_latest_events_is_asked_for_again_with_them() -> None:
    source = plane()
    source.templates["tn_1", "seen", 1] = template("sms", text='{{ recent["Seen"].size }} seen')
    of = Rendering(source, SIGNER, "https://go.example")
    events = [RecentEvent("Seen", 1, b"{}")]
    asked = request(template="seen"), request(), request(template="seen", recent=events)
    wanting, other, shown = decode_all(await of.render(encode(list(asked))))
    assert wanting == Wanting("snd_1")
    assert isinstance(other, Rendered)
    assert isinstance(shown, Rendered)
    assert shown.parts["text"] == "1 seen"


async def test_the_catalogues_used_last_are_kept() -> None:
    source = plane()
    for name in "abc":
        source.catalogues["tn_1", name] = of_catalogue(1, *(f"{name}{n}" for n in range(10)))
    of = Stock(source, max_bytes=300)
    for name in "abacab":
        assert name in await of.catalogues(TenantId("tn_1"), {name})
    assert source.loaded == ["a", "b", "c", "b"]
    assert await of.catalogues(TenantId("tn_1"), {"nowhere"}) == {}
    assert of._n_bytes <= 300


async def test_a_changed_block_is_in_new_messages_and_changes_their_hash_and_nothing_else_is_compiled_again() -> None:
    source = plane()
    foot = {"channel": "block", "locales": {"en": {"text": "Acme, 1 Street"}}}
    source.blocks["foot"] = Block(1, foot)
    source.templates["tn_1", "footed", 1] = template("sms", text="Hi {% render 'foot' %}")
    of = Rendering(source, SIGNER, "https://go.example")
    of._brands._version = PlaneVersion(source, 0.0)
    asked = request(template="footed", channel="sms")
    [first] = await rendered(of, asked)
    source.changes += 1
    [same] = await rendered(of, asked)
    assert (first.parts["text"], same) == ("Hi Acme, 1 Street", first)
    assert source.asked == [("tn_1", "footed", 1)]
    source.blocks["foot"] = Block(2, foot | {"locales": {"en": {"text": "Acme, 2 Street"}}})
    source.changes += 1
    [second] = await rendered(of, asked)
    assert second.parts["text"] == "Hi Acme, 2 Street"
    assert second.content_hash != first.content_hash
    assert source.asked == [("tn_1", "footed", 1)] * 2
    n_asked = source.asked_for_versions
    await rendered(of, asked, request())
    assert source.asked_for_versions == n_asked
    source.down = True
    source.changes += 1
    [known] = await rendered(of, asked)
    assert known == second


LINKED = template("sms", text="See https://app.example.com/plans?a=1, or https://app.example.com/tips")


async def test_links_of_an_sms_are_short_under_the_tenants_own_address_and_the_same_after_a_crash() -> None:
    source = plane()
    source.templates["tn_1", "linked", 1] = LINKED
    source.links_base_url = "https://go.acme.example"
    found = []
    for now in (NOW, NOW + 60_000):
        of = Rendering(source, SIGNER, "https://go.example", secret=bytes(32))
        found += await rendered(of, request(template="linked", now=now))
    first, second = found
    assert first == second
    assert re.fullmatch(
        r"See https://go\.acme\.example/l/\w{12}, or https://go\.acme\.example/l/\w{12}", first.parts["text"]
    )
    assert sorted(SIGNER.read(token, NOW).url for token in source.kept.values()) == [
        "https://app.example.com/plans?a=1",
        "https://app.example.com/tips",
    ]


async def test_a_code_that_another_link_has_gives_a_long_link_and_leads_nowhere_else() -> None:
    source = plane()
    source.templates["tn_1", "linked", 1] = LINKED
    source.links_base_url = "https://go.acme.example"
    of = Rendering(source, SIGNER, "https://go.example", secret=bytes(32))
    await rendered(of, request(template="linked"))
    code = next(iter(source.kept))
    source.kept[code] = SIGNER.sign(Link("click", "tn_2", "u:eve", "dec_9", "sms", "m", "https://evil.example/", NOW))
    [message] = await rendered(of, request(template="linked"))
    assert "/l/" not in message.parts["text"]
    assert message.parts["text"].count("https://go.acme.example/m/c/") == 2


async def test_no_sms_goes_out_with_a_link_that_is_not_kept() -> None:
    source = plane()
    source.templates["tn_1", "linked", 1] = LINKED
    source.links_base_url = "https://go.acme.example"
    of = Rendering(source, SIGNER, "https://go.example", secret=bytes(32))
    await rendered(of, request(template="linked"))
    source.down = True
    with pytest.raises(UnavailableError):
        await rendered(of, request(template="linked"))


async def test_a_scored_message_says_which_criteria_cost_something() -> None:
    source = plane()
    source.templates["tn_1", "shouted", 1] = template(
        "sms", "blank", text="BUY NOW!!! FREE MONEY!!! WINNER!!! {{ user.x }}"
    )
    of = Rendering(source, SIGNER, "https://go.example")
    messages = await rendered(of, *[request(template="shouted", channel="sms", send_key=f"snd_{n}") for n in range(64)])
    scored = [found for one in messages if (found := read(one.provenance)) is not None]  # type: ignore[union-attr]
    assert 0 < len(scored) < 64
    for found in scored:
        assert found.quality is not None
        assert found.quality < 4
        assert found.marks["tone"] < 1
        assert all(mark < 1 for mark in found.marks.values())

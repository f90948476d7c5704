"""Catalogues and coupons in templates: what they give, what they refuse, and what they may cost."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests.unit.whisperer.content.requests import ReadableLinks, request, template
from whisperer.content import limits
from whisperer.content.catalogue.table import ItemTable
from whisperer.content.errors import TemplateError
from whisperer.content.lint.checks import errors_of, lint_template
from whisperer.content.lint.supplies import Known
from whisperer.content.message import NotRendered, Rendered
from whisperer.content.recent import MOST_RECENT, RecentEvent, bounded
from whisperer.content.render import render
from whisperer.content.supplies import Coupons, Supplies, placeholder
from whisperer.content.template import parse_template

FIELDS = {"name": "string", "price": "number", "tags": "list", "url": "url"}
PRODUCTS = [
    {"id": "1", "name": "Boots & <b>", "price": 80, "tags": ["shoes"], "url": "https://shop.example/1"},
    {"id": "2", "name": "Hat", "price": 20, "tags": ["new"], "url": "https://shop.example/2"},
    {"id": "3", "name": "Scarf", "price": 30, "tags": ["new", "wool"]},
]
LOOP = "{% for one in picks %}{{ one.id }}{% unless forloop.last %},{% endunless %}{% else %}none{% endfor %}"


def table(items: list[dict[str, Any]]) -> ItemTable:
    return ItemTable(FIELDS, [(one["id"], json.dumps(one).encode()) for one in items])


def made(
    definition: dict[str, Any], traits: dict[str, Any] | None = None, coupons: Coupons | None = None, **more: Any
) -> Rendered | NotRendered:
    supplies = Supplies({"products": table(PRODUCTS)}, coupons or Coupons({"spring": 10}))
    asked = request(traits, channel=definition["channel"], **more)
    return render(parse_template(definition), asked, ReadableLinks(), {}, supplies)


def sms(text: str, traits: dict[str, Any] | None = None, coupons: Coupons | None = None, **more: Any) -> str:
    found = made(template("sms", text=text), traits, coupons, **more)
    assert isinstance(found, Rendered), found
    return found.parts["text"]


def refusal(text: str, traits: dict[str, Any] | None = None, coupons: Coupons | None = None) -> tuple[str, str]:
    found = made(template("sms", text=text), traits, coupons)
    assert isinstance(found, NotRendered), found
    return found.reason, found.detail


@pytest.mark.parametrize(
    ("tag", "wanted"),
    [
        ("", "1,2,3"),
        ("where price < 50", "2,3"),
        ("where price >= user.least and price != 80 limit 1", "3"),
        ('where tags contains "new" sort "-price"', "3,2"),
        ('where tags contains user.nothing sort "price"', "none"),
        ('where name == "Hat"', "2"),
        ("where id in user.seen", "3,1"),
        ("where id in user.seen limit 1", "3"),
        ("where id not in user.seen", "2"),
        ("where id not in user.nothing", "1,2,3"),
        ("where id == event.product", "2"),
        ('sort "-name" limit 2', "3,2"),
        ("where id in (1..2)", "1,2"),
    ],
)
def test_a_tag_picks_items_by_what_is_known_of_the_user(tag: str, wanted: str) -> None:
    traits = {"least": 30, "seen": [3, "9", "1"]}
    text = f'{{% catalogue picks from "products" {tag} %}}{LOOP}'
    assert sms(text, traits, event=b'{"product": 2}') == wanted


SEEN = [
    RecentEvent("Product Viewed", 3, b'{"product_id": 3}'),
    RecentEvent("Signed In", 2, b""),
    RecentEvent("Product Viewed", 1, b'{"product_id": "1", "name": "Boots"}'),
]


def test_items_are_picked_by_the_users_latest_events() -> None:
    assign = '{% assign seen = recent["Product Viewed"] | map: "product_id" %}'
    text = assign + '{% catalogue picks from "products" where id in seen %}' + LOOP
    assert parse_template(template("sms", text=text)).shows_recent
    assert sms(text, recent=SEEN) == "3,1"
    assert sms(text, recent=[]) == sms(text, recent=None) == "none", "also where absent variables are refused"
    assert sms('{{ recent["Product Viewed"].last.name }}', recent=SEEN) == "Boots"
    assert not parse_template(template("sms", text="{{ user.recent }}")).shows_recent


def test_latest_events_are_bounded() -> None:
    small = [("E", n, b'{"properties": {"n": 1}}') for n in range(100)]
    assert len(bounded(small)) == MOST_RECENT
    big = [("E", n, b'{"properties": {"n": "' + b"x" * 4_000 + b'"}}') for n in range(100)]
    assert len(bounded(big)) == 6
    assert bounded([("E", 1, b'{"properties": "' + b"x" * 5_000 + b'"}'), ("E", 0, b"nonsense")]) == []
    assert bounded([("E", 1, b'{"event": "E"}')]) == [RecentEvent("E", 1, b"")]


def test_items_are_escaped_like_any_value_and_links_to_them_are_tracked() -> None:
    html = '<p>{% catalogue p from "products" where price == 80 %}<a href="{{ p[0].url }}">{{ p[0].name }}</a></p>'
    found = made(template("email", subject="Hi", html=html))
    assert isinstance(found, Rendered)
    assert "Boots &amp; &lt;b&gt;" in found.parts["html"]
    assert "https://go.example/m/c/1" in found.parts["html"]


def test_items_and_codes_are_json_in_a_part_that_is_json() -> None:
    body = '{% catalogue p from "products" sort "price" limit 2 %}{"items": {{ p | json }}, "code": "{% coupon "spring" %}"}'
    found = made(template("webhook", body=body))
    assert isinstance(found, Rendered)
    assert json.loads(found.parts["body"]) == {"items": [PRODUCTS[1], PRODUCTS[2]], "code": "PREVIEWXXX"}


@pytest.mark.parametrize(
    "tag",
    [
        "catalogue picks",
        "catalogue from",
        'catalogue picks from "products" limit 51',
        'catalogue picks from "products" limit user.n',
        'catalogue picks from "products" where price',
        'catalogue picks from "products" where price not == 3',
        'catalogue picks from "products" limit 3 sort "price"',
        'catalogue picks from "products" or price == 3',
        "catalogue picks from user.catalogue",
        'catalogue picks from "products" where price < nobody',
        'catalogue a from "products" where ' + " and ".join(["price > 1"] * 9),
        "coupon spring",
        "coupon",
        'coupon "spring" "x"',
        "coupon user.pool",
    ],
)
def test_what_is_not_written_out_is_refused_when_it_is_published(tag: str) -> None:
    with pytest.raises(TemplateError):
        parse_template(template("sms", text=f"x{{% {tag} %}}"))


def test_a_code_is_written_once_given_and_the_same_everywhere_in_a_message() -> None:
    coupons = Coupons({"spring": 10}, {"spring": "SPRING-1"})
    assert sms('{% coupon "spring" %} or {% coupon "spring" %}', None, coupons) == "SPRING-1 or SPRING-1"
    assert coupons.asked == set()


def test_a_placeholder_is_as_long_as_a_code_may_be_and_is_noted() -> None:
    coupons = Coupons({"spring": 10})
    assert sms('{% if user.vip %}{% coupon "spring" %}{% else %}no{% endif %}', {"vip": False}, coupons) == "no"
    assert coupons.asked == set(), "only what is written asks"
    assert sms('{% coupon "spring" %}', None, coupons) == "PREVIEWXXX"
    assert coupons.asked == {"spring"}
    assert [len(placeholder(n)) for n in (1, 7, 64)] == [1, 7, 64]


def test_who_gets_no_code_gets_no_message() -> None:
    coupons = Coupons({"spring": 10}, refused={"spring": "coupons_exhausted"})
    assert refusal('{% coupon "spring" %}', None, coupons)[0] == "coupons_exhausted"
    assert refusal('{% coupon "summer" %}') == ("template_failed", "there is no coupon pool 'summer' (text, en)")


def test_what_is_there_no_more_fails_the_message_and_says_so() -> None:
    assert "no catalogue 'shops'" in refusal('{% catalogue p from "shops" %}x')[1]
    assert "no field 'colour'" in refusal('{% catalogue p from "products" where colour == "red" %}x')[1]
    assert "compared by contains" in refusal('{% catalogue p from "products" where tags == "new" %}x')[1]
    assert "nothing is sorted" in refusal('{% catalogue p from "products" sort "tags" %}x')[1]


def test_the_lint_knows_what_a_tenant_has() -> None:
    known = Known({"products": FIELDS}, {"spring": 5, "empty": 0})

    def codes(text: str) -> list[tuple[str, str]]:
        body = template("sms", text=text)
        found = lint_template(body, None, known)
        assert [one for one in found if one.severity == "error"] == errors_of(body, parse_template(body), known)
        return [(one.code, one.severity) for one in found if one.severity != "info"]

    good = '{% catalogue p from "products" where price < 3 and id in event.ids sort "-name" %}{% coupon "spring" %}'
    assert codes(good) == []
    assert codes('{% catalogue p from "shops" %}x') == [("unknown_catalogue", "error")]
    assert codes('{% catalogue p from "products" where size > 3 %}x') == [("wrong_catalogue_field", "error")]
    assert codes('{% catalogue p from "products" where name > 3 %}x') == [("wrong_catalogue_field", "error")]
    assert codes('{% coupon "summer" %}') == [("unknown_coupon_pool", "error")]
    assert codes('{% coupon "empty" %}') == [("no_coupons_left", "warning")]
    anywhere = lint_template(template("sms", text='{% coupon "summer" %}'))
    assert [one.severity for one in anywhere] == ["info"], "without a tenant, nothing is known of its pools"


BIG = ItemTable(
    FIELDS,
    [
        (str(n), json.dumps({"id": str(n), "name": f"n{n % 100}", "price": n, "tags": ["x" * 900] * 4}).encode())
        for n in range(20_000)
    ],
)


@pytest.mark.parametrize(
    "bomb",
    [
        '{% for i in (1..4000) %}{% catalogue p from "big" where price > i and name != "x" %}{% endfor %}x',
        '{% for i in (1..4000) %}{% catalogue p from "big" limit 50 %}{% endfor %}x',
        '{% catalogue p from "big" limit 50 %}{% for a in p %}{% for b in p %}{{ b | json }}{% endfor %}{% endfor %}',
        '{% for i in (1..5000) %}{% coupon "spring" %}{% for j in (1..5000) %}{% coupon "spring" %}{% endfor %}{% endfor %}',
        '{% assign l = "a,b" | split: "," %}{% for i in (1..4000) %}{% catalogue p from "big" where id in l %}{% endfor %}x',
    ],
)
def test_a_template_that_picks_without_end_is_stopped(bomb: str) -> None:
    definition = template("sms", text=bomb)
    began = time.process_time()
    supplies = Supplies({"big": BIG}, Coupons({"spring": 64}))
    found = render(parse_template(definition), request(), ReadableLinks(), {}, supplies)
    assert isinstance(found, NotRendered)
    assert found.reason == "template_failed"
    assert time.process_time() - began < 20, "a bound on the work, not a measurement"


def test_the_whole_budget_is_less_than_a_second_of_picks() -> None:
    """What a condition costs in the budget is what makes it bounded: a thousand times 50,000 items at most."""
    assert limits.MAX_WORK // BIG.work(1) <= 1_250

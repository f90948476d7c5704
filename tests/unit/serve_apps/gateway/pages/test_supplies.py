"""The pages of catalogues and coupon pools: what is there, what is left, and whatever strangers wrote as text."""

from __future__ import annotations

from serve_apps.gateway.pages.site import Site
from serve_apps.gateway.pages.supplies import render_catalogues, render_coupons
from tests.unit.serve_apps.gateway.pages.documents import NOW
from tests.unit.serve_apps.gateway.pages.loop_documents import catalogues, coupons
from tests.unit.serve_apps.gateway.pages.reading import HOSTILE, words

SITE = Site("demo", ("demo",), "/catalogues")


def test_catalogues_are_listed_and_one_shows_its_items() -> None:
    listed = words(render_catalogues(catalogues(""), now=NOW, site=SITE))
    assert "products" in listed
    assert "Items" in listed
    one = words(render_catalogues(catalogues("products"), now=NOW, site=SITE))
    assert "Walking boots" in one
    assert "More items" in one


def test_coupon_pools_say_what_is_left_and_who_got_what() -> None:
    assert "none" in words(render_coupons(coupons(""), now=NOW, site=SITE))
    one = words(render_coupons(coupons("spring"), now=NOW, site=SITE))
    assert "spring sale" in one
    assert "erased since" in one


def test_what_strangers_wrote_is_text() -> None:
    for html in (
        render_catalogues(catalogues("products", HOSTILE), now=NOW, site=SITE),
        render_coupons(coupons("spring", HOSTILE), now=NOW, site=SITE),
    ):
        assert HOSTILE not in html
